"""Settings of ``drivers.evse_openevse``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import BaudRate, Between, DevicePath

LEAST_A = 6

LEAST_HEARTBEAT_S = 5


@dataclass(frozen=True, slots=True)
class OpenEvseSettings:
    """``device``: the serial line. ``heartbeat_s``: so long after the last ``beat`` the board lowers its offer to
    ``fallback_a``; it knows no fallback of 0 A. Both are kept in a memory that wears out: they are written when the
    line is opened, and the board writes them only if they differ."""

    device: DevicePath
    baud: BaudRate = 115200
    poll_s: Annotated[float, Between(0.01, 60, "seconds")] = 0.5
    timeout_s: Annotated[float, Between(0.01, 10, "seconds")] = 0.5
    heartbeat_s: Annotated[
        int, Between(LEAST_HEARTBEAT_S, 600, "seconds: more than two beats, and our silence is noticed")
    ] = 10
    fallback_a: Annotated[int, Between(LEAST_A, 80, "amperes; the board offers no less")] = LEAST_A

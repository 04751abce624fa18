"""Settings of ``drivers.blueprint``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, HostName, TcpPort


@dataclass(frozen=True, slots=True)
class TextMeterSettings:
    """Keys of the device's table in the station file, each with its type, its range and perhaps a default.

    ``check`` and ``run`` validate the file with them. ``silent_s``: without an answer for this time the device
    counts as gone.
    """

    host: HostName
    port: TcpPort = 4001
    silent_s: Annotated[float, Between(0.01, 60, "seconds")] = 3.0

"""Is there power on a plug? The board says whether its contactor is closed; whether current flows, the meter."""

from __future__ import annotations

from agent.domain.evse import EvseRecord, StationState
from agent.model.types import Moment, Reading

LEAST_A, LEAST_W = 1.0, 250.0
"""More than the station itself takes behind its meter, less than any vehicle that charges (6 A)."""
FRESH_S = 15.0
"""How long a reading says something, in real seconds: an idle meter is read every 10 s."""


def describe_flow(reading: Reading) -> str:
    """Return the current or power that flows, as text; "" if nothing does."""
    most_a = max(reading.current_a, default=0.0)
    if most_a > LEAST_A:
        return f"{most_a:.1f} A flow"
    if not reading.current_a and (reading.power_w or 0.0) > LEAST_W:
        return f"{reading.power_w:.0f} W flow"
    return ""


def draws_current(s: StationState, evse: EvseRecord, now: Moment) -> bool:
    """Return whether the meter has just shown a current."""
    reading = evse.metering.reading
    if reading is None or reading.at.boot != now.stamp.boot or now.t_s - reading.at.t_s > FRESH_S * s.config.io_s:
        return False
    return bool(describe_flow(reading))

"""The periods of a composite schedule, which 1.6 (7.14) and 2.0.1 (ChargingSchedulePeriodType) write alike."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Response


def schedule_periods(reply: Response) -> list[dict[str, Any]]:
    """Encode the periods. ``numberPhases`` is always written: back offices that plan by phase do
    not assume the default of three. A DC EVSE has none (2.0.1 ChargingSchedulePeriodType)."""
    periods: list[dict[str, Any]] = [{"startPeriod": s.start_s, "limit": s.limit} for s in reply.data["spans"]]
    if not reply.data["dc"]:
        for period, span in zip(periods, reply.data["spans"], strict=True):
            period["numberPhases"] = span.phases
    return periods

"""What the clock on the wall says at the station, as far as a backend has set it (2.x: ClockCtrlr.TimeOffset)."""

from __future__ import annotations

import datetime

from agent.domain.variables import Settings


def offset_min(settings: Settings, utc_s: float | None) -> int | None:
    """Minutes east of UTC; None: nobody has set it, the time zone of the station file holds."""
    offset = settings.text("time_offset")
    at_utc_s = instant(settings.text("time_offset_next_at"))
    if utc_s is not None and at_utc_s is not None and utc_s >= at_utc_s:
        offset = settings.text("time_offset_next") or offset
    if not offset:
        return None
    hours, _, minutes = offset.lstrip("+-").partition(":")
    return (-1 if offset.startswith("-") else 1) * (60 * int(hours) + int(minutes))


def instant(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 text, None if it is none; without a zone it is taken as UTC."""
    try:
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None

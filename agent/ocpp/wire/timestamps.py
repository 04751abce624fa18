"""Times on the wire: RFC 3339 in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime

LATEST_UTC_S = 253402300799.0
"""9999-12-31T23:59:59Z: the last second with a four-digit year."""


class NoTime(Exception):
    """The time cannot be written: the clock knows no number for it now."""


def format_rfc3339(utc_s: float, whole_seconds: bool = False) -> str:
    """Format a time as ``2026-11-25T10:00:00.250Z``: milliseconds, rounded. Before 1970 and
    after 9999 the nearest time that can be written. Raises ``NoTime`` for what is no number."""
    if math.isnan(utc_s):
        raise NoTime("the time is not a number")
    possible_s = min(max(utc_s, 0.0), LATEST_UTC_S)
    whole, milli = (round(possible_s), 0) if whole_seconds else divmod(round(possible_s * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:19]}.{milli:03d}Z"


def parse_timestamp(text: object) -> float | None:
    """Return seconds since 1970, or None. More tolerant than what we send: a missing zone is
    read as UTC, because a central system that omits it means UTC in practice."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(text.strip())
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None

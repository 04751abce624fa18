"""Times on the wire: RFC 3339 in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def rfc3339(utc_s: float) -> str:
    """``2026-11-25T10:00:00.250Z``: milliseconds, rounded."""
    whole, milli = divmod(round(utc_s * 1000), 1000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milli:03d}Z"


def parse(text: object) -> float | None:
    """Seconds since 1970, or None. More tolerant than what we send: a missing zone is taken as UTC, because a central
    system that forgets it means UTC in practice."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(text.strip())
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None

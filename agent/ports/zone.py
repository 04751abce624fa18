"""The station's local time: for people who stand in front of it, and for prices by the time of day. The wire and the
store know UTC only.

A zone is a name of the IANA database (``Europe/Luxembourg``) or a rule of POSIX (``CET-1CEST,M3.5.0,M10.5.0/3``: IEEE
1003.1, TZ). Images of small boards often come without the database: then the rule works, and so do the names in
``RULES``.
"""

from __future__ import annotations

import functools
import logging
from datetime import UTC, datetime, tzinfo

log = logging.getLogger(__name__)

RULES = {
    **dict.fromkeys(
        ("Europe/Luxembourg", "Europe/Paris", "Europe/Berlin", "Europe/Brussels", "Europe/Amsterdam", "CET"),
        "CET-1CEST,M3.5.0,M10.5.0/3",  # Directive 2000/84/EC: last Sundays of March and October, 01:00 UTC
    ),
    "UTC": "UTC0",
}
"""Of zones whose database is not needed."""


DAY_S = 24 * 60 * 60


class NoZone(ValueError):
    """There is no such zone, or nothing here knows it; ``str()`` says what to do."""


def load_time_zone(name: str) -> tzinfo:
    """Return the time zone of this name or rule. Raises ``NoZone``."""
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        pass
    try:
        return _of_rule(RULES.get(name, name))
    except ValueError:
        raise NoZone(_unknown_zone_text(name)) from None


def _of_rule(rule: str) -> tzinfo:
    """Return a time zone from a zone file (RFC 8536) in which nothing has ever changed and this
    rule holds for what comes."""
    import io
    import zoneinfo

    if not rule or not rule.isascii() or not any(c.isdigit() for c in rule):
        raise ValueError(f"{rule!r} is no rule")
    counts = b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4))  # one kind of local time, its name
    part = b"TZif2" + bytes(15) + counts + bytes(6) + b"UTC\0"
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(part + part + b"\n" + rule.encode() + b"\n"), key=rule)


def _unknown_zone_text(name: str) -> str:
    import difflib
    import zoneinfo

    known = zoneinfo.available_timezones()
    if not known:
        return (
            f"{name!r} is not known here: this machine has no time-zone data. Install the package tzdata, or give the "
            'rule, for example "CET-1CEST,M3.5.0,M10.5.0/3"'
        )
    near = difflib.get_close_matches(name, known, 1)
    return f"{name!r} is no time zone" + (
        f" (did you mean {near[0]!r}?)" if near else '; for example "Europe/Luxembourg"'
    )


@functools.cache
def _zone_or_none(name: str) -> tzinfo | None:
    try:
        return load_time_zone(name)
    except NoZone as e:
        log.warning("timezone: %s; UTC is shown", e)
        return None


def preload_time_zone(name: str) -> None:
    """Read the zone's data, so that later questions about its time read no file."""
    _zone_or_none(name)


def local_time(utc_s: float, name: str) -> datetime:
    """Return what a clock on the wall shows. Where the zone is unknown it is UTC (its ``tzname()``
    says so, and the log, once): a station with a wrong clock on its screen charges all the same."""
    return datetime.fromtimestamp(utc_s, _zone_or_none(name) or UTC)


def next_offset_change(utc_s: float, name: str) -> tuple[int, int | None, int]:
    """Return minutes east of UTC; when they change within eight days (seconds since 1970; None:
    not), and to what."""
    before = _offset_min(utc_s, name)
    for day in range(1, 9):
        low, high = int(utc_s) + (day - 1) * DAY_S, int(utc_s) + day * DAY_S
        if _offset_min(high, name) == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_min(middle, name) == before else (low, middle)
        return before, high, _offset_min(high, name)
    return before, None, 0


def _offset_min(utc_s: float, name: str) -> int:
    offset = local_time(utc_s, name).utcoffset()
    return round(offset.total_seconds() / 60) if offset else 0

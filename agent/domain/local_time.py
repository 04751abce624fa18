"""What the clock on the wall says at the station, as far as a backend has set it (2.x: ClockCtrlr.TimeOffset), and how
it goes on for the next days."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from agent.domain.variables import Settings
from agent.model.fastclass import frozen
from agent.model.types import Moment, Stamp


@frozen
class LocalOffset:
    """Minutes east of UTC: ``offset_min``, and ``after_min`` from ``turn_utc_s`` on (None: it is not turned)."""

    offset_min: int = 0
    turn_utc_s: int | None = None
    after_min: int = 0

    def offset_at(self, utc_s: float) -> int:
        """Minutes east of UTC then."""
        return self.after_min if self.turn_utc_s is not None and utc_s >= self.turn_utc_s else self.offset_min


def local_offset(settings: Settings, utc_s: float, zone: Callable[[float], LocalOffset]) -> LocalOffset:
    """Return the offset of the clock that the screen shows: as a backend has set it, otherwise that
    of the station file (``zone``)."""
    offset = offset_min(settings, utc_s)
    if offset is None:
        return zone(utc_s)
    turn_utc_s = parse_utc_seconds(settings.text_value("time_offset_next_at"))
    if turn_utc_s is None or utc_s >= turn_utc_s:
        return LocalOffset(offset)
    return LocalOffset(offset, int(turn_utc_s), offset_min(settings, turn_utc_s) or 0)


def offset_min(settings: Settings, utc_s: float | None) -> int | None:
    """Minutes east of UTC; None: not set by a backend, the time zone of the station file holds."""
    offset = settings.text_value("time_offset")
    at_utc_s = parse_utc_seconds(settings.text_value("time_offset_next_at"))
    if utc_s is not None and at_utc_s is not None and utc_s >= at_utc_s:
        offset = settings.text_value("time_offset_next") or offset
    if not offset:
        return None
    hours, _, minutes = offset.lstrip("+-").partition(":")
    return (-1 if offset.startswith("-") else 1) * (60 * int(hours) + int(minutes))


def parse_utc_seconds(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 text, None if it is none; without a zone it is taken as UTC."""
    try:
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def utc_text(utc_s: float) -> str:
    """Return this time as ``parse_utc_seconds`` reads it, in whole seconds."""
    return datetime.datetime.fromtimestamp(utc_s, datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def passed_s(at: Stamp, now: Moment) -> float:
    """Return the seconds since then, as far as they are known."""
    return now.t_s - at.t_s if at.boot == now.stamp.boot else 0.0


def age_s(at: Stamp, utc_s: float | None, now: Moment) -> float:
    """Return how long ago that was. ``utc_s``: what a clock showed then. Across a boot only the clock knows it."""
    if at.boot != now.stamp.boot and utc_s is not None and now.utc_s is not None:
        return now.utc_s - utc_s
    return passed_s(at, now)


def clock_s(now: Moment) -> float:
    """Return the clock that finds the window of a tariff. A tariff without windows needs no
    clock."""
    return now.t_s if now.utc_s is None else now.utc_s

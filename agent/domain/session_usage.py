"""What a session has used, as far as a price asks: energy by the meter's register, time with and time without charging,
each by the window of the tariff in which it was. Whole watt-hours and whole milliseconds, sums instead of points: small
enough for a journal after every reading, and the same after it was read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from agent.domain.local_time import LocalOffset
from agent.model.fastclass import frozen, replace
from agent.model.types import Stamp

GAP_S = 300
"""Between two points further apart the session was not watched: no time counts there. The energy
does."""
WEEK_MIN = 7 * 24 * 60
_WEEK_MS = WEEK_MIN * 60_000
_MONDAY_MS = 3 * 24 * 60 * 60_000
"""1 January 1970 was a Thursday."""


@frozen
class TariffPlan:
    """How a tariff divides time. ``grace_ms``: idle time that is free. ``edges``: from this minute of the week (Monday
    00:00 on the wall is 0) on, this window; the first is at 0. ``local``: the clock on the wall. ``from_grant``: idle
    time counts before the first watt-hour too."""

    grace_ms: int = 0
    edges: tuple[tuple[int, int], ...] = ((0, 0),)
    local: LocalOffset = field(default_factory=LocalOffset)
    from_grant: bool = False

    def window_count(self) -> int:
        """Return how many windows there are."""
        return 1 + max(window for _, window in self.edges)

    def window_at(self, at_ms: int) -> int:
        """Return the window in force at this time (ms since 1970)."""
        position_ms = self._position_in_week(at_ms)
        return next(w for minute, w in reversed(self.edges) if minute * 60_000 <= position_ms)

    def next_edge_ms(self, at_ms: int) -> int:
        """Return when another window may be in force: at the next edge, or when the clock on the
        wall is turned."""
        position_ms = self._position_in_week(at_ms)
        next_ms = next((m * 60_000 for m, _ in self.edges if m * 60_000 > position_ms), _WEEK_MS)
        edge_ms = at_ms + next_ms - position_ms
        turn_ms = self.local.turn_utc_s * 1000 if self.local.turn_utc_s is not None else edge_ms
        return min(edge_ms, turn_ms) if at_ms < turn_ms else edge_ms

    def _position_in_week(self, at_ms: int) -> int:
        return (at_ms + self.local.offset_at(at_ms / 1000) * 60_000 + _MONDAY_MS) % _WEEK_MS

    def to_record(self) -> dict[str, Any]:
        at = self.local
        wall = [at.offset_min, at.turn_utc_s, at.after_min]
        record = {"grace_ms": self.grace_ms, "edges": [list(e) for e in self.edges], "local": wall}
        return {**record, **({"from_grant": True} if self.from_grant else {})}

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> TariffPlan:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        edges = tuple((parse_unsigned(minute), parse_unsigned(window)) for minute, window in r["edges"])
        offset_min, turn_utc_s, after_min = r["local"]
        if not edges or edges[0][0] != 0:
            raise ValueError("a plan begins at minute 0")
        wall = LocalOffset(
            parse_integer(offset_min),
            None if turn_utc_s is None else parse_unsigned(turn_utc_s),
            parse_integer(after_min),
        )
        return cls(parse_unsigned(r["grace_ms"]), edges, wall, bool(r.get("from_grant", False)))


@frozen
class Sum:
    """In one window: energy, time charging, idle time after the grace."""

    wh: int = 0
    charging_ms: int = 0
    idle_ms: int = 0


@frozen
class Usage:
    """Made by ``Tariff.usage``, grown by ``at``. ``at_ms``, ``stamp``: the last point by the clock, and by time itself
    (boot and ms). ``wh``: the highest register so far; ``charging``: what holds since the last point; ``stretch_ms``:
    how long it has been idle in one piece, grace included."""

    plan: TariffPlan = field(default_factory=TariffPlan)
    sums: tuple[Sum, ...] = (Sum(),)
    at_ms: int | None = None
    stamp: tuple[int, int] | None = None
    wh: int = 0
    charging: bool | None = None
    stretch_ms: int = 0

    @property
    def energy_wh(self) -> int:
        return sum(s.wh for s in self.sums)

    def advance_to(self, utc_s: float, wh: int, charging: bool | None, stamp: Stamp | None = None) -> Usage:
        """Return the usage after this point: the register stands at ``wh``, and from now on the
        vehicle is charging (True), does not draw although it could (False: idle), or may not,
        because the station holds it back or is not in order (None: no time counts).

        ``stamp`` says how much time has passed: between two boots none, since a vehicle gets nothing then. ``utc_s``,
        seconds of the station's clock, says in which window; without stamps it says both. A clock that was set back
        counts no time then, a gap of more than ``GAP_S`` never does; so a point is due at each reading, and at least
        every minute. Idle time counts from the first watt-hour on, or from the begin (``from_grant``). A register below
        the highest counts nothing."""
        now_ms = round(utc_s * 1000)
        point = (stamp.boot, round(stamp.t_s * 1000)) if stamp is not None else None
        if self.at_ms is None:
            return replace(self, at_ms=now_ms, stamp=point, wh=wh, charging=charging)
        grown = replace(self, at_ms=now_ms, stamp=point, wh=max(self.wh, wh), charging=charging)
        sums, stretch_ms = list(self.sums), self.stretch_ms
        since_ms = self._passed_ms(now_ms - self.at_ms, point)
        for window, used_wh, passed_ms in self._window_pieces(self.at_ms, since_ms, grown.wh - self.wh):
            was = sums[window]
            charging_ms = passed_ms if self.charging else 0
            idle_ms = passed_ms if self.charging is False and (self.energy_wh or self.plan.from_grant) else 0
            free_ms = min(idle_ms, max(0, self.plan.grace_ms - stretch_ms))
            stretch_ms += idle_ms
            sums[window] = Sum(was.wh + used_wh, was.charging_ms + charging_ms, was.idle_ms + idle_ms - free_ms)
        return replace(grown, sums=tuple(sums), stretch_ms=0 if charging else stretch_ms)

    def advance_over_absence(self, stamp: Stamp, most_s: float) -> Usage:
        """Advance over a time in which the agent did not run: what held at the last point went on
        for at most so long, then nothing did."""
        if self.at_ms is None or self.stamp is None or self.stamp[0] != stamp.boot:
            return self
        passed_s = min(stamp.t_s - self.stamp[1] / 1000, most_s)
        return self.advance_to(
            self.at_ms / 1000 + passed_s, self.wh, None, Stamp(stamp.boot, self.stamp[1] / 1000 + passed_s)
        )

    def _passed_ms(self, by_clock_ms: int, point: tuple[int, int] | None) -> int:
        """Return how much time has passed since the last point (ms)."""
        if self.stamp is None or point is None:
            return by_clock_ms
        return point[1] - self.stamp[1] if self.stamp[0] == point[0] else 0

    def _window_pieces(self, begin_ms: int, passed_ms: int, used_wh: int) -> Iterator[tuple[int, int, int]]:
        """Yield window, energy and time of each part of the time between two points. The energy is
        taken as drawn evenly, in whole watt-hours; of a gap it all belongs to where the gap began."""
        end_ms = begin_ms + passed_ms
        if not 0 < passed_ms <= GAP_S * 1000:
            yield self.plan.window_at(begin_ms), used_wh, 0
            return
        at_ms, given_wh = begin_ms, 0
        while at_ms < end_ms:
            next_ms = min(end_ms, self.plan.next_edge_ms(at_ms))
            part_wh = used_wh * (next_ms - begin_ms) // passed_ms - given_wh
            yield self.plan.window_at(at_ms), part_wh, next_ms - at_ms
            at_ms, given_wh = next_ms, given_wh + part_wh

    def to_record(self) -> dict[str, Any]:
        """JSON-able, whole numbers only."""
        return {
            "plan": self.plan.to_record(),
            "sums": [[s.wh, s.charging_ms, s.idle_ms] for s in self.sums],
            "at_ms": self.at_ms,
            "stamp": None if self.stamp is None else list(self.stamp),
            "wh": self.wh,
            "charging": self.charging,
            "stretch_ms": self.stretch_ms,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> Usage:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        plan = TariffPlan.from_record(r["plan"])
        sums = tuple(
            Sum(parse_unsigned(wh), parse_unsigned(charging_ms), parse_unsigned(idle_ms))
            for wh, charging_ms, idle_ms in r["sums"]
        )
        if len(sums) != plan.window_count() or r["charging"] not in (True, False, None):
            raise ValueError("no usage")
        at_ms = None if r["at_ms"] is None else parse_unsigned(r["at_ms"])
        boot, t_ms = r.get("stamp") or (None, None)
        stamp = None if boot is None else (parse_unsigned(boot), parse_unsigned(t_ms))
        return cls(plan, sums, at_ms, stamp, parse_unsigned(r["wh"]), r["charging"], parse_unsigned(r["stretch_ms"]))


def parse_unsigned(value: Any) -> int:
    """Return a whole number from 0 on. Raises ``ValueError``."""
    if parse_integer(value) < 0:
        raise ValueError(f"{value} is below 0")
    return int(value)


def parse_integer(value: Any) -> int:
    """A whole number. Raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{type(value).__name__} is no whole number")
    return value

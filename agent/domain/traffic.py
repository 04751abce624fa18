"""What the links have taken, by month, day, bearer and action, and what a month may take (decision 45)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.traffic import TrafficCount

DAY_S = 86_400.0
MONTHS_KEPT = 4
"""One that a wrong clock has brought must not push the present one out."""


class BudgetLevel(StrEnum):
    """How far the data budget of the month is used up."""

    WITHIN = "within"
    SOFT = "soft"
    HARD = "hard"


@frozen
class DataPlan:
    """What the metered bearers may take in a month, sent and received with all headers. None: no limit."""

    metered: frozenset[str]
    """Kinds of bearer."""
    soft_bytes: int | None
    hard_bytes: int | None

    def level_of(self, used_bytes: int) -> BudgetLevel:
        if self.hard_bytes is not None and used_bytes >= self.hard_bytes:
            return BudgetLevel.HARD
        over_soft = self.soft_bytes is not None and used_bytes >= self.soft_bytes
        return BudgetLevel.SOFT if over_soft else BudgetLevel.WITHIN


@mutable
class TrafficSum:
    """A sum of counts."""

    messages: int = 0
    sent: int = 0
    received: int = 0
    headers: int = 0

    @property
    def total_bytes(self) -> int:
        return self.sent + self.received + self.headers

    def add_count(self, count: TrafficCount) -> None:
        self.messages += count.messages
        self.sent += count.sent_bytes
        self.received += count.received_bytes
        self.headers += count.header_bytes

    def add_sum(self, other: TrafficSum) -> None:
        self.messages += other.messages
        self.sent += other.sent
        self.received += other.received
        self.headers += other.headers

    def to_record(self) -> list[int]:
        return [self.messages, self.sent, self.received, self.headers]


Sums = dict[str, dict[str, TrafficSum]]
"""By kind of bearer, then by action or by day of the month."""


def traffic_sum_of(sums: Sums, bearer: str, name: str) -> TrafficSum:
    """Return the sum of this name, which is zero at first."""
    return sums.setdefault(bearer, {}).setdefault(name, TrafficSum())


@mutable
class TrafficMonth:
    """The traffic of one calendar month (UTC). ``since_utc_s``: when the first of it was counted. ``level``: the one
    that was reported."""

    since_utc_s: float
    level: BudgetLevel = BudgetLevel.WITHIN
    actions: Sums = field(default_factory=dict)
    days: Sums = field(default_factory=dict)

    def add_sums(self, sums: Sums, day: str) -> int:
        """Add what was counted on this day. Return its bytes."""
        added = 0
        for bearer, rows in sums.items():
            for action, total in rows.items():
                traffic_sum_of(self.actions, bearer, action).add_sum(total)
                traffic_sum_of(self.days, bearer, day).add_sum(total)
                added += total.total_bytes
        return added

    def used_bytes(self, bearers: Iterable[str] | None = None) -> int:
        """Return the bytes over these kinds of bearer; None: over all."""
        kinds = self.days if bearers is None else [kind for kind in bearers if kind in self.days]
        return sum(day.total_bytes for kind in kinds for day in self.days[kind].values())

    def to_record(self) -> dict[str, Any]:
        return {
            "since_utc_s": round(self.since_utc_s, 1),
            "level": self.level.value,
            "actions": _sums_to_record(self.actions),
            "days": _sums_to_record(self.days),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrafficMonth:
        """Raises ``ValueError`` for a record that cannot be read."""
        try:
            level = BudgetLevel(record["level"])
            return cls(float(record["since_utc_s"]), level, _read_sums(record["actions"]), _read_sums(record["days"]))
        except (KeyError, TypeError, AttributeError, ValueError) as e:
            raise ValueError(f"no record of traffic ({type(e).__name__})") from e


def _sums_to_record(sums: Sums) -> dict[str, dict[str, list[int]]]:
    return {bearer: {name: total.to_record() for name, total in rows.items()} for bearer, rows in sums.items()}


def _read_sums(record: Mapping[str, Mapping[str, list[Any]]]) -> Sums:
    return {
        str(bearer): {str(name): TrafficSum(*map(int, amounts)) for name, amounts in rows.items()}
        for bearer, rows in record.items()
    }


@mutable
class TrafficTally:
    """All that is known of the traffic of this station."""

    months: dict[str, TrafficMonth] = field(default_factory=dict)
    """By name: ``2026-11``. The newest ones."""
    undated: Sums = field(default_factory=dict)
    """By action: what was counted before the time was known."""
    present: str = ""
    """The month that was counted last."""

    @property
    def level(self) -> BudgetLevel:
        month = self.months.get(self.present)
        return BudgetLevel.WITHIN if month is None else month.level


def month_and_day(utc_s: float) -> tuple[str, str]:
    """Return the names of a month and of the day in it: ``2026-11``, ``28``."""
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(utc_s, UTC)
    return f"{when:%Y-%m}", f"{when:%d}"


def _month_end_utc_s(utc_s: float) -> float:
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(utc_s, UTC)
    year, month = divmod(when.year * 12 + when.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC).timestamp()


def projected_bytes(used_bytes: int, since_utc_s: float, now_utc_s: float) -> int | None:
    """Return what the month will have taken at its end if it goes on like this; None: less than a day is known."""
    counted_s = now_utc_s - since_utc_s
    if counted_s < DAY_S:
        return None
    left_s = max(0.0, _month_end_utc_s(now_utc_s) - now_utc_s)
    return round(used_bytes * (counted_s + left_s) / counted_s)

"""The ad-hoc tariffs of an outlet that were set from afar: the one in force and those of a later time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.backend_tariff import BackendTariff, is_valid_now
from agent.model.fastclass import frozen

LATER_MOST = 4
"""Tariffs of a later time at an outlet."""


class RefusedTariff(ValueError):
    """Why this tariff cannot be added to the schedule: one line for a person."""


@frozen
class TariffSchedule:
    """``in_force`` None: the price of the station file. ``later``: by the time from which they are valid.

    A tariff that has come into force stays in force without a clock, and over a clock that is set back."""

    in_force: BackendTariff | None = None
    later: tuple[BackendTariff, ...] = ()

    @property
    def next_tariff(self) -> BackendTariff | None:
        return self.later[0] if self.later else None

    def add_tariff(self, tariff: BackendTariff, utc_s: float | None) -> TariffSchedule:
        """Return the schedule with one more tariff. It takes the place of a later one with its id or of its time. One
        without a time is in force at once. Raises ``RefusedTariff``; what is refused does not depend on the time."""
        now = self.in_force
        if now is not None and now.id == tariff.id:
            if now.tariff == tariff.tariff and tariff.valid_from_utc_s in (None, now.valid_from_utc_s):
                return self
            raise RefusedTariff(f"the tariff {tariff.id} is in force: a change needs another id")
        if _begins_before(tariff, now):
            raise RefusedTariff(f"valid_from: the tariff {now.id if now else ''} that is in force begins later")
        kept = [t for t in self.later if t.id != tariff.id and t.valid_from_utc_s != tariff.valid_from_utc_s]
        if tariff.valid_from_utc_s is None:
            return TariffSchedule(BackendTariff(tariff.id, tariff.tariff, utc_s), tuple(kept))
        if len(kept) >= LATER_MOST:
            raise RefusedTariff(f"{LATER_MOST} tariffs of a later time are set already")
        later = sorted((*kept, tariff), key=lambda t: t.valid_from_utc_s or 0.0)
        return TariffSchedule(now, tuple(later)).advance_to(utc_s)

    def advance_to(self, utc_s: float | None) -> TariffSchedule:
        """Return the schedule at this time. With no clock nothing comes into force."""
        due = [t for t in self.later if is_valid_now(t, utc_s)]
        return TariffSchedule(due[-1], self.later[len(due) :]) if due else self

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("adhoc_tariffs", EVSE, ...)``."""
        return {
            "in_force": self.in_force.to_record() if self.in_force else None,
            "later": [t.to_record() for t in self.later],
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> TariffSchedule:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        in_force = r["in_force"]
        return cls(
            BackendTariff.from_record(in_force) if in_force else None,
            tuple(BackendTariff.from_record(t) for t in r["later"]),
        )


def _begins_before(tariff: BackendTariff, other: BackendTariff | None) -> bool:
    """Return whether the tariff would begin before one that has begun already, and so would never count."""
    if other is None or tariff.valid_from_utc_s is None or other.valid_from_utc_s is None:
        return False
    return tariff.valid_from_utc_s < other.valid_from_utc_s

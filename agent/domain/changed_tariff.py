"""A tariff that a backend has put in the place of another one while a session runs (OCPP 2.1 I11). What was used before
costs what it cost then: nothing is computed again. The one engine (``tariff.py``) sums and rounds, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from agent.domain.session_usage import Usage
from agent.domain.tariff import Tariff
from agent.model.fastclass import field_specs, frozen
from agent.model.types import Stamp

Amounts: TypeAlias = tuple[tuple[str, Fraction], ...]
"""By kind (``Tariff.exact_parts``): cents, exact."""
TariffPeriod: TypeAlias = tuple[str, Stamp, int, int, int]
"""A tariff, when it began to count, and what was used at it: Wh, seconds charging, seconds idle."""
ONCE = ("session", "other")
"""What a session costs once. It is that of the tariff with which it began."""


@frozen
class ChangedTariff(Tariff):
    """``carried``: what was due when this tariff took its place; ``since``: what had been used by then."""

    carried: Amounts = ()
    since: Usage = Usage()

    def price_usage(self, usage: Usage) -> Iterator[tuple[str, Fraction]]:
        """Yield what is due of each kind: what was carried over, and what was used since at these prices."""
        carried, before = dict(self.carried), dict(super().price_usage(self.since))
        for kind, amount in super().price_usage(usage):
            yield kind, carried.get(kind, Fraction(0)) + amount - before[kind]


def change_tariff(present: Tariff, usage: Usage, wanted: Tariff) -> ChangedTariff:
    """Return the wanted tariff for a session that has used so much at the present one. A highest price that is passed
    already takes nothing back."""
    carried = _cut_to_highest(tuple(present.price_usage(usage)), present.max_cents)
    max_cents = wanted.max_cents
    if max_cents is not None:
        max_cents = max(max_cents, present.total_cents(usage))
    changes: dict[str, Any] = {**dict.fromkeys(ONCE), "max_cents": max_cents}
    fields = {name: changes.get(name, getattr(wanted, name)) for name in field_specs(Tariff)}
    return ChangedTariff(**fields, carried=carried, since=usage)


def _cut_to_highest(amounts: Amounts, max_cents: int | None) -> Amounts:
    """Take off the last parts what is above the highest price."""
    over = sum((amount for _, amount in amounts), start=Fraction(0)) - (max_cents or 0)
    if max_cents is None or over <= 0:
        return amounts
    left = []
    for kind, amount in reversed(amounts):
        taken = min(over, amount)
        over -= taken
        left.append((kind, amount - taken))
    return tuple(reversed(left))


def close_period(usage: Usage, tariff_id: str, begun: Stamp, earlier: tuple[TariffPeriod, ...]) -> TariffPeriod:
    """Return the period of a tariff that ends with this usage: what was used since the periods before it."""
    energy_wh = usage.energy_wh - sum(p[2] for p in earlier)
    charging_s = sum(s.charging_ms for s in usage.sums) // 1000 - sum(p[3] for p in earlier)
    idle_s = sum(s.idle_ms for s in usage.sums) // 1000 - sum(p[4] for p in earlier)
    return tariff_id, begun, energy_wh, charging_s, idle_s


def changed_to_record(tariff: Tariff, periods: tuple[TariffPeriod, ...]) -> dict[str, Any]:
    """Return what a changed tariff adds to the record of its session; nothing of another one."""
    if not isinstance(tariff, ChangedTariff):
        return {}
    return {
        "carried": [[kind, str(amount)] for kind, amount in tariff.carried],
        "since": tariff.since.to_record(),
        "periods": [[id_, begun.boot, begun.t_s, *used] for id_, begun, *used in periods],
    }


def read_changed_tariff(plain: Tariff, r: Mapping[str, Any]) -> tuple[Tariff, tuple[TariffPeriod, ...]]:
    """Read back what ``changed_to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
    if "carried" not in r:
        return plain, ()
    carried = tuple((str(kind), Fraction(str(amount))) for kind, amount in r["carried"])
    fields = {name: getattr(plain, name) for name in field_specs(Tariff)}
    periods = tuple(
        (str(id_), Stamp(int(boot), float(t_s)), int(energy_wh), int(charging_s), int(idle_s))
        for id_, boot, t_s, energy_wh, charging_s, idle_s in r["periods"]
    )
    return ChangedTariff(**fields, carried=carried, since=Usage.from_record(r["since"])), periods

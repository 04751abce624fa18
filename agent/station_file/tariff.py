"""``[tariff]`` and ``[evse.tariff]`` of the station file, made into the domain's tariffs: docs/station-file.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from agent.domain.adhoc_tariff import AdhocTariff, unlawful_price_keys
from agent.domain.tariff import Rates, Tariff, Window, parse_rate
from agent.domain.tariff_rules import DAYS, GRACE_MOST_MIN, NAME_MAX, PER_UNIT, conflicting_parts, minute_of_day
from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Entries, OneOf, Text
from agent.model.types import EvseId
from agent.station_file.settings import Evse, StationFile, build_table

_LAW = (
    "from 50 kW on only a price per kWh and an occupancy fee per minute may be asked (Regulation (EU) 2023/1804, 5(4))"
)


@frozen
class Amount:
    """A number or a text, up to ``most``."""

    most: int = 10**6 - 1

    def value_problem(self, value: Any) -> str:
        try:
            made = parse_rate(value)
        except ValueError as e:
            return str(e)
        return "" if made <= self.most else f"must be {self}, is {value}"

    def __str__(self) -> str:
        return f"0 to {self.most}, with 6 decimals at most"


Price: TypeAlias = Annotated[Any, Amount()]
TimeOfDay: TypeAlias = Annotated[str, Text(5, form="([01]?[0-9]|2[0-4]):[0-5][0-9]", like='a time like "22:00"')]


@frozen
class WindowTable:
    """Amounts are numbers or texts; ``begin`` and ``end`` of the clock on the wall."""

    begin: TimeOfDay
    end: TimeOfDay
    days: Annotated[tuple[Annotated[str, OneOf(DAYS)], ...], Entries(1, 7)] = DAYS
    kwh: Price = None
    minute: Price = None
    occupancy: Price = None


@frozen
class TariffTable:
    """Amounts in the currency's unit, VAT included."""

    kwh: Price = None
    minute: Price = None
    occupancy: Price = None
    grace_min: Annotated[int, Between(0, GRACE_MOST_MIN, "minutes")] = 0
    occupancy_from: Annotated[str, OneOf(("energy", "grant"))] = "energy"
    session: Price = None
    other: Price = None
    other_name: Annotated[str, Text(NAME_MAX)] = ""
    minimum: Price = None
    maximum: Price = None
    currency: Annotated[str, Text(3, 3, "[A-Z]{3}", "three capital letters such as EUR")] = "EUR"
    vat_percent: Annotated[Any, Amount(100)] = None
    source: Annotated[str, OneOf(("file", "backend"))] = "file"
    signed_by: Path | None = None
    window: tuple[WindowTable, ...] = field(default_factory=tuple)


def adhoc_tariffs(file: StationFile, wrong: list[str]) -> dict[EvseId, AdhocTariff]:
    """Return the ad-hoc tariff of each outlet; one line per mistake is added to ``wrong``."""
    base = file.path.parent
    station = _read_tariff(file.tariff, "tariff", base, wrong)
    made: dict[EvseId, AdhocTariff] = {}
    for evse in file.evses:
        where = f"evse[{evse.number}].tariff" if evse.tariff is not None else "tariff"
        tariff, backend = _read_tariff(evse.tariff, where, base, wrong) if evse.tariff is not None else station
        made[evse.number] = AdhocTariff(tariff, evse.power_w, backend)
        if tariff is not None and made[evse.number].is_fast_charger:
            wrong += [_unlawful_price_problem(where, evse, key) for key in unlawful_price_keys(tariff, strict=True)]
    if any(t.backend for t in made.values()) and not file.settings.get("cost_display"):
        wrong.append("tariff.source: a backend can set a price only with settings.cost_display = true")
    money = str(file.settings.get("currency", "EUR"))
    for where in sorted({t.tariff.currency for t in made.values() if t.backend and t.tariff} - {money}):
        wrong.append(
            f"tariff.currency: is {where} and settings.currency is {money}: no price of a backend could be sold"
        )
    wrong += [
        f"sinks[{n}].tariffs: nothing would be taken: [tariff] has no signed_by"
        for n, sink in enumerate(file.sinks, 1)
        if sink.tariffs and (not isinstance(file.tariff, Mapping) or "signed_by" not in file.tariff)
    ]
    if any(t.tariff for t in made.values()) and file.station.free_vending:
        wrong.append("tariff: station.free_vending gives the energy away; take one of the two out")
    return made


def without_a_terminal(file: StationFile, made: Mapping[EvseId, AdhocTariff]) -> list[str]:
    """Return complaints about fast outlets without a card reader. From 50 kW on a code to scan is
    not enough (Regulation (EU) 2023/1804, 5(1))."""
    if file.station.pool_terminal or "terminal" in file.devices or file.payment_satellite is not None:
        return []
    return [
        f"evse[{e.number}].terminal: is missing: EVSE {e.number} sells with {e.power_w / 1000:g} kW, and from 50 kW on"
        " a card reader is the law (Regulation (EU) 2023/1804, 5(1)); where another one of the pool takes the cards:"
        " station.pool_terminal = true"
        for e in file.evses
        if "terminal" not in e.devices and made[e.number].tariff is not None and made[e.number].is_fast_charger
    ]


def _unlawful_price_problem(where: str, evse: Evse, key: str) -> str:
    what = "is missing" if key == "kwh" else "cannot be asked"
    return f"{where}.{key}: {what}: EVSE {evse.number} has {evse.power_w / 1000:g} kW, and {_LAW}"


def _read_tariff(raw: Any, where: str, base: Path, wrong: list[str]) -> tuple[Tariff | None, bool]:
    """Read a tariff table. Returns the tariff, and whether the backend's price comes first."""
    if raw is None:
        return None, False
    found: list[str] = []
    table = build_table(TariffTable, raw, where, found, base)
    if table.signed_by is not None and where != "tariff":
        found.append(f"{where}.signed_by: is of the whole station: it belongs to [tariff]")
    windows = tuple(w for n, t in enumerate(table.window) if (w := _read_window(t, f"{where}.window[{n}]", found)))
    tariff = Tariff(
        **_read_rates(table, where, (*PER_UNIT, "session", "other"), found),
        grace_min=table.grace_min,
        from_grant=table.occupancy_from == "grant",
        other_name=table.other_name.strip(),
        windows=windows,
        min_cents=_read_cents(table.minimum, f"{where}.minimum", found),
        max_cents=_read_cents(table.maximum, f"{where}.maximum", found),
        currency=table.currency,
        vat_percent=_read_rates(table, where, ("vat_percent",), found).get("vat_percent"),
    )
    found += conflicting_parts(tariff, where) if not found else []
    wrong += found
    return (None if found else tariff), table.source == "backend"


def _read_rates(table: Any, where: str, names: tuple[str, ...], wrong: list[str]) -> dict[str, Any]:
    made = {}
    for name in names:
        value = getattr(table, name)
        try:
            made[name] = parse_rate(value) if value is not None else None
        except ValueError as e:
            wrong.append(f"{where}.{name}: {e}")
    return made


def _read_cents(value: Any, where: str, wrong: list[str]) -> int | None:
    try:
        cents = parse_rate(value).scaleb(2) if value is not None else None
    except ValueError as e:
        wrong.append(f"{where}: {e}")
        return None
    if cents is not None and cents != int(cents):
        wrong.append(f"{where}: must be whole cents, is {value}")
        return None
    return None if cents is None else int(cents)


def _read_window(table: WindowTable, where: str, wrong: list[str]) -> Window | None:
    begin, end = minute_of_day(table.begin), minute_of_day(table.end)
    for key, minute in (("begin", None if begin == 1440 else begin), ("end", end)):
        if minute is None:
            wrong.append(f'{where}.{key}: must be a time like "22:00", is {getattr(table, key)!r}')
    rates = _read_rates(table, where, PER_UNIT, wrong)
    if begin is None or end is None:
        return None
    return Window(tuple(sorted({DAYS.index(d) for d in table.days})), begin, end, Rates(**rates))

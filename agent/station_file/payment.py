"""``[payment]`` of the station file, made into the domain's terms: docs/payments.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from math import inf
from typing import Annotated, Any

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.payment import (
    DAY_S,
    FINISHED,
    HOLD_HOURS,
    HOUR_S,
    MOST_CENTS,
    SCHEDULE_S,
    TOKEN_LENGTH,
    PaymentTerms,
    payment_reference,
)
from agent.model.currencies import HUNDREDTHS
from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Entries, Text
from agent.model.types import STATION, EvseId
from agent.station_file.receipts import receipt_terms
from agent.station_file.settings import StationFile, build_table

PREFIX_MAX = TOKEN_LENGTH - len(payment_reference("", ""))


@frozen
class PaymentTable:
    """Amounts in whole cents (hundredths of the tariff's currency unit). ``raise_cents``: by how much a hold is raised
    before it is used up; ``most_cents``: up to so much. ``vat_numbers``: drivers may enter a VAT number by keys."""

    amount_cents: Annotated[int, Between(1, MOST_CENTS, "cents")]
    least_cents: Annotated[int, Between(1, MOST_CENTS, "cents")] = 100
    prefix: Annotated[str, Text(PREFIX_MAX, form="[A-Za-z0-9]*", like="letters and digits")] = ""
    receipts: Mapping[str, Any] = field(default_factory=dict)
    reserve_s: Annotated[float, Between(0, 600, "seconds")] = 15.0
    retry_s: Annotated[tuple[Annotated[float, Between(1, int(DAY_S), "seconds")], ...], Entries(1)] = SCHEDULE_S
    keep_days: Annotated[int, Between(1, 3660, "days")] = 100
    hold_hours: Annotated[float, Between(1, 720, "hours")] = HOLD_HOURS
    raise_cents: Annotated[int, Between(0, MOST_CENTS, "cents")] = 0
    most_cents: Annotated[int, Between(0, MOST_CENTS, "cents")] = 0
    vat_numbers: bool = False
    vat_prefix: Annotated[str, Text(2, form="([A-Z]{2})?", like="the two letters of a country")] = ""


def payment_terms(file: StationFile, wrong: list[str]) -> PaymentTerms | None:
    """Return the payment terms; None: this station takes no payments. One line per mistake is added
    to ``wrong``."""
    served = _evses_by_terminal(file)
    if not served:
        if file.payment is not None:
            wrong.append("[payment]: there is no terminal that could take it: add [terminal], or take it out")
        return None
    if file.payment is None:
        return None
    table = build_table(PaymentTable, file.payment, "payment", wrong, file.path.parent)
    if table.least_cents > table.amount_cents > 0:
        wrong.append(f"payment.least_cents: must be 1 to amount_cents, is {table.least_cents}")
    wrong += _wrong_raises(file, table)
    wrong += [p for outlets in served.values() if (p := _currency_conflict(file, outlets))]
    return PaymentTerms(
        table.amount_cents,
        served,
        least_cents=table.least_cents,
        prefix=table.prefix,
        receipts=receipt_terms(file, wrong),
        reserve_s=table.reserve_s,
        schedule_s=table.retry_s,
        keep_s=table.keep_days * DAY_S,
        hold_s=table.hold_hours * HOUR_S,
        raise_cents=table.raise_cents,
        most_cents=table.most_cents,
        vat_numbers=table.vat_numbers,
        vat_prefix=table.vat_prefix,
    )


def _wrong_raises(file: StationFile, table: PaymentTable) -> list[str]:
    """Return what is wrong where holds are raised: up to how much, the driver must have seen."""
    if not table.raise_cents and not table.most_cents:
        return []
    if not table.raise_cents:
        return ["payment.raise_cents: is missing: by how much a hold is raised, up to most_cents"]
    if not table.most_cents:
        return ["payment.most_cents: is missing: up to how much a hold is raised, by raise_cents"]
    if table.most_cents <= table.amount_cents:
        return [f"payment.most_cents: must be above amount_cents {table.amount_cents}, is {table.most_cents}"]
    paid = {n for outlets in _evses_by_terminal(file).values() for n in outlets}
    blind = [e.number for e in file.evses if e.number in paid and not {"display"} & {*file.devices, *e.devices}]
    wanted = "drivers must see up to how much is held: add [display] for EVSE"
    return [f"payment.most_cents: {wanted} {number}" for number in blind[:1]]


SOME_WH = 1000.0
"""A hold that leaves less than this, at the full power of the outlet, is of no use to a driver."""


def uncovered_holds(file: StationFile, offers: Mapping[EvseId, AdhocTariff]) -> list[str]:
    """Return complaints about holds that fees, minimum and reserve use up: every card would be
    taken, and every session would end at once."""
    held = payment_terms(file, [])
    if held is None or held.amount_cents < 1:
        return []
    outlets = {n for served in held.terminals.values() for n in served}
    wrong = []
    for e in file.evses:
        tariff = offers[e.number].tariff
        if e.number not in outlets or tariff is None or e.power_w <= 0:
            continue
        needed_s = held.reserve_s + SOME_WH * 3600 / e.power_w
        if tariff.headroom_s(tariff.start_usage(), held.amount_cents, e.power_w) < needed_s:
            wrong.append(
                f"payment.amount_cents: {held.amount_cents} is too little for EVSE {e.number}: fees, minimum and"
                f" reserve_s leave less than {SOME_WH / 1000:g} kWh of it at {e.power_w / 1000:g} kW"
            )
    return wrong


def remaining_terms(file: StationFile) -> PaymentTerms:
    """Return the terms of a station that takes no payments (any more). What was begun is brought to
    its end by the terminals that are still there. No record is deleted: the file does not say any more when."""
    return PaymentTerms(0, _evses_by_terminal(file), keep_s=inf)


def stranded_payments(records: Mapping[str, Any], file: StationFile) -> list[str]:
    """Return the ids of unfinished payments whose terminal is no longer in the file: they can be
    neither charged nor released."""
    there, finished = _evses_by_terminal(file), {s.value for s in FINISHED}
    return [k for k, r in records.items() if r.get("state") not in finished and r.get("terminal") not in there]


def unused_terminals(file: StationFile) -> list[str]:
    """Return complaints about a file with which a terminal would never wait for a card."""
    if not _evses_by_terminal(file):
        return []
    missing = [] if file.payment is not None else ["terminal: no card can be charged without [payment] amount_cents"]
    priced = file.tariff is not None or any(e.tariff is not None for e in file.evses)
    return missing if priced else [*missing, "terminal: no card can be charged without a price: add [tariff]"]


def meters_without_class(file: StationFile) -> list[str]:
    """Return complaints about meters that bank cards pay by and whose accuracy class is not in the
    file (decision 18)."""
    if file.payment is None and file.payment_satellite is None:
        return []
    paid = {n for outlets in _evses_by_terminal(file).values() for n in outlets}
    if file.payment_satellite is not None:
        paid = {e.number for e in file.evses}
    wrong = {}
    for e in file.evses:
        policy = file.meter_policies.get(e.number)
        if e.number in paid and policy is not None and not policy.accuracy_class:
            where = f"evse[{e.number}].meter" if "meter" in e.devices else "meter"
            wrong[where] = f'{where}.class: is missing: bank cards pay by this meter; class = "B" as its label says'
    return list(wrong.values())


def _evses_by_terminal(file: StationFile) -> dict[EvseId, tuple[EvseId, ...]]:
    """Return each terminal and the outlets that it serves: its own, or all that have none."""
    own = {e.number: (e.number,) for e in file.evses if "terminal" in e.devices}
    shared = tuple(e.number for e in file.evses if "terminal" not in e.devices)
    return own | ({STATION: shared} if "terminal" in file.devices and shared else {})


def _currency_conflict(file: StationFile, outlets: tuple[EvseId, ...]) -> str:
    """Return what is wrong with the prices at one terminal; "": nothing."""
    tariffs = (e.tariff or file.tariff for e in file.evses if e.number in outlets)
    named = (t.get("currency", "EUR") for t in tariffs if isinstance(t, Mapping))
    found = sorted(
        {c for c in named if isinstance(c, str) and c in HUNDREDTHS}
    )  # the others are reported with the tariff
    return "" if len(found) < 2 else f"terminal: it charges in one currency, and its outlets sell in {', '.join(found)}"

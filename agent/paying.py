"""``[payment]`` of the station file, made into the domain's terms: docs/payments.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.adhoc import DAY_S, FINISHED, HOLD_HOURS, HOUR_S, SCHEDULE_S, TOKEN_LENGTH, Terms, reference
from agent.frozen import frozen
from agent.kinds import STATION, EvseId
from agent.settings import StationFile, build

MOST_CENTS = 100_000
"""Of a hold: more is a slip of the pen."""


@frozen
class PaymentTable:
    """Amounts in whole cents (hundredths of the tariff's currency unit)."""

    amount_cents: int
    least_cents: int = 100
    prefix: str = ""
    reserve_s: float = 15.0
    retry_s: tuple[float, ...] = SCHEDULE_S
    keep_days: int = 30
    hold_hours: float = HOLD_HOURS


def terms(file: StationFile, wrong: list[str]) -> Terms | None:
    """None: nobody can pay here. One line per mistake is added to ``wrong``."""
    served = _terminals(file)
    if not served:
        if file.payment is not None:
            wrong.append("[payment]: there is no terminal that could take it: add [terminal], or take it out")
        return None
    if file.payment is None:
        return None
    table = build(PaymentTable, file.payment, "payment", wrong, file.path.parent)
    wrong += [f"payment.{p}" for p in _problems(table)]
    wrong += [p for outlets in served.values() if (p := _currencies(file, outlets))]
    return Terms(
        table.amount_cents,
        served,
        least_cents=table.least_cents,
        prefix=table.prefix,
        reserve_s=table.reserve_s,
        schedule_s=table.retry_s,
        keep_s=table.keep_days * DAY_S,
        hold_s=table.hold_hours * HOUR_S,
    )


def left(file: StationFile) -> Terms:
    """Nobody can pay here (any more); what was begun is brought to its end by the terminals that are still there."""
    return Terms(0, _terminals(file))


def stranded(records: Mapping[str, Any], file: StationFile) -> list[str]:
    """Ids of unfinished payments whose terminal the file has no more: nothing of them can be charged or let go."""
    there, finished = _terminals(file), {s.value for s in FINISHED}
    return [k for k, r in records.items() if r.get("state") not in finished and r.get("terminal") not in there]


def unused(file: StationFile) -> list[str]:
    """Complaints of a file with which a terminal would never wait for a card."""
    if not _terminals(file):
        return []
    missing = [] if file.payment is not None else ["terminal: nobody can pay without [payment] amount_cents"]
    priced = file.tariff is not None or any(e.tariff is not None for e in file.evses)
    return missing if priced else [*missing, "terminal: nobody can pay without a price: add [tariff]"]


def _terminals(file: StationFile) -> dict[EvseId, tuple[EvseId, ...]]:
    """Each terminal and the outlets that it serves: its own, or all that have none."""
    own = {e.number: (e.number,) for e in file.evses if e.terminal is not None}
    shared = tuple(e.number for e in file.evses if e.terminal is None)
    return own | ({STATION: shared} if file.terminal is not None and shared else {})


def _currencies(file: StationFile, outlets: tuple[EvseId, ...]) -> str:
    """What is wrong with the prices at one terminal; "": nothing."""
    tariffs = (e.tariff or file.tariff for e in file.evses if e.number in outlets)
    found = sorted({str(t.get("currency", "EUR")) for t in tariffs if isinstance(t, Mapping)})
    return "" if len(found) < 2 else f"terminal: it charges in one currency, and its outlets sell in {', '.join(found)}"


def _problems(table: PaymentTable) -> list[str]:
    longest = TOKEN_LENGTH - len(reference("", ""))
    wrong = []
    if not 1 <= table.amount_cents <= MOST_CENTS:
        wrong.append(f"amount_cents: must be 1 to {MOST_CENTS}, is {table.amount_cents}")
    if not 1 <= table.least_cents <= max(1, table.amount_cents):
        wrong.append(f"least_cents: must be 1 to amount_cents, is {table.least_cents}")
    if len(table.prefix) > longest or not (table.prefix.isascii() and (table.prefix + "0").isalnum()):
        wrong.append(f"prefix: at most {longest} letters and digits, is {table.prefix!r}")
    if not 0 <= table.reserve_s <= 600:
        wrong.append(f"reserve_s: must be 0 to 600, is {table.reserve_s:g}")
    if not table.retry_s or min(table.retry_s) < 1:
        wrong.append("retry_s: at least one wait, and each at least 1 (second)")
    if not 1 <= table.hold_hours <= 720:
        wrong.append(f"hold_hours: must be 1 to 720, is {table.hold_hours:g}")
    if not 1 <= table.keep_days <= 3660:
        wrong.append(f"keep_days: must be 1 to 3660, is {table.keep_days}")
    return wrong

"""Answers about the journal of bank card payments: list, show, receipt, mark as reviewed, retry, void, write off. A
running agent answers over its status socket, the command ``payments`` answers from the store of a stopped agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.domain.payment import (
    Payment,
    PayState,
    payment_reference,
)
from agent.domain.payment_journal import ARCHIVE
from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.serialization import UnreadableRecord
from agent.domain.settlement_orders import (
    PaymentRetryOrdered,
    PaymentVoidOrdered,
    PaymentWriteOffOrdered,
    SettlementOrdered,
    settlement_order_problem,
    write_off_payment,
)
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store

ASK = "payments"
ORDERS: Mapping[str, type[SettlementOrdered]] = {
    "retry": PaymentRetryOrdered,
    "void": PaymentVoidOrdered,
    "write-off": PaymentWriteOffOrdered,
}
ACTIONS = ("list", "show", "review", "receipt", *ORDERS)
UNREADABLE = "Unreadable"
PAGE = 200
"""Archived payments in one answer: more would keep the agent from its station."""
WHY_MAX = 200
Record = Mapping[str, Any]
Action = Callable[[Any], Awaitable[None]]


async def answer_payments(
    store: Store, question: dict[str, Any], reviewed: Action | None = None, order: Action | None = None
) -> dict[str, Any]:
    """Answer one question about payments.

    ``question``: ``do``, ``names`` (references or ids; None: all), ``store`` (the path of the store that is meant),
    ``after`` (list, show: of which page of the archive; "": those in memory first), ``why`` (of an order).
    ``reviewed(id)`` marks a payment as reviewed, ``order(event)`` gives an order to the domain. Without them the store
    is written here: no agent is running.
    """
    do, names, after = question.get("do"), question.get("names"), question.get("after", "")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in ACTIONS or not (names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names))):
        return {"error": f"do must be one of {', '.join(ACTIONS)}, names a list of texts"}
    try:
        if do == "receipt":
            return {"receipts": [found for n in names or () if (found := await find_receipt(store, n))]}
        if do in ORDERS:
            return await _order_settlement(store, do, names or (), str(question.get("why", ""))[:WHY_MAX], order)
        if do != "review" and after:
            return await _archived_page(store, "" if after == FIRST else str(after), names)
        facts = await store.read_facts()
        records = {k: r for k, r in facts.get("payment", {}).items() if _is_wanted(k, _payment_reference(r), names)}
        aside = {k.partition("/")[2]: r for k, r in facts.get("poisoned", {}).items() if k.startswith("payment/")}
        unread = {k: r for k, r in aside.items() if _is_wanted(k, payment_reference("", k), names)}
        if do == "review":
            return {"done": await _mark_reviewed(store, records, unread, reviewed)}
    except StoreError as e:
        return {"error": str(e)}
    shown = [payment_entry(k, r) for k, r in sorted(records.items(), key=lambda item: _begin_stamp(item[1]))]
    return {"payments": [*shown, *(_unreadable_entry(k, r) for k, r in unread.items())], "next": FIRST}


FIRST = "*"
"""Asks for the first page of the archive."""


async def _archived_page(store: Store, after: str, names: Sequence[str] | None) -> dict[str, Any]:
    damaged: dict[str, str] = {}
    found, last = await store.read_fact_page(ARCHIVE, after, PAGE, damaged)
    entries = []
    for k, r in found.items():
        try:
            if _is_wanted(k, _payment_reference(r), names):
                entries.append(payment_entry(k, r))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            damaged[k] = f"it cannot be interpreted: {e!r}"
    unread = {k: why for k, why in damaged.items() if _is_wanted(k, payment_reference("", k), names)}
    return {"payments": [*entries, *(_unreadable_entry(k, {"why": why}) for k, why in unread.items())], "next": last}


async def find_receipt(store: Store, reference: str) -> tuple[Record, Record | None] | None:
    """Return a receipt by the reference of its payment, and the record of that payment without the mark that identifies
    the card, None if it is not kept any more; None: there is no such receipt. Raises ``StoreError``."""
    receipt = await store.read_fact(RECEIPT, reference)
    if receipt is None:
        return None
    key = str(receipt.get("payment", ""))
    record = await store.read_fact("payment", key) or await store.read_fact(ARCHIVE, key)
    return receipt, None if record is None else payment_entry(key, record)


async def _order_settlement(
    store: Store, do: str, names: Sequence[str], why: str, order: Action | None
) -> dict[str, Any]:
    """Give an order about each of these payments. ``done``: the state after it, ``refused``: why it is not followed, by
    the names that were given."""
    done: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name in names:
        key, p = await _find_payment(store, name)
        if p is None:
            continue
        event = ORDERS[do](key, why)
        problem = settlement_order_problem(p, event)
        if problem:
            refused[name] = problem
        elif order is not None:
            await order(event)
            _, after = await _find_payment(store, name)
            if do != "retry" and after is not None and after.state is p.state:
                refused[name] = "the terminal is being asked about it in this moment; look again"
            elif after is not None:
                done[name] = after.state.value
        elif do == "write-off":
            write_off_payment(p, why)
            await store.commit([Put("payment", key, p.to_record())])
            done[name] = p.state.value
        else:
            refused[name] = "no agent is running: start it, since it has the terminal"
    return {"done": done, "refused": refused}


async def _find_payment(store: Store, name: str) -> tuple[str, Payment | None]:
    """Return a payment of the journal by its reference or id, None if there is none that can be read."""
    for key, record in (await store.read_facts()).get("payment", {}).items():
        if _is_wanted(key, _payment_reference(record), (name,)):
            try:
                return key, Payment.from_record(key, record)
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError):
                return key, None
    return "", None


def _is_wanted(key: str, told_as: str, names: Sequence[str] | None) -> bool:
    return names is None or key in names or told_as in names


async def _mark_reviewed(
    store: Store, records: Mapping[str, Record], unread: Mapping[str, Record], reviewed: Action | None
) -> list[str]:
    """Mark payments as reviewed. Returns the ids and references of those that are newly marked."""
    waiting = [
        ("payment", k, r, _payment_reference(r)) for k, r in records.items() if r.get("state") == PayState.UNCERTAIN
    ]
    waiting += [("poisoned", k, r, payment_reference("", k)) for k, r in unread.items()]
    done = []
    for kind, key, record, told_as in waiting:
        if record.get("reviewed"):
            continue
        if reviewed is None:
            place = key if kind == "payment" else f"payment/{key}"
            await store.commit([Put(kind, place, {**record, "reviewed": True})])
        else:
            await reviewed(key)
        done += [key, told_as]
    return done


def _unreadable_entry(key: str, r: Record) -> dict[str, Any]:
    """Describe a damaged record without its content."""
    nothing = dict.fromkeys(("evse", "held_cents", "cents", "utc_s"))
    words = {"state": UNREADABLE, "why": str(r.get("why", "")), "last4": "", "brand": ""}
    return {"id": key, "reference": payment_reference("", key), **nothing, **words, "reviewed": bool(r.get("reviewed"))}


def payment_entry(key: str, r: Record) -> dict[str, Any]:
    """Describe a payment without the mark that identifies the card."""
    _, last4, brand = r["card"]
    kept = ("state", "evse", "terminal", "session", "reservation", "asked_cents", "held_cents", "cents", "owed_cents")
    return {
        "id": key,
        "reference": _payment_reference(r),
        **{k: r[k] for k in kept},
        "state": r.get("later_state", r["state"]),
        "serial": r.get("serial", ""),
        "currency": (r["tariff"] or {}).get("currency", ""),
        "last4": last4,
        "brand": brand,
        **{k: r[k] for k in ("tries", "asked", "why", "utc_s", "reviewed")},
        "settled_utc_s": r.get("settled_utc_s"),
        "receipt": r.get("receipt", ""),
        "acquirer": r.get("acquirer", {}),
        "tariff": r["tariff"],
        "usage": r["usage"],
    }


def _payment_reference(r: Record) -> str:
    return str(r["token"]["value"])


def _begin_stamp(r: Record) -> tuple[int, float]:
    return int(r["at"]["boot"]), float(r["at"]["t_s"])

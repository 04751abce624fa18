"""Answers about the journal of bank card payments: list, show, mark as reviewed. A running agent answers over its
status socket, the command ``payments`` answers from the store of a stopped agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.domain.payment import PayState, payment_reference
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store

ASK = "payments"
ACTIONS = ("list", "show", "review")
UNREADABLE = "Unreadable"
Record = Mapping[str, Any]
Reviewed = Callable[[str], Awaitable[None]]


async def answer_payments(store: Store, question: dict[str, Any], reviewed: Reviewed | None = None) -> dict[str, Any]:
    """Answer one question about payments.

    ``question``: ``do``, ``names`` (references or ids; None: all), ``store`` (the path of the store that is meant).
    ``reviewed(id)`` marks a payment as reviewed. Without it the store is written here: no agent is running.
    """
    do, names = question.get("do"), question.get("names")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in ACTIONS or not (names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names))):
        return {"error": f"do must be one of {', '.join(ACTIONS)}, names a list of texts"}
    try:
        facts = await store.read_facts()
        records = {k: r for k, r in facts.get("payment", {}).items() if _is_wanted(k, _payment_reference(r), names)}
        aside = {k.partition("/")[2]: r for k, r in facts.get("poisoned", {}).items() if k.startswith("payment/")}
        unread = {k: r for k, r in aside.items() if _is_wanted(k, payment_reference("", k), names)}
        if do == "review":
            return {"done": await _mark_reviewed(store, records, unread, reviewed)}
    except StoreError as e:
        return {"error": str(e)}
    shown = [_payment_entry(k, r) for k, r in sorted(records.items(), key=lambda item: _begin_stamp(item[1]))]
    return {"payments": [*shown, *(_unreadable_entry(k, r) for k, r in unread.items())]}


def _is_wanted(key: str, told_as: str, names: Sequence[str] | None) -> bool:
    return names is None or key in names or told_as in names


async def _mark_reviewed(
    store: Store, records: Mapping[str, Record], unread: Mapping[str, Record], reviewed: Reviewed | None
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


def _payment_entry(key: str, r: Record) -> dict[str, Any]:
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
    }


def _payment_reference(r: Record) -> str:
    return str(r["token"]["value"])


def _begin_stamp(r: Record) -> tuple[int, float]:
    return int(r["at"]["boot"]), float(r["at"]["t_s"])

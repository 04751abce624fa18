"""``chargy-agent payments``: the journal of bank card payments, for the reconciliation and for what nobody is sure of.

A running agent is asked over its status socket; while it is stopped the store itself is opened.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any

from agent.commands.dead_letters import CannotDo, asked
from agent.domain.payment import PayState, reference
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store, StoreRefused
from agent.station_file.payment import stranded
from agent.station_file.settings import StationFile

ASK = "payments"
DEEDS = ("list", "show", "review")
UNREADABLE = "Unreadable"
NOWHERE = " (its terminal is not in the station file)"
Record = Mapping[str, Any]
Reviewed = Callable[[str], Awaitable[None]]


async def answer(store: Store, question: dict[str, Any], reviewed: Reviewed | None = None) -> dict[str, Any]:
    """``question``: ``do``, ``names`` (references or ids; None: all of them), ``store``: the path that is meant.
    ``reviewed(id)`` marks one that a person has looked at; without it the store is written (nobody else does)."""
    do, names = question.get("do"), question.get("names")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in DEEDS or not (names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names))):
        return {"error": f"do must be one of {', '.join(DEEDS)}, names a list of texts"}
    try:
        facts = await store.facts()
        records = {k: r for k, r in facts.get("payment", {}).items() if _named(k, _reference(r), names)}
        aside = {k.partition("/")[2]: r for k, r in facts.get("poisoned", {}).items() if k.startswith("payment/")}
        unread = {k: r for k, r in aside.items() if _named(k, reference("", k), names)}
        if do == "review":
            return {"done": await _review(store, records, unread, reviewed)}
    except StoreError as e:
        return {"error": str(e)}
    shown = [_shown(k, r) for k, r in sorted(records.items(), key=lambda item: _age(item[1]))]
    return {"payments": [*shown, *(_unreadable(k, r) for k, r in unread.items())]}


def _named(key: str, told_as: str, names: Sequence[str] | None) -> bool:
    return names is None or key in names or told_as in names


async def _review(
    store: Store, records: Mapping[str, Record], unread: Mapping[str, Record], reviewed: Reviewed | None
) -> list[str]:
    """Ids and references of those that were looked at now."""
    waiting = [("payment", k, r, _reference(r)) for k, r in records.items() if r.get("state") == PayState.UNCERTAIN]
    waiting += [("poisoned", k, r, reference("", k)) for k, r in unread.items()]
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


def run(file: StationFile, do: str, names: Sequence[str] | None) -> int:
    """The command. Prints; 0 done, 1 nothing of it was there, 2 it cannot be done."""
    try:
        said = asyncio.run(asked(file, ASK, {"do": do, "names": None if names is None else list(names)}, answer))
        if "error" in said:
            raise CannotDo(str(said["error"]))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 2
    readable = {p["id"]: p for p in said.get("payments", ()) if p["state"] != UNREADABLE}
    for line in _lines(do, said, set(stranded(readable, file))):
        print(line)
    known = {n for p in said.get("payments", ()) for n in (p["id"], p["reference"])} | set(said.get("done", ()))
    missing = sorted(set(names or ()) - known)
    for name in missing:
        what = "no uncertain payment that waits to be reviewed" if do == "review" else "no such payment"
        print(f"{name}: {what}", file=sys.stderr)
    return 1 if missing else 0


def _lines(do: str, said: Mapping[str, Any], nowhere: Set[str]) -> Iterator[str]:
    payments = said.get("payments", ())
    if do == "show":
        yield from (json.dumps(p, ensure_ascii=False, indent=2) for p in payments)
    elif do == "review":
        yield from (f"{name}: reviewed" for name in said["done"][1::2])
    elif not payments:
        yield "no payments"
    else:
        yield f"{'reference':<20} {'when (UTC)':<16} {'outlet':>6} {'held':>8} {'charged':>8} {'card':<16} state"
        yield from (_line(p) + (NOWHERE if p["id"] in nowhere else "") for p in payments)


def _line(p: Record) -> str:
    charged = p["cents"] if p["state"] == PayState.COMMITTED else None
    card = f"{p['brand']} …{p['last4']}" if p["last4"] else p["brand"]
    state = ": ".join(x for x in (str(p["state"]), str(p["why"])) if x) + (" (reviewed)" if p["reviewed"] else "")
    amounts = f"{_money(p['held_cents'])} {_money(charged)}"
    return f"{p['reference']:<20} {_when(p['utc_s']):<16} {p['evse'] or '':>6} {amounts} {card:<16} {state}"


def _unreadable(key: str, r: Record) -> dict[str, Any]:
    """Nothing of the damaged record itself."""
    nothing = dict.fromkeys(("evse", "held_cents", "cents", "utc_s"))
    words = {"state": UNREADABLE, "why": str(r.get("why", "")), "last4": "", "brand": ""}
    return {"id": key, "reference": reference("", key), **nothing, **words, "reviewed": bool(r.get("reviewed"))}


def _shown(key: str, r: Record) -> dict[str, Any]:
    """Without what identifies the card to us."""
    _, last4, brand = r["card"]
    kept = ("state", "evse", "terminal", "session", "reservation", "asked_cents", "held_cents", "cents", "owed_cents")
    return {
        "id": key,
        "reference": _reference(r),
        **{k: r[k] for k in kept},
        "serial": r.get("serial", ""),
        "currency": (r["tariff"] or {}).get("currency", ""),
        "last4": last4,
        "brand": brand,
        **{k: r[k] for k in ("tries", "asked", "why", "utc_s", "reviewed")},
    }


def _reference(r: Record) -> str:
    return str(r["token"]["value"])


def _age(r: Record) -> tuple[int, float]:
    return int(r["at"]["boot"]), float(r["at"]["t_s"])


def _money(cents: int | None) -> str:
    return f"{'' if cents is None else f'{cents / 100:.2f}':>8}"


def _when(utc_s: float | None) -> str:
    return "" if utc_s is None else f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%d %H:%M}"

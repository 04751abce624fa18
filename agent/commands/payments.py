"""``chargy-agent payments``: the journal of bank card payments, for reconciliation and for uncertain payments.

A running agent is asked over its status socket. While it is stopped, the store itself is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any

from agent.assembly.payment_queries import ACTIONS, ASK, UNREADABLE, Record, answer_payments
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.domain.payment import PayState
from agent.model.command import Command
from agent.ports.store import StoreError
from agent.services.store.store import StoreRefused
from agent.station_file.payment import stranded_payments
from agent.station_file.settings import StationFile

NOWHERE = " (its terminal is not in the station file)"

ABOUT = """\
The journal of bank card payments: what was held, what was charged, what is uncertain.

  chargy-agent payments list   station.toml              all stored payments, oldest first
  chargy-agent payments show   station.toml PY3K9V0T1A2B  whole records (no card numbers: there are none)
  chargy-agent payments review station.toml PY3K9V0T1A2B  mark an uncertain payment as reviewed: ends its alarm

Nothing here charges or releases anything. Works beside a running agent (as a member of its group) and while it is
stopped (as its user).

Exit code: 0 done, 1 a given payment does not exist, 2 it cannot be done (no store, no permission).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS)
    add_station_argument(parser)
    parser.add_argument("names", nargs="*", metavar="REFERENCE", help="from the list")


def run(options: argparse.Namespace) -> int:
    if options.action == "review" and not options.names:
        print("payments review: name the references from the list", file=sys.stderr)
        return EXIT_CANNOT
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else review_payments(file, options.action, options.names or None)


def review_payments(file: StationFile, do: str, names: Sequence[str] | None) -> int:
    """Do it and print the result. Returns 0: done, 1: a payment is not there, 2: it cannot be done."""
    try:
        said = asyncio.run(
            query_agent_or_store(
                file, ASK, {"do": do, "names": None if names is None else list(names)}, answer_payments
            )
        )
        if "error" in said:
            raise CannotDo(str(said["error"]))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 2
    readable = {p["id"]: p for p in said.get("payments", ()) if p["state"] != UNREADABLE}
    for line in _output_lines(do, said, set(stranded_payments(readable, file))):
        print(line)
    known = {n for p in said.get("payments", ()) for n in (p["id"], p["reference"])} | set(said.get("done", ()))
    missing = sorted(set(names or ()) - known)
    for name in missing:
        what = "no uncertain payment that waits to be reviewed" if do == "review" else "no such payment"
        print(f"{name}: {what}", file=sys.stderr)
    return 1 if missing else 0


def _output_lines(do: str, said: Mapping[str, Any], nowhere: Set[str]) -> Iterator[str]:
    payments = said.get("payments", ())
    if do == "show":
        yield from (json.dumps(p, ensure_ascii=False, indent=2) for p in payments)
    elif do == "review":
        yield from (f"{name}: reviewed" for name in said["done"][1::2])
    elif not payments:
        yield "no payments"
    else:
        yield f"{'reference':<20} {'when (UTC)':<16} {'outlet':>6} {'held':>8} {'charged':>8} {'card':<16} state"
        yield from (_payment_line(p) + (NOWHERE if p["id"] in nowhere else "") for p in payments)


def _payment_line(p: Record) -> str:
    charged = p["cents"] if p["state"] == PayState.COMMITTED else None
    card = f"{p['brand']} …{p['last4']}" if p["last4"] else p["brand"]
    state = ": ".join(x for x in (str(p["state"]), str(p["why"])) if x) + (" (reviewed)" if p["reviewed"] else "")
    amounts = f"{_amount_column(p['held_cents'])} {_amount_column(charged)}"
    return f"{p['reference']:<20} {_time_column(p['utc_s']):<16} {p['evse'] or '':>6} {amounts} {card:<16} {state}"


def _amount_column(cents: int | None) -> str:
    return f"{'' if cents is None else f'{cents / 100:.2f}':>8}"


def _time_column(utc_s: float | None) -> str:
    return "" if utc_s is None else f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%d %H:%M}"


COMMAND = Command("payments", "The journal of bank card payments: list, show, review.", add_arguments, run, ABOUT)

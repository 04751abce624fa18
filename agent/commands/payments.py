"""``chargy-agent payments``: the journal of bank card payments, its export and reconciliation, receipts, and what a
person decides about payments that are not settled.

A running agent is asked over its status socket. While it is stopped, the store itself is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from agent.assembly.payment_queries import ACTIONS, ASK, ORDERS, UNREADABLE, Record, answer_payments
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store, several_questions
from agent.domain.payment import PayState
from agent.model.command import Command
from agent.ports.store import StoreError
from agent.services.store.store import StoreRefused
from agent.station_file.payment import stranded_payments
from agent.station_file.settings import StationFile

NOWHERE = " (its terminal is not in the station file)"
LANGUAGES = ("en", "fr", "de", "lb")

ABOUT = """\
The journal of bank card payments: what was held, what was charged, what is uncertain.

  chargy-agent payments list      station.toml               all stored payments, oldest first
  chargy-agent payments show      station.toml PY3K9V0T1A2B  whole records (no card numbers: there are none)
  chargy-agent payments export    station.toml --from 2026-11-01 --to 2026-11-30 --format csv
  chargy-agent payments reconcile station.toml acquirer.csv --from 2026-11-01 --to 2026-11-30
  chargy-agent payments receipt   station.toml PY3K9V0T1A2B --language fr --pdf receipt.pdf
  chargy-agent payments review    station.toml PY3K9V0T1A2B  mark an uncertain payment as reviewed: ends its alarm
  chargy-agent payments retry     station.toml PY3K9V0T1A2B  ask the terminal again now: same number, same amount
  chargy-agent payments void      station.toml PY3K9V0T1A2B --why "..."  give the bill up, release the hold
  chargy-agent payments write-off station.toml PY3K9V0T1A2B --why "..."  ask the terminal no more

A day is one on the wall of the station: that of the charge, or of the card where nothing was charged. Works beside a
running agent (as a member of its group) and while it is stopped (as its user); only a running agent can retry and void.
No refund can be made here: the terminal has no request for it. Make it at the acquirer.

Exit code: 0 done, nothing differs; 1 a given payment does not exist, an order is not followed, or something differs;
2 it cannot be done (no store, no permission, a file that cannot be read).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=(*ACTIONS, "export", "reconcile"))
    add_station_argument(parser)
    parser.add_argument(
        "names", nargs="*", metavar="REFERENCE", help="from the list; of reconcile: the acquirer's file"
    )
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DAY", help="2026-11-01: first day")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DAY", help="2026-11-30: last day")
    parser.add_argument("--format", choices=("csv", "json"), default="csv", help="of export; json has the totals too")
    parser.add_argument("--totals", action="store_true", help="csv of the totals of each day and terminal")
    parser.add_argument("--columns", default="", metavar="NAME=COLUMN,...", help="names of columns in the file")
    parser.add_argument("--why", default="", help="for the journal: why a bill is given up")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="print the receipt; - is standard output")
    parser.add_argument("--language", choices=LANGUAGES, default=LANGUAGES[0], help="of the receipt")


def run(options: argparse.Namespace) -> int:
    if problem := _argument_problem(options):
        print(f"payments {options.action}: {problem}", file=sys.stderr)
        return EXIT_CANNOT
    file = load_or_report(options.station)
    if file is None:
        return EXIT_CANNOT
    try:
        if options.action == "export":
            return _export_payments(file, options)
        if options.action == "reconcile":
            return _reconcile_payments(file, options)
        if options.action == "receipt":
            return _show_receipt(file, options)
        if options.action in ORDERS:
            return _order_settlement(file, options)
        return review_payments(file, options.action, options.names or None)
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT


def _argument_problem(options: argparse.Namespace) -> str:
    if options.action in ("void", "write-off") and not options.why.strip():
        return 'say why, for the journal: --why "..."'
    if options.action in ("reconcile", "receipt") and len(options.names) != 1:
        return "name the file of the acquirer" if options.action == "reconcile" else "name one reference from the list"
    if (options.action == "review" or options.action in ORDERS) and not options.names:
        return "name the references from the list"
    return ""


def ask_about_payments(file: StationFile, question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the agent, or the store of a stopped one. Raises ``CannotDo``, ``StoreError``, ``StoreRefused``."""
    said = asyncio.run(query_agent_or_store(file, ASK, dict(question), answer_payments))
    if "error" in said:
        raise CannotDo(str(said["error"]))
    return said


def collect_payments(file: StationFile, do: str, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return all entries, page by page. A payment that goes into the archive meanwhile is there once. Raises as
    ``ask_about_payments``."""
    return asyncio.run(_collect_pages(file, do, names))


async def _collect_pages(file: StationFile, do: str, names: Sequence[str] | None) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    question = {"do": do, "names": None if names is None else list(names), "after": ""}
    async with several_questions(file, ASK, answer_payments) as ask:
        while True:
            said = await ask(question)
            if "error" in said:
                raise CannotDo(str(said["error"]))
            found |= {entry["id"]: entry for entry in said["payments"]}
            question["after"] = said.get("next", "")
            if not question["after"]:
                return list(found.values())


def review_payments(file: StationFile, do: str, names: Sequence[str] | None) -> int:
    """Do it and print the result. Returns 0: done, 1: a payment is not there. Raises as ``ask_about_payments``."""
    if do == "review":
        said = ask_about_payments(file, {"do": do, "names": None if names is None else list(names)})
        known = set(said["done"])
        for name in said["done"][1::2]:
            print(f"{name}: reviewed")
    else:
        entries = sorted(collect_payments(file, do, names), key=_place_in_list)
        readable = {p["id"]: p for p in entries if p["state"] != UNREADABLE}
        for line in _output_lines(do, entries, set(stranded_payments(readable, file))):
            print(line)
        known = {n for p in entries for n in (p["id"], p["reference"])}
    what = "no uncertain payment that waits to be reviewed" if do == "review" else "no such payment"
    return _report_missing(names or (), known, what)


def _place_in_list(entry: Record) -> tuple[bool, float]:
    """Return the place in the list: by the time of the card; what cannot be read is last."""
    return entry["state"] == UNREADABLE, entry["utc_s"] or 0.0


def _report_missing(names: Sequence[str], known: Set[str], what: str) -> int:
    missing = sorted(set(names) - known)
    for name in missing:
        print(f"{name}: {what}", file=sys.stderr)
    return 1 if missing else 0


def _output_lines(do: str, payments: Sequence[Record], nowhere: Set[str]) -> Iterator[str]:
    if do == "show":
        yield from (json.dumps(p, ensure_ascii=False, indent=2) for p in payments)
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


# --- orders ----------------------------------------------------------------------------------------------------------


def _order_settlement(file: StationFile, options: argparse.Namespace) -> int:
    said = ask_about_payments(file, {"do": options.action, "names": options.names, "why": options.why.strip()})
    for name, state in said["done"].items():
        print(f"{name}: {state}")
    for name, why in said["refused"].items():
        print(f"{name}: not done: {why}", file=sys.stderr)
    missing = _report_missing(options.names, {*said["done"], *said["refused"]}, "no such payment in the journal")
    return 1 if said["refused"] else missing


# --- export, reconciliation, receipts ---------------------------------------------------------------------------------


def _export_payments(file: StationFile, options: argparse.Namespace) -> int:
    from agent.commands import payment_export

    period = payment_export.Period(options.first, options.last)
    entries = collect_payments(file, "list", options.names or None)
    unreadable: list[str] = []
    exported = payment_export.export_rows(entries, file.station.timezone, unreadable)
    rows = payment_export.rows_of_period(exported, period)
    totals = payment_export.total_rows(rows)
    if options.format == "json":
        payment_export.write_json(rows, totals, sys.stdout)
    elif options.totals:
        payment_export.write_csv(totals, payment_export.TOTAL_COLUMNS, sys.stdout)
    else:
        payment_export.write_csv(rows, payment_export.COLUMNS, sys.stdout)
    if undated := sum(row["day"] == payment_export.UNDATED for row in rows):
        print(f"{undated} payments have no day, since no clock was known: each export has them", file=sys.stderr)
    return _report_unreadable(unreadable, "is not exported")


def _report_unreadable(references: Sequence[str], consequence: str) -> int:
    for reference in references:
        print(f"{reference}: {consequence}: its record cannot be read", file=sys.stderr)
    return 1 if references else 0


def _reconcile_payments(file: StationFile, options: argparse.Namespace) -> int:
    from agent.commands import payment_export, payment_reconciliation

    columns = dict(pair.split("=", 1) for pair in options.columns.split(",") if "=" in pair)
    try:
        bookings = payment_reconciliation.read_bookings(Path(options.names[0]), columns)
    except payment_reconciliation.UnusableFile as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    period = payment_export.Period(options.first, options.last)
    entries = collect_payments(file, "list", None)
    unreadable: list[str] = []
    rows = payment_export.export_rows(entries, file.station.timezone, unreadable)
    read = len(bookings)
    serials = [entry["serial"] for entry in entries if "tariff" in entry]
    bookings = payment_reconciliation.bookings_of_station(serials, bookings)
    expected = [row["reference"] for row in rows if period.holds_day(row["day"])]
    found = payment_reconciliation.find_differences(rows, expected, bookings)
    if options.format == "json":
        shown = [{"kind": d.kind, "reference": d.reference, "says": d.says} for d in found]
        print(json.dumps(shown, ensure_ascii=False, indent=1))
    else:
        for d in found:
            print(f"{d.kind:<12} {d.reference:<24} {d.says}")
    print(f"{len(expected)} payments, {len(bookings)} bookings, {len(found)} differences", file=sys.stderr)
    if read > len(bookings):
        print(f"{read - len(bookings)} bookings of terminals of other stations are left out", file=sys.stderr)
    return max(_report_unreadable(unreadable, "is not compared"), 1 if found else 0)


def _show_receipt(file: StationFile, options: argparse.Namespace) -> int:
    said = ask_about_payments(file, {"do": "receipt", "names": options.names})
    if not said["receipts"]:
        return _report_missing(options.names, set(), "no receipt")
    receipt, payment = said["receipts"][0]
    if options.pdf is None:
        print(json.dumps(receipt, ensure_ascii=False, indent=2))
        return 0
    from agent.ports.driver import missing_module

    if missing := missing_module(("fpdf",), "chargy-agent[print]"):
        raise CannotDo(missing)
    from agent.commands.audit.json_reading import RecordError
    from agent.commands.receipt_pdf import receipt_pdf
    from agent.services.receipts.receipt_document import receipt_document

    try:
        printed = receipt_pdf(receipt_document(receipt, payment, options.language, file.station.timezone))
        if str(options.pdf) == "-":
            sys.stdout.buffer.write(printed)
        else:
            options.pdf.write_bytes(printed)
    except (RecordError, OSError) as e:
        raise CannotDo(str(e)) from None
    return 0


COMMAND = Command(
    "payments",
    "The journal of bank card payments: list, export, reconcile, receipts, review.",
    add_arguments,
    run,
    ABOUT,
)

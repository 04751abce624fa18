"""``payments reconcile``: compare the payments of this station with what its acquirer has booked.

The file is CSV with a head (comma or semicolon) or a JSON list of objects. Columns: ``reference`` (of the acquirer, as
the terminal has passed it on, or the payment's own), ``amount`` (a decimal; below 0: a refund) and, if there are any,
``currency``, ``type`` (``refund`` or ``credit``: money that went back) and ``terminal`` (serial number, of a file about
several stations). Lines with the amount 0 and other columns are ignored, other names are given by ``--columns``.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any

from agent.commands.payment_export import Row, amount_text
from agent.domain.payment import PayState
from agent.model.fastclass import frozen

NAMES = ("reference", "amount", "currency", "type", "terminal")
REFUNDS = frozenset(("refund", "credit"))
FILE_BYTES_MAX = 64 * 1024 * 1024


class UnusableFile(Exception):
    """The file cannot be read. ``str()``: where, and what is wrong."""


@frozen
class Booking:
    """One line of the acquirer's file. ``cents`` is below 0 where money went back."""

    place: str
    reference: str
    cents: int
    currency: str = ""
    terminal: str = ""


@frozen
class Difference:
    """``kind``: a word for programs. ``reference``: of the payment, or of the booking where there is no payment."""

    kind: str
    reference: str
    says: str


# --- the file --------------------------------------------------------------------------------------------------------


def read_bookings(path: Path, columns: Mapping[str, str]) -> list[Booking]:
    """Read the file of an acquirer. ``columns``: how it calls what is called otherwise here. Raises
    ``UnusableFile``."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UnusableFile(f"{path}: has more than {FILE_BYTES_MAX // 2**20} MiB")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise UnusableFile(f"{path}: cannot be read as UTF-8: {e}") from None
    rows = _json_rows(path, text) if text.lstrip()[:1] == "[" else _csv_rows(text)
    named = {name: columns.get(name, name) for name in NAMES}
    bookings = [_booking_of(f"{path}:{place}", row, named) for place, row in rows]
    return [booking for booking in bookings if booking.cents]


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as e:
        raise UnusableFile(f"{path}: is no JSON: {e}") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UnusableFile(f"{path}:{number}: is no object")
        yield str(number), {str(k).strip().lower(): v for k, v in row.items()}


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    lines = text.splitlines()
    head = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if head.count(";") > head.count(",") else ",")
    names = [name.strip().lower() for name in next(reader, [])]
    for cells in reader:
        if any(cells):
            yield str(reader.line_num), dict(zip(names, cells, strict=False))


def _booking_of(place: str, row: Mapping[str, Any], named: Mapping[str, str]) -> Booking:
    found = {name: row.get(column.lower()) for name, column in named.items()}
    for name in ("reference", "amount"):
        if found[name] in (None, ""):
            raise UnusableFile(f"{place}: has no {named[name]!r}; name its columns: --columns reference=...,amount=...")
    cents = _cents_of(place, found["amount"])
    refund = str(found["type"] or "").strip().lower() in REFUNDS
    currency, terminal = (str(found[name] or "").strip() for name in ("currency", "terminal"))
    return Booking(place, str(found["reference"]).strip(), -abs(cents) if refund else cents, currency.upper(), terminal)


def _cents_of(place: str, value: Any) -> int:
    """Return an amount in cents: a decimal with a point or a comma, without separators of thousands."""
    text = str(value).strip().replace("\u00a0", "").removesuffix("€").strip()
    if not re.fullmatch(r"[+-]?\d{1,9}([.,]\d{1,2})?", text):
        raise UnusableFile(f"{place}: {text!r} is no amount with two decimals")
    try:
        return int(Decimal(text.replace(",", ".")) * 100)
    except DecimalException:
        raise UnusableFile(f"{place}: {text!r} is no amount") from None


# --- the comparison --------------------------------------------------------------------------------------------------


def find_differences(rows: Sequence[Row], expected: Iterable[str], bookings: Sequence[Booking]) -> list[Difference]:
    """Return what differs. ``rows``: all payments that are known; ``expected``: references of those that must be in the
    file, because they were charged in its period."""
    by_name = _payments_by_name(rows)
    booked: dict[str, list[Booking]] = defaultdict(list)
    found = []
    for booking in bookings:
        row = _payment_of_booking(booking, by_name, booked)
        if row is None:
            found.append(
                Difference("unknown", booking.reference, f"{booking.place}: {_booked(booking)}, no such payment")
            )
        else:
            booked[row["reference"]].append(booking)
    for row in rows:
        if of_payment := booked.get(row["reference"]):
            found += _compare_payment(row, of_payment)
    by_reference = {row["reference"]: row for row in rows}
    for reference in expected:
        row = by_reference[reference]
        if row["state"] == PayState.COMMITTED and reference not in booked:
            text = f"{amount_text(row['charged_cents'])} {row['currency']} charged here, not in the file"
            found.append(Difference("missing", reference, text))
    return sorted(found, key=lambda d: (d.kind, d.reference))


def bookings_of_station(serials: Iterable[str], bookings: Sequence[Booking]) -> list[Booking]:
    """Return the bookings without those of terminals of other stations. ``serials``: of the terminal of each payment;
    if one is not known (""), all may be of this station."""
    known = {serial.lower() for serial in serials}
    if not known or "" in known:
        return list(bookings)
    return [b for b in bookings if b.terminal.lower() in ("", *known)]


def _booked_cents(row: Row) -> int | None:
    """Return what is to be in the file of a payment, if it is there; None: it is not to be there. What the backend
    settles is charged elsewhere, with the same amount."""
    if row["state"] == PayState.LEFT_TO_CSMS:
        return min(int(row["owed_cents"] or 0), int(row["held_cents"]))
    return int(row["charged_cents"]) if row["state"] == PayState.COMMITTED else None


def _payments_by_name(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the payments by everything that a file may call them."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        hold = f"{row['terminal']}:{row['hold']}" if row["hold"] is not None else ""
        for name in {row["reference"], row["host_reference"], row["receipt"], hold} - {""}:
            by_name[name.lower()].append(row)
    return by_name


def _payment_of_booking(
    booking: Booking, by_name: Mapping[str, list[Row]], booked: Mapping[str, list[Booking]]
) -> Row | None:
    """Return the payment of a booking. A terminal without a serial number may be any that the file names. An acquirer
    may give a reference again after some time: one that was charged with this amount and has no booking yet comes
    first, then one with this amount, then one that was charged."""
    serial = booking.terminal.lower()
    here = [
        r
        for r in by_name.get(booking.reference.lower(), ())
        if "" in (serial, r["serial"]) or serial == r["serial"].lower()
    ]
    charged = [r for r in here if _booked_cents(r) is not None]
    same = [r for r in charged if _booked_cents(r) == abs(booking.cents)]
    free = [r for r in same if booking.cents > 0 and r["reference"] not in booked]
    return next(iter((*free, *same, *charged, *here)), None)


def _compare_payment(row: Row, bookings: Sequence[Booking]) -> Iterator[Difference]:
    reference, charged = row["reference"], _booked_cents(row)
    charges = [b for b in bookings if b.cents > 0]
    net_cents = sum(b.cents for b in bookings)
    wrong = sorted({b.currency for b in bookings} - {"", row["currency"]})
    if wrong:
        yield Difference("currency", reference, f"booked in {', '.join(wrong)}, charged in {row['currency']}")
    if charged is None:
        text = f"{amount_text(net_cents)} booked, and here it is {row['state']}{': ' if row['why'] else ''}{row['why']}"
        yield Difference("not_charged", reference, text)
    elif len(charges) > 1:
        places = ", ".join(b.place for b in charges)
        yield Difference(
            "twice", reference, f"{amount_text(charged)} charged here, booked {len(charges)} times: {places}"
        )
    elif len(bookings) > len(charges):
        back = -sum(b.cents for b in bookings if b.cents < 0)
        yield Difference("refund", reference, f"{amount_text(charged)} charged here, {amount_text(back)} went back")
    elif net_cents != charged:
        yield Difference("amount", reference, f"{amount_text(charged)} charged here, {amount_text(net_cents)} booked")


def _booked(booking: Booking) -> str:
    return f"{amount_text(booking.cents)} {booking.currency}".strip()

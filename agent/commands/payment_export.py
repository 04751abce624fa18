"""``payments export``: every payment of a period with its bill, and the totals of each day and terminal.

The bill is reckoned of the stored usage by the engine of the tariff, as the receipt was: there is one rounding.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TextIO

from agent.domain.payment import PayState
from agent.domain.payment_receipt import bill_words
from agent.domain.serialization import UnreadableRecord
from agent.domain.tariff import Tariff, Usage
from agent.model.fastclass import frozen
from agent.ports.zone import local_time

Entry = Mapping[str, Any]
Row = dict[str, Any]
COLUMNS = (
    "reference", "receipt", "state", "day", "begun", "settled", "outlet", "terminal", "hold", "held", "owed", "charged",
    "currency", "vat_percent", "vat", "net", "energy_wh", "session", "brand", "last4", "host_reference",
    "host_response", "acquirer_data", "why",
)  # fmt: skip
UNDATED = "undated"
"""In the place of the day of a payment whose time is not known: no clock was."""
_RELEASED = (PayState.VOIDED, PayState.DECLINED)
TOTAL_COLUMNS = ("day", "terminal", "currency", "payments", "charged", "vat", "net", "energy_wh", "released", "open")


@frozen
class Period:
    """Days on the wall of the station, both included; None: without a bound."""

    first: date | None = None
    last: date | None = None

    def holds_day(self, day: str) -> bool:
        """Return whether a day belongs to it. What has no day does if there are no bounds."""
        if not day:
            return self.first is None and self.last is None
        return (self.first is None or self.first.isoformat() <= day) and (
            self.last is None or day <= self.last.isoformat()
        )


def export_rows(entries: Iterable[Entry], timezone: str, unreadable: list[str]) -> list[Row]:
    """Return a row for each payment, in the order of their days. Amounts are in cents. The references of damaged
    records, which have none, are added to ``unreadable``."""
    rows = []
    for entry in entries:
        try:
            rows.append(_export_row(entry, timezone))
        except (UnreadableRecord, KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            unreadable.append(entry["reference"])
    return sorted(rows, key=lambda row: (row["settled_utc_s"] or row["begun_utc_s"] or 0.0, row["reference"]))


def rows_of_period(rows: Iterable[Row], period: Period) -> list[Row]:
    """Return the rows of a period, and behind them those of payments without a day: of which period they are is not
    known, so each export has them."""
    rows = list(rows)
    dated = [row for row in rows if row["day"] and period.holds_day(row["day"])]
    return dated + [{**row, "day": UNDATED} for row in rows if not row["day"]]


def _export_row(entry: Entry, timezone: str) -> Row:
    charged = entry["state"] == PayState.COMMITTED
    cents = entry["cents"] if charged else 0
    begun_s, settled_s = entry["utc_s"], entry.get("settled_utc_s")
    when_s = begun_s if settled_s is None else settled_s
    acquirer = entry.get("acquirer", {})
    return {
        "reference": entry["reference"],
        "receipt": entry.get("receipt", ""),
        "state": entry["state"],
        "day": "" if when_s is None else local_time(when_s, timezone).date().isoformat(),
        "begun_utc_s": begun_s,
        "settled_utc_s": settled_s,
        "outlet": entry["evse"],
        "terminal": entry["serial"] or str(entry["terminal"]),
        "serial": entry["serial"],
        "hold": entry["reservation"],
        "held_cents": entry["held_cents"],
        "owed_cents": entry["owed_cents"],
        "charged_cents": cents,
        "currency": entry["currency"],
        **_bill_columns(entry, cents),
        "session": entry["session"],
        "brand": entry["brand"],
        "last4": entry["last4"],
        "host_reference": acquirer.get("reference", ""),
        "host_response": acquirer.get("response", ""),
        "acquirer_data": acquirer.get("data", ""),
        "why": entry["why"],
    }


def _bill_columns(entry: Entry, cents: int) -> Row:
    """Return VAT and energy of a payment. ``vat_cents`` None: no rate is known."""
    nothing = {"vat_percent": "", "vat_cents": None, "net_cents": None, "energy_wh": 0}
    if not entry.get("tariff") or not entry.get("usage"):
        return nothing
    usage = Usage.from_record(entry["usage"])
    words = bill_words(Tariff.from_record(entry["tariff"]), usage, cents)
    return {**{k: words[k] for k in ("vat_percent", "vat_cents", "net_cents")}, "energy_wh": usage.energy_wh}


def total_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the totals of each day, terminal and currency, last those without a day. ``payments``: the charged ones;
    ``open``: those that are neither charged nor released."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row["day"], row["terminal"], row["currency"])
        total = found.setdefault(key, _empty_total(*key))
        if row["state"] == PayState.COMMITTED:
            total["payments"] += 1
            for name in ("charged_cents", "vat_cents", "net_cents", "energy_wh"):
                total[name] += row[name] or 0
        else:
            total["released" if row["state"] in _RELEASED else "open"] += 1
    return [found[key] for key in sorted(found)]


def _empty_total(day: str, terminal: str, currency: str) -> Row:
    names = ("payments", "charged_cents", "vat_cents", "net_cents", "energy_wh", "released", "open")
    return {"day": day, "terminal": terminal, "currency": currency, **dict.fromkeys(names, 0)}


def write_csv(rows: Sequence[Row], columns: Sequence[str], target: TextIO) -> None:
    """Write rows with a head (RFC 4180). Amounts are decimals with a point, times are UTC."""
    writer = csv.DictWriter(target, columns)
    writer.writeheader()
    writer.writerows({name: text for name, text in _written_values(row) if name in columns} for row in rows)


def write_json(rows: Sequence[Row], totals: Sequence[Row], target: TextIO) -> None:
    """Write payments and totals as one object. Amounts are texts with two decimals, times are UTC."""
    shown = {"payments": [dict(_written_values(r)) for r in rows], "totals": [dict(_written_values(t)) for t in totals]}
    json.dump(shown, target, ensure_ascii=False, indent=1)
    target.write("\n")


def _written_values(row: Row) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name.endswith("_cents"):
            yield name.removesuffix("_cents"), amount_text(value)
        elif name.endswith("_utc_s"):
            yield name.removesuffix("_utc_s"), "" if value is None else f"{datetime.fromtimestamp(value, UTC):%FT%TZ}"
        else:
            yield name, "" if value is None else value


def amount_text(cents: int | None) -> str:
    """Return an amount with two decimals, "" for none."""
    if cents is None:
        return ""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"

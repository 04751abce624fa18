"""``[payment.receipts]`` of the station file: who sells, what the numbers begin with, how long what is kept, and the
page of a receipt (docs/payments.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from agent.domain.payment import DAY_S
from agent.domain.payment_receipt import ReceiptTerms
from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Entries, HostName, IpAddress, Text
from agent.station_file.settings import StationFile, build_table

WHERE = "payment.receipts"


@frozen
class ReceiptTable:
    """``port`` 0: this station serves no page of a receipt. ``page_hosts``: names with a dot by which the page is asked
    for, besides addresses."""

    seller: Annotated[str, Text(80, 1)]
    vat_number: Annotated[
        str, Text(20, 1, r"[A-Z]{2}[A-Za-z0-9]+", 'a VAT number with its country such as "LU12345678"')
    ]
    address: Annotated[tuple[Annotated[str, Text(80, 1)], ...], Entries(1, 5)]
    registration: Annotated[str, Text(80)] = ""
    contact: Annotated[str, Text(120)] = ""
    series: Annotated[str, Text(20, form="[A-Za-z0-9-]*", like="letters, digits and -")] = ""
    keep_days: Annotated[int, Between(1, 4000, "days")] = 400
    card_days: Annotated[int, Between(1, 4000, "days")] = 180
    port: Annotated[int, Between(0, 65535)] = 0
    host: Annotated[str, Text(60, 1), IpAddress()] = "127.0.0.1"
    page_hosts: tuple[HostName, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None


def receipt_table(file: StationFile, wrong: list[str]) -> ReceiptTable | None:
    """Return the table; None: there is none. One line per mistake is added to ``wrong``."""
    raw = file.payment.get("receipts") if isinstance(file.payment, Mapping) else None
    if raw is None:
        return None
    table = build_table(ReceiptTable, raw, WHERE, wrong, file.path.parent)
    if (table.tls_cert is None) != (table.tls_key is None):
        given, missing = ("tls_key", "tls_cert") if table.tls_cert is None else ("tls_cert", "tls_key")
        wrong.append(f"{WHERE}.{given}: is of no use without {missing}")
    return table


def receipt_terms(file: StationFile, wrong: list[str]) -> ReceiptTerms | None:
    """Return the terms of the receipts; None: this station issues none."""
    table = receipt_table(file, wrong)
    if table is None:
        return None
    own = re.sub("[^A-Za-z0-9]", "", file.station.number or file.station.id)[:20]
    return ReceiptTerms(
        _seller_words(table),
        table.series or own,
        file.station.number or file.station.id,
        {e.number: e.roaming_id for e in file.evses if e.roaming_id},
        table.card_days * DAY_S,
        table.keep_days * DAY_S,
    )


def _seller_words(table: ReceiptTable) -> dict[str, Any]:
    return {
        "name": table.seller,
        "address": list(table.address),
        "vat_number": table.vat_number,
        "registration": table.registration,
        "contact": table.contact,
    }

"""What has become of a card's money, in the words of NotifySettlement (OCPP 2.1 C21, C22)."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import SettlementReported
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.wire.timestamps import format_rfc3339

INFO_MAX, RECEIPT_ID_MAX, URL_MAX = 500, 50, 2000
COMPANY_NEEDS = ("name", "address1", "city", "country")
"""Fields without which a company is none of AddressType."""


def format_amount(cents: int) -> float:
    """Return hundredths of the currency's unit as a decimal of the wire."""
    return cents / 100


def encode_settlement(message: SettlementReported, ctx: RowContext) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "pspRef": message.reference,
        "status": message.status.value,
        "settlementAmount": format_amount(message.cents),
        "settlementTime": format_rfc3339(ctx.clock.utc_s(message.at)),
    }
    optional = {
        "transactionId": message.transaction,
        "receiptId": message.receipt_id[:RECEIPT_ID_MAX],
        "receiptUrl": message.receipt_url if len(message.receipt_url) <= URL_MAX else "",
        "statusInfo": message.info[:INFO_MAX],
        "vatNumber": message.vat_number,
    }
    company = dict(message.vat_company)
    if message.vat_number and company.keys() >= set(COMPANY_NEEDS):
        payload["vatCompany"] = company
    return payload | {name: text for name, text in optional.items() if text}

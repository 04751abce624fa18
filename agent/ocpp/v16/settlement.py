"""What has become of a card's money, by DataTransfer: 1.6 has no message for it. ``data`` is the payload of
NotifySettlement (OCPP 2.1) as JSON in a text, with the transaction id of 1.6, which is a number. The vendorId is agreed
with the backend (setting ``settlement_vendor_id``); without one nothing is sent."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from agent.domain.messages import SettlementReported
from agent.ocpp.dialects.dialect import NotExpressibleError, RowContext
from agent.ocpp.dialects.settlement import encode_settlement
from agent.ocpp.v16.identifiers import VERSION, transaction_id


def encode_settlement_transfer(
    message: SettlementReported, ctx: RowContext, version: str = VERSION
) -> dict[str, Any] | None:
    vendor = ctx.settings.text_value("settlement_vendor_id")
    if not vendor:
        return None
    data = encode_settlement(message, ctx)
    if data.pop("transactionId", ""):
        with contextlib.suppress(NotExpressibleError):  # its start got none: the reference says which payment it is
            data["transactionId"] = transaction_id(message.transaction, ctx, version)
    return {"vendorId": vendor, "messageId": "NotifySettlement", "data": json.dumps(data, separators=(",", ":"))}

"""Payments of 2.1 (C18-C25): what a token tells of the payment behind it, NotifySettlement, NotifyWebPaymentStarted,
and the variables of PaymentCtrlr that 2.0.1 does not have."""

from __future__ import annotations

from typing import Any

from agent.domain.events import ReceiptReceived
from agent.domain.messages import SettlementReported
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import WebPaymentStartedRequest
from agent.domain.variables import PAYMENT_DETAILS, TERMINAL
from agent.model.types import DirectPayment
from agent.ocpp.dialects.device_model_v2x import Name
from agent.ocpp.dialects.dialect import MessageRow, Payload, RequestRow, ResponseEffects, Row, RowContext
from agent.ocpp.dialects.settlement import URL_MAX, encode_settlement
from agent.ocpp.v21.derivation import derive_message_row
from agent.ocpp.v21.identifiers import replace_id_token
from agent.ocpp.v21.tariffs import hear_driver_tariff
from agent.ocpp.wire.text import is_plain

VARIABLES = (
    Name("PaymentCtrlr", "AuthorizationAmount", "payment_amount", kind="decimal", profile=TERMINAL),
    Name("PaymentCtrlr", "PaymentDetails", "payment_details", choices=",".join(PAYMENT_DETAILS), profile=TERMINAL),
    Name("PaymentCtrlr", "SettlementByCSMS", "csms_settles", profile=TERMINAL),
    Name("PaymentCtrlr", "ReceiptByCSMS", "csms_receipts", profile=TERMINAL),
)
"""There is no IncrementalAuthorizationAmount: no terminal here can raise what it holds (C23)."""


def add_payment_details(payload: dict[str, Any], payment: DirectPayment | None) -> dict[str, Any]:
    """Add to the token what is known of its payment (C18.FR.04, C18.FR.06)."""
    if payment is None or not payment.details or "idToken" not in payload:
        return payload
    details = [{"additionalIdToken": value[:255], "type": name} for name, value in payment.details]
    return {**payload, "idToken": {**payload["idToken"], "additionalInfo": details}}


def _add_authorize_words(order: AuthorizeToken, payload: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    return add_payment_details(replace_id_token(order, payload, ctx), order.payment)


def _decode_settlement_response(message: SettlementReported, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """Decode the answer: the address of a receipt, if the backend makes it (C21.FR.03). Whether a
    driver may be led there is for the domain to judge."""
    url = str(payload.get("receiptUrl", ""))
    if not url or len(url) > URL_MAX or not is_plain(url) or not message.transaction:
        return ResponseEffects()
    return ResponseEffects((ReceiptReceived(ctx.link, message.transaction, url),))


def _decode_web_payment_started(payload: Payload, ctx: RowContext) -> WebPaymentStartedRequest:
    return WebPaymentStartedRequest(int(payload["evseId"]), int(payload["timeout"]))


def _answer_web_payment_started(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer without any parameter, whatever was done (C25.FR.27)."""
    return {}


ROWS: tuple[Row, ...] = (
    derive_message_row(AuthorizeToken, _add_authorize_words, hear_driver_tariff),
    MessageRow(SettlementReported, "NotifySettlement", encode_settlement, _decode_settlement_response),
    RequestRow("NotifyWebPaymentStarted", _decode_web_payment_started, _answer_web_payment_started),
)

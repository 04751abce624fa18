"""Payments of 2.1 (C18-C25): what a token tells of the payment behind it, NotifySettlement, NotifyWebPaymentStarted,
and the variables of PaymentCtrlr that 2.0.1 does not have."""

from __future__ import annotations

from typing import Any

from agent.domain.events import ReceiptReceived
from agent.domain.messages import SettlementReported
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import WebPaymentStartedRequest
from agent.domain.variables import OUTLETS_MOST, PAYMENT_DETAILS, TERMINAL, TERMINAL_RAISES, web_limit_part
from agent.domain.vat_messages import VatNumberGiven, VatNumberJudged
from agent.domain.web_payment import MAX_COST, MAX_ENERGY, MAX_TIME
from agent.model.types import DirectPayment
from agent.ocpp.dialects.device_model_v2x import Name, Of
from agent.ocpp.dialects.dialect import MessageRow, Payload, RequestRow, ResponseEffects, Row, RowContext
from agent.ocpp.dialects.settlement import URL_MAX, encode_settlement
from agent.ocpp.v21.derivation import derive_message_row
from agent.ocpp.v21.identifiers import replace_id_token
from agent.ocpp.v21.tariffs import hear_driver_tariff
from agent.ocpp.wire.text import is_plain

COMPANY = {"name": 50, "address1": 100, "address2": 100, "city": 100, "postalCode": 20, "country": 50}
"""Fields of AddressType, and how long each may be."""
PARAMETERS = (MAX_TIME, MAX_ENERGY, MAX_COST)


def _name_limit_parameters(n: int) -> Name:
    """Return URLParameters of one EVSE, or (0) of the whole station: what drivers may choose there (C25.FR.03)."""
    return Name(
        "WebPaymentsCtrlr",
        "URLParameters",
        of=Of.EVSE if n else Of.STATION,
        value=lambda facts, evse: ",".join(p for p in PARAMETERS if web_limit_part(n, p) in facts.parts),
        kind="MemberList",
        choices=",".join(PARAMETERS),
        constant=True,
        profile=web_limit_part(n),
        only=n,
    )


VARIABLES = (
    *map(_name_limit_parameters, range(OUTLETS_MOST + 1)),
    Name("PaymentCtrlr", "AuthorizationAmount", "payment_amount", kind="decimal", profile=TERMINAL),
    Name(
        "PaymentCtrlr", "IncrementalAuthorizationAmount", "payment_increment", kind="decimal", profile=TERMINAL_RAISES
    ),
    Name(
        "PaymentCtrlr",
        "IncrementalAuthorizationThreshold",
        "payment_increment_threshold",
        kind="decimal",
        profile=TERMINAL_RAISES,
    ),
    Name("PaymentCtrlr", "PaymentDetails", "payment_details", choices=",".join(PAYMENT_DETAILS), profile=TERMINAL),
    Name("PaymentCtrlr", "SettlementByCSMS", "csms_settles", profile=TERMINAL),
    Name("PaymentCtrlr", "ReceiptByCSMS", "csms_receipts", profile=TERMINAL),
)


def add_payment_details(payload: dict[str, Any], payment: DirectPayment | None) -> dict[str, Any]:
    """Add to the token what is known of its payment (C18.FR.04, C18.FR.06)."""
    if payment is None or not payment.details or "idToken" not in payload:
        return payload
    details = [{"additionalIdToken": value[:255], "type": name} for name, value in payment.details]
    return {**payload, "idToken": {**payload["idToken"], "additionalInfo": details}}


def _add_authorize_words(order: AuthorizeToken, payload: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    return add_payment_details(replace_id_token(order, payload, ctx), order.payment)


def _encode_vat_number(message: VatNumberGiven, ctx: RowContext) -> dict[str, Any]:
    """Encode VatNumberValidation (C18.FR.08)."""
    return {"vatNumber": message.number, "evseId": message.evse}


def _decode_vat_verdict(message: VatNumberGiven, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """Decode the verdict on the number that was asked about, whatever number the answer repeats."""
    if payload.get("status") not in ("Accepted", "Rejected"):
        return ResponseEffects()
    given = payload.get("company")
    fields = given if isinstance(given, dict) else {}
    company = tuple(
        (name, text[:longest])
        for name, longest in COMPANY.items()
        if isinstance(text := fields.get(name), str) and text and is_plain(text)
    )
    accepted = payload["status"] == "Accepted"
    return ResponseEffects((VatNumberJudged(ctx.link, message.payment, message.number, accepted, company),))


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
    MessageRow(VatNumberGiven, "VatNumberValidation", _encode_vat_number, _decode_vat_verdict),
    RequestRow("NotifyWebPaymentStarted", _decode_web_payment_started, _answer_web_payment_started),
)

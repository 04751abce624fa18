"""CustomerInformation and the NotifyCustomerInformations that follow (OCPP 2.0.1 N09, N10).
A customer is known here by a token. ``customerIdentifier`` is the value of a token of any type; there is no data
of a certificate, because without ISO 15118 no vehicle shows one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.messages import CustomerReport, Message
from agent.domain.orders import Response
from agent.domain.requests import CustomerInformationRequest
from agent.model.types import Token, Verdict
from agent.ocpp.dialects.common_rows import REJECTED, answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.v201.identifiers import decode_id_token
from agent.ocpp.wire.timestamps import format_rfc3339

DATA_MAX = 512
_REFERENCES = ("idToken", "customerIdentifier", "customerCertificate")


def _decode_customer_information(payload: Payload, ctx: RowContext) -> CustomerInformationRequest | LocalAnswer:
    """Decode the request. It must name one customer (N09.FR.09), and ask for a report or a
    deletion."""
    if sum(name in payload for name in _REFERENCES) != 1:
        return LocalAnswer({"status": "Invalid"})
    if not (payload["report"] or payload["clear"]):
        return REJECTED
    return CustomerInformationRequest(_named_customer(payload), report=payload["report"], clear=payload["clear"])


def _named_customer(payload: Payload) -> Token | None:
    """Return the token of the customer, None for a certificate."""
    if "customerIdentifier" in payload:
        return Token(payload["customerIdentifier"])  # tokens are compared without regard to their type
    return decode_id_token(payload["idToken"]) if "idToken" in payload else None


def _report_customer(reply: Response, payload: Payload, ctx: RowContext) -> list[Message]:
    """Return the parts of the report. It is empty where there is no data or none was
    requested."""
    if reply.status != "Accepted":
        return []
    text = "\n".join(_describe_customer(reply.data))
    parts = [text[i : i + DATA_MAX] for i in range(0, len(text), DATA_MAX)] or [""]
    at = ctx.clock.now().stamp
    return [
        CustomerReport(int(payload["requestId"]), number, number + 1 < len(parts), at, part)
        for number, part in enumerate(parts)
    ]


def _describe_customer(known: Mapping[str, Any]) -> Iterator[str]:
    for what, name in (("cache", "authorization cache"), ("list", "local authorization list")):
        if what in known:
            yield f"{name}: {_describe_token_info(known[what])}"
    for name in known.get("reservations", ()):
        yield f"reservation {name.rpartition('/')[2]}"
    for number in known.get("evses", ()):
        yield f"EVSE {number}: charges, or may"


def _describe_token_info(verdict: Verdict) -> str:
    group = f", group {verdict.group}" if verdict.group else ""
    until = "" if verdict.expires_utc_s is None else f", until {format_rfc3339(verdict.expires_utc_s)}"
    return f"{verdict.status.value}{group}{until}"


def _encode_customer_report(message: CustomerReport, ctx: RowContext) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "seqNo": message.part,
        "tbc": message.more,
        "generatedAt": format_rfc3339(ctx.clock.utc_s(message.at)),
        "data": message.data,
    }


ROWS = (
    RequestRow(
        "CustomerInformation",
        _decode_customer_information,
        answer_one_of("Accepted"),
        follow_up=_report_customer,
    ),
    MessageRow(CustomerReport, "NotifyCustomerInformation", _encode_customer_report, decode_empty_response),
)

"""Notices about web payments by DataTransfer: the published back-port of OCPP 2.1's NotifyWebPaymentStarted to 1.6 and
2.0.1 (OpenChargingCloud, SecureDynamicQRCodes). Data is a JSON text, in 2.0.1 an object as well."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import BackendRequest, WebPaymentFailedRequest, WebPaymentStartedRequest
from agent.model import json_limits
from agent.model.types import MessageContent
from agent.ocpp.dialects.dialect import LocalAnswer
from agent.ocpp.wire.text import parse_message_content

VENDOR = "cloud.charging.open"
_STARTED, _FAILED = "NotifyWebPaymentStarted", "NotifyWebPaymentFailed"


def decode_web_payment(message: str, data: Any) -> BackendRequest | LocalAnswer:
    """Return the request for the domain, or the answer to an invalid one."""
    if message not in (_STARTED, _FAILED):
        return LocalAnswer({"status": "UnknownMessageId"})
    try:
        found = json_limits.read_json(data) if isinstance(data, str) else data
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return LocalAnswer(_reject_request("invalidData"))
    number = found.get("connectorId", found.get("evseId"))
    if type(number) is not int:
        return LocalAnswer(_reject_request("invalidConnectorId"))
    if message == _FAILED:
        return WebPaymentFailedRequest(number, tuple(_decode_error_messages(found.get("errorMessage"))))
    timeout_s = found.get("timeout")
    if type(timeout_s) is not int:
        return LocalAnswer(_reject_request("invalidTimeout"))
    return WebPaymentStartedRequest(number, timeout_s)


def _decode_error_messages(given: Any) -> Iterator[MessageContent]:
    """Decode the messages. What cannot be shown is left out: the EVSE is free again, whatever
    the text."""
    for one in given[:50] if isinstance(given, list) else ():
        with contextlib.suppress(ValueError, KeyError):
            if isinstance(one, dict):
                yield parse_message_content(one)


def _reject_request(reason: str) -> dict[str, Any]:
    return {"status": "Rejected", "data": json.dumps({"reasonCode": reason})}


def answer_web_payment(reply: Response) -> dict[str, Any]:
    return {"status": "Accepted"} if reply.status == "Accepted" else _reject_request(str(reply.data["reason"]))

"""A version of OCPP that another distribution brings: 2.0.1 with one changed row and one more variable, as 2.1 will
be."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import TransactionStarted
from agent.model.fastclass import replace
from agent.ocpp.dialects.device_model_v2x import Name
from agent.ocpp.dialects.dialect import MessageRow, RowContext
from agent.ocpp.v201 import V201

VERSION = "2.0.9"
MARK = {"vendorId": "of the next version"}

_STARTED = V201.message_row(TransactionStarted)
assert isinstance(_STARTED, MessageRow)


def _encode_started(message: TransactionStarted, ctx: RowContext) -> dict[str, Any] | None:
    assert isinstance(_STARTED, MessageRow)
    payload = _STARTED.encode(message, ctx)
    return payload and {**payload, "customData": MARK}


NEXT_VERSION = V201.with_rows(
    replace(_STARTED, encode=_encode_started),
    name=VERSION,
    subprotocol=f"ocpp{VERSION}",
    added_variables=(Name("NextCtrlr", "Colour", value=lambda facts, evse: "green", kind="string"),),
)

"""A version of OCPP that another distribution brings: 2.0.1 with one changed row, as 2.1 will be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agent.domain.messages import TransactionStarted
from agent.model.fastclass import replace
from agent.ocpp import v201
from agent.ocpp.dialects.dialect import Dialect, MessageRow, RowContext

VERSION = "2.0.9"
MARK = {"vendorId": "of the next version"}


def build_dialect(features_off: Collection[str] = ()) -> Dialect:
    before = v201.build_dialect(features_off)
    started = before.message_row(TransactionStarted)
    assert isinstance(started, MessageRow)
    encode = started.encode

    def encode_started(message: TransactionStarted, ctx: RowContext) -> dict[str, Any] | None:
        payload = encode(message, ctx)
        return payload and {**payload, "customData": MARK}

    changed = replace(started, encode=encode_started)
    return before.with_rows(changed, name=VERSION, subprotocol=f"ocpp{VERSION}")

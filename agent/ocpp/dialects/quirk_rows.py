"""What a quirk does to a dialect: a neighbour with other rows, other words, or other rules for
what is received. Each function takes the dialect and the choice, and returns the changed
dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.messages import MeterSampled, SecurityHappened, StatusChanged
from agent.domain.requests import RemoteStartRequest
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import (
    Dialect,
    MessageRow,
    NotExpressible,
    Payload,
    RequestRow,
    RowContext,
    StatusProjection,
)
from agent.ocpp.dialects.wrapping import JsonObject, wrap_received, wrap_sent

# --- what is received -------------------------------------------------------------------------------------------------


def nulls_absent(dialect: Dialect, choice: object) -> Dialect:
    """Read a field with the value null as a missing field."""
    return wrap_received(dialect, lambda action, is_answer, payload: _without_nulls(payload))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def unknown_fields_ignored(dialect: Dialect, choice: object) -> Dialect:
    """Accept requests with unknown fields."""
    return replace(dialect, tolerates_unknown=True)


def start_without_verdict(dialect: Dialect, choice: object) -> Dialect:
    """Read an answer to StartTransaction without idTagInfo as Accepted."""

    def add_id_tag_info(action: str, is_answer: bool, payload: Payload) -> Payload:
        if action != "StartTransaction" or not is_answer or "idTagInfo" in payload:
            return payload
        return {**payload, "idTagInfo": {"status": "Accepted"}}

    return wrap_received(dialect, add_id_tag_info)


def connector_0_is_any(dialect: Dialect, choice: object) -> Dialect:
    """Read connector 0 of a remote start as no connector."""

    def drop_connector_0(action: str, is_answer: bool, payload: Payload) -> Payload:
        if action != "RemoteStartTransaction" or is_answer or payload.get("connectorId") != 0:
            return payload
        return {k: v for k, v in payload.items() if k != "connectorId"}

    return wrap_received(dialect, drop_connector_0)


def remote_start_asks(dialect: Dialect, choice: object) -> Dialect:
    """Fix whether the token of a remote start is authorized first."""
    rows = (dialect.request_row(action) for action in ("RemoteStartTransaction", "RequestStartTransaction"))
    asking = (
        replace(row, decode=_decode_with_asks(row, choice == "always")) for row in rows if isinstance(row, RequestRow)
    )
    return dialect.with_rows(*asking)


def _decode_with_asks(row: RequestRow, asks: bool) -> Callable[[Payload, RowContext], Any]:
    def decode_remote_start(payload: Payload, ctx: RowContext) -> Any:
        ask = row.decode(payload, ctx)
        return replace(ask, asks=asks) if isinstance(ask, RemoteStartRequest) else ask

    return decode_remote_start


# --- what is sent ---------------------------------------------------------------------------------------------------


def id_tag_case(dialect: Dialect, choice: object) -> Dialect:
    """Send tokens in capital or small letters."""
    spelt = str.upper if choice == "upper" else str.lower

    def respell_token(action: str, payload: JsonObject) -> JsonObject:
        if isinstance(payload.get("idTag"), str):
            return {**payload, "idTag": spelt(payload["idTag"])}
        token = payload.get("idToken")
        if isinstance(token, dict) and isinstance(token.get("idToken"), str):
            return {**payload, "idToken": {**token, "idToken": spelt(token["idToken"])}}
        return payload

    return wrap_sent(dialect, respell_token)


def suspended_as_charging(dialect: Dialect, choice: object) -> Dialect:
    """Send SuspendedEV and SuspendedEVSE as Charging."""
    return _reword_status(dialect, {"SuspendedEV": "Charging", "SuspendedEVSE": "Charging"})


def finishing_as_preparing(dialect: Dialect, choice: object) -> Dialect:
    """Send Finishing as Preparing."""
    return _reword_status(dialect, {"Finishing": "Preparing"})


def _reword_status(dialect: Dialect, words: Mapping[str, str]) -> Dialect:
    """Replace the word of a status that is sent, and of the statuses that it is compared with."""
    before = dialect.project_status

    def project_reworded(message: StatusChanged) -> StatusProjection:
        projection = before(message)
        return replace(projection, status=words.get(projection.status, projection.status))

    def replace_status(action: str, payload: JsonObject) -> JsonObject:
        if action != "StatusNotification":
            return payload
        return {**payload, "status": words.get(payload["status"], payload["status"])}

    return replace(wrap_sent(dialect, replace_status), project_status=project_reworded)


def security_events_kept(dialect: Dialect, choice: object) -> Dialect:
    """Send no SecurityEventNotification."""
    return dialect.with_rows(NotExpressible(SecurityHappened, "quirk: this backend has no security extension"))


_FRACTION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")


def whole_seconds(dialect: Dialect, choice: object) -> Dialect:
    """Send times in whole seconds, cut."""
    return wrap_sent(dialect, lambda action, payload: dict(_cut_fractions(payload)))


def _cut_fractions(value: Any) -> Any:
    if isinstance(value, str):
        return _FRACTION.sub(r"\1Z", value)
    if isinstance(value, dict):
        return {k: _cut_fractions(v) for k, v in value.items()}
    return [_cut_fractions(v) for v in value] if isinstance(value, list) else value


def without_transaction_data(dialect: Dialect, choice: object) -> Dialect:
    """Send StopTransaction without transactionData."""

    def drop_transaction_data(action: str, payload: JsonObject) -> JsonObject:
        return {k: v for k, v in payload.items() if action != "StopTransaction" or k != "transactionData"}

    return wrap_sent(dialect, drop_transaction_data)


def samples_alone(dialect: Dialect, choice: object) -> Dialect:
    """Send each sample of a transaction in a message of its own."""
    row = dialect.message_row(MeterSampled)
    return dialect.with_rows(replace(row, merging=None)) if isinstance(row, MessageRow) else dialect


def heartbeat_always(dialect: Dialect, choice: object) -> Dialect:
    """Send heartbeats also while other messages are exchanged."""
    return replace(dialect, heartbeat_always=True)

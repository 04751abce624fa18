"""What may be sent to a backend that sees billing only (``[backend] scope = "billing"``, decision
28): an allow-list of actions, fields, words and measurands. What is not on it stays here; other
links and the sinks get it.

The other way round, a second backend may read, and order only what the station file lists
(``calls``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from typing import Any

from agent.domain.messages import ListConflicted, StatusChanged
from agent.domain.requests import BackendRequest
from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects.dialect import (
    Dialect,
    FixedAnswer,
    LocalAnswer,
    MessageRow,
    NotExpressible,
    NotOffered,
    Payload,
    RequestRow,
    Row,
    RowContext,
    StatusProjection,
)
from agent.ocpp.wire.calls import Code

JsonObject = dict[str, Any]

MEASURANDS = frozenset({"Energy.Active.Import.Register", "Energy.Active.Import.Interval"})
"""The first one is meant by a value without a measurand (1.6 7.32, 2.0.1 3.50)."""
FAULT_VARIABLES = frozenset({"problem", "overload", "tripped", "temperature", "faulted"})
"""Variables of the device model that report faults. Names have no case (2.0.1 part 1, 4)."""
_WHY_NOT = "this backend sees billing only"


@frozen
class AllowedFields:
    """What may be sent of an action. ``fields``: paths that may be sent, with everything below
    them; None: all. ``words``: by path, how the value is replaced, given the value and the
    payload."""

    fields: frozenset[str] | None = None
    replacements: Mapping[str, Callable[[Any, JsonObject], Any]] = field(default_factory=dict)


@frozen
class BackendScope:
    """What a version sends to a backend that sees billing only, and what it lets a second
    backend request.

    ``sent``: what the station sends of its own accord. Other actions are not sent. Responses are
    sent whole, without what reports faults. ``withheld``: requests for what is not for a billing
    backend. ``read_only``: requests that change nothing at the station."""

    sent: Mapping[str, AllowedFields] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()


def only_fields(*fields: str) -> AllowedFields:
    return AllowedFields(frozenset(fields))


def word_or_other(*words: str) -> Callable[[Any, JsonObject], Any]:
    """Return how a reason is replaced: one that is not among the words becomes Other."""
    return lambda value, payload: value if value in words else "Other"


def _allowed_data(data: Any, payload: JsonObject) -> Any:
    """Return the data of a DataTransfer. That of a settlement is the payload of NotifySettlement as JSON."""
    if payload.get("messageId") != "NotifySettlement":
        return data
    return json.dumps(_filter_value(json.loads(data), SETTLEMENT_FIELDS, "", {}), separators=(",", ":"))


ALL_FIELDS = AllowedFields()
SETTLEMENT_FIELDS = only_fields(
    "transactionId", "pspRef", "status", "settlementAmount", "settlementTime", "receiptId", "receiptUrl"
)
"""Of NotifySettlement (OCPP 2.1), also where it travels as DataTransfer. What is known of a driver stays here."""
SENT_IN_EVERY_VERSION: Mapping[str, AllowedFields] = {
    "BootNotification": ALL_FIELDS,
    "Heartbeat": ALL_FIELDS,
    "Authorize": ALL_FIELDS,
    "SignCertificate": ALL_FIELDS,
    "DataTransfer": AllowedFields(frozenset({"vendorId", "messageId", "data"}), {"data": _allowed_data}),
    "MeterValues": only_fields("connectorId", "evseId", "transactionId", "meterValue"),
}


# --- billing only ----------------------------------------------------------------------------------------------------


def billing_only(dialect: Dialect) -> Dialect:
    """Return the dialect restricted to what its scope lists."""
    scope = _scope_of(dialect)
    says = scope.sent
    outs = [r for r in dialect.rows if isinstance(r, MessageRow)]
    muted = frozenset(o.action for r in outs for o in (r, r.other) if o and o.action not in says)
    rows = tuple(_narrow_row(row, scope, muted) for row in dialect.rows)
    return replace(dialect, rows=rows, project_status=_coarse_projection(dialect.project_status))


def _scope_of(dialect: Dialect) -> BackendScope:
    return dialect.scope() or BackendScope()


def _narrow_row(row: Row, scope: BackendScope, muted: frozenset[str]) -> Row:
    if isinstance(row, MessageRow):
        kept = [o for o in (row, row.other) if o and o.action in scope.sent]
        if not kept or row.message is ListConflicted:
            return NotExpressible(row.message, _WHY_NOT)
        return _narrow_message_row(row, scope.sent)
    if isinstance(row, RequestRow | FixedAnswer) and row.action in scope.withheld:
        return NotOffered(row.action, _WHY_NOT)
    return _narrow_request_row(row, muted) if isinstance(row, RequestRow) else row


def _narrow_message_row(row: MessageRow, says: Mapping[str, AllowedFields]) -> MessageRow:
    def encode_allowed(message: Any, ctx: RowContext) -> JsonObject | None:
        leaves = says.get(row.action)
        payload = None if leaves is None else row.encode(message, ctx)
        return None if leaves is None or payload is None else filter_payload(row.action, payload, leaves)

    return replace(row, encode=encode_allowed, other=_narrow_message_row(row.other, says) if row.other else None)


def filter_payload(action: str, payload: JsonObject, leaves: AllowedFields) -> JsonObject | None:
    """Return what of this payload may be sent; None for nothing of it."""
    allowed: JsonObject = _filter_value(payload, leaves, "", payload)
    if "reportData" in allowed:
        kept = [r for r in allowed.pop("reportData") if not _is_faulty(r)]
        allowed |= (
            {"reportData": kept} if kept else {}
        )  # an empty list breaks the schema, but the last part must be sent
    for name in ("meterValue", "transactionData"):
        if name in allowed:
            allowed[name] = _billed_values(allowed[name])
            if not allowed[name]:
                del allowed[name]
    return None if action == "MeterValues" and "meterValue" not in allowed else allowed


def _filter_value(value: Any, leaves: AllowedFields, path: str, payload: JsonObject) -> Any:
    if isinstance(value, list):
        return [_filter_value(v, leaves, path, payload) for v in value]
    if not isinstance(value, dict):
        return leaves.replacements[path](value, payload) if path in leaves.replacements else value
    inner = {k: f"{path}.{k}".lstrip(".") for k in value}
    return {k: _filter_value(v, leaves, inner[k], payload) for k, v in value.items() if _may_leave(inner[k], leaves)}


def _may_leave(path: str, leaves: AllowedFields) -> bool:
    """Return whether the path is on the list, below an entry, or above one."""
    if leaves.fields is None:
        return True
    return any(path == f or path.startswith(f + ".") or f.startswith(path + ".") for f in leaves.fields)


def _billed_values(values: list[JsonObject]) -> list[JsonObject]:
    """Return only what is billed. A moment without such a value is left out."""
    default = "Energy.Active.Import.Register"
    kept = [
        {**v, "sampledValue": [s for s in v["sampledValue"] if s.get("measurand", default) in MEASURANDS]}
        for v in values
    ]
    return [v for v in kept if v["sampledValue"]]


def _coarse_projection(
    project: Callable[[StatusChanged], StatusProjection],
) -> Callable[[StatusChanged], StatusProjection]:
    """Project the status as it is sent, so that a fault that does not change the status is not
    sent twice."""

    def project_coarsely(message: StatusChanged) -> StatusProjection:
        projection = project(message)
        if not projection.error:
            return projection
        return StatusProjection(projection.status, "OtherError" if projection.status == "Faulted" else "NoError")

    return project_coarsely


def _narrow_request_row(row: RequestRow, muted: frozenset[str]) -> RequestRow:
    def decode_allowed(payload: Payload, ctx: RowContext) -> BackendRequest | LocalAnswer:
        if row.action in ("TriggerMessage", "ExtendedTriggerMessage") and payload.get("requestedMessage") in muted:
            return LocalAnswer({"status": "NotImplemented"})
        wanted = _without_fault_queries(payload)
        if "componentCriteria" in wanted and not wanted["componentCriteria"]:
            return LocalAnswer({"status": "EmptyResultSet"})
        return row.decode(wanted, ctx)

    return replace(
        row,
        decode=decode_allowed,
        answer=lambda reply, payload, ctx: _without_faults(row.answer(reply, _without_fault_queries(payload), ctx)),
        follow_up=lambda reply, payload, ctx: row.follow_up(reply, _without_fault_queries(payload), ctx),
    )


def _without_fault_queries(payload: Payload) -> JsonObject:
    """Return a GetReport request without queries for faults: the number of results alone would
    reveal them."""
    wanted = dict(payload)
    if "componentCriteria" in payload:
        wanted["componentCriteria"] = [c for c in payload["componentCriteria"] if c.lower() not in FAULT_VARIABLES]
    if "componentVariable" in payload:
        wanted["componentVariable"] = [v for v in payload["componentVariable"] if not _is_faulty(v)]
    return wanted


def _is_faulty(entry: Payload) -> bool:
    return entry.get("variable", {}).get("name", "").lower() in FAULT_VARIABLES


def _without_faults(answer: JsonObject) -> JsonObject:
    found = answer.get("getVariableResult")
    if not isinstance(found, list):
        return answer
    return {**answer, "getVariableResult": [_reject_reading(r) if _is_faulty(r) else r for r in found]}


def _reject_reading(result: JsonObject) -> JsonObject:
    return {**{k: v for k, v in result.items() if k != "attributeValue"}, "attributeStatus": "Rejected"}


# --- a second backend ------------------------------------------------------------------------------------------------


def restrict_calls(dialect: Dialect, calls: Collection[str]) -> Dialect:
    """Return the dialect for a backend that is not the first: it may read, and order only what
    ``calls`` lists."""
    why = "this backend may only look; list the call in `calls` of its table"
    may = _scope_of(dialect).read_only | set(calls)
    rows = (
        NotOffered(r.action, why, Code.NOT_SUPPORTED)
        if isinstance(r, RequestRow | FixedAnswer) and r.action not in may
        else r
        for r in dialect.rows
    )
    return replace(dialect, rows=tuple(rows))

"""Monitors of variables and their events (OCPP 2.0.1 N02 to N08). Components and variables are returned as they came.
An event carries the value as it was when the monitor was triggered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from agent.domain.messages import Message
from agent.domain.monitoring.monitoring_messages import (
    ClearMonitors,
    ListMonitors,
    MonitorAnswer,
    MonitorReport,
    MonitorWish,
    SetBase,
    SetLevel,
    SetMonitors,
    VariableEvent,
    VariableEvents,
)
from agent.domain.monitoring.monitors import (
    PERIODS,
    THRESHOLDS,
    Monitor,
    MonitoredVariable,
    MonitoringBase,
    MonitorKind,
    Part,
)
from agent.domain.orders import Response
from agent.domain.requests import MonitoringRequest
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.device_model_v2x import BYTES_MAX, ITEMS_MAX
from agent.ocpp.dialects.dialect import MessageRow, Payload, Refused, RequestRow, RowContext, decode_empty_response
from agent.ocpp.v201.device_model import Entry, find_entry, is_component, is_variable, list_entries
from agent.ocpp.v201.reports import CHUNK
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import format_rfc3339

CRITERIA: dict[str, tuple[MonitorKind, ...]] = {
    "ThresholdMonitoring": THRESHOLDS,
    "DeltaMonitoring": (MonitorKind.DELTA,),
    "PeriodicMonitoring": PERIODS,
}
"""MonitoringCriterionEnumType (N02.FR.12 to N02.FR.14)."""


def limit_request_size(payload: Payload, items: Sequence[Any]) -> None:
    """Refuse what is more than MonitoringCtrlr says (N06.FR.06, N06.FR.07)."""
    if len(items) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} at once (ItemsPerMessage)")
    if len(json.dumps(payload)) > BYTES_MAX:
        raise Refused(Code.FORMAT, f"at most {BYTES_MAX} bytes at once (BytesPerMessage)")


def _reply_data(reply: Response) -> Payload:
    """Return what the domain says. Raises ``Refused``: this station has no such block."""
    if reply.status != "Accepted":
        raise Refused(Code.NOT_SUPPORTED, "not offered by this station")
    return reply.data


def monitored_variable(entry: Entry) -> MonitoredVariable | None:
    """Return the domain's name of a variable; None: it cannot be monitored."""
    watched = entry.name.watched_name
    if not watched:
        return None
    return MonitoredVariable(Part(str(entry.name.of)), watched, entry.evse, entry.name.component_instance)


# --- set, clear, base and level --------------------------------------------------------------------------------------


def _decode_set_monitoring(payload: Payload, ctx: RowContext) -> MonitoringRequest:
    items = payload["setMonitoringData"]
    limit_request_size(payload, items)
    return MonitoringRequest(SetMonitors(tuple(_decode_monitor_wish(item, ctx) for item in items)))


def _decode_monitor_wish(item: Payload, ctx: RowContext) -> MonitorWish:
    found = find_entry(item["component"], item["variable"], ctx)
    return MonitorWish(
        None if isinstance(found, str) else monitored_variable(found),
        MonitorKind(item["type"]),
        _decode_monitor_value(item["value"]),
        int(item["severity"]),
        bool(item.get("transaction", False)),
        int(item["id"]) if "id" in item else None,
        found if isinstance(found, str) else "",
    )


def _decode_monitor_value(value: float) -> float:
    """Return the value; infinity for a whole number that is too large for a float, which no monitor takes."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _answer_set_monitors(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    pairs = zip(payload["setMonitoringData"], _reply_data(reply)["answers"], strict=True)
    return {"setMonitoringResult": [_encode_monitoring_result(item, answer) for item, answer in pairs]}


def _encode_monitoring_result(item: Payload, answer: MonitorAnswer) -> dict[str, Any]:
    echoed = {name: item[name] for name in ("type", "severity", "component", "variable")}
    number = {} if answer.id is None else {"id": answer.id}
    reason = {"statusInfo": {"reasonCode": answer.reason}} if answer.reason else {}
    return {"status": answer.status, **number, **echoed, **reason}


def _decode_clear_monitoring(payload: Payload, ctx: RowContext) -> MonitoringRequest:
    limit_request_size(payload, payload["id"])
    return MonitoringRequest(ClearMonitors(tuple(int(number) for number in payload["id"])))


def _answer_clear_monitors(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"clearMonitoringResult": [{"status": a.status, "id": a.id} for a in _reply_data(reply)["answers"]]}


def _decode_monitoring_base(payload: Payload, ctx: RowContext) -> MonitoringRequest:
    return MonitoringRequest(SetBase(MonitoringBase(payload["monitoringBase"])))


def _decode_monitoring_level(payload: Payload, ctx: RowContext) -> MonitoringRequest:
    return MonitoringRequest(SetLevel(int(payload["severity"])))


# --- reports ---------------------------------------------------------------------------------------------------------


def _decode_monitoring_report(payload: Payload, ctx: RowContext) -> MonitoringRequest:
    limit_request_size(payload, payload.get("componentVariable", ()))
    return MonitoringRequest(ListMonitors())


def _answer_monitoring_report(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"status": "EmptyResultSet" if not _select_reported_monitors(reply, payload, ctx) else "Accepted"}


def _select_reported_monitors(reply: Response, payload: Payload, ctx: RowContext) -> list[tuple[Entry, Monitor]]:
    """Return the monitors that meet the criteria, and their variables (N02.FR.05 to N02.FR.21)."""
    wanted, kinds = payload.get("componentVariable"), _wanted_monitor_kinds(payload)
    entries = {monitored_variable(e): e for e in list_entries(ctx)}
    return [
        (entry, monitor)
        for monitor in _reply_data(reply)["monitors"]
        if (entry := entries.get(monitor.variable)) is not None
        and monitor.kind in kinds
        and (wanted is None or any(_is_wanted_variable(entry, w) for w in wanted))
    ]


def _wanted_monitor_kinds(payload: Payload) -> tuple[MonitorKind, ...]:
    criteria = payload.get("monitoringCriteria")
    return tuple(MonitorKind) if not criteria else tuple(kind for c in criteria for kind in CRITERIA[c])


def _is_wanted_variable(entry: Entry, wanted: Payload) -> bool:
    variable = wanted.get("variable")
    return is_component(entry, wanted["component"], loosely=True) and (
        variable is None or is_variable(entry, variable, loosely=True)
    )


def _report_selected_monitors(reply: Response, payload: Payload, ctx: RowContext) -> list[Message]:
    chosen = _select_reported_monitors(reply, payload, ctx)
    at, parts = ctx.clock.now().stamp, [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
    return [
        MonitorReport(
            int(payload["requestId"]), number, number + 1 < len(parts), at, tuple(_encode_monitoring_data(part))
        )
        for number, part in enumerate(parts)
    ]


def _encode_monitoring_data(chosen: Sequence[tuple[Entry, Monitor]]) -> Iterator[dict[str, Any]]:
    """Encode MonitoringDataType: the monitors of one variable together."""
    by_variable = sorted(chosen, key=lambda pair: repr(pair[1].variable))
    for _, group in groupby(by_variable, key=lambda pair: pair[1].variable):
        pairs = list(group)
        entry = pairs[0][0]
        yield {
            "component": entry.component_type,
            "variable": entry.variable_type,
            "variableMonitoring": [_encode_variable_monitoring(monitor) for _, monitor in pairs],
        }


def _encode_variable_monitoring(monitor: Monitor) -> dict[str, Any]:
    return {
        "id": monitor.id,
        "transaction": monitor.transaction,
        "value": monitor.value,
        "type": monitor.kind.value,
        "severity": monitor.severity,
    }


def _encode_monitoring_report(message: MonitorReport, ctx: RowContext) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "seqNo": message.part,
        "tbc": message.more,
        "generatedAt": format_rfc3339(ctx.clock.utc_s(message.at)),
        "monitor": list(message.data),
    }


# --- events ----------------------------------------------------------------------------------------------------------


def _encode_variable_events(message: VariableEvents, ctx: RowContext) -> dict[str, Any] | None:
    """Encode NotifyEvent. None: no event is about a variable that this station has now."""
    wanted = {event.monitor.variable for event in message.events}
    entries = {v: e for e in list_entries(ctx) if (v := monitored_variable(e)) in wanted}
    data = [
        _encode_event_data(event, entry, ctx.clock.utc_s)
        for event in message.events
        if (entry := entries.get(event.monitor.variable)) is not None
    ]
    if not data:
        return None
    now = format_rfc3339(ctx.clock.utc_s(ctx.clock.now().stamp))
    return {"generatedAt": now, "seqNo": 0, "tbc": False, "eventData": data}


def _encode_event_data(event: VariableEvent, entry: Entry, utc_s_of: Callable[..., float]) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "eventId": event.number,
        "timestamp": format_rfc3339(utc_s_of(event.at)),
        "trigger": event.trigger.value,
        "actualValue": event.text,
        "cleared": event.cleared,
        "eventNotificationType": event.origin.value,
        "variableMonitoringId": event.monitor.id,
        "component": entry.component_type,
        "variable": entry.variable_type,
    }
    if event.transaction:
        encoded["transactionId"] = event.transaction
    if event.cause is not None:
        encoded["cause"] = event.cause
    return encoded


ROWS = (
    RequestRow("SetVariableMonitoring", _decode_set_monitoring, _answer_set_monitors),
    RequestRow("ClearVariableMonitoring", _decode_clear_monitoring, _answer_clear_monitors),
    RequestRow(
        "SetMonitoringBase", _decode_monitoring_base, answer_one_of("Accepted"), open_enumerations=("monitoringBase",)
    ),
    RequestRow("SetMonitoringLevel", _decode_monitoring_level, answer_one_of("Accepted")),
    RequestRow(
        "GetMonitoringReport",
        _decode_monitoring_report,
        _answer_monitoring_report,
        follow_up=_report_selected_monitors,
        open_enumerations=("monitoringCriteria",),
    ),
    MessageRow(MonitorReport, "NotifyMonitoringReport", _encode_monitoring_report, decode_empty_response),
    MessageRow(VariableEvents, "NotifyEvent", _encode_variable_events, decode_empty_response),
)

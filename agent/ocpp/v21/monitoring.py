"""Monitors in 2.1 (N02 to N08): two more kinds and streams, which this station does not offer; a report says who has
set a monitor, and an event how severe it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.domain.messages import Message
from agent.domain.monitoring.monitoring_messages import MonitorReport, VariableEvents
from agent.domain.monitoring.monitors import MonitorKind
from agent.domain.orders import Response
from agent.domain.requests import MonitoringRequest
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Row, RowContext
from agent.ocpp.v21.derivation import derive_message_row, neighbour_request_row
from agent.ocpp.v201.monitoring import limit_request_size

SET, REPORT = neighbour_request_row("SetVariableMonitoring"), neighbour_request_row("GetMonitoringReport")
KINDS = frozenset(map(str, MonitorKind))


def _is_offered(item: Payload) -> bool:
    return item["type"] in KINDS and "periodicEventStream" not in item


def _only_offered(payload: Payload) -> Payload:
    return {**payload, "setMonitoringData": [item for item in payload["setMonitoringData"] if _is_offered(item)]}


def _decode_set_monitoring(payload: Payload, ctx: RowContext) -> MonitoringRequest | LocalAnswer:
    items = payload["setMonitoringData"]
    limit_request_size(payload, items)
    if not any(map(_is_offered, items)):
        return LocalAnswer({"setMonitoringResult": [_refuse_monitor(item) for item in items]})
    found = SET.decode(_only_offered(payload), ctx)
    assert isinstance(found, MonitoringRequest)
    return found


def _answer_set_monitoring(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer item by item, in the order of the request."""
    results = iter(SET.answer(reply, _only_offered(payload), ctx)["setMonitoringResult"])
    items = payload["setMonitoringData"]
    return {"setMonitoringResult": [next(results) if _is_offered(i) else _refuse_monitor(i) for i in items]}


def _refuse_monitor(item: Payload) -> dict[str, Any]:
    echoed = {name: item[name] for name in ("type", "severity", "component", "variable")}
    if item["type"] not in KINDS:
        return {"status": "UnsupportedMonitorType", **echoed}
    reason = {"reasonCode": "UnsupportedParam", "additionalInfo": "periodic event streams are not offered"}
    return {"status": "Rejected", **echoed, "statusInfo": reason}


def _report_monitors(reply: Response, payload: Payload, ctx: RowContext) -> Sequence[Message]:
    """Return the report of 2.0.1 with who has set each monitor."""
    origins = {monitor.id: monitor.origin.value for monitor in reply.data.get("monitors", ())}
    return [_with_origins(part, origins) for part in REPORT.follow_up(reply, payload, ctx)]


def _with_origins(part: Any, origins: dict[int, str]) -> Message:
    data = tuple(
        {**entry, "variableMonitoring": [
            {**monitor, "eventNotificationType": origins[monitor["id"]]} for monitor in entry["variableMonitoring"]
        ]}
        for entry in part.data
    )  # fmt: skip
    made: MonitorReport = replace(part, data=data)
    return made


def _add_severities(message: VariableEvents, payload: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    severities = {event.monitor.id: event.monitor.severity for event in message.events}
    events = [{**e, "severity": severities[e["variableMonitoringId"]]} for e in payload["eventData"]]
    return {**payload, "eventData": events}


ROWS: tuple[Row, ...] = (
    replace(SET, decode=_decode_set_monitoring, answer=_answer_set_monitoring),
    replace(REPORT, follow_up=_report_monitors),
    derive_message_row(VariableEvents, _add_severities),
)

"""Monitors of variables and messages for drivers, where 2.1 has more words than 2.0.1."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.monitoring.monitoring_messages import MonitorAnswer, SetMonitors, VariableEvent, VariableEvents
from agent.domain.monitoring.monitors import EventTrigger, MonitorOrigin
from agent.domain.orders import Response
from agent.domain.requests import GetDisplayMessagesRequest, MonitoringRequest, SetDisplayMessageRequest
from agent.model.fastclass import replace
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Refused
from agent.ocpp.v21 import V21
from tests.ocpp import test_rows_display_messages as display
from tests.ocpp.ocpp_stand_ins import desk
from tests.ocpp.test_rows_monitoring import CLOCK, DELTA, T0, UPPER, wanted
from tests.ocpp.test_v21_rows import row, valid

STREAM = {"periodicEventStream": {"interval": 10}}


def set_monitors(*items: dict[str, Any]) -> Any:
    payload = {"setMonitoringData": list(items)}
    valid("SetVariableMonitoringRequest", payload)
    return row("SetVariableMonitoring").decode(payload, desk())


def test_kinds_of_monitors_that_only_2_1_has_are_answered_item_by_item() -> None:
    items = (wanted(kind="TargetDelta"), wanted(), wanted(**STREAM), wanted(kind="Delta"))
    found = set_monitors(*items)
    assert isinstance(found, MonitoringRequest)
    assert isinstance(found.ask, SetMonitors)
    assert [wish.kind for wish in found.ask.wishes] == ["UpperThreshold", "Delta"]
    reply = Response("chargy", "1", "Accepted", {"answers": (MonitorAnswer("Accepted", 7), MonitorAnswer("Rejected"))})
    answer = row("SetVariableMonitoring").answer(reply, {"setMonitoringData": list(items)}, desk())
    valid("SetVariableMonitoringResponse", answer)
    said = [(r["status"], r["type"], r.get("id")) for r in answer["setMonitoringResult"]]
    assert said == [
        ("UnsupportedMonitorType", "TargetDelta", None),
        ("Accepted", "UpperThreshold", 7),
        ("Rejected", "UpperThreshold", None),
        ("Rejected", "Delta", None),
    ]


def test_a_request_of_nothing_that_is_offered_is_answered_here() -> None:
    found = set_monitors(wanted(kind="TargetDeltaRelative"), wanted(**STREAM))
    assert isinstance(found, LocalAnswer)
    valid("SetVariableMonitoringResponse", found.payload)
    assert [r["status"] for r in found.payload["setMonitoringResult"]] == ["UnsupportedMonitorType", "Rejected"]


def test_what_is_not_offered_counts_as_well() -> None:
    with pytest.raises(Refused):
        set_monitors(*[wanted(kind="TargetDelta")] * (ITEMS_MAX + 1))


def test_a_report_says_who_has_set_a_monitor() -> None:
    monitors = (UPPER, replace(DELTA, origin=MonitorOrigin.HARD_WIRED), CLOCK)
    reply = Response("chargy", "1", "Accepted", {"monitors": monitors})
    parts = row("GetMonitoringReport").follow_up(reply, {"requestId": 9}, desk())
    out = V21.message_row(type(parts[0]))
    assert isinstance(out, MessageRow)
    lines = [out.encode(part, desk()) or {} for part in parts]
    for line in lines:
        valid("NotifyMonitoringReportRequest", line)
    found = {m["id"]: m["eventNotificationType"] for x in lines for e in x["monitor"] for m in e["variableMonitoring"]}
    assert found == {1000: "CustomMonitor", 7: "HardWiredMonitor", 10: "CustomMonitor"}


def test_an_event_says_how_severe_it_is() -> None:
    event = VariableEvent(4, T0, UPPER, EventTrigger.ALERTING, "2300.0")
    out = V21.message_row(VariableEvents)
    assert isinstance(out, MessageRow)
    line = out.encode(VariableEvents((event,)), desk()) or {}
    valid("NotifyEventRequest", line)
    assert [e["severity"] for e in line["eventData"]] == [5]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"state": "Discharging"}, "NotSupportedState"),
        ({"state": "Suspended"}, "NotSupportedState"),
        ({"messageExtra": [{"format": "UTF8", "language": "fr", "content": "Bonjour"}]}, "LanguageNotSupported"),
        ({"message": {"format": "QRCODE", "content": "https://a.example"}}, "NotSupportedMessageFormat"),
        ({"message": {"format": "UTF8", "content": "a" * 513}}, "Rejected"),
    ],
)
def test_a_message_that_this_station_cannot_show(change: dict[str, Any], status: str) -> None:
    payload = {"message": {**display.PLAIN, **change}}
    valid("SetDisplayMessageRequest", payload)
    found = row("SetDisplayMessage").decode(payload, display.place())
    assert isinstance(found, LocalAnswer)
    assert found.payload["status"] == status
    valid("SetDisplayMessageResponse", found.payload)
    with pytest.raises(Refused):
        row("SetDisplayMessage").decode(payload, desk())


def test_what_2_0_1_knows_of_messages_for_drivers_is_the_same() -> None:
    found = row("SetDisplayMessage").decode({"message": display.WHOLE}, display.place())
    assert found == SetDisplayMessageRequest(display.DECODED)
    ask = {"requestId": 1, "state": "Idle"}
    assert isinstance(row("GetDisplayMessages").decode(ask, display.place()), GetDisplayMessagesRequest)


def test_no_message_has_a_state_that_only_2_1_knows() -> None:
    payload = {"requestId": 1, "state": "Suspended"}
    valid("GetDisplayMessagesRequest", payload)
    assert row("GetDisplayMessages").decode(payload, display.place()) == LocalAnswer({"status": "Unknown"})

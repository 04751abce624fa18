"""Golden lines of monitoring in 2.0.1 (N02 to N08), judged by jsonschema, and how its events travel: behind everything
that is billed, and never for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.domain.messages import TransactionStarted
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
    EventTrigger,
    Monitor,
    MonitoredVariable,
    MonitoringBase,
    MonitorKind,
    MonitorOrigin,
    Part,
)
from agent.domain.monitoring.watched_values import VALUES
from agent.domain.orders import Response
from agent.domain.requests import MonitoringRequest
from agent.domain.variables import VARIABLES, data_link_part
from agent.model.types import Stamp, Token
from agent.ocpp.dialects.data_links import data_link_names
from agent.ocpp.dialects.device_model_v2x import BYTES_MAX, ITEMS_MAX, NAMES
from agent.ocpp.dialects.dialect import MessageRow, Refused
from agent.ocpp.message_sender import IDLE_KEPT
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.v201.reports import CHUNK
from agent.ocpp.wire.calls import Code
from tests.ocpp.ocpp_stand_ins import Central, Room, build, desk, linked, running, served, until
from tests.ocpp.test_rows_lists import judge, row

MONITORING_ACTIONS = (
    "ClearVariableMonitoring", "GetMonitoringReport", "SetMonitoringBase", "SetMonitoringLevel",
    "SetVariableMonitoring",
)  # fmt: skip
MONITORING_MESSAGES = (MonitorReport, VariableEvents)
T0, WHEN = Stamp(1, 0.0), "2026-11-25T10:00:00.000Z"
POWER = MonitoredVariable(Part.EVSE, "power_w", 1)
OF_POWER = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "Power"}}
OF_STATUS = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "AvailabilityState"}}
UPPER = Monitor(1000, POWER, MonitorKind.UPPER_THRESHOLD, 2000.0, 5, link="chargy")


def asked(action: str, payload: dict[str, Any]) -> Any:
    judge(V201, action + "Request", payload)
    request = row(V201, action).decode(payload, desk())
    assert isinstance(request, MonitoringRequest)
    return request.ask


def answered(action: str, payload: dict[str, Any], status: str = "Accepted", **data: Any) -> dict[str, Any]:
    answer = row(V201, action).answer(Response("chargy", "1", status, data), payload, desk())
    judge(V201, action + "Response", answer)
    return answer


def wanted(named: dict[str, Any] = OF_POWER, kind: str = "UpperThreshold", **more: Any) -> dict[str, Any]:
    return {"value": 2000.0, "type": kind, "severity": 5, **named, **more}


# --- what is heard and answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "wish"),
    [
        (wanted(), MonitorWish(POWER, MonitorKind.UPPER_THRESHOLD, 2000.0, 5)),
        (
            wanted(id=7, transaction=True, severity=0, value=1, type="Delta"),
            MonitorWish(POWER, MonitorKind.DELTA, 1.0, 0, True, 7),
        ),
        (
            wanted({"component": {"name": "evse", "evse": {"id": 2}}, "variable": {"name": "availabilitystate"}}),
            MonitorWish(MonitoredVariable(Part.EVSE, "status", 2), MonitorKind.UPPER_THRESHOLD, 2000.0, 5),
        ),
        (
            wanted({
                "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
                "variable": {"name": "AvailabilityState"},
            }),
            MonitorWish(MonitoredVariable(Part.CONNECTOR, "status", 1), MonitorKind.UPPER_THRESHOLD, 2000.0, 5),
        ),
        (
            wanted({"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "OfflineThreshold"}}, "Periodic"),
            MonitorWish(MonitoredVariable(Part.STATION, "offline_threshold_s"), MonitorKind.PERIODIC, 2000.0, 5),
        ),
        (
            wanted({"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}, "Delta"),
            MonitorWish(MonitoredVariable(Part.STATION, "authorization_key"), MonitorKind.DELTA, 2000.0, 5),
        ),
        (
            wanted({"component": {"name": "ChargingStation"}, "variable": {"name": "Model"}}),
            MonitorWish(None, MonitorKind.UPPER_THRESHOLD, 2000.0, 5),
        ),
        (
            wanted({"component": {"name": "EVSE", "evse": {"id": 99}}, "variable": {"name": "Power"}}),
            MonitorWish(None, MonitorKind.UPPER_THRESHOLD, 2000.0, 5, unknown="UnknownComponent"),
        ),
        (
            wanted({"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "unknownVariable"}}),
            MonitorWish(None, MonitorKind.UPPER_THRESHOLD, 2000.0, 5, unknown="UnknownVariable"),
        ),
    ],
)  # fmt: skip
def test_a_monitor_is_asked_of_the_domain(item: dict[str, Any], wish: MonitorWish) -> None:
    assert asked("SetVariableMonitoring", {"setMonitoringData": [item]}) == SetMonitors((wish,))


def test_the_answers_repeat_what_was_asked_for() -> None:
    """N04.FR.01, N04.FR.02: one for each, with its component and variable as they came."""
    payload = {"setMonitoringData": [wanted(), wanted(OF_STATUS, "Delta", severity=12), wanted(OF_STATUS)]}
    answers = (
        MonitorAnswer("Accepted", 1000), MonitorAnswer("Rejected", reason="ValueOutOfRange"),
        MonitorAnswer("UnsupportedMonitorType"),
    )  # fmt: skip
    assert answered("SetVariableMonitoring", payload, answers=answers) == {
        "setMonitoringResult": [
            {"status": "Accepted", "id": 1000, "type": "UpperThreshold", "severity": 5, **OF_POWER},
            {
                "status": "Rejected", "type": "Delta", "severity": 12, **OF_STATUS,
                "statusInfo": {"reasonCode": "ValueOutOfRange"},
            },
            {"status": "UnsupportedMonitorType", "type": "UpperThreshold", "severity": 5, **OF_STATUS},
        ]
    }  # fmt: skip


@pytest.mark.parametrize("status", ["Accepted", "Rejected", "Duplicate", "UnknownComponent", "UnknownVariable"])
def test_every_word_of_an_answer_is_one_of_the_standard(status: str) -> None:
    answer = MonitorAnswer(status, 1000 if status == "Accepted" else None)
    answered("SetVariableMonitoring", {"setMonitoringData": [wanted()]}, answers=(answer,))


def test_clearing_base_and_level() -> None:
    assert asked("ClearVariableMonitoring", {"id": [7, 1000]}) == ClearMonitors((7, 1000))
    answers = MonitorAnswer("Accepted", 7), MonitorAnswer("NotFound", 1000), MonitorAnswer("Rejected", 1)
    assert answered("ClearVariableMonitoring", {"id": [7, 1000, 1]}, answers=answers) == {
        "clearMonitoringResult": [
            {"status": "Accepted", "id": 7}, {"status": "NotFound", "id": 1000}, {"status": "Rejected", "id": 1},
        ]
    }  # fmt: skip
    assert asked("SetMonitoringBase", {"monitoringBase": "All"}) == SetBase(MonitoringBase.ALL)
    assert answered("SetMonitoringBase", {}) == {"status": "Accepted"}
    assert asked("SetMonitoringLevel", {"severity": -1}) == SetLevel(-1)
    assert answered("SetMonitoringLevel", {}, "Rejected") == {"status": "Rejected"}


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("SetVariableMonitoring", {"setMonitoringData": [wanted()] * (ITEMS_MAX + 1)}, Code.OCCURRENCE),
        (
            "SetVariableMonitoring",
            {"setMonitoringData": [wanted(customData={"vendorId": "x" * BYTES_MAX})]},
            Code.FORMAT,
        ),
        ("ClearVariableMonitoring", {"id": list(range(ITEMS_MAX + 1))}, Code.OCCURRENCE),
        (
            "GetMonitoringReport",
            {"requestId": 1, "componentVariable": [{"component": {"name": "EVSE"}}] * (ITEMS_MAX + 1)},
            Code.OCCURRENCE,
        ),
    ],
)
def test_more_than_the_variables_say_is_refused(action: str, payload: dict[str, Any], code: str) -> None:
    """N06.FR.06, N06.FR.07."""
    with pytest.raises(Refused) as refused:
        row(V201, action).decode(payload, desk())
    assert refused.value.code == code


# --- reports ---------------------------------------------------------------------------------------------------------


def reported(*monitors: Monitor, **payload: Any) -> tuple[str, list[dict[str, Any]]]:
    payload = {"requestId": 9, **payload}
    assert asked("GetMonitoringReport", payload) == ListMonitors()
    status = answered("GetMonitoringReport", payload, monitors=monitors)["status"]
    reply, at = Response("chargy", "1", "Accepted", {"monitors": monitors}), desk()
    parts = list(row(V201, "GetMonitoringReport").follow_up(reply, payload, at))
    out = V201.message_row(MonitorReport)
    assert isinstance(out, MessageRow)
    lines = [out.encode(part, at) or {} for part in parts]
    for n, line in enumerate(lines):
        judge(V201, "NotifyMonitoringReportRequest", line)
        assert (line["requestId"], line["seqNo"], line["tbc"]) == (9, n, n + 1 < len(lines))
        assert len(line["monitor"]) <= CHUNK
    return status, [entry for line in lines for entry in line["monitor"]]


DELTA = Monitor(7, MonitoredVariable(Part.EVSE, "status", 1), MonitorKind.DELTA, 1.0, 8)
OTHER_DELTA = Monitor(8, MonitoredVariable(Part.EVSE, "status", 2), MonitorKind.DELTA, 1.0, 8)
SEVERE = Monitor(9, POWER, MonitorKind.UPPER_THRESHOLD, 3000.0, 2, transaction=True)
CLOCK = Monitor(10, MonitoredVariable(Part.STATION, "power_w"), MonitorKind.PERIODIC_CLOCK_ALIGNED, 900.0, 8)
EVERY = (UPPER, DELTA, OTHER_DELTA, SEVERE, CLOCK)


def ids(found: tuple[str, list[dict[str, Any]]]) -> list[int]:
    return sorted(monitor["id"] for entry in found[1] for monitor in entry["variableMonitoring"])


def test_the_monitors_of_a_variable_are_reported_together() -> None:
    assert reported(UPPER, DELTA, SEVERE) == (
        "Accepted",
        [
            {
                **OF_POWER,
                "variableMonitoring": [
                    {"id": 1000, "transaction": False, "value": 2000.0, "type": "UpperThreshold", "severity": 5},
                    {"id": 9, "transaction": True, "value": 3000.0, "type": "UpperThreshold", "severity": 2},
                ],
            },
            {
                **OF_STATUS,
                "variableMonitoring": [
                    {"id": 7, "transaction": False, "value": 1.0, "type": "Delta", "severity": 8},
                ],
            },
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("criteria", "named", "found"),
    [
        (None, None, [7, 8, 9, 10, 1000]),  # N02.FR.11
        (["ThresholdMonitoring"], None, [9, 1000]),  # N02.FR.12
        (["DeltaMonitoring"], None, [7, 8]),  # N02.FR.13
        (["PeriodicMonitoring"], None, [10]),  # N02.FR.14
        (["DeltaMonitoring", "PeriodicMonitoring"], None, [7, 8, 10]),
        (None, [{"component": {"name": "EVSE"}}], [7, 8, 9, 1000]),  # N02.FR.16, N02.FR.18
        (None, [{"component": {"name": "EVSE", "evse": {"id": 1}}}], [7, 9, 1000]),
        (None, [OF_STATUS], [7]),  # N02.FR.08
        (["ThresholdMonitoring"], [OF_STATUS], []),  # N02.FR.05
        (["DeltaMonitoring"], [OF_STATUS, OF_POWER], [7]),
        (None, [{"component": {"name": "Nonsense"}}], []),
    ],
)
def test_a_report_by_criteria(criteria: Any, named: Any, found: list[int]) -> None:
    more = {**({"monitoringCriteria": criteria} if criteria else {}), **({"componentVariable": named} if named else {})}
    got = reported(*EVERY, **more)
    assert (got[0], ids(got)) == ("Accepted" if found else "EmptyResultSet", found)


def test_a_long_report_comes_in_parts() -> None:
    kinds = [n.setting for n in NAMES if n.setting and not n.profile and n.value is None and not n.constant]
    many = [
        Monitor(1000 + n, MonitoredVariable(Part.STATION, name), MonitorKind.DELTA, 1.0, 8)
        for n, name in enumerate(kinds[: 2 * CHUNK + 1])
    ]
    got = reported(*many)
    assert ids(got) == [m.id for m in many]


# --- events ----------------------------------------------------------------------------------------------------------


def row_payload(*events: VariableEvent) -> dict[str, Any] | None:
    out = V201.message_row(VariableEvents)
    assert isinstance(out, MessageRow)
    payload = out.encode(VariableEvents(events), desk())
    if payload is not None:
        judge(V201, "NotifyEventRequest", payload)
    return payload


def test_an_event_in_full_and_in_short() -> None:
    full = VariableEvent(7, T0, UPPER, EventTrigger.ALERTING, "2000.4", True, "s1", 6)
    factory = Monitor(501, DELTA.variable, MonitorKind.DELTA, 1.0, 6, origin=MonitorOrigin.PRECONFIGURED)
    payload = row_payload(full, VariableEvent(8, T0, factory, EventTrigger.DELTA, "Occupied"))
    assert payload is not None
    assert (payload["seqNo"], payload["tbc"]) == (0, False)
    assert payload["eventData"] == [
        {
            "eventId": 7, "timestamp": WHEN, "trigger": "Alerting", "actualValue": "2000.4", "cleared": True,
            "eventNotificationType": "CustomMonitor", "variableMonitoringId": 1000, **OF_POWER,
            "transactionId": "s1", "cause": 6,
        },
        {
            "eventId": 8, "timestamp": WHEN, "trigger": "Delta", "actualValue": "Occupied", "cleared": False,
            "eventNotificationType": "PreconfiguredMonitor", "variableMonitoringId": 501, **OF_STATUS,
        },
    ]  # fmt: skip


def test_of_a_secret_and_of_what_is_not_here_any_more() -> None:
    key = Monitor(3, MonitoredVariable(Part.STATION, "authorization_key"), MonitorKind.DELTA, 1.0, 5)
    payload = row_payload(VariableEvent(1, T0, key, EventTrigger.DELTA, ""))
    assert payload is not None
    assert payload["eventData"][0]["actualValue"] == ""
    gone = Monitor(3, MonitoredVariable(Part.EVSE, "power_w", 9), MonitorKind.DELTA, 1.0, 5)
    assert row_payload(VariableEvent(1, T0, gone, EventTrigger.DELTA, "1")) is None


def test_every_name_that_can_be_monitored_is_a_value_of_the_domain() -> None:
    links = data_link_names(frozenset({data_link_part("Wireless0"), data_link_part("Wireless0", has_sim=True)}))
    watched = {name.watched_name for name in (*NAMES, *links)} - {""}
    assert watched <= VALUES.keys() | VARIABLES.keys()
    assert VALUES.keys() <= watched
    constant = [n for n in NAMES if n.constant and n.watched_name]
    assert constant == []


# --- how events travel -----------------------------------------------------------------------------------------------


def events_of(n: int) -> VariableEvents:
    return VariableEvents((VariableEvent(n, T0, UPPER, EventTrigger.DELTA, str(n)),))


def numbers(central: Central) -> list[int]:
    return [event["eventId"] for payload in central.of("NotifyEvent") for event in payload["eventData"]]


def put_billed(room: Room, n: int) -> None:
    room.outbox.put(TransactionStarted(f"s{n}", 1, Token("04A1B2C3"), T0, 1000 + n), f"s{n}")
    room.link.queue_changed()


@contextlib.asynccontextmanager
async def linked_201(central: Central, **changes: Any) -> AsyncIterator[Room]:
    async with served(central, (V201.subprotocol,)), running(build(central, dialects=(V201,), **changes)) as room:
        yield room


async def test_what_is_billed_never_waits_for_an_event() -> None:
    """A slow backend and many events: each billed message that is queued goes before all events that wait."""
    async with linked_201(Central()) as room:
        for n in range(20):
            room.link.send(events_of(n))
            put_billed(room, n)
        await until(lambda: len(numbers(room.central)) == 20 and not room.outbox.rows)
        actions = [a for a in room.central.actions() if a in ("NotifyEvent", "TransactionEvent")]
        assert actions == ["TransactionEvent"] * 20 + ["NotifyEvent"] * 20
        assert numbers(room.central) == list(range(20))


async def test_a_backend_that_is_silent_about_events_gets_its_bills() -> None:
    """One event has no answer: it is not repeated, and those behind it rest."""
    central = Central(script={"NotifyEvent": [None]})
    async with linked_201(central) as room:
        for n in range(3):
            room.link.send(events_of(n))
        await until(lambda: numbers(central) == [0])
        for n in range(3):
            put_billed(room, n)
        await until(lambda: not room.outbox.rows)
        assert numbers(central) == [0]


async def test_an_event_that_the_end_of_a_connection_has_caught_is_sent_again() -> None:
    central = Central(script={"NotifyEvent": [None]})
    async with linked_201(central, call_timeout_s=20.0) as room:
        for n in range(2):
            room.link.send(events_of(n))
        await until(lambda: numbers(central) == [0])
        central.script.clear()
        await central.ws.close()
        await until(lambda: numbers(central) == [0, 0, 1])


async def test_an_event_that_ends_the_connection_twice_is_given_up() -> None:
    """A backend that closes the connection on what it does not know would otherwise never stay connected: those
    behind the event rest on the next connection, and what is billed is sent."""
    central = Central(script={"NotifyEvent": [None]})
    async with linked_201(central, call_timeout_s=20.0) as room:
        for n in range(2):
            room.link.send(events_of(n))
        await until(lambda: numbers(central) == [0])
        await central.ws.close()
        await until(lambda: numbers(central) == [0, 0])
        await central.ws.close()
        await until(lambda: len(central.connections) == 3)
        put_billed(room, 0)
        await until(lambda: not room.outbox.rows)
        assert numbers(central) == [0, 0]
        assert list(room.link._sender._idle) == [events_of(1)]


async def test_of_more_events_than_fit_the_oldest_are_given_up() -> None:
    central = Central(script={"NotifyEvent": [None]})
    async with linked_201(central, call_timeout_s=20.0) as room:
        room.link.send(events_of(0))
        await until(lambda: numbers(central) == [0])
        for n in range(1, IDLE_KEPT + 50):
            room.link.send(events_of(n))
        central.script.clear()
        await central.ws.close()
        await until(lambda: len(numbers(central)) == IDLE_KEPT + 1)
        assert numbers(central)[1:] == list(range(50, IDLE_KEPT + 50))


async def test_a_version_without_monitors_keeps_none_of_its_events() -> None:
    async with linked(Central()) as room:
        assert V16.message_row(VariableEvents) is None
        room.link.send(events_of(0))
        await asyncio.sleep(0)
        assert not room.link._sender._idle

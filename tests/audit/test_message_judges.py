"""Faults of the messages themselves and of their times, written by hand: each is found, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.audit.verdicts import AuditVerdict
from agent.scenario.frames import Frame
from tests.support.audit_script import AuditScript, Station16, Station201


def local_time_without_zone() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    payload = s.stop_payload()
    s.station("StopTransaction", {**payload, "timestamp": payload["timestamp"].rstrip("Z")})
    return s


def local_time_in_a_sample() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    payload = s.event_payload("Updated", "MeterValuePeriodic")
    payload["meterValue"][0]["timestamp"] = "2026-11-28T11:00:00"
    s.station("TransactionEvent", payload)
    return s


def heartbeats_missing() -> AuditScript:
    s = Station16()
    s.boot()
    s.wait(900)
    s.status(1, "Preparing")
    return s


def interval_not_obeyed() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "30"})
    s.wait(300)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def heartbeats_too_often() -> AuditScript:
    s = Station16()
    s.boot()
    for _ in range(6):
        s.wait(10)
        s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def heartbeats_missing_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    variable = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    s.backend("SetVariables", {"setVariableData": [{**variable, "attributeValue": "30"}]}, {
        "setVariableResult": [{**variable, "attributeStatus": "Accepted"}],
    })  # fmt: skip
    s.wait(250)
    s.status(1, "Occupied")
    return s


def status_late() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(600)
    s.status(1, "SuspendedEV", offset_s=-500)
    return s


def doubled_message_ids() -> AuditScript:
    s = Station16()
    s.boot()
    s.station("Heartbeat", {}, {"currentTime": s.stamp()}, "same")
    s.station("Authorize", {"idTag": "04A1B2C3"}, {"idTagInfo": {"status": "Accepted"}}, "same")
    return s


def no_answer() -> AuditScript:
    s = Station16()
    s.boot()
    s.unanswered("UnlockConnector", {"connectorId": 1}, "backend")
    s.wait(60)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def answered(action: str, payload: dict[str, Any], answer: dict[str, Any]) -> Callable[[], AuditScript]:
    def build_station() -> AuditScript:
        s = Station16()
        s.boot()
        s.backend(action, payload, answer)
        return s

    build_station.__name__ = f"{action} answered with {answer or 'nothing'}"
    return build_station


def answered_with_error(action: str, code: str) -> Callable[[], AuditScript]:
    def build_station() -> AuditScript:
        s = Station16()
        s.boot()
        s.error(s.unanswered(action, {}, "backend"), code)
        return s

    build_station.__name__ = f"{action} answered with {code}"
    return build_station


def answer_to_nothing() -> AuditScript:
    s = Station16()
    s.boot()
    request = s.backend("Reset", {"type": "Soft"})
    again = s.answer(request, {"status": "Accepted"})
    s.frames[-1] = Frame(
        again.seq, again.at_s, again.utc_s, True, "1.6", again.text, again.kind, again.message_id, "", again.payload
    )
    return s


def status_word_wrong() -> AuditScript:
    s = Station16()
    s.boot()
    s.status(1, "Occupied")
    return s


def status_word_wrong_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.status(1, "Charging")
    return s


def word_in(action: str, payload: dict[str, Any]) -> Callable[[], AuditScript]:
    def build_station() -> AuditScript:
        s = Station16()
        s.boot()
        s.station(action, payload)
        return s

    build_station.__name__ = f"{action} with {payload}"
    return build_station


def no_frame_of_ocpp() -> AuditScript:
    s = Station16()
    s.boot()
    s.garbage("hello")
    return s


def refused_by_the_backend() -> AuditScript:
    s = Station16()
    s.boot()
    request = s.unanswered("StatusNotification", {"connectorId": "one", "status": "Available"})
    s.error(request, "FormationViolation", "connectorId is no number")
    return s


FAULTS: tuple[tuple[str, Callable[[], AuditScript], str, str], ...] = (
    ("times_in_utc", local_time_without_zone, "StopTransaction: the time", "in UTC"),
    ("times_in_utc", local_time_in_a_sample, "TransactionEvent: the time '2026-11-28T11:00:00'", "in UTC"),
    ("heartbeat_interval", heartbeats_missing, "was silent for 900 s, a heartbeat was due after 300 s",
     "Set HeartbeatInterval"),
    ("heartbeat_interval", interval_not_obeyed, "was silent for 300 s, a heartbeat was due after 30 s",
     "Set HeartbeatInterval"),
    ("heartbeat_interval", heartbeats_too_often, "a heartbeat came each 10 s, each 300 s was agreed",
     "Set HeartbeatInterval"),
    ("heartbeat_interval", heartbeats_missing_in_201, "was silent for 250 s", "OCPPCommCtrlr.HeartbeatInterval"),
    ("status_in_time", status_late, "MeterValues of a later time came before it", "MinimumStatusDuration"),
    ("message_ids_unique", doubled_message_ids, "Heartbeat and Authorize have the same message id 'same'",
     "id of its own"),
    ("requests_answered", no_answer, "UnlockConnector was not answered within 30 s", "answer each request."),
    ("answers_fit", answered("Reset", {"type": "Soft"}, {"status": "OK"}), "was answered with the status 'OK'",
     "by the schema"),
    ("answers_fit", answered("Reset", {"type": "Soft"}, {}), "was answered with the status None", "by the schema"),
    ("answers_fit", answered("Reset", {"type": "Soft"}, {"status": ["Accepted"]}), "the status ['Accepted']",
     "by the schema"),
    ("answers_fit", answered("GetConfiguration", {}, {"status": "Accepted"}), "without a list of keys",
     "by the schema"),
    ("answers_fit", answered("GetVariables", {"getVariableData": []}, {}), "without getVariableResult",
     "by the schema"),
    ("answers_fit", answered_with_error("Reset", "NotImplemented"), "Reset was answered with the error NotImplemented",
     "by the schema"),
    ("answers_fit", answered_with_error("UpdateFirmware", "InternalError"), "the error InternalError",
     "by the schema"),
    ("answers_fit", answer_to_nothing, "which no open request has", "by the schema"),
    ("status_words", status_word_wrong, "outlet 1: 'Occupied' is no status of OCPP 1.6", "Correct the word"),
    ("status_words", status_word_wrong_in_201, "'Charging' is no status of OCPP 2.0.1", "Correct the word"),
    ("words_known", word_in("FirmwareStatusNotification", {"status": "Done"}), "status is 'Done'", "words of OCPP"),
    ("words_known", word_in("StopTransaction", {"reason": "Unplugged"}), "reason is 'Unplugged'", "words of OCPP"),
    ("status_words", word_in("StatusNotification", {"connectorId": 1, "status": "available", "errorCode": "NoError"}),
     "'available' is no status", "Correct the word"),
    ("words_known", word_in("StatusNotification", {"connectorId": 1, "status": "Faulted", "errorCode": "noError"}),
     "errorCode is 'noError'", "with their capitals"),
    ("words_known", word_in("StatusNotification", {"connectorId": 1, "status": "Faulted", "errorCode": "Oops"}),
     "errorCode is 'Oops'", "vendorErrorCode"),
    ("messages_understood", no_frame_of_ocpp, "1 texts that are no messages of OCPP", "the schema of OCPP"),
    ("messages_understood", refused_by_the_backend,
     "StatusNotification was refused with FormationViolation: connectorId is no number", "the schema of OCPP"),
)  # fmt: skip


@pytest.mark.parametrize(("judge", "station", "says", "advice"), FAULTS, ids=[f[1].__name__ for f in FAULTS])
def test_a_fault_is_found(judge: str, station: Callable[[], AuditScript], says: str, advice: str) -> None:
    result = station().judge(judge)
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert advice in result.advice
    assert result.advice_to == ("client" if judge == "heartbeat_interval" else "subcontractor")
    assert result.evidence, "the frames that show it"


def test_silence_without_a_connection_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.wait(5000)
    s.reconnect()
    s.status(1, "Available")
    assert s.judge("heartbeat_interval").verdict is not AuditVerdict.FAIL


def test_ids_that_begin_again_on_a_new_connection_are_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.station("Heartbeat", {}, {"currentTime": s.stamp()}, "1")
    s.reconnect()
    s.station("Authorize", {"idTag": "04A1B2C3"}, {"idTagInfo": {"status": "Accepted"}}, "1")
    assert s.judge("message_ids_unique").verdict is AuditVerdict.PASS


def test_a_restart_before_the_answer_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.unanswered("Reset", {"type": "Hard"}, "backend")
    s.reconnect()
    s.wait(60)
    s.boot()
    assert s.judge("requests_answered").verdict is AuditVerdict.PASS


def test_an_error_of_the_backend_itself_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.error(s.unanswered("DataTransfer", {"vendorId": "x"}), "InternalError")
    assert s.judge("messages_understood").verdict is AuditVerdict.PASS


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+01:00", "+0100"])
def test_each_way_to_name_a_zone_is_right(zone: str) -> None:
    s = Station16()
    s.station("StatusNotification", {
        "connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": f"2026-11-28T10:00:00{zone}",
    })  # fmt: skip
    assert s.judge("times_in_utc").verdict is AuditVerdict.PASS


def test_a_fast_simulation_has_no_other_measure() -> None:
    s = Station16(speed=20)
    s.boot()
    s.session()
    s.wait(200)
    s.session()
    for name in ("heartbeat_interval", "status_in_time", "transaction_times"):
        assert s.judge(name).verdict is not AuditVerdict.FAIL, name

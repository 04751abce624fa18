"""Stations that do everything right are blamed for nothing, whatever they measure, have or lack."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.audit.judge_table import known_judges
from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import AuditScript, Station16, Station201

GOOD = (AuditVerdict.PASS, AuditVerdict.NOT_APPLICABLE, AuditVerdict.PARTIAL)
OURS = (
    "meter_values_sent", "measurands_sent", "register_rises", "register_unit", "register_rate", "phase_order",
    "phase_voltages", "every_start_has_stop", "stop_sent_once", "start_sent_once", "start_before_stop",
    "message_numbers", "stop_reasons", "energy_without_transaction", "transaction_times", "times_in_utc",
    "heartbeat_interval", "status_in_time", "message_ids_unique", "requests_answered", "answers_fit", "words_known",
    "messages_understood", "status_words", "remote_start_begins", "remote_stop_ends", "unlock_ends_transaction",
    "reset_restarts", "trigger_sends_message", "availability_shown", "settings_written", "settings_survive_reset",
    "profile_lowers_power", "billing_messages_only", "signed_records_verify", "captured_as_shown", "captured_once",
    "payment_token",
)  # fmt: skip


def two_sessions() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.session(reason="EVDisconnected")
    return s


def two_sessions_of_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.session()
    s.session(reason="EVDisconnected")
    return s


def single_phase() -> AuditScript:
    """A station on one phase says so by zeros, or by leaving the others out."""
    s = Station16()
    s.boot()
    s.start()
    for _ in range(5):
        s.wait(60)
        s.wh += 61
        s.sample(
            1,
            {"value": "15.9", "measurand": "Current.Import", "phase": "L1", "unit": "A"},
            {"value": "231", "measurand": "Voltage", "phase": "L1-N", "unit": "V"},
            {"value": "0", "measurand": "Voltage", "phase": "L2-N", "unit": "V"},
            {"value": "3.67", "measurand": "Power.Active.Import", "phase": "L1", "unit": "kW"},
        )
    s.stop()
    return s


def three_phases_while_the_current_changes() -> AuditScript:
    """Power and current of a sample are read one after the other."""
    s = Station16()
    s.boot()
    s.start()
    for n in range(6):
        s.wait(60)
        s.wh += 180
        late = 2300 if n == 0 else 0
        s.sample(
            1,
            *({"value": f"{16 - i}", "measurand": "Current.Import", "phase": p} for i, p in enumerate(("L1", "L2"))),
            *({"value": "230", "measurand": "Voltage", "phase": f"{p}-N"} for p in ("L1", "L2")),
            *({"value": f"{230 * (16 - i) - late}", "measurand": "Power.Active.Import", "phase": p}
              for i, p in enumerate(("L1", "L2"))),
        )  # fmt: skip
    s.stop()
    return s


def direct_current() -> AuditScript:
    """150 kW, with voltage, current and state of charge of the whole, an error that is coarse, and a bank card."""
    s = Station16()
    s.boot()
    s.start(token="PY3K9V0T1A2B")
    for n in range(10):
        s.wait(60)
        s.wh += 2400
        s.sample(
            1,
            {"value": "398", "measurand": "Voltage", "unit": "V"},
            {"value": "361", "measurand": "Current.Import", "unit": "A"},
            {"value": str(40 + n), "measurand": "SoC", "unit": "Percent", "location": "EV"},
        )
    s.stop(reason="EVDisconnected")
    s.status(1, "Faulted", "OtherError")
    return s


def offline_and_again() -> AuditScript:
    """The link is lost with an answer on its way: the same message again is right. A status comes after the queue."""
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.status(1, "SuspendedEV")
    payload = s.stop_payload()
    s.unanswered("StopTransaction", payload)
    s.wait(400)
    s.reconnect()
    s.station("StopTransaction", payload)
    s.status(1, "Finishing", offset_s=-390)
    s.status(1, "Available")
    return s


def answer_lost_after_it_was_sent() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    payload = s.stop_payload()
    s.station("StopTransaction", payload)
    s.reconnect()
    s.station("StopTransaction", payload)
    s.status(1, "Available")
    return s


def everything_that_a_backend_orders() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "60"})
    s.backend("GetConfiguration", {"key": ["MeterValueSampleInterval", "Nothing"]}, {
        "configurationKey": [{"key": "MeterValueSampleInterval", "readonly": False, "value": "60"}],
        "unknownKey": ["Nothing"],
    })  # fmt: skip
    s.status(1, "Preparing")
    s.backend("RemoteStartTransaction", {"connectorId": 1, "idTag": "APP-1"})
    number = s.start(token="APP-1")
    s.charge(300)
    profile = {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind":
        "Relative", "transactionId": number,
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}]},
    }  # fmt: skip
    s.backend("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    s.charge(600, power_w=6900)
    s.backend("RemoteStopTransaction", {"transactionId": number})
    s.stop(reason="Remote")
    s.session(300)  # at full power: the profile was for the transaction before
    s.backend("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    s.status(1, "Unavailable")
    s.backend("ChangeAvailability", {"connectorId": 1, "type": "Operative"})
    s.status(1, "Available")
    s.backend("TriggerMessage", {"requestedMessage": "Heartbeat"})
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    s.backend("TriggerMessage", {"requestedMessage": "Nothing"}, {"status": "NotImplemented"})
    s.backend("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"})
    s.error(s.unanswered("GetDiagnostics", {"location": "ftp://x"}, "backend"), "NotSupported")
    s.backend("Reset", {"type": "Hard"})
    s.reconnect()
    s.wait(40)
    s.boot()
    s.backend("GetConfiguration", {"key": ["MeterValueSampleInterval"]}, {
        "configurationKey": [{"key": "MeterValueSampleInterval", "readonly": False, "value": "60"}],
    })  # fmt: skip
    s.session()
    return s


def heartbeats_in_their_interval() -> AuditScript:
    s = Station16()
    s.boot()
    for _ in range(6):
        s.wait(299)
        s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    s.backend("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "30"})
    for _ in range(6):
        s.wait(30)
        s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def kilowatt_hours() -> AuditScript:
    """A register in kWh that says so; a vehicle that hesitates; no reading at all in a short session."""
    s = Station16()
    s.wh = 0
    s.boot()
    s.start()
    for power in (0, 0, 20, 40, 200):
        s.wait(60)
        s.wh += power
        sample = {"timestamp": s.stamp(), "sampledValue": [{"value": f"{s.wh / 1000:.3f}", "unit": "kWh"}]}
        s.station("MeterValues", {"connectorId": 1, "transactionId": s.number, "meterValue": [sample]})
    s.stop()
    s.start()
    s.wait(20)
    s.stop()
    return s


def nothing_at_all() -> AuditScript:
    return AuditScript()


STATIONS: tuple[Callable[[], AuditScript], ...] = (
    two_sessions, two_sessions_of_201, single_phase, three_phases_while_the_current_changes, direct_current,
    offline_and_again, answer_lost_after_it_was_sent, everything_that_a_backend_orders, heartbeats_in_their_interval,
    kilowatt_hours, nothing_at_all,
)  # fmt: skip
FOR_DIRECT_CURRENT = {"billing_messages_only"}


def test_each_judge_is_tried() -> None:
    assert set(OURS) <= set(known_judges())


@pytest.mark.parametrize("station", STATIONS, ids=[s.__name__ for s in STATIONS])
def test_no_judge_blames_a_good_station(station: Callable[[], AuditScript]) -> None:
    script = station()
    results = {name: script.judge(name) for name in OURS if name not in FOR_DIRECT_CURRENT}
    assert {name: r.says for name, r in results.items() if r.verdict not in GOOD} == {}


def test_some_judges_pass_where_others_do_not_apply() -> None:
    script = everything_that_a_backend_orders()
    applied = [name for name in OURS if script.judge(name).verdict is AuditVerdict.PASS]
    assert len(applied) > 20, applied


def test_a_station_that_only_bills_is_not_blamed() -> None:
    script = Station16()
    script.boot()
    script.session()
    assert script.judge("billing_messages_only").verdict is AuditVerdict.PASS

"""Orders of the backend that a station accepts and does not carry out, written by hand: each is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import AuditScript, Station16, Station201


def remote_start_ignored() -> AuditScript:
    s = Station16()
    s.boot()
    s.status(1, "Preparing")
    s.backend("RemoteStartTransaction", {"connectorId": 1, "idTag": "APP-1"})
    s.wait(120)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def remote_start_ignored_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.status(1, "Occupied")
    token = {"idToken": "APP-1", "type": "Central"}
    s.backend("RequestStartTransaction", {"evseId": 1, "remoteStartId": 1, "idToken": token})
    s.wait(120)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def remote_stop_ignored() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("RemoteStopTransaction", {"transactionId": s.start()})
    s.charge(300)
    return s


def unlock_not_done() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.backend("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"})
    s.charge(300)
    return s


def reset_without_boot() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("Reset", {"type": "Soft"})
    s.wait(400)
    s.status(1, "Preparing")
    return s


def trigger_without_message() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
    s.wait(120)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def availability_not_shown() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    s.wait(120)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    return s


def read_key(s: AuditScript, key: str, value: str) -> None:
    entry = {"key": key, "readonly": False, "value": value}
    s.backend("GetConfiguration", {"key": [key]}, {"configurationKey": [entry]})


def key_not_written() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "77"})
    read_key(s, "ConnectionTimeOut", "120")
    return s


def variable_not_written() -> AuditScript:
    s = Station201()
    s.boot()
    variable = {"component": {"name": "TxCtrlr"}, "variable": {"name": "EVConnectionTimeOut"}}
    s.backend("SetVariables", {"setVariableData": [{**variable, "attributeValue": "77"}]}, {
        "setVariableResult": [{**variable, "attributeStatus": "Accepted"}],
    })  # fmt: skip
    s.backend("GetVariables", {"getVariableData": [variable]}, {
        "getVariableResult": [{**variable, "attributeStatus": "Accepted", "attributeValue": "120"}],
    })  # fmt: skip
    return s


def value_lost_after_reset() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "77"})
    read_key(s, "ConnectionTimeOut", "77")
    s.backend("Reset", {"type": "Hard"})
    s.reconnect()
    s.boot()
    read_key(s, "ConnectionTimeOut", "120")
    return s


def value_lost_that_waits_for_a_start() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "77"}, {"status": "RebootRequired"})
    read_key(s, "ConnectionTimeOut", "120")
    s.reconnect()
    s.boot()
    read_key(s, "ConnectionTimeOut", "120")
    return s


def limit_of(amperes: float, purpose: str = "TxDefaultProfile", **more: Any) -> dict[str, Any]:
    return {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amperes}], **more,
        },
    }  # fmt: skip


def power_not_lowered() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(120)
    s.backend("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": limit_of(6)})
    s.charge(600, each_s=30)
    return s


def sent_power_not_lowered() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.backend("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": limit_of(6, "ChargePointMaxProfile")})
    for _ in range(4):
        s.wait(60)
        s.sample(1, {"value": "11", "measurand": "Power.Active.Import", "unit": "kW"})
    return s


def power_not_lowered_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    profile = {
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative",
        "chargingSchedule": [{
            "id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 4000}],
        }],
    }  # fmt: skip
    s.backend("SetChargingProfile", {"evseId": 1, "chargingProfile": profile})
    s.charge(600, each_s=30)
    return s


FAULTS: tuple[tuple[str, Callable[[], AuditScript], str, str], ...] = (
    ("remote_start_begins", remote_start_ignored, "was accepted, but no transaction with its token began within",
     "accepted remote start"),
    ("remote_start_begins", remote_start_ignored_in_201, "RequestStartTransaction was accepted, but no transaction",
     "accepted remote start"),
    ("remote_stop_ends", remote_stop_ignored, "was accepted, but its transaction did not end", "remote stop"),
    ("unlock_ends_transaction", unlock_not_done, "was accepted, but the transaction did not end", "UnlockFailed"),
    ("reset_restarts", reset_without_boot, "Reset was accepted, but no BootNotification followed", "restart"),
    ("trigger_sends_message", trigger_without_message, "the message did not come within", "NotImplemented"),
    ("availability_shown", availability_not_shown, "no status showed it within", "Unavailable"),
    ("settings_written", key_not_written, "'77' and accepted; it reads '120': the value was not written", "Rejected"),
    ("settings_written", variable_not_written, "TxCtrlr.EVConnectionTimeOut was set to '77'", "Rejected"),
    ("settings_survive_reset", value_lost_after_reset, "after a restart it is '120': the value was lost", "on disk"),
    ("settings_survive_reset", value_lost_that_waits_for_a_start, "the value was lost", "on disk"),
    ("profile_lowers_power", power_not_lowered, "the accepted charging profile allows 4140 W", "control pilot"),
    ("profile_lowers_power", sent_power_not_lowered, "outlet 1 draws 11000 W", "control pilot"),
    ("profile_lowers_power", power_not_lowered_in_201, "the accepted charging profile allows 4000 W", "control pilot"),
)  # fmt: skip


@pytest.mark.parametrize(("judge", "station", "says", "advice"), FAULTS, ids=[f[1].__name__ for f in FAULTS])
def test_a_fault_is_found(judge: str, station: Callable[[], AuditScript], says: str, advice: str) -> None:
    result = station().judge(judge)
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert advice in result.advice
    assert result.advice_to == "subcontractor"
    assert result.evidence, "the frames that show it"


def test_an_effect_that_is_not_due_yet_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.backend("Reset", {"type": "Soft"})
    s.wait(10)
    assert s.judge("reset_restarts").verdict is AuditVerdict.PARTIAL


def test_a_remote_start_without_a_vehicle_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.backend("RemoteStartTransaction", {"connectorId": 1, "idTag": "APP-1"})
    s.wait(300)
    s.station("Heartbeat", {}, {"currentTime": s.stamp()})
    assert s.judge("remote_start_begins").verdict is AuditVerdict.NOT_APPLICABLE


@pytest.mark.parametrize(("wrote", "reads"), [
    ("true", "True"), ("10", "10.0"), ("Voltage,Current.Import", "Current.Import, Voltage"), ("77", "77 "),
])  # fmt: skip
def test_the_same_value_may_be_written_otherwise(wrote: str, reads: str) -> None:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "Some", "value": wrote})
    read_key(s, "Some", reads)
    assert s.judge("settings_written").verdict is AuditVerdict.PASS


def test_the_interval_of_the_boot_may_replace_the_written_one() -> None:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "30"})
    s.reconnect()
    s.boot()
    read_key(s, "HeartbeatInterval", "300")
    assert s.judge("settings_survive_reset").verdict is AuditVerdict.PASS


@pytest.mark.parametrize("profile", [
    limit_of(6, duration=600), limit_of(6, startSchedule="2026-11-28T10:00:00Z"),
])  # fmt: skip
def test_a_limit_for_a_time_only_is_not_judged(profile: dict[str, Any]) -> None:
    s = Station16()
    s.boot()
    s.start()
    s.backend("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    s.charge(600, each_s=30)
    assert s.judge("profile_lowers_power").verdict is AuditVerdict.NOT_APPLICABLE


def test_a_limit_that_was_removed_does_not_hold() -> None:
    s = Station16()
    s.boot()
    s.start()
    s.backend("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": limit_of(6)})
    s.backend("ClearChargingProfile", {"id": 1})
    s.charge(600, each_s=30)
    assert s.judge("profile_lowers_power").verdict is AuditVerdict.NOT_APPLICABLE


@pytest.mark.parametrize("key", ["AuthorizationKey", "WebPaymentsCtrlr.2.SharedSecret"])
def test_a_secret_that_is_not_shown_is_neither_blamed_nor_named(key: str) -> None:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": key, "value": "a-long-secret"})
    read_key(s, key, "")
    result = s.judge("settings_written")
    assert result.verdict is AuditVerdict.NOT_APPLICABLE
    assert "a-long-secret" not in result.says

"""Golden lines, one per row and direction; everything that is said is judged by jsonschema on the package's files."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker

from agent.domain.charging.composite_schedule import Span
from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from agent.domain.events import TokenAuthorized, TransactionAcknowledged
from agent.domain.messages import (
    BootWanted,
    CertificateSigningWanted,
    ChargingState,
    ConnectorStatus,
    ConnectorUnplugged,
    ExternalLimitReleased,
    ExternalLimitSet,
    FirmwareStatus,
    HeartbeatWanted,
    ListConflicted,
    LogStatus,
    MeterSampled,
    PricesReported,
    Sample,
    SecurityHappened,
    SettlementReported,
    SettlementStatus,
    StatusChanged,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import (
    ChangeAvailabilityRequest,
    ClearCacheRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    DataTransferRequest,
    GetLogRequest,
    GetVariablesRequest,
    MessageTrigger,
    RemoteStartRequest,
    RemoteStopRequest,
    ResetRequest,
    SetChargingProfileRequest,
    SetVariablesRequest,
    TriggerMessageRequest,
    UnlockConnectorRequest,
    UpdateFirmwareRequest,
)
from agent.domain.variables import VARIABLES, Settings
from agent.model.types import AuthorizationStatus, Fault, Reading, ReadingContext, Stamp, Token, Verdict
from agent.ocpp.dialects.dialect import (
    BootAnswer,
    Identity,
    MessageRow,
    NotExpressible,
    NotExpressibleError,
    NotOffered,
    Refused,
    RequestRow,
    ResponseEffects,
)
from agent.ocpp.dialects.keys_v1x import list_keys_16
from agent.ocpp.v16 import V16
from agent.ocpp.v16.settings import is_key_offered
from agent.ports.store import Put
from tests.ocpp.ocpp_stand_ins import IDENTITY, UTC_S, Outbox, decoded, desk
from tests.ocpp.test_rows_certificates import CERTIFICATE_ACTIONS
from tests.ocpp.test_rows_lists import LIST_ACTIONS
from tests.ocpp.test_rows_reservation import RESERVATION_ACTIONS

FOLDER = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations))) / "v16" / "schemas"
T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")


def valid(name: str, payload: Any) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8-sig"))
    Draft4Validator(document, format_checker=FormatChecker()).validate(json.loads(json.dumps(payload)))


def row_payload(message: Any, outbox: Outbox | None = None) -> dict[str, Any] | None:
    out = V16.message_row(type(message))
    assert isinstance(out, MessageRow)
    payload = out.encode(message, desk(outbox))
    if payload is not None:
        valid(out.action, payload)
    return payload


def heard(message: Any, payload: dict[str, Any], outbox: Outbox | None = None) -> ResponseEffects:
    out = V16.message_row(type(message))
    assert isinstance(out, MessageRow)
    return out.decode_response(message, payload, desk(outbox))


def known() -> Outbox:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42"}
    return outbox


READING = Reading(
    T0, 123456, power_w=11012.34, voltage_v=(230.1, 231.0, 229.91), current_a=(16.0, 15.876, 0.0),
    power_phase_w=(3680.0, 3650.58, 0.0), frequency_hz=50.02, power_factor=0.9871, export_wh=7, soc_percent=54.4,
    offered_a=32.0,
)  # fmt: skip


def sample(*measurands: str, context: ReadingContext = ReadingContext.PERIODIC, reading: Reading = READING) -> Sample:
    return Sample(context, reading, measurands)


AUTHORISED = TransactionAuthorized("s1", 2, CARD, T0, 123456, TriggerReason.AUTHORIZED, ChargingState.EV_CONNECTED)
ENDED = TransactionEnded("s1", 1, CARD, Stamp(1, 60.25), 124000, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
WHEN = "2026-11-25T10:00:00.000Z"

GOLDEN_OUT = [
    (
        BootWanted(),
        "BootNotification",
        {
            "chargePointVendor": "Chargy",
            "chargePointModel": "SimStation",
            "chargePointSerialNumber": "SN-1",
            "chargeBoxSerialNumber": "SN-1",
            "firmwareVersion": "1.0.0",
            "iccid": "8935",
            "imsi": "2700",
            "meterSerialNumber": "M-1",
            "meterType": "EM340",
        },
    ),
    (HeartbeatWanted(), "Heartbeat", {}),
    (
        ConnectorUnplugged("s1", 1, Stamp(1, 60.25)),
        "DataTransfer",
        {
            "vendorId": "org.openchargealliance.costmsg",
            "messageId": "ConnectorUnplugged",
            "data": '{"transactionId":42,"timestamp":"2026-11-25T10:01:00.250Z"}',
        },
    ),
    (SettlementReported("PY1", SettlementStatus.SETTLED, 1234, T0, "s1"), "DataTransfer", None),
    (
        PricesReported('[{"evses":[1],"kwh":0.45}]'),
        "DataTransfer",
        {"vendorId": "chargy", "messageId": "AdhocTariffInForce", "data": '[{"evses":[1],"kwh":0.45}]'},
    ),
    (AuthorizeToken("chargy", "t1", CARD), "Authorize", {"idTag": "04A1B2C3"}),
    (
        TransactionStarted("s1", 2, CARD, T0, 123456),
        "StartTransaction",
        {"connectorId": 2, "idTag": "04A1B2C3", "meterStart": 123456, "timestamp": WHEN},
    ),
    (
        AUTHORISED,
        "StartTransaction",
        {"connectorId": 2, "idTag": "04A1B2C3", "meterStart": 123456, "timestamp": WHEN},
    ),
    (
        ENDED,
        "StopTransaction",
        {
            "transactionId": 42,
            "meterStop": 124000,
            "timestamp": "2026-11-25T10:01:00.250Z",
            "reason": "Local",
            "idTag": "04A1B2C3",
        },
    ),
    (
        MeterSampled("s1", 1, (sample("Energy.Active.Import.Register"),)),
        "MeterValues",
        {
            "connectorId": 1,
            "transactionId": 42,
            "meterValue": [
                {
                    "timestamp": WHEN,
                    "sampledValue": [
                        {
                            "value": "123456",
                            "context": "Sample.Periodic",
                            "measurand": "Energy.Active.Import.Register",
                            "unit": "Wh",
                        }
                    ],
                }
            ],
        },
    ),
    (
        StatusChanged(1, T0, ConnectorStatus.OCCUPIED, ChargingState.CHARGING),
        "StatusNotification",
        {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": WHEN},
    ),
    (
        ListConflicted(T0),
        "StatusNotification",
        {"connectorId": 0, "errorCode": "LocalListConflict", "status": "Available", "timestamp": WHEN},
    ),
    (FirmwareStatus(), "FirmwareStatusNotification", {"status": "Idle"}),
    (LogStatus(), "DiagnosticsStatusNotification", {"status": "Idle"}),
    (
        SecurityHappened("InvalidCsmsCertificate", T0, "too old"),
        "SecurityEventNotification",
        {"type": "InvalidCentralSystemCertificate", "timestamp": WHEN, "techInfo": "too old"},
    ),
    (CertificateSigningWanted("PEM"), "SignCertificate", {"csr": "PEM"}),
]

FILES_OUT: list[tuple[Any, str, dict[str, Any] | None]] = [
    (FirmwareStatus("Downloading"), "FirmwareStatusNotification", {"status": "Downloading"}),
    (FirmwareStatus("InstallVerificationFailed"), "FirmwareStatusNotification", {"status": "InstallationFailed"}),
    (FirmwareStatus("InstallScheduled"), "FirmwareStatusNotification", None),
    (FirmwareStatus("InstallScheduled", 7, True), "SignedFirmwareStatusNotification",
     {"status": "InstallScheduled", "requestId": 7}),
    (FirmwareStatus(signed=True), "SignedFirmwareStatusNotification", {"status": "Idle"}),
    (LogStatus("UploadFailure"), "DiagnosticsStatusNotification", {"status": "UploadFailed"}),
    (LogStatus("PermissionDenied"), "DiagnosticsStatusNotification", {"status": "UploadFailed"}),
    (LogStatus("AcceptedCanceled"), "DiagnosticsStatusNotification", None),
    (LogStatus("PermissionDenied", 8, True), "LogStatusNotification", {"status": "PermissionDenied", "requestId": 8}),
    (LogStatus("AcceptedCanceled", 8, True), "LogStatusNotification", None),
    (LogStatus(extended=True), "LogStatusNotification", {"status": "Idle"}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "action", "line"), FILES_OUT)
def test_the_two_procedures_have_messages_of_their_own(message: Any, action: str, line: dict[str, Any] | None) -> None:
    row = V16.message_row(type(message))
    assert isinstance(row, MessageRow)
    out = row.row_for(message)
    assert out.action == action
    assert out.encode(message, known()) == line
    if line is not None:
        valid(action, line)


@pytest.mark.parametrize(("message", "action", "line"), GOLDEN_OUT, ids=lambda v: v if isinstance(v, str) else "")
def test_out(message: Any, action: str, line: dict[str, Any]) -> None:
    out = V16.message_row(type(message))
    assert isinstance(out, MessageRow)
    assert out.action == action
    assert row_payload(message, known()) == line


def test_every_out_row_has_a_golden_line() -> None:
    rows = {r.message for r in V16.rows if isinstance(r, MessageRow)}
    assert rows == {type(m) for m, _, _ in GOLDEN_OUT}


SETTLED = SettlementReported(
    "PY1", SettlementStatus.SETTLED, 1234, T0, "s1", "CHY42-7KQ2-000001", "https://pay.example/r/PY1"
)


@pytest.mark.parametrize(
    ("message", "outbox", "said"),
    [
        (SETTLED, known(), {"status": "Settled", "settlementAmount": 12.34, "transactionId": 42,
                            "receiptId": "CHY42-7KQ2-000001", "receiptUrl": "https://pay.example/r/PY1"}),
        (SETTLED, Outbox(), {"status": "Settled", "settlementAmount": 12.34,
                             "receiptId": "CHY42-7KQ2-000001", "receiptUrl": "https://pay.example/r/PY1"}),
        (SettlementReported("PY1", SettlementStatus.FAILED, 50, T0, info="why"), known(),
         {"status": "Failed", "settlementAmount": 0.5, "statusInfo": "why"}),
    ],
)  # fmt: skip
def test_what_has_become_of_a_cards_money_by_data_transfer(
    message: SettlementReported, outbox: Outbox, said: dict[str, Any]
) -> None:
    """NotifySettlement of 2.1 in the words of 1.6, under the vendorId that was agreed; a transaction that the backend
    gave no id is left out."""
    out = V16.message_row(SettlementReported)
    assert isinstance(out, MessageRow)
    payload = out.encode(message, desk(outbox, Settings({"settlement_vendor_id": "lu.example.pay"})))
    assert payload is not None
    valid(out.action, payload)
    assert (payload["vendorId"], payload["messageId"]) == ("lu.example.pay", "NotifySettlement")
    assert json.loads(payload["data"]) == {"pspRef": "PY1", "settlementTime": WHEN, **said}
    for status in ("Accepted", "Rejected", "UnknownVendorId", "UnknownMessageId"):
        assert out.decode_response(message, {"status": status}, desk()) == ResponseEffects()


def test_a_transaction_is_reported_when_it_is_known_who_charges_where() -> None:
    """Decision 9: nothing of one without a token or without an EVSE, and no end without a start."""
    assert row_payload(TransactionStarted("s1", 2, None, T0, 1), known()) is None
    assert row_payload(TransactionStarted("s1", 0, CARD, T0, 0), known()) is None
    without_token = replace(ENDED, token=None, authorized=False)
    assert row_payload(without_token, known()) is None
    values = row_payload(MeterSampled("s1", 1, (sample("Energy.Active.Import.Register"),), authorized=False), known())
    assert values is not None
    assert "transactionId" not in values


def test_mute() -> None:
    for message in (TransactionUpdated, ExternalLimitSet, ExternalLimitReleased):
        assert isinstance(V16.message_row(message), NotExpressible)


# --- what is heard ---------------------------------------------------------------------------------------------------


def test_boot_heard() -> None:
    answer = {"status": "Accepted", "currentTime": "2026-11-25T10:00:00Z", "interval": 300}
    assert heard(BootWanted(), answer) == ResponseEffects(boot=BootAnswer("Accepted", 300), utc_s=UTC_S)
    assert heard(BootWanted(), {**answer, "interval": -1}).boot == BootAnswer("Accepted", 0)
    assert heard(BootWanted(), {**answer, "interval": 10**30}).boot == BootAnswer("Accepted", 7 * 86400)
    assert heard(BootWanted(), {**answer, "currentTime": "?"}).utc_s is None


@pytest.mark.parametrize(
    "text", ["2026-11-25T10:00:00Z", "2026-11-25T11:00:00+01:00", "2026-11-25T10:00:00.000000Z", "2026-11-25T10:00:00"]
)
def test_heartbeat_heard(text: str) -> None:
    assert heard(HeartbeatWanted(), {"currentTime": text}) == ResponseEffects(utc_s=UTC_S)


def test_authorize_heard() -> None:
    order = AuthorizeToken("chargy", "t1", CARD)
    info = {"status": "ConcurrentTx", "parentIdTag": "P1", "expiryDate": "2026-11-25T10:00:00Z"}
    verdict = Verdict(AuthorizationStatus.CONCURRENT_TX, "P1", UTC_S)
    assert heard(order, {"idTagInfo": info}) == ResponseEffects((TokenAuthorized("t1", CARD, verdict),))
    assert heard(order, {"idTagInfo": {"status": "Accepted"}}).events == (
        TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus.ACCEPTED)),
    )


def test_start_heard() -> None:
    result = heard(TransactionStarted("s1", 1, CARD, T0, 1), {"transactionId": 42, "idTagInfo": {"status": "Invalid"}})
    assert result.facts == (Put("transaction", "chargy/s1", {"id": "42"}),)
    assert result.events == (TransactionAcknowledged("chargy", "s1", "42", Verdict(AuthorizationStatus.INVALID), CARD),)


def test_stop_heard() -> None:
    assert heard(ENDED, {}, known()).events == (TransactionAcknowledged("chargy", "s1", "42", None, CARD),)
    verdict = Verdict(AuthorizationStatus.EXPIRED)
    answer = {"idTagInfo": {"status": "Expired"}}
    assert heard(ENDED, answer, known()).events == (TransactionAcknowledged("chargy", "s1", "42", verdict, CARD),)


# --- details of what is sent -----------------------------------------------------------------------------------------


def test_boot_fields_are_cut_and_left_out() -> None:
    out = V16.message_row(BootWanted)
    assert isinstance(out, MessageRow)
    place = desk()
    place.identity = lambda: Identity(*["x" * 99] * 8)
    payload = out.encode(BootWanted(), place)
    valid("BootNotification", payload)
    place.identity = Identity
    assert out.encode(BootWanted(), place) == {"chargePointVendor": "unknown", "chargePointModel": "unknown"}
    assert IDENTITY.vendor == "Chargy"


@pytest.mark.parametrize(
    ("reason", "trigger", "note", "word"),
    [
        (StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, "", "Local"),
        (StopReason.REMOTE, TriggerReason.REMOTE_STOP, "", "Remote"),
        (StopReason.DEAUTHORIZED, TriggerReason.DEAUTHORIZED, "", "DeAuthorized"),
        (StopReason.EV_DISCONNECTED, TriggerReason.EV_DEPARTED, "", "EVDisconnected"),
        (StopReason.EMERGENCY_STOP, TriggerReason.ABNORMAL_CONDITION, "fault", "EmergencyStop"),
        (StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION, "", "PowerLoss"),
        (StopReason.REBOOT, TriggerReason.ABNORMAL_CONDITION, "", "Reboot"),
        (StopReason.IMMEDIATE_RESET, TriggerReason.RESET_COMMAND, "hard", "HardReset"),
        (StopReason.IMMEDIATE_RESET, TriggerReason.RESET_COMMAND, "soft", "SoftReset"),
        (StopReason.OTHER, TriggerReason.UNLOCK_COMMAND, "", "UnlockCommand"),
        (StopReason.GROUND_FAULT, TriggerReason.ABNORMAL_CONDITION, "fault", "Other"),
        (StopReason.TIMEOUT, TriggerReason.ABNORMAL_CONDITION, "", "Other"),
    ],
)
def test_stop_reasons(reason: StopReason, trigger: TriggerReason, note: str, word: str) -> None:
    message = TransactionEnded("s1", 1, None, T0, 1, reason, trigger, note=note)
    payload = row_payload(message, known())
    assert payload is not None
    assert payload["reason"] == word
    assert "idTag" not in payload


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_reason_can_be_said(reason: StopReason) -> None:
    row_payload(TransactionEnded("s1", 1, None, T0, 1, reason, TriggerReason.ABNORMAL_CONDITION), known())


def test_stop_carries_its_samples() -> None:
    samples = (
        sample("Energy.Active.Import.Register", context=ReadingContext.BEGIN),
        sample("SoC", reading=Reading(T0, 1)),
        sample("Energy.Active.Import.Register", context=ReadingContext.END),
    )
    payload = row_payload(
        TransactionEnded("s1", 1, None, T0, 1, StopReason.LOCAL, TriggerReason.REMOTE_STOP, samples=samples), known()
    )
    assert payload is not None
    contexts = [d["sampledValue"][0]["context"] for d in payload["transactionData"]]
    assert contexts == ["Transaction.Begin", "Transaction.End"]


def test_without_an_id_nothing_of_a_transaction_can_be_said() -> None:
    other_version = Outbox()
    other_version.facts["transaction", "chargy/s1"] = {"id": "b6dc-uuid"}
    for outbox in (Outbox(), other_version):
        for message in (ENDED, MeterSampled("s1", 1, (sample("Energy.Active.Import.Register"),))):
            with pytest.raises(NotExpressibleError):
                row_payload(message, outbox)


@pytest.mark.parametrize("value", ["", "x" * 21, "x" * 36])
def test_a_token_is_never_cut(value: str) -> None:
    for message in (AuthorizeToken("chargy", "t", Token(value)), TransactionStarted("s1", 1, Token(value), T0, 1)):
        with pytest.raises(NotExpressibleError):
            row_payload(message)
    assert row_payload(AuthorizeToken("chargy", "t", Token("x" * 20))) == {"idTag": "x" * 20}


def values(*measurands: str, reading: Reading = READING) -> list[tuple[Any, ...]]:
    payload = row_payload(MeterSampled("", 1, (sample(*measurands, reading=reading),)))
    if payload is None:
        return []
    assert "transactionId" not in payload
    entries = payload["meterValue"][0]["sampledValue"]
    return [(e["measurand"], e.get("phase"), e["value"], e.get("unit"), e.get("location")) for e in entries]


def test_measurands() -> None:
    assert values("Power.Active.Import", "Frequency", "Power.Factor", "SoC", "Current.Offered") == [
        ("Power.Active.Import", None, "11012.3", "W", None),
        ("Frequency", None, "50.02", None, None),
        ("Power.Factor", None, "0.987", None, None),
        ("SoC", None, "54", "Percent", "EV"),
        ("Current.Offered", None, "32", "A", None),
    ]
    assert values("Current.Import") == [
        ("Current.Import", "L1", "16", "A", None),
        ("Current.Import", "L2", "15.88", "A", None),
        ("Current.Import", "L3", "0", "A", None),
    ]
    assert [v[:3] for v in values("Voltage")] == [
        ("Voltage", "L1-N", "230.1"), ("Voltage", "L2-N", "231"), ("Voltage", "L3-N", "229.9"),
    ]  # fmt: skip
    assert values("Voltage.L2", "Voltage.L2-N") == [("Voltage", "L2-N", "231", "V", None)]
    assert values("Power.Active.Import.L2") == [("Power.Active.Import", "L2", "3650.6", "W", None)]
    assert values("Energy.Active.Export.Register") == [("Energy.Active.Export.Register", None, "7", "Wh", None)]


def test_what_is_not_measured_is_not_reported() -> None:
    bare = Reading(T0, 5)
    assert values("Voltage", "SoC", "Current.Import.L3", "Power.Active.Import", reading=bare) == []
    assert values("Voltage", "Energy.Active.Import.Register", reading=bare)[0][2] == "5"
    single = Reading(T0, 5, voltage_v=(230.0,))
    assert values("Voltage", "Voltage.L2", reading=single) == [("Voltage", "L1-N", "230", "V", None)]


def test_clock_aligned_values_lie_on_the_mark() -> None:
    at = Reading(Stamp(1, 899.6), 5)
    message = MeterSampled("", 1, (sample("Energy.Active.Import.Register", context=ReadingContext.CLOCK, reading=at),))
    payload = row_payload(message)
    assert payload is not None
    assert payload["meterValue"][0]["timestamp"] == "2026-11-25T10:15:00.000Z"


S, C = ConnectorStatus, ChargingState


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        (StatusChanged(1, T0, S.AVAILABLE), "Available"),
        (StatusChanged(1, T0, S.AVAILABLE, authorized=True), "Preparing"),
        (StatusChanged(1, T0, S.OCCUPIED), "Preparing"),
        (StatusChanged(1, T0, S.OCCUPIED, C.EV_CONNECTED), "Preparing"),
        (StatusChanged(1, T0, S.OCCUPIED, C.CHARGING), "Charging"),
        (StatusChanged(1, T0, S.OCCUPIED, C.SUSPENDED_EV), "SuspendedEV"),
        (StatusChanged(1, T0, S.OCCUPIED, C.SUSPENDED_EVSE), "SuspendedEVSE"),
        (StatusChanged(1, T0, S.OCCUPIED, C.EV_CONNECTED, ended=True), "Finishing"),
        (StatusChanged(1, T0, S.OCCUPIED, C.IDLE, ended=True), "Finishing"),
        (StatusChanged(1, T0, S.OCCUPIED, C.EV_CONNECTED, authorized=True, ended=True), "Preparing"),
        (StatusChanged(1, T0, S.RESERVED), "Reserved"),
        (StatusChanged(1, T0, S.UNAVAILABLE), "Unavailable"),
        (StatusChanged(1, T0, S.UNAVAILABLE, C.EV_CONNECTED), "Unavailable"),
        (StatusChanged(1, T0, S.FAULTED, C.CHARGING, faults=(Fault.GROUND_FAILURE,)), "Faulted"),
        (StatusChanged(0, T0, S.AVAILABLE), "Available"),
        (StatusChanged(0, T0, S.OCCUPIED, C.CHARGING), "Available"),
        (StatusChanged(0, T0, S.RESERVED), "Available"),
        (StatusChanged(0, T0, S.UNAVAILABLE), "Unavailable"),
        (StatusChanged(0, T0, S.FAULTED), "Faulted"),
    ],
)
def test_status_words(changed: StatusChanged, word: str) -> None:
    payload = row_payload(changed)
    assert payload is not None
    assert payload["status"] == word


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_can_be_reported(fault: Fault) -> None:
    payload = row_payload(StatusChanged(1, T0, S.FAULTED, faults=(fault, Fault.WEAK_SIGNAL)))
    assert payload is not None
    assert payload["errorCode"] != "NoError"
    if fault.value.startswith("MREC"):
        assert payload["errorCode"] == "OtherError"
        assert payload["info"] == payload["vendorErrorCode"] == fault.value
    if fault is Fault.DIODE_FAULT:
        assert (payload["errorCode"], payload["info"]) == ("GroundFailure", "DiodeFault")
        assert (payload["vendorId"], payload["vendorErrorCode"]) == ("https://chargex.inl.gov", "CX014")
    if fault is Fault.DOOR_OPEN:
        assert (payload["vendorId"], payload["vendorErrorCode"]) == ("chargy", "DoorOpen")


def test_a_warning_goes_along_with_charging() -> None:
    payload = row_payload(StatusChanged(1, T0, S.OCCUPIED, C.CHARGING, faults=(Fault.TEMPERATURE_DERATING,)))
    assert payload is not None
    assert (payload["status"], payload["errorCode"]) == ("Charging", "HighTemperature")


# --- requests --------------------------------------------------------------------------------------------------------

WHEN_S = 1795600800.0
FIRMWARE = {
    "location": "https://u:p@host/fw.bin", "retrieveDateTime": "2026-11-25T10:00:00Z", "signingCertificate": "PEM",
    "signature": "c2ln",
}  # fmt: skip
LOG = {"remoteLocation": "ftp://u:p@host/logs", "oldestTimestamp": "2026-11-25T10:00:00Z"}
SIGNED = UpdateFirmwareRequest("https://u:p@host/fw.bin", WHEN_S, None, 2, 60, 7, "PEM", "c2ln")

GOLDEN_IN: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    (
        "SignedUpdateFirmware",
        {"requestId": 7, "retries": 2, "retryInterval": 60, "firmware": FIRMWARE},
        SIGNED,
        "AcceptedCanceled",
        "AcceptedCanceled",
    ),
    (
        "SignedUpdateFirmware",
        {"requestId": 7, "firmware": {**FIRMWARE, "installDateTime": "2026-11-25T10:00:01Z"}},
        UpdateFirmwareRequest("https://u:p@host/fw.bin", WHEN_S, WHEN_S + 1, 0, 0, 7, "PEM", "c2ln"),
        "InvalidCertificate",
        "InvalidCertificate",
    ),
    (
        "GetLog",
        {"logType": "SecurityLog", "requestId": 8, "log": LOG},
        GetLogRequest("ftp://u:p@host/logs", True, 8, oldest_utc_s=WHEN_S),
        "Rejected",
        "Rejected",
    ),
    (
        "GetLog",
        {"logType": "DiagnosticsLog", "requestId": 9, "retries": 1, "retryInterval": 5, "log": LOG},
        GetLogRequest("ftp://u:p@host/logs", False, 9, 1, 5, oldest_utc_s=WHEN_S),
        "AcceptedCanceled",
        "AcceptedCanceled",
    ),
    (
        "ChangeAvailability",
        {"connectorId": 0, "type": "Inoperative"},
        ChangeAvailabilityRequest(0, False),
        "Scheduled",
        "Scheduled",
    ),
    (
        "ChangeAvailability",
        {"connectorId": 2, "type": "Operative"},
        ChangeAvailabilityRequest(2, True),
        "Rejected",
        "Rejected",
    ),
    ("ClearCache", {}, ClearCacheRequest(), "Accepted", "Accepted"),
    (
        "DataTransfer",
        {"vendorId": "v", "messageId": "m"},
        DataTransferRequest("v", "m"),
        "UnknownMessageId",
        "UnknownMessageId",
    ),
    (
        "DataTransfer",
        {"vendorId": "v", "data": "d"},
        DataTransferRequest("v", "", "d"),
        "NotImplemented",
        "UnknownVendorId",
    ),
    (
        "RemoteStartTransaction",
        {"idTag": "A", "connectorId": 1},
        RemoteStartRequest(1, Token("A")),
        "Accepted",
        "Accepted",
    ),
    ("RemoteStartTransaction", {"idTag": "A"}, RemoteStartRequest(None, Token("A")), "Rejected", "Rejected"),
    ("RemoteStopTransaction", {"transactionId": 42}, RemoteStopRequest("s1"), "Accepted", "Accepted"),
    ("RemoteStopTransaction", {"transactionId": 43}, RemoteStopRequest(""), "Rejected", "Rejected"),
    ("Reset", {"type": "Hard"}, ResetRequest(True), "Accepted", "Accepted"),
    ("Reset", {"type": "Soft"}, ResetRequest(False), "Rejected", "Rejected"),
    ("UnlockConnector", {"connectorId": 1}, UnlockConnectorRequest(1, True), "Unlocked", "Unlocked"),
    ("UnlockConnector", {"connectorId": 1}, UnlockConnectorRequest(1, True), "UnlockFailed", "UnlockFailed"),
    ("UnlockConnector", {"connectorId": 9}, UnlockConnectorRequest(9, True), "UnknownConnector", "NotSupported"),
    ("UnlockConnector", {"connectorId": 1}, UnlockConnectorRequest(1, True), "NotSupported", "NotSupported"),
    (
        "UnlockConnector",
        {"connectorId": 1},
        UnlockConnectorRequest(1, True),
        "OngoingAuthorizedTransaction",
        "UnlockFailed",
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "Heartbeat"},
        TriggerMessageRequest(MessageTrigger.HEARTBEAT),
        "Accepted",
        "Accepted",
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "MeterValues", "connectorId": 3},
        TriggerMessageRequest(MessageTrigger.METER_VALUES, 3),
        "Rejected",
        "Rejected",
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "DiagnosticsStatusNotification"},
        TriggerMessageRequest(MessageTrigger.LOG_STATUS),
        "NotImplemented",
        "NotImplemented",
    ),
    (
        "ChangeConfiguration",
        {"key": "metervaluesampleinterval", "value": "60"},
        SetVariablesRequest({"sample_interval_s": "60"}),
        {"sample_interval_s": "Accepted"},
        "Accepted",
    ),
    (
        "ChangeConfiguration",
        {"key": "MeterValueSampleInterval", "value": "-1"},
        SetVariablesRequest({"sample_interval_s": "-1"}),
        {"sample_interval_s": "Rejected"},
        "Rejected",
    ),
    (
        "ChangeConfiguration",
        {"key": "ConnectionTimeOut", "value": "6"},
        SetVariablesRequest({"connection_timeout_s": "6"}),
        {"connection_timeout_s": "RebootRequired"},
        "RebootRequired",
    ),
]

PLAIN = {
    "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "ChargePointMaxProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]},
}  # fmt: skip
STATION_MAX = Profile(1, 0, Purpose.STATION_MAX, Kind.ABSOLUTE, Schedule(Unit.A, (Period(0, 16.1),)))
GOLDEN_IN += [
    (
        "SetChargingProfile",
        {"connectorId": 0, "csChargingProfiles": PLAIN},
        SetChargingProfileRequest(0, STATION_MAX),
        "Accepted",
        "Accepted",
    ),
    (
        "SetChargingProfile",
        {"connectorId": 0, "csChargingProfiles": PLAIN},
        SetChargingProfileRequest(0, STATION_MAX),
        "Rejected",
        "Rejected",
    ),
    ("ClearChargingProfile", {}, ClearChargingProfilesRequest(), "Accepted", "Accepted"),
    ("ClearChargingProfile", {"id": 7}, ClearChargingProfilesRequest(id=7), "Unknown", "Unknown"),
    (
        "ClearChargingProfile",
        {"connectorId": 0, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 2},
        ClearChargingProfilesRequest(None, 0, Purpose.TX_DEFAULT, 2),
        "Accepted",
        "Accepted",
    ),
]

AT_ONCE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("RemoteStartTransaction", {"idTag": "A", "connectorId": 0}, {"status": "Rejected"}),
    ("RemoteStartTransaction", {"idTag": ""}, {"status": "Rejected"}),
    ("ChangeConfiguration", {"key": "Testing", "value": "1"}, {"status": "NotSupported"}),
    ("ChangeConfiguration", {"key": "NumberOfConnectors", "value": "1"}, {"status": "Rejected"}),
    ("ChangeConfiguration", {"key": "StopTxnSampledDataMaxLength", "value": "1"}, {"status": "Rejected"}),
    ("ChangeConfiguration", {"key": "AuthorizationKey", "value": "short"}, {"status": "Rejected"}),
    ("ChangeConfiguration", {"key": "LocalAuthListMaxLength", "value": "5"}, {"status": "Rejected"}),
    (
        "SendLocalList",
        {"listVersion": 1, "updateType": "Full", "localAuthorizationList": [{"idTag": ""}]},
        {"status": "Failed"},
    ),
    ("ReserveNow", {"connectorId": 1, "idTag": "A", "expiryDate": "soon", "reservationId": 1}, {"status": "Rejected"}),
]


def row(action: str) -> RequestRow:
    found = V16.request_row(action)
    assert isinstance(found, RequestRow)
    return found


@pytest.mark.parametrize(("action", "payload", "ask", "said", "answer"), GOLDEN_IN)
def test_in(action: str, payload: dict[str, Any], ask: Any, said: Any, answer: str) -> None:
    valid(action, payload)
    assert row(action).decode(payload, desk(known())) == ask
    reply = Response("chargy", "1", said) if isinstance(said, str) else Response("chargy", "1", "Accepted", said)
    assert row(action).answer(reply, payload, desk(known())) == {"status": answer}
    valid(action + "Response", {"status": answer})


PLAIN_FILES = ("UpdateFirmware", "GetDiagnostics")


def test_firmware_of_the_plain_procedure() -> None:
    payload = {"location": "ftp://u:p@h/f", "retrieveDate": "2026-11-25T10:00:00Z", "retries": 1, "retryInterval": 5}
    valid("UpdateFirmware", payload)
    assert row("UpdateFirmware").decode(payload, desk()) == UpdateFirmwareRequest("ftp://u:p@h/f", WHEN_S, None, 1, 5)
    assert row("UpdateFirmware").answer(Response("chargy", "1", "Rejected"), payload, desk()) == {}


def test_diagnostics() -> None:
    payload = {"location": "ftp://u:p@h/", "startTime": "2026-11-25T10:00:00Z", "stopTime": "2026-11-25T10:00:02Z"}
    wanted = GetLogRequest("ftp://u:p@h/", oldest_utc_s=WHEN_S, latest_utc_s=WHEN_S + 2)
    assert row("GetDiagnostics").decode(payload, desk()) == wanted
    named = Response("chargy", "1", "Accepted", {"filename": "a.zip"})
    assert row("GetDiagnostics").answer(named, payload, desk()) == {"fileName": "a.zip"}
    assert row("GetDiagnostics").answer(Response("chargy", "1", "Rejected"), payload, desk()) == {}


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(Refused, match="startTime"):
        row("GetDiagnostics").decode({"location": "ftp://h/", "startTime": "tomorrow"}, desk())


def test_firmware_that_no_one_signed_is_refused() -> None:
    unsigned = {k: v for k, v in FIRMWARE.items() if k != "signature"}
    assert decoded(row("SignedUpdateFirmware"), {"requestId": 1, "firmware": unsigned}, desk()) == {
        "status": "InvalidCertificate"
    }


def test_get_configuration() -> None:
    asked = ["Testing", "NumberOfConnectors", "AuthorizationKey", "stoptxnsampleddatamaxlength", "numberofconnectors"]
    payload = {"key": asked}
    assert row("GetConfiguration").decode(payload, desk()) == GetVariablesRequest()
    answer = row("GetConfiguration").answer(
        Response("chargy", "1", "Accepted", {"connector_count": 2}), payload, desk()
    )
    assert answer == {
        "configurationKey": [
            {"key": "NumberOfConnectors", "readonly": True, "value": "2"},
            {"key": "AuthorizationKey", "readonly": False},
            {"key": "StopTxnSampledDataMaxLength", "readonly": True, "value": "20"},
        ],
        "unknownKey": ["Testing"],
    }
    valid("GetConfigurationResponse", answer)


def test_data_goes_back() -> None:
    answer = row("DataTransfer").answer(Response("chargy", "1", "Accepted", {"data": "x"}), {"vendorId": "v"}, desk())
    assert answer == {"status": "Accepted", "data": "x"}


@pytest.mark.parametrize(("action", "payload", "answer"), AT_ONCE)
def test_answered_without_the_domain(action: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
    assert decoded(V16.request_row(action), payload, desk()) == answer
    valid(action + "Response", answer)


ELSEWHERE = {
    "ExtendedTriggerMessage",
    "GetConfiguration",
    "GetCompositeSchedule",
    *CERTIFICATE_ACTIONS,
    *LIST_ACTIONS,
    *RESERVATION_ACTIONS,
}
"""Below, or in a file of their own."""


def test_every_in_row_has_a_golden_line() -> None:
    rows = {r.action for r in V16.rows if isinstance(r, RequestRow)}
    assert rows == {g[0] for g in GOLDEN_IN} | {a[0] for a in AT_ONCE} | ELSEWHERE | set(PLAIN_FILES)


def test_a_composite_schedule() -> None:
    payload = {"connectorId": 1, "duration": 300, "chargingRateUnit": "W"}
    assert row("GetCompositeSchedule").decode(payload, desk()) == CompositeScheduleRequest(1, 300, Unit.W)
    assert row("GetCompositeSchedule").decode({"connectorId": 0, "duration": 9}, desk()) == CompositeScheduleRequest(
        0, 9
    )
    spans = [Span(0, 4140.5), Span(60, 230.0, 1)]
    data = {"start_utc_s": UTC_S, "duration_s": 300, "unit": Unit.W, "spans": spans, "dc": False}
    answer = row("GetCompositeSchedule").answer(Response("chargy", "1", "Accepted", data), payload, desk())
    assert answer == {
        "status": "Accepted",
        "connectorId": 1,
        "scheduleStart": "2026-11-25T10:00:00.000Z",
        "chargingSchedule": {
            "duration": 300,
            "startSchedule": "2026-11-25T10:00:00.000Z",
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [
                {"startPeriod": 0, "limit": 4140.5, "numberPhases": 3},
                {"startPeriod": 60, "limit": 230.0, "numberPhases": 1},
            ],
        },
    }
    valid("GetCompositeScheduleResponse", answer)
    of_dc = row("GetCompositeSchedule").answer(
        Response("chargy", "1", "Accepted", {**data, "dc": True}), payload, desk()
    )
    assert of_dc["chargingSchedule"]["chargingSchedulePeriod"][0] == {"startPeriod": 0, "limit": 4140.5}
    refused = row("GetCompositeSchedule").answer(Response("chargy", "1", "Rejected"), payload, desk())
    assert refused == {"status": "Rejected"}


WHOLE_PROFILE = {
    "chargingProfileId": 7, "transactionId": 42, "stackLevel": 3, "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Recurring", "recurrencyKind": "Weekly", "validFrom": "2026-11-25T10:00:00Z",
    "validTo": "2026-11-26T11:00:00+01:00",
    "chargingSchedule": {
        "duration": 600, "startSchedule": "2026-11-25T10:00:01.5Z", "chargingRateUnit": "W", "minChargingRate": 4140.1,
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 11000}, {"startPeriod": 60, "limit": 0.1, "numberPhases": 1},
        ],
    },
}  # fmt: skip
WHOLE = Profile(
    7, 3, Purpose.TX, Kind.RECURRING,
    Schedule(Unit.W, (Period(0, 11000.0), Period(60, 0.1, 1)), 600, UTC_S + 1.5, 4140.1),
    Recurrency.WEEKLY, UTC_S, UTC_S + 86400, "s1",
)  # fmt: skip


def test_every_field_of_a_profile() -> None:
    payload = {"connectorId": 1, "csChargingProfiles": WHOLE_PROFILE}
    valid("SetChargingProfile", payload)
    assert row("SetChargingProfile").decode(payload, desk(known())) == SetChargingProfileRequest(1, WHOLE)


def test_a_transaction_that_no_one_knows_is_no_session() -> None:
    payload = {"connectorId": 1, "csChargingProfiles": {**WHOLE_PROFILE, "transactionId": 43}}
    asked = row("SetChargingProfile").decode(payload, desk(known()))
    assert isinstance(asked, SetChargingProfileRequest)
    assert asked.profile.session not in ("", "s1")


@pytest.mark.parametrize("wrong", [{"validFrom": "soon"}, {"validTo": "2026-99-99T00:00:00Z"}])
def test_no_time_is_guessed(wrong: dict[str, str]) -> None:
    with pytest.raises(Refused):
        row("SetChargingProfile").decode({"connectorId": 1, "csChargingProfiles": {**WHOLE_PROFILE, **wrong}}, desk())


def test_without_smart_charging_it_is_said_so() -> None:
    off = V16.without_features(("SmartCharging",))
    set_row = off.request_row("SetChargingProfile")
    assert decoded(set_row, {}, desk()) == {"status": "NotSupported"}
    assert isinstance(off.request_row("GetCompositeSchedule"), NotOffered)
    assert isinstance(off.request_row("ClearChargingProfile"), NotOffered)


@pytest.mark.parametrize(
    ("purpose", "taken"), [("TxProfile", True), ("TxDefaultProfile", False), ("ChargePointMaxProfile", False)]
)
def test_a_profile_with_a_remote_start(purpose: str, taken: bool) -> None:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]}
    profile = {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative", "chargingSchedule": schedule,
    }  # fmt: skip
    payload = {"idTag": "A", "chargingProfile": profile}
    check = V16.schemas.request_check("RemoteStartTransaction") if V16.schemas else None
    assert check is not None
    assert check(payload) is None
    asked = decoded(row("RemoteStartTransaction"), payload, desk())
    brought = Profile(1, 0, Purpose.TX, Kind.RELATIVE, Schedule(Unit.A, (Period(0, 16.1),)))
    assert asked == (RemoteStartRequest(None, Token("A"), profile=brought) if taken else {"status": "Rejected"})
    without = desk(settings=Settings({"feature_profiles": ("Core",)}))
    asked = decoded(row("RemoteStartTransaction"), payload, without)
    assert asked == (RemoteStartRequest(None, Token("A")) if taken else {"status": "Rejected"})


def test_a_request_that_no_block_answers_is_refused() -> None:
    with pytest.raises(Refused):
        row("Reset").answer(Response("chargy", "1", "NotImplemented"), {"type": "Soft"}, desk())


READ_ONLY = {
    "AdditionalRootCertificateCheck", "CertificateSignedMaxChainSize", "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit", "ChargingScheduleMaxPeriods",
    "ConnectorSwitch3to1PhaseSupported", "CustomDisplayCostAndPrice", "GetConfigurationMaxKeys",
    "MaxChargingProfilesInstalled",
    "NumberOfConnectors", "ReserveConnectorZeroSupported", "SupportedFeatureProfiles",
    "SupportedFileTransferProtocols",
}  # fmt: skip
REQUIRED = {
    "AuthorizeRemoteTxRequests", "ClockAlignedDataInterval", "ConnectionTimeOut", "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys", "HeartbeatInterval", "LocalAuthorizeOffline", "LocalPreAuthorize",
    "MeterValuesAlignedData", "MeterValuesSampledData", "MeterValueSampleInterval", "NumberOfConnectors",
    "ResetRetries", "StopTransactionOnEVSideDisconnect", "StopTransactionOnInvalidId", "StopTxnAlignedData",
    "StopTxnSampledData", "SupportedFeatureProfiles", "TransactionMessageAttempts",
    "TransactionMessageRetryInterval", "UnlockConnectorOnEVSideDisconnect",
}  # fmt: skip


def test_all_keys_with_the_right_flag() -> None:
    settings = Settings({"sampled_measurands": tuple(f"Voltage.L{n % 3 + 1}" for n in range(100))})
    data = {n: settings[n] for n, v in VARIABLES.items() if not v.secret}
    answer = row("GetConfiguration").answer(Response("chargy", "1", "Accepted", data), {}, desk())
    valid("GetConfigurationResponse", answer)
    listed = {e["key"]: e for e in answer["configurationKey"]}
    assert listed.keys() >= REQUIRED
    assert {k for k, e in listed.items() if e["readonly"] and not k.endswith("MaxLength")} == READ_ONLY
    assert "value" not in listed["AuthorizationKey"]
    assert len(listed["MeterValuesSampledData"]["value"]) <= 500
    assert not listed["MeterValuesSampledData"]["value"].endswith(",")
    assert "unknownKey" not in answer
    assert len(listed) == len([k for k in list_keys_16() if is_key_offered(k, desk())])
    bare = desk(settings=Settings({"feature_profiles": ("Core",)}))
    answer = row("GetConfiguration").answer(Response("chargy", "1", "Accepted", data), {}, bare)
    keys = {e["key"] for e in answer["configurationKey"]}
    assert keys == {k.key for k in list_keys_16() if k.profile == "Core"}
    assert "LocalAuthListEnabled" not in keys


def test_while_pending_nothing_is_started_or_stopped_from_afar() -> None:
    pending = replace(desk(), boot="Pending")
    start = {"idTag": "A", "connectorId": 1}
    assert decoded(row("RemoteStartTransaction"), start, pending) == {"status": "Rejected"}
    assert decoded(row("RemoteStopTransaction"), {"transactionId": 42}, pending) == {"status": "Rejected"}


@pytest.mark.parametrize("action", ["TriggerMessage", "ExtendedTriggerMessage"])
def test_while_pending_no_meter_values_are_promised(action: str) -> None:
    """They wait in a durable queue for an accepted boot. What else is triggered is sent (4.2)."""
    values, heartbeat = {"requestedMessage": "MeterValues"}, {"requestedMessage": "Heartbeat"}
    pending, accepted = replace(desk(), boot="Pending"), replace(desk(), boot="Accepted")
    assert decoded(row(action), values, pending) == {"status": "Rejected"}
    assert decoded(row(action), values, accepted).what is MessageTrigger.METER_VALUES
    assert decoded(row(action), heartbeat, pending).what is MessageTrigger.HEARTBEAT

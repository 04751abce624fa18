"""Golden lines, one per row and direction; everything that is said is judged by jsonschema on the package's files."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft6Validator, FormatChecker

from agent.domain.charging.composite_schedule import Span
from agent.domain.charging.profiles import (
    InstalledProfile,
    Kind,
    Period,
    Profile,
    ProfileRefusal,
    Purpose,
    Recurrency,
    Schedule,
    Unit,
)
from agent.domain.csms_cost import Cost
from agent.domain.events import CostReceived, TokenAuthorized, TransactionAcknowledged
from agent.domain.messages import (
    BootWanted,
    CertificateSigningWanted,
    ChargingProfilesReport,
    ChargingState,
    ConnectorStatus,
    CustomerReport,
    DeviceModelReport,
    DisplayMessagesReport,
    ExternalLimitReleased,
    ExternalLimitSet,
    FaultNoted,
    FirmwareStatus,
    HeartbeatWanted,
    LogStatus,
    MeterSampled,
    ReservationEnded,
    Sample,
    SecurityHappened,
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
    ChargingProfilesRequest,
    ClearCacheRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    CustomerInformationRequest,
    DataTransferRequest,
    DeviceReportRequest,
    GetLogRequest,
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
from agent.domain.variables import Settings
from agent.model.types import AuthorizationStatus, Fault, Reading, ReadingContext, Stamp, Token, TokenType, Verdict
from agent.ocpp import versions
from agent.ocpp.dialects.dialect import (
    BootAnswer,
    FixedAnswer,
    Identity,
    MessageRow,
    NotExpressibleError,
    NotOffered,
    Refused,
    RequestRow,
    ResponseEffects,
    RowContext,
    find_gaps,
)
from agent.ocpp.v201 import V201
from agent.ports.store import Put
from tests.ocpp.ocpp_stand_ins import UTC_S, Outbox, decoded, desk
from tests.ocpp.test_rows_certificates import CERTIFICATE_ACTIONS
from tests.ocpp.test_rows_display_messages import BARE, DISPLAY_ACTIONS, PLAIN
from tests.ocpp.test_rows_lists import LIST_ACTIONS
from tests.ocpp.test_rows_monitoring import MONITORING_ACTIONS, MONITORING_MESSAGES
from tests.ocpp.test_rows_reservation import RESERVATION_ACTIONS

FOLDER = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations))) / "v201" / "schemas"
T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")
CARD_TYPE = {"idToken": "04A1B2C3", "type": "ISO14443"}
CERTIFICATE = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "1"}
WHEN = "2026-11-25T10:00:00.000Z"
REGISTER = "Energy.Active.Import.Register"


def valid(name: str, payload: Any) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8-sig"))
    Draft6Validator(document, format_checker=FormatChecker()).validate(json.loads(json.dumps(payload)))


def place(boot: str | None = "Accepted", number: int = 0, settings: Settings | None = None) -> RowContext:
    found = desk(settings=settings)
    found.boot, found.number = boot, number
    return found


def row_payload(message: Any, at: RowContext | None = None) -> dict[str, Any] | None:
    row = V201.message_row(type(message))
    assert isinstance(row, MessageRow)
    out = row.row_for(message)
    payload = out.encode(message, at or place())
    if payload is not None:
        valid(out.action + "Request", payload)
    return payload


def heard(message: Any, payload: dict[str, Any]) -> ResponseEffects:
    row = V201.message_row(type(message))
    assert isinstance(row, MessageRow)
    out = row.row_for(message)
    valid(out.action + "Response", payload)
    return out.decode_response(message, payload, place())


def energy(value: int, context: str) -> dict[str, Any]:
    return {
        "value": value,
        "context": context,
        "measurand": REGISTER,
        "location": "Outlet",
        "unitOfMeasure": {"unit": "Wh"},
    }


WHOLE = Profile(
    7, 3, Purpose.TX, Kind.RECURRING,
    Schedule(Unit.W, (Period(0, 3680.0, 1, 2),), 60, UTC_S, 1380.0, 4),
    Recurrency.DAILY, UTC_S, UTC_S, "s1",
)  # fmt: skip
READING = Reading(
    T0, 123456, power_w=11012.34, voltage_v=(230.1, 231.0, 229.91), current_a=(16.0, 15.876, 0.0),
    power_phase_w=(3680.0, 3650.58, 0.0), frequency_hz=50.02, power_factor=0.9871, export_wh=7, soc_percent=54.4,
    offered_a=32.0,
)  # fmt: skip


def sample(*measurands: str, context: ReadingContext = ReadingContext.PERIODIC, reading: Reading = READING) -> Sample:
    return Sample(context, reading, measurands)


STARTED = TransactionStarted("s1", 2, CARD, T0, 123456)
UPDATED = TransactionUpdated("s1", 2, T0, TriggerReason.CHARGING_STATE_CHANGED, ChargingState.CHARGING, offline=True)
ENDED = TransactionEnded("s1", 2, CARD, Stamp(1, 60.25), 124000, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
AUTHORISED = TransactionAuthorized(
    "s1", 2, CARD, T0, 123456, TriggerReason.REMOTE_START, ChargingState.EV_CONNECTED, remote_id="5"
)
OUTLET = {"id": 2, "connectorId": 1}


LOCK = "ConnectorPlugRetentionLock"
LOCK_CODES = ("CX001", "ConnectorLockFailure")


def event(
    value: str,
    number: int,
    code: tuple[str, str],
    part: str,
    evse: dict[str, int],
    cleared: bool = False,
    monitor: int = 0,
) -> dict[str, Any]:
    kind: dict[str, Any] = {"eventNotificationType": "HardWiredNotification"}
    if monitor:
        kind = {"eventNotificationType": "HardWiredMonitor", "variableMonitoringId": monitor}
    one = {
        "eventId": number, "timestamp": WHEN, "trigger": "Delta", "actualValue": value, "techCode": code[0],
        "techInfo": code[1], "cleared": cleared, **kind,
        "component": {"name": part, "evse": evse}, "variable": {"name": "Problem"},
    }  # fmt: skip
    return {"generatedAt": WHEN, "seqNo": 0, "tbc": False, "eventData": [one]}


GOLDEN_OUT = [
    (
        BootWanted(),
        "BootNotification",
        {
            "reason": "Unknown",
            "chargingStation": {
                "vendorName": "Chargy", "model": "SimStation", "serialNumber": "SN-1", "firmwareVersion": "1.0.0",
                "modem": {"iccid": "8935", "imsi": "2700"},
            },
        },
    ),
    (HeartbeatWanted(), "Heartbeat", {}),
    (AuthorizeToken("chargy", "t1", CARD), "Authorize", {"idToken": CARD_TYPE}),
    (
        STARTED,
        "TransactionEvent",
        {
            "eventType": "Started", "timestamp": WHEN, "triggerReason": "Authorized", "seqNo": 7,
            "transactionInfo": {"transactionId": "s1", "chargingState": "EVConnected"},
            "evse": OUTLET, "idToken": CARD_TYPE,
            "meterValue": [{"timestamp": WHEN, "sampledValue": [energy(123456, "Transaction.Begin")]}],
        },
    ),
    (
        AUTHORISED,
        "TransactionEvent",
        {
            "eventType": "Updated", "timestamp": WHEN, "triggerReason": "RemoteStart", "seqNo": 7,
            "transactionInfo": {"transactionId": "s1", "chargingState": "EVConnected", "remoteStartId": 5},
            "evse": OUTLET, "idToken": CARD_TYPE,
        },
    ),
    (
        UPDATED,
        "TransactionEvent",
        {
            "eventType": "Updated", "timestamp": WHEN, "triggerReason": "ChargingStateChanged", "seqNo": 7,
            "transactionInfo": {"transactionId": "s1", "chargingState": "Charging"}, "offline": True, "evse": OUTLET,
        },
    ),
    (
        ENDED,
        "TransactionEvent",
        {
            "eventType": "Ended", "timestamp": "2026-11-25T10:01:00.250Z", "seqNo": 7,
            "triggerReason": "StopAuthorized",
            "transactionInfo": {"transactionId": "s1", "chargingState": "EVConnected", "stoppedReason": "Local"},
            "evse": OUTLET, "idToken": CARD_TYPE,
            "meterValue": [
                {"timestamp": "2026-11-25T10:01:00.250Z", "sampledValue": [energy(124000, "Transaction.End")]}
            ],
        },
    ),
    (
        MeterSampled("s1", 2, (sample(REGISTER),), charging=ChargingState.CHARGING),
        "TransactionEvent",
        {
            "eventType": "Updated", "timestamp": WHEN, "triggerReason": "MeterValuePeriodic", "seqNo": 7,
            "transactionInfo": {"transactionId": "s1", "chargingState": "Charging"}, "evse": OUTLET,
            "meterValue": [{"timestamp": WHEN, "sampledValue": [energy(123456, "Sample.Periodic")]}],
        },
    ),
    (
        MeterSampled("", 2, (sample(REGISTER, context=ReadingContext.CLOCK),)),
        "MeterValues",
        {"evseId": 2, "meterValue": [{"timestamp": WHEN, "sampledValue": [energy(123456, "Sample.Clock")]}]},
    ),
    (
        StatusChanged(1, T0, ConnectorStatus.OCCUPIED, ChargingState.CHARGING),
        "StatusNotification",
        {"timestamp": WHEN, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1},
    ),
    (
        FaultNoted(1, Fault.LOCK_FAILURE, True, (Fault.GROUND_FAILURE, Fault.LOCK_FAILURE), T0, 7),
        "NotifyEvent",
        event("true", 7, LOCK_CODES, LOCK, {"id": 1, "connectorId": 1}, monitor=1),
    ),
    (
        FaultNoted(1, Fault.LOCK_FAILURE, False, (Fault.GROUND_FAILURE,), T0, 8),
        "NotifyEvent",
        event("false", 8, LOCK_CODES, LOCK, {"id": 1, "connectorId": 1}, True, monitor=1),
    ),
    (
        FaultNoted(1, Fault.MREC25, True, (Fault.LOCK_FAILURE, Fault.MREC25), T0, 7),
        "NotifyEvent",
        event("true", 7, ("CX025", "MREC25BrokenLatch"), LOCK, {"id": 1, "connectorId": 1}),
    ),
    (
        FaultNoted(2, Fault.DOOR_OPEN, False, (Fault.GROUND_FAILURE,), T0, 9),
        "NotifyEvent",
        event("true", 9, ("DoorOpen", "DoorOpen"), "EVSE", {"id": 2}, True),
    ),
    (
        SecurityHappened("StartupOfTheDevice", T0),
        "SecurityEventNotification",
        {"type": "StartupOfTheDevice", "timestamp": WHEN},
    ),
    (
        ReservationEnded("chargy/7", expired=True),
        "ReservationStatusUpdate",
        {"reservationId": 7, "reservationUpdateStatus": "Expired"},
    ),
    (
        CustomerReport(9, 1, False, T0, "reservation 7"),
        "NotifyCustomerInformation",
        {"requestId": 9, "seqNo": 1, "tbc": False, "generatedAt": WHEN, "data": "reservation 7"},
    ),
    (
        DisplayMessagesReport(9, False, (BARE,)),
        "NotifyDisplayMessages",
        {"requestId": 9, "tbc": False, "messageInfo": [PLAIN]},
    ),
    (FirmwareStatus(), "FirmwareStatusNotification", {"status": "Idle"}),
    (
        CertificateSigningWanted("PEM"),
        "SignCertificate",
        {"csr": "PEM", "certificateType": "ChargingStationCertificate"},
    ),
    (LogStatus(), "LogStatusNotification", {"status": "Idle"}),
    (
        DeviceModelReport(
            9, 0, False, T0, ({"component": {"name": "A"}, "variable": {"name": "B"}, "variableAttribute": [{}]},)
        ),
        "NotifyReport",
        {
            "requestId": 9, "generatedAt": WHEN, "seqNo": 0, "tbc": False,
            "reportData": [{"component": {"name": "A"}, "variable": {"name": "B"}, "variableAttribute": [{}]}],
        },
    ),
    (
        ChargingProfilesReport(9, 1, False, (WHOLE,)),
        "ReportChargingProfiles",
        {
            "requestId": 9, "chargingLimitSource": "CSO", "evseId": 1, "tbc": False,
            "chargingProfile": [{
                "id": 7, "stackLevel": 3, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Recurring",
                "recurrencyKind": "Daily", "validFrom": WHEN, "validTo": WHEN, "transactionId": "s1",
                "chargingSchedule": [{
                    "id": 4, "chargingRateUnit": "W", "duration": 60, "startSchedule": WHEN, "minChargingRate": 1380.0,
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3680.0, "numberPhases": 1, "phaseToUse": 2}],
                }],
            }],
        },
    ),
    (ExternalLimitSet("EMS"), "NotifyChargingLimit", {"chargingLimit": {"chargingLimitSource": "EMS"}}),
    (ExternalLimitReleased("SO"), "ClearedChargingLimit", {"chargingLimitSource": "SO"}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "action", "line"), GOLDEN_OUT, ids=lambda v: v if isinstance(v, str) else "")
def test_out(message: Any, action: str, line: dict[str, Any]) -> None:
    row = V201.message_row(type(message))
    assert isinstance(row, MessageRow)
    assert row.row_for(message).action == action
    assert row_payload(message, place(number=7)) == line


def test_an_external_limit_with_its_schedule() -> None:
    """K11.FR.03, K12.FR.03; before the time is known without a start."""
    for start_utc_s, start in ((UTC_S, {"startSchedule": WHEN}), (None, {})):
        schedule = Schedule(Unit.W, (Period(0, 6900.0),), None, start_utc_s, number=1)
        assert row_payload(ExternalLimitSet("Other", schedule), place()) == {
            "chargingLimit": {"chargingLimitSource": "Other"},
            "chargingSchedule": [
                {
                    "id": 1,
                    "chargingRateUnit": "W",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6900.0}],
                    **start,
                }
            ],
        }


def test_a_report_of_profiles_has_a_part_for_each_source() -> None:
    one, other = replace(WHOLE, id=1), replace(WHOLE, id=-1)
    found = [InstalledProfile(0, one), InstalledProfile(0, other, "EMS")]
    reply = Response("chargy", "1", "Accepted", {"profiles": found})
    follow_up = row("GetChargingProfiles").follow_up
    assert follow_up is not None
    assert follow_up(reply, {"requestId": 9}, place()) == [
        ChargingProfilesReport(9, 0, True, (one,), "CSO"),
        ChargingProfilesReport(9, 0, False, (other,), "EMS"),
    ]


def test_begun_without_a_right_or_without_an_evse() -> None:
    began = row_payload(replace(STARTED, token=None, trigger=TriggerReason.CABLE_PLUGGED_IN), place())
    assert began is not None
    assert "idToken" not in began
    unplaced = row_payload(replace(STARTED, evse=0, meter_wh=0), place())
    assert unplaced is not None
    assert not {"evse", "meterValue"} & unplaced.keys()
    placed = row_payload(replace(AUTHORISED, placed=True, trigger=TriggerReason.CABLE_PLUGGED_IN), place())
    assert placed is not None
    assert "idToken" not in placed, "the token is sent once"
    assert placed["meterValue"] == [{"timestamp": WHEN, "sampledValue": [energy(123456, "Transaction.Begin")]}]


def test_ended_long_after_the_right() -> None:
    gone = row_payload(replace(ENDED, trigger=TriggerReason.EV_DEPARTED, plugged=False), place())
    assert gone is not None
    assert "idToken" not in gone
    assert gone["transactionInfo"] == {"transactionId": "s1", "chargingState": "Idle", "stoppedReason": "Local"}
    nowhere = row_payload(replace(ENDED, evse=0, meter_wh=0, authorized=False), place())
    assert nowhere is not None
    assert not {"evse", "meterValue"} & nowhere.keys()


def test_the_stopping_card_in_an_update() -> None:
    stopped = row_payload(replace(UPDATED, trigger=TriggerReason.STOP_AUTHORIZED, token=CARD), place())
    assert stopped is not None
    assert stopped["idToken"] == CARD_TYPE


def test_a_changed_rate_has_the_word_of_the_standard() -> None:
    """K11.FR.04: whatever word its record has for older programs."""
    changed = row_payload(replace(UPDATED, rate_changed=True), place())
    assert changed is not None
    assert changed["triggerReason"] == "ChargingRateChanged"


def test_an_event_that_a_backend_has_asked_for_says_so() -> None:
    """F06.FR.07: the driver may have chosen no EVSE yet."""
    asked = row_payload(replace(UPDATED, requested=True, evse=0), place())
    assert asked is not None
    assert (asked["triggerReason"], "evse" in asked) == ("Trigger", False)
    assert asked["transactionInfo"]["chargingState"] == UPDATED.charging.value


def test_every_out_row_has_a_golden_line() -> None:
    told_elsewhere = set(MONITORING_MESSAGES)
    assert {r.message for r in V201.rows if isinstance(r, MessageRow)} == {
        *(type(m) for m, _, _ in GOLDEN_OUT), *told_elsewhere
    }  # fmt: skip


def test_nothing_is_left_unsaid_and_nothing_unanswered() -> None:
    assert find_gaps(V201) == []
    assert "GetReport: neither a row nor a refusal" in find_gaps(V201.without_rows("GetReport"))


# --- what is heard ---------------------------------------------------------------------------------------------------


def test_boot_heard() -> None:
    answer = {"status": "Accepted", "currentTime": "2026-11-25T10:00:00Z", "interval": 300}
    assert heard(BootWanted(), answer) == ResponseEffects(boot=BootAnswer("Accepted", 300), utc_s=UTC_S)
    assert heard(BootWanted(), {**answer, "interval": 10**30}).boot == BootAnswer("Accepted", 7 * 86400)
    assert heard(HeartbeatWanted(), {"currentTime": "2026-11-25T11:00:00+01:00"}) == ResponseEffects(utc_s=UTC_S)


def test_authorize_heard() -> None:
    order = AuthorizeToken("chargy", "t1", CARD)
    info = {
        "status": "NoCredit",
        "cacheExpiryDateTime": "2026-11-25T10:00:00Z",
        "groupIdToken": {"idToken": "G", "type": "Central"},
        "evseId": [2],
    }
    verdict = Verdict(AuthorizationStatus.NO_CREDIT, "G", UTC_S, (2,))
    assert heard(order, {"idTokenInfo": info}) == ResponseEffects((TokenAuthorized("t1", CARD, verdict),))


def test_transaction_heard() -> None:
    known = (Put("transaction", "chargy/s1", {"id": "s1"}),)
    assert heard(STARTED, {}) == ResponseEffects((TransactionAcknowledged("chargy", "s1", "s1", None, CARD),), known)
    invalid = {"idTokenInfo": {"status": "Invalid"}, "totalCost": 1.25}
    verdict = Verdict(AuthorizationStatus.INVALID)
    cost = CostReceived("chargy", "s1", Cost(1_250_000))
    assert heard(STARTED, invalid) == ResponseEffects(
        (TransactionAcknowledged("chargy", "s1", "s1", verdict, CARD), cost), known
    )
    assert heard(UPDATED, {}) == ResponseEffects()
    assert heard(UPDATED, invalid) == ResponseEffects((TransactionAcknowledged("chargy", "s1", "s1", verdict), cost))
    assert heard(MeterSampled("s1", 1, (sample(REGISTER),)), {}) == ResponseEffects()


# --- details of what is sent -----------------------------------------------------------------------------------------


def test_boot_fields_are_cut_and_the_reason_is_reported() -> None:
    at = place()
    at.identity = lambda: Identity(*["x" * 99] * 9, boot_reason="RemoteReset")
    payload = row_payload(BootWanted(), at)
    assert payload is not None
    assert payload["reason"] == "RemoteReset"
    at.triggered = True
    assert (row_payload(BootWanted(), at) or {})["reason"] == "Triggered"


@pytest.mark.parametrize("reason", StopReason)
@pytest.mark.parametrize("trigger", TriggerReason)
def test_every_reason_can_be_said(reason: StopReason, trigger: TriggerReason) -> None:
    row_payload(TransactionEnded("s1", 1, None, T0, 1, reason, trigger))
    row_payload(TransactionStarted("s1", 1, CARD, T0, 1, trigger))


@pytest.mark.parametrize("kind", TokenType)
def test_every_kind_of_token_can_be_said(kind: TokenType) -> None:
    row_payload(AuthorizeToken("chargy", "t", Token("x" * 36, kind)))


@pytest.mark.parametrize("value", ["", "x" * 37])
def test_a_token_is_never_cut(value: str) -> None:
    with pytest.raises(NotExpressibleError):
        row_payload(AuthorizeToken("chargy", "t", Token(value)))


def test_the_remote_start_is_named() -> None:
    started = TransactionStarted("s1", 1, CARD, T0, 1, TriggerReason.REMOTE_START, remote_id="chargy/4711")
    assert (row_payload(started) or {})["transactionInfo"]["remoteStartId"] == 4711
    for of_others in ("remote", "owner/4711"):
        assert "remoteStartId" not in (row_payload(replace(started, remote_id=of_others)) or {})["transactionInfo"]


@pytest.mark.parametrize("primary", [True, False])
def test_a_remote_start_of_an_earlier_program_is_of_the_first_backend(primary: bool) -> None:
    started = TransactionStarted("s1", 1, CARD, T0, 1, TriggerReason.REMOTE_START, remote_id="4711")
    info = (row_payload(started, replace(place(), primary=primary)) or {})["transactionInfo"]
    assert info.get("remoteStartId") == (4711 if primary else None)


def values(payload: dict[str, Any] | None, at: int = 0) -> list[tuple[Any, ...]]:
    entries = (payload or {})["meterValue"][at]["sampledValue"]
    return [(e["measurand"], e.get("phase"), e["value"], (e.get("unitOfMeasure") or {}).get("unit")) for e in entries]


def test_begin_and_end_carry_what_is_configured() -> None:
    settings = Settings({"start_measurands": ("Voltage.L2",), "stop_sampled_measurands": ("Power.Active.Import",)})
    started = TransactionStarted("s1", 1, CARD, T0, 123450, reading=READING)
    assert values(row_payload(started, place(settings=settings))) == [
        (REGISTER, None, 123450, "Wh"),
        ("Voltage", "L2-N", 231, "V"),
    ]
    ended = TransactionEnded(
        "s1", 1, None, T0, 123460, StopReason.LOCAL, TriggerReason.REMOTE_STOP, samples=(sample("Voltage"),),
        reading=READING,
    )  # fmt: skip
    payload = row_payload(ended, place(settings=settings))
    assert [v[2] for v in values(payload)] == [230.1, 231, 229.9]
    assert values(payload, 1) == [(REGISTER, None, 123460, "Wh"), ("Power.Active.Import", None, 11012.3, "W")]
    assert "idToken" not in (payload or {})


def test_measurands() -> None:
    message = MeterSampled("", 1, (sample("Frequency", "Power.Factor", "SoC", "Current.Import", "Current.Offered"),))
    assert values(row_payload(message)) == [
        ("Frequency", None, 50.02, "Hz"), ("Power.Factor", None, 0.987, None), ("SoC", None, 54, "Percent"),
        ("Current.Import", "L1", 16, "A"), ("Current.Import", "L2", 15.88, "A"), ("Current.Import", "L3", 0, "A"),
        ("Current.Offered", None, 32, "A"),
    ]  # fmt: skip


def test_values_that_were_not_measured_keep_their_place_in_the_transaction() -> None:
    bare = (sample("SoC", reading=Reading(T0, 5)),)
    payload = row_payload(MeterSampled("s1", 1, bare), place(number=3))
    assert payload is not None
    assert "meterValue" not in payload
    assert payload["seqNo"] == 3
    assert row_payload(MeterSampled("", 1, bare)) is None


def test_values_have_their_place_among_the_events_and_the_time_at_which_they_were_read() -> None:
    payload = row_payload(MeterSampled("s1", 1, (sample(REGISTER),), at=replace(T0, t_s=T0.t_s + 1)))
    assert payload is not None
    assert payload["timestamp"] > payload["meterValue"][0]["timestamp"] == WHEN


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (ReadingContext.CLOCK, "MeterValueClock"),
        (ReadingContext.PERIODIC, "MeterValuePeriodic"),
        (ReadingContext.TRIGGER, "Trigger"),
    ],
)
def test_why_values_come(context: ReadingContext, why: str) -> None:
    payload = row_payload(MeterSampled("s1", 1, (sample(REGISTER, context=context),), offline=True))
    assert payload is not None
    assert (payload["triggerReason"], payload["offline"]) == (why, True)


@pytest.mark.parametrize("status", ConnectorStatus)
def test_statuses(status: ConnectorStatus) -> None:
    assert (row_payload(StatusChanged(1, T0, status)) or {})["connectorStatus"] == status.value
    assert row_payload(StatusChanged(0, T0, status)) is None
    assert V201.project_status(StatusChanged(1, T0, status)).status == status.value


# --- requests --------------------------------------------------------------------------------------------------------

PASSWORD = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
EVSE2 = {"id": 2}
FIRMWARE = {
    "location": "https://h/f", "retrieveDateTime": "2026-11-25T10:00:00Z", "signingCertificate": "PEM",
    "signature": "c2ln",
}  # fmt: skip

GOLDEN_IN: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    (
        "UpdateFirmware", {"requestId": 7, "retries": 2, "firmware": FIRMWARE},
        UpdateFirmwareRequest("https://h/f", 1795600800.0, None, 2, 0, 7, "PEM", "c2ln"), "AcceptedCanceled", "",
    ),
    (
        "GetLog", {"logType": "DiagnosticsLog", "requestId": 9, "log": {"remoteLocation": "ftp://h/logs"}},
        GetLogRequest("ftp://h/logs", False, 9), "Rejected", "",
    ),
    ("ChangeAvailability", {"operationalStatus": "Inoperative"},
     ChangeAvailabilityRequest(0, False, False), "Scheduled", ""),
    (
        "ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 2, "connectorId": 1}},
        ChangeAvailabilityRequest(2, True, False, True), "Accepted", "",
    ),
    (
        "CustomerInformation", {"requestId": 1, "report": True, "clear": False, "idToken": CARD_TYPE},
        CustomerInformationRequest(CARD, True, False), "Accepted", "",
    ),
    (
        "CustomerInformation", {"requestId": 1, "report": False, "clear": True, "customerIdentifier": CARD.value},
        CustomerInformationRequest(CARD, False, True), "Rejected", "",
    ),
    (
        "CustomerInformation", {"requestId": 1, "report": True, "clear": False, "customerCertificate": CERTIFICATE},
        CustomerInformationRequest(None, True, False), "Accepted", "",
    ),
    ("ClearCache", {}, ClearCacheRequest(), "Rejected", ""),
    ("DataTransfer", {"vendorId": "v", "messageId": "m"}, DataTransferRequest("v", "m"), "UnknownMessageId", ""),
    ("DataTransfer", {"vendorId": "v", "data": {"a": [1]}},
     DataTransferRequest("v", "", '{"a":[1]}'), "UnknownVendorId", ""),
    (
        "RequestStartTransaction", {"idToken": CARD_TYPE, "remoteStartId": 5, "evseId": 2},
         RemoteStartRequest(2, CARD, "5"),
        "Accepted", "",
    ),
    (
        "RequestStartTransaction", {"idToken": {"idToken": "app", "type": "Central"}, "remoteStartId": 6},
        RemoteStartRequest(None, Token("app", TokenType.CENTRAL), "6"), "Rejected", "",
    ),
    ("RequestStopTransaction", {"transactionId": "s1"}, RemoteStopRequest("s1"), "Accepted", ""),
    ("Reset", {"type": "Immediate"}, ResetRequest(hard=True), "Accepted", ""),
    ("Reset", {"type": "OnIdle"}, ResetRequest(on_idle=True), "Scheduled", ""),
    ("Reset", {"type": "OnIdle", "evseId": 2}, ResetRequest(on_idle=True, evse=2), "Scheduled", ""),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, UnlockConnectorRequest(1), "Unlocked", ""),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, UnlockConnectorRequest(1), "OngoingAuthorizedTransaction", ""),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, UnlockConnectorRequest(1), "NotSupported", "UnlockFailed"),
    ("TriggerMessage", {"requestedMessage": "Heartbeat"},
     TriggerMessageRequest(MessageTrigger.HEARTBEAT), "Accepted", ""),
    (
        "TriggerMessage", {"requestedMessage": "FirmwareStatusNotification", "evse": {"id": 9}},
        TriggerMessageRequest(MessageTrigger.FIRMWARE_STATUS), "Accepted", "",
    ),
    (
        "TriggerMessage", {"requestedMessage": "MeterValues", "evse": EVSE2},
        TriggerMessageRequest(MessageTrigger.METER_VALUES, 2, loose=True), "Accepted", "",
    ),
    (
        "TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": 2, "connectorId": 1}},
        TriggerMessageRequest(MessageTrigger.STATUS, 2), "Accepted", "",
    ),
    ("TriggerMessage", {"requestedMessage": "TransactionEvent"},
     TriggerMessageRequest(MessageTrigger.TRANSACTION), "Rejected", ""),
]  # fmt: skip

REJECTED = {"status": "Rejected"}
AT_ONCE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 9}}, REJECTED),
    ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 1, "connectorId": 2}}, REJECTED),
    ("RequestStartTransaction", {"idToken": CARD_TYPE, "remoteStartId": 5, "evseId": 3}, REJECTED),
    ("RequestStartTransaction", {"idToken": {"idToken": "", "type": "Central"}, "remoteStartId": 5}, REJECTED),
    ("Reset", {"type": "Immediate", "evseId": 9}, REJECTED),
    ("UnlockConnector", {"evseId": 9, "connectorId": 1}, {"status": "UnknownConnector"}),
    ("UnlockConnector", {"evseId": 1, "connectorId": 2}, {"status": "UnknownConnector"}),
    ("TriggerMessage", {"requestedMessage": "SignCombinedCertificate"}, {"status": "NotImplemented"}),
    ("TriggerMessage", {"requestedMessage": "BootNotification"}, REJECTED),
    ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": 9}}, REJECTED),
    (
        "SendLocalList",
        {
            "versionNumber": 1,
            "updateType": "Full",
            "localAuthorizationList": [{"idToken": {"idToken": "", "type": "NoAuthorization"}}],
        },
        {"status": "Failed"},
    ),
    (
        "ReserveNow",
        {"id": 1, "expiryDateTime": "soon", "idToken": {"idToken": "A", "type": "Central"}},
        REJECTED,
    ),
    (
        "UpdateFirmware",
        {"requestId": 1, "firmware": {"location": "ftp://h/f", "retrieveDateTime": "2026-11-25T10:00:00Z"}},
        {"status": "InvalidCertificate"},
    ),
]
_AT = {"startSchedule": "2026-11-25T10:00:00Z"}


def _set(evse: int = 1, schedules: int = 1, start: bool = True, **changes: Any) -> tuple[str, dict[str, Any]]:
    """SetChargingProfile with these fields of the profile."""
    schedule = {"id": 3, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.5}]}
    schedule |= _AT if start else {}
    profile = {
        "id": 7, "stackLevel": 1, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule] * schedules, **changes,
    }  # fmt: skip
    return "SetChargingProfile", {"evseId": evse, "chargingProfile": profile}


def _profile_rejected(code: str, text: str) -> dict[str, Any]:
    return {"status": "Rejected", "statusInfo": {"reasonCode": code, "additionalInfo": text}}


_NO_START = _profile_rejected("InvalidSchedule", "a Relative profile has no startSchedule, every other one needs it")
_SOURCES = {"chargingLimitSource": ["EMS", "SO"]}
_EXTERNAL = {"chargingProfilePurpose": "ChargingStationExternalConstraints"}
AT_ONCE += [
    (
        *_set(**_EXTERNAL),
        _profile_rejected("InvalidProfile", "ChargingStationExternalConstraints is not set by a backend"),
    ),
    (*_set(schedules=2), _profile_rejected("TooManyElements", "one chargingSchedule is possible")),
    (*_set(start=False), _NO_START),
    (*_set(chargingProfileKind="Relative"), _NO_START),
    (
        *_set(0, start=False, chargingProfileKind="Relative", chargingProfilePurpose="ChargingStationMaxProfile"),
        _profile_rejected("InvalidProfile", "a station maximum cannot be Relative: the station has no transaction"),
    ),
    (*_set(chargingProfilePurpose="TxProfile"), _profile_rejected("MissingParam", "a TxProfile needs transactionId")),
    ("ClearChargingProfile", {"chargingProfileCriteria": _EXTERNAL}, {"status": "Unknown"}),
    (
        "RequestStartTransaction",
        {"idToken": CARD_TYPE, "remoteStartId": 5, "chargingProfile": _set()[1]["chargingProfile"]},
        REJECTED,
    ),
]
ONCE_8_5_A = Schedule(Unit.A, (Period(0, 8.5),), start_utc_s=UTC_S, number=3)
GOLDEN_IN += [
    (
        *_set(),
        SetChargingProfileRequest(
            1, Profile(7, 1, Purpose.TX_DEFAULT, Kind.ABSOLUTE, ONCE_8_5_A), replaces=False, binding_phases=True
        ),
        "Accepted",
        "",
    ),
    (
        *_set(chargingProfilePurpose="TxProfile", transactionId="s1", validTo="2026-11-25T10:00:00Z"),
        SetChargingProfileRequest(
            1,
            Profile(7, 1, Purpose.TX, Kind.ABSOLUTE, ONCE_8_5_A, valid_to_utc_s=UTC_S, session="s1"),
            replaces=False,
            binding_phases=True,
        ),
        "Accepted",
        "",
    ),
    ("ClearChargingProfile", {"chargingProfileId": 7}, ClearChargingProfilesRequest(7), "Accepted", ""),
    (
        "ClearChargingProfile",
        {"chargingProfileCriteria": {"evseId": 2, "chargingProfilePurpose": "TxProfile", "stackLevel": 0}},
        ClearChargingProfilesRequest(None, 2, Purpose.TX, 0),
        "Unknown",
        "",
    ),
    (
        "GetChargingProfiles",
        {"requestId": 1, "evseId": 0, "chargingProfile": {"chargingProfileId": [7, 8], "stackLevel": 1}},
        ChargingProfilesRequest((7, 8), 0, None, 1),
        "NoProfiles",
        "",
    ),
    (
        "GetChargingProfiles",
        {"requestId": 1, "chargingProfile": {**_EXTERNAL, **_SOURCES}},
        ChargingProfilesRequest(purpose=Purpose.EXTERNAL, sources=("EMS", "SO")),
        "NoProfiles",
        "",
    ),
    (
        "GetCompositeSchedule",
        {"evseId": 1, "duration": 60, "chargingRateUnit": "W"},
        CompositeScheduleRequest(1, 60, Unit.W),
        "Rejected",
        "",
    ),
]


def test_a_remote_start_names_the_transaction_that_it_authorizes() -> None:
    """F01.FR.13."""
    payload = {"idToken": CARD_TYPE, "remoteStartId": 5}
    said = Response("chargy", "1", "Accepted", {"transaction": "s1"})
    answer = row("RequestStartTransaction").answer(said, payload, place())
    assert answer == {"status": "Accepted", "transactionId": "s1"}
    valid("RequestStartTransactionResponse", answer)


def test_a_remote_start_brings_its_profile_along() -> None:
    wanted = _set(chargingProfilePurpose="TxProfile", transactionId="ignored")[1]["chargingProfile"]
    payload = {"idToken": CARD_TYPE, "remoteStartId": 5, "chargingProfile": wanted}
    brought = Profile(7, 1, Purpose.TX, Kind.ABSOLUTE, ONCE_8_5_A)
    assert row("RequestStartTransaction").decode(payload, place()) == RemoteStartRequest(
        None, CARD, "5", brought, binding_phases=True
    )
    without = Settings({"feature_profiles": ("Core",)})
    assert row("RequestStartTransaction").decode(payload, place(settings=without)) == RemoteStartRequest(
        None, CARD, "5"
    )


def test_a_rejected_profile_says_why() -> None:
    reason = ProfileRefusal("InvalidStackLevel", "stackLevel must be 0 to 20")
    payload = _set()[1]
    answer = row("SetChargingProfile").answer(Response("chargy", "1", "Rejected", {"reason": reason}), payload, place())
    assert answer == _profile_rejected("InvalidStackLevel", "stackLevel must be 0 to 20")
    valid("SetChargingProfileResponse", answer)


def test_a_composite_schedule() -> None:
    payload = {"evseId": 1, "duration": 60}
    spans = [Span(0, 8.5), Span(5, 6.0, 1)]
    data = {"start_utc_s": UTC_S, "duration_s": 60, "unit": Unit.A, "spans": spans, "dc": False}
    answer = row("GetCompositeSchedule").answer(Response("chargy", "1", "Accepted", data), payload, place())
    assert answer["schedule"] == {
        "evseId": 1, "duration": 60, "scheduleStart": WHEN, "chargingRateUnit": "A",
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 8.5, "numberPhases": 3}, {"startPeriod": 5, "limit": 6.0, "numberPhases": 1},
        ],
    }  # fmt: skip
    valid("GetCompositeScheduleResponse", answer)


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({}, "Invalid"),
        ({"customerIdentifier": "a", "idToken": CARD_TYPE}, "Invalid"),
        ({"idToken": CARD_TYPE, "report": False}, "Rejected"),
    ],
)
def test_who_is_asked_about_and_what_for(named: dict[str, Any], status: str) -> None:
    payload = {"requestId": 1, "report": True, "clear": False, **named}
    assert decoded(row("CustomerInformation"), payload, place()) == {"status": status}


def test_what_is_known_of_a_customer_in_parts() -> None:
    known = {
        "cache": Verdict(AuthorizationStatus.BLOCKED, "FAMILY", UTC_S), "list": Verdict(AuthorizationStatus.ACCEPTED),
        "reservations": [f"chargy/{n}" for n in range(50)], "evses": [2],
    }  # fmt: skip
    at = place()
    reply = Response("chargy", "1", "Accepted", known)
    assert row("CustomerInformation").answer(reply, {"requestId": 9}, at) == {"status": "Accepted"}
    parts = [row_payload(m) or {} for m in row("CustomerInformation").follow_up(reply, {"requestId": 9}, at)]
    assert [(len(p["data"]), p["seqNo"], p["tbc"]) for p in parts[:1]] == [(512, 0, True)]
    assert not parts[-1]["tbc"]
    lines = "".join(p["data"] for p in parts).splitlines()
    assert lines[:3] == [
        f"authorization cache: Blocked, group FAMILY, until {WHEN}", "local authorization list: Accepted",
        "reservation 0",
    ]  # fmt: skip
    assert lines[-1] == "EVSE 2: charges, or may"
    assert len(lines) == 53


def test_profiles_are_reported_evse_by_evse_and_in_parts() -> None:
    plain = Profile(0, 1, Purpose.TX_DEFAULT, Kind.ABSOLUTE, ONCE_8_5_A)
    found = [
        InstalledProfile(0, replace(plain, id=1)),
        *(InstalledProfile(1, replace(plain, id=n)) for n in range(2, 9)),
    ]
    at = place()
    reply = Response("chargy", "1", "Accepted", {"profiles": found})
    assert row("GetChargingProfiles").answer(reply, {"requestId": 9}, at) == {"status": "Accepted"}
    parts = [row_payload(m) or {} for m in row("GetChargingProfiles").follow_up(reply, {"requestId": 9}, at)]
    assert [(p["evseId"], p["tbc"], [c["id"] for c in p["chargingProfile"]]) for p in parts] == [
        (0, True, [1]),
        (1, True, [2, 3, 4, 5, 6]),
        (1, False, [7, 8]),
    ]
    assert {p["requestId"] for p in parts} == {9}


ELSEWHERE = {
    "SetNetworkProfile",
    "GetVariables",
    "SetVariables",
    "GetBaseReport",
    "GetReport",
    "GetTransactionStatus",
    "CostUpdated",
    *CERTIFICATE_ACTIONS,
    *DISPLAY_ACTIONS,
    *LIST_ACTIONS,
    *MONITORING_ACTIONS,
    *RESERVATION_ACTIONS,
}


def row(action: str) -> RequestRow:
    found = V201.request_row(action)
    assert isinstance(found, RequestRow)
    return found


@pytest.mark.parametrize(("action", "payload", "ask", "said", "answer"), GOLDEN_IN)
def test_in(action: str, payload: dict[str, Any], ask: Any, said: str, answer: str) -> None:
    valid(action + "Request", payload)
    assert row(action).decode(payload, place()) == ask
    line = row(action).answer(Response("chargy", "1", said), payload, place())
    assert line == {"status": answer or said}
    valid(action + "Response", line)


@pytest.mark.parametrize(("action", "payload", "answer"), AT_ONCE)
def test_answered_without_the_domain(action: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
    assert decoded(V201.request_row(action), payload, place()) == answer
    valid(action + "Response", answer)


def test_every_in_row_has_a_golden_line() -> None:
    rows = {r.action for r in V201.rows if isinstance(r, RequestRow | FixedAnswer)}
    assert rows == {g[0] for g in GOLDEN_IN} | {a[0] for a in AT_ONCE} | ELSEWHERE


def test_while_pending_nothing_starts_and_a_boot_may_be_triggered() -> None:
    start = {"idToken": CARD_TYPE, "remoteStartId": 5}
    assert decoded(row("RequestStartTransaction"), start, place("Pending")) == REJECTED
    assert decoded(row("RequestStopTransaction"), {"transactionId": "s1"}, place("Pending")) == REJECTED
    boot = {"requestedMessage": "BootNotification"}
    assert row("TriggerMessage").decode(boot, place("Pending")) == TriggerMessageRequest(MessageTrigger.BOOT)
    assert decoded(row("TriggerMessage"), {"requestedMessage": "TransactionEvent"}, place("Pending")) == REJECTED


@pytest.mark.parametrize(
    ("boot", "action", "admitted"),
    [
        ("Accepted", "Reset", True), ("Pending", "Reset", False), ("Pending", "GetVariables", True),
        (None, "GetBaseReport", True), ("Rejected", "GetBaseReport", False), ("Rejected", "TriggerMessage", False),
    ],
)  # fmt: skip
def test_what_may_be_asked_before_the_boot(boot: str | None, action: str, admitted: bool) -> None:
    assert V201.admits_request(boot, action) is admitted


async def test_what_waits() -> None:
    outbox = Outbox()
    outbox.put(STARTED, "s1")
    ask = row("GetTransactionStatus")

    async def said(at: RowContext, **payload: str) -> dict[str, Any]:
        assert ask.decode(payload, at) == DeviceReportRequest()
        assert ask.look_up
        seen = await ask.look_up(payload, at)
        return ask.answer(Response("chargy", "1", "Accepted", {"sessions": ["s1", "s2"], **seen}), payload, at)

    at = desk(outbox)
    assert await said(at, transactionId="s1") == {"ongoingIndicator": True, "messagesInQueue": True}
    assert await said(at, transactionId="s2") == {"ongoingIndicator": True, "messagesInQueue": False}
    assert await said(at, transactionId="xx") == {"ongoingIndicator": False, "messagesInQueue": False}
    assert await said(at) == {"messagesInQueue": True}
    assert await said(desk()) == {"messagesInQueue": False}


def test_a_request_that_no_block_answers_is_refused() -> None:
    with pytest.raises(Refused):
        row("Reset").answer(Response("chargy", "1", "NotImplemented"), {"type": "Immediate"}, place())


def test_the_password_is_known_to_be_secret() -> None:
    payload = {"setVariableData": [{**PASSWORD, "attributeValue": "sixteen_letters_"}]}
    assert row("SetVariables").decode(payload, place()) == SetVariablesRequest(
        {"authorization_key": "text:sixteen_letters_"}
    )
    other = {"component": {"name": "TxCtrlr"}, "variable": {"name": "EVConnectionTimeOut"}, "attributeValue": "60"}
    both = {"setVariableData": [other, *payload["setVariableData"]]}
    assert V201.mask_secrets("SetVariables", both) == {
        "setVariableData": [other, {**PASSWORD, "attributeValue": "***"}]
    }
    assert V201.mask_secrets("SetVariables", {"setVariableData": [other]}) == {"setVariableData": [other]}


def test_features_that_are_off() -> None:
    (dialect,) = versions.build_dialects(["2.0.1"], ["RemoteTrigger"])
    assert isinstance(dialect.request_row("TriggerMessage"), NotOffered)
    assert [d.name for d in versions.build_dialects(["2.0.1", "1.6"])] == ["2.0.1", "1.6"]
    for wrong in (["3.0"], ["2.0.1", "3.0"], []):
        with pytest.raises(ValueError, match="known"):
            versions.build_dialects(wrong)

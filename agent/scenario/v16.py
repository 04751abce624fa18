"""The scenario language in OCPP 1.6: what its frames show, and how the operations of a backend are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.observation import (
    Observation,
    StationView,
    TransactionView,
    note_readings,
    outlet_number,
    status_observation,
    transaction_observation,
)
from agent.scenario.operations import OperationForm
from agent.scenario.versions import VersionWords

STATUS_WORDS: Mapping[str, frozenset[str]] = {
    "Available": frozenset({"available"}),
    "Preparing": frozenset({"preparing", "occupied"}),
    "Charging": frozenset({"charging", "occupied"}),
    "SuspendedEV": frozenset({"suspended_vehicle", "occupied"}),
    "SuspendedEVSE": frozenset({"suspended_station", "occupied"}),
    "Finishing": frozenset({"finishing", "occupied"}),
    "Reserved": frozenset({"reserved"}),
    "Unavailable": frozenset({"unavailable"}),
    "Faulted": frozenset({"faulted"}),
}


def _read_status(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = frame.payload["connectorId"]
    one = view.evse_view(evse)
    one.status = frame.payload["status"]
    one.words = STATUS_WORDS.get(one.status, frozenset())
    yield from status_observation(view, evse, frame)


def _read_transaction_start(view: StationView, frame: Frame) -> Iterator[Observation]:
    """Read the answer to a StartTransaction: it brings the id."""
    if frame.kind != CALL_RESULT or frame.answers is None:
        return
    asked, number = frame.answers.payload, frame.payload["transactionId"]
    start_wh = float(asked["meterStart"])
    known = view.transactions.get(number)
    if known is None:
        known = TransactionView(number, outlet_number(asked["connectorId"]), asked["idTag"], start_wh, start_wh)
        view.transactions[number] = known
        yield transaction_observation(known, "started", frame)


def _read_transaction_stop(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    number = frame.payload["transactionId"]
    known = view.transactions.setdefault(number, TransactionView(number, 0))
    if not known.ended:
        known.ended, known.last_wh = True, float(frame.payload["meterStop"])
        known.reason = frame.payload.get("reason", "Local")
        yield transaction_observation(known, "ended", frame)


def _read_meter_values(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = outlet_number(frame.payload["connectorId"])
    for register_wh, _ in note_readings(view, evse, frame.payload["meterValue"], frame):
        known = view.transactions.get(frame.payload.get("transactionId"))
        if known is not None and not known.ended:
            known.last_wh = register_wh
            yield transaction_observation(known, "updated", frame)


SETTING_NAMES = {
    "sample_interval_s": "MeterValueSampleInterval",
    "heartbeat_interval_s": "HeartbeatInterval",
    "connection_timeout_s": "ConnectionTimeOut",
    "stop_on_unplug_at_vehicle": "StopTransactionOnEVSideDisconnect",
    "authorize_remote": "AuthorizeRemoteTxRequests",
    "offline_unknown": "AllowOfflineTxForUnknownId",
    "local_list_enabled": "LocalAuthListEnabled",
}
PURPOSES = {"station": "ChargePointMaxProfile", "default": "TxDefaultProfile", "transaction": "TxProfile"}
AVAILABILITIES = {"operative": "Operative", "inoperative": "Inoperative"}
PROFILE = {
    "chargingProfileId": "$id",
    "stackLevel": "$level",
    "chargingProfilePurpose": "$purpose",
    "chargingProfileKind": "$kind",
    "transactionId": "$transaction",
    "chargingSchedule": {
        "duration": "$duration_s",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": "$limit_a", "numberPhases": "$phases"}],
    },
}
OPERATIONS: Mapping[str, OperationForm] = {
    "remote_start": OperationForm("RemoteStartTransaction", {"connectorId": "$evse", "idTag": "$token"}),
    "remote_stop": OperationForm("RemoteStopTransaction", {"transactionId": "$transaction"}),
    "unlock": OperationForm("UnlockConnector", {"connectorId": "$evse"}),
    "reset": OperationForm("Reset", {"type": "$how"}, words={"how": {"soft": "Soft", "hard": "Hard"}}),
    "availability": OperationForm(
        "ChangeAvailability",
        {"connectorId": "$evse", "type": "$availability"},
        words={"availability": AVAILABILITIES},
    ),
    "reserve": OperationForm(
        "ReserveNow",
        {"connectorId": "$evse", "expiryDate": "$until", "idTag": "$token", "reservationId": "$id"},
    ),
    "cancel_reservation": OperationForm("CancelReservation", {"reservationId": "$id"}),
    "local_list": OperationForm(
        "SendLocalList",
        {
            "listVersion": "$version",
            "updateType": "Full",
            "localAuthorizationList": [{"idTag": "$token", "idTagInfo": {"status": "$token_status"}}],
        },
    ),
    "empty_local_list": OperationForm("SendLocalList", {"listVersion": "$version", "updateType": "Full"}),
    "local_list_version": OperationForm("GetLocalListVersion", {}, results={"version": "listVersion"}),
    "clear_cache": OperationForm("ClearCache", {}),
    "get_setting": OperationForm(
        "GetConfiguration",
        {"key": ["$name"]},
        "configurationKey[0].key",
        {"name": SETTING_NAMES},
        {"value": "configurationKey[0].value"},
    ),
    "set_setting": OperationForm(
        "ChangeConfiguration", {"key": "$name", "value": "$value"}, words={"name": SETTING_NAMES}
    ),
    "charging_profile": OperationForm(
        "SetChargingProfile", {"connectorId": "$evse", "csChargingProfiles": PROFILE}, words={"purpose": PURPOSES}
    ),
    "clear_profiles": OperationForm("ClearChargingProfile", {"id": "$id"}),
    "composite_schedule": OperationForm(
        "GetCompositeSchedule",
        {"connectorId": "$evse", "duration": "$duration_s", "chargingRateUnit": "A"},
        results={"limit_a": "chargingSchedule.chargingSchedulePeriod[0].limit"},
    ),
    "trigger": OperationForm("TriggerMessage", {"requestedMessage": "$message", "connectorId": "$evse"}),
    "diagnostics": OperationForm("GetDiagnostics", {"location": "$location"}, "fileName"),
    "data_transfer": OperationForm("DataTransfer", {"vendorId": "$vendor", "messageId": "$message", "data": "$data"}),
}
WORDS = VersionWords(
    {
        "StatusNotification": _read_status,
        "StartTransaction": _read_transaction_start,
        "StopTransaction": _read_transaction_stop,
        "MeterValues": _read_meter_values,
    },
    OPERATIONS,
    {
        "reservation": ("SupportedFeatureProfiles", "Reservation"),
        "local_list": ("SupportedFeatureProfiles", "LocalAuthListManagement"),
        "smart_charging": ("SupportedFeatureProfiles", "SmartCharging"),
        "firmware": ("SupportedFeatureProfiles", "FirmwareManagement"),
    },
)

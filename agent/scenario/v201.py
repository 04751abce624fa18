"""The scenario language in OCPP 2.0.1: what its frames show, and how the operations of a backend are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.scenario.frames import CALL, Frame
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
    "Occupied": frozenset({"occupied"}),
    "Reserved": frozenset({"reserved"}),
    "Unavailable": frozenset({"unavailable"}),
    "Faulted": frozenset({"faulted"}),
}
CHARGING_WORDS: Mapping[str, str] = {
    "Charging": "charging", "SuspendedEV": "suspended_vehicle", "SuspendedEVSE": "suspended_station",
    "EVConnected": "preparing", "Idle": "preparing",
}  # fmt: skip


def _read_status(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = frame.payload["evseId"]
    view.evse_view(evse).status = frame.payload["connectorStatus"]
    yield from _refresh_status_words(view, evse, frame)


def _refresh_status_words(view: StationView, evse: int, frame: Frame) -> Iterator[Observation]:
    """Derive the words of a status: OCPP 2.x says in two messages what 1.6 says in one."""
    one = view.evse_view(evse)
    words = set(STATUS_WORDS.get(one.status, frozenset()))
    if view.running_transaction(evse) is not None:
        words |= {CHARGING_WORDS[one.charging_state]} if one.charging_state in CHARGING_WORDS else set()
    elif one.status == "Occupied":
        words |= {"preparing", "finishing"}
    one.words = frozenset(words)
    yield from status_observation(view, evse, frame)


def _read_transaction_event(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    event, info = frame.payload, frame.payload["transactionInfo"]
    known = view.transactions.get(info["transactionId"])
    if known is None:
        known = view.transactions[info["transactionId"]] = TransactionView(info["transactionId"], 0)
    known.evse = outlet_number((event.get("evse") or {}).get("id", known.evse))
    known.token = known.token or (event.get("idToken") or {}).get("idToken", "")
    if "chargingState" in info:
        view.evse_view(known.evse).charging_state = info["chargingState"]
    for register_wh, _ in note_readings(view, known.evse, event.get("meterValue"), frame):
        known.start_wh = register_wh if known.start_wh is None else known.start_wh
        known.last_wh = register_wh
    kind = event["eventType"].lower()
    if kind == "ended":
        known.ended, known.reason = True, info.get("stoppedReason", "Local")
    yield transaction_observation(known, kind, frame)
    yield from _refresh_status_words(view, known.evse, frame)


def _read_meter_values(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind == CALL:
        list(note_readings(view, outlet_number(frame.payload["evseId"]), frame.payload["meterValue"], frame))
    yield from ()


SETTING_NAMES = {
    "sample_interval_s": "SampledDataCtrlr.TxUpdatedInterval",
    "heartbeat_interval_s": "OCPPCommCtrlr.HeartbeatInterval",
    "connection_timeout_s": "TxCtrlr.EVConnectionTimeOut",
    "stop_on_unplug_at_vehicle": "TxCtrlr.StopTxOnEVSideDisconnect",
    "authorize_remote": "AuthCtrlr.AuthorizeRemoteStart",
    "offline_unknown": "AuthCtrlr.OfflineTxForUnknownIdEnabled",
    "local_list_enabled": "LocalAuthListCtrlr.Enabled",
}
PURPOSES = {"station": "ChargingStationMaxProfile", "default": "TxDefaultProfile", "transaction": "TxProfile"}
AVAILABILITIES = {"operative": "Operative", "inoperative": "Inoperative"}
TOKEN = {"idToken": "$token", "type": "$token_type"}
PROFILE = {
    "id": "$id",
    "stackLevel": "$level",
    "chargingProfilePurpose": "$purpose",
    "chargingProfileKind": "$kind",
    "transactionId": "$transaction",
    "chargingSchedule": [
        {
            "id": 1,
            "duration": "$duration_s",
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": "$limit_a", "numberPhases": "$phases"}],
        }
    ],
}


def _name_variable(setting: Any) -> dict[str, Any]:
    """Return a setting, neutral or ``Component.Variable``, in the form of the messages."""
    component, _, variable = SETTING_NAMES.get(str(setting), str(setting)).partition(".")
    return {"component": {"name": component}, "variable": {"name": variable}}


def _name_station(evse: Any) -> Any:
    """Return None for EVSE 0: a request for the whole station has no EVSE."""
    return evse or None


OPERATIONS: Mapping[str, OperationForm] = {
    "remote_start": OperationForm(
        "RequestStartTransaction", {"evseId": "$evse", "remoteStartId": "$number", "idToken": TOKEN}
    ),
    "remote_stop": OperationForm("RequestStopTransaction", {"transactionId": "$transaction"}),
    "unlock": OperationForm("UnlockConnector", {"evseId": "$evse", "connectorId": 1}),
    "reset": OperationForm("Reset", {"type": "$how"}, words={"how": {"soft": "Immediate", "hard": "Immediate"}}),
    "availability": OperationForm(
        "ChangeAvailability",
        {"operationalStatus": "$availability", "evse": {"id": "$evse"}},
        words={"availability": AVAILABILITIES, "evse": _name_station},
    ),
    "reserve": OperationForm(
        "ReserveNow", {"id": "$id", "evseId": "$evse", "expiryDateTime": "$until", "idToken": TOKEN}
    ),
    "cancel_reservation": OperationForm("CancelReservation", {"reservationId": "$id"}),
    "local_list": OperationForm(
        "SendLocalList",
        {
            "versionNumber": "$version",
            "updateType": "Full",
            "localAuthorizationList": [{"idToken": TOKEN, "idTokenInfo": {"status": "$token_status"}}],
        },
    ),
    "empty_local_list": OperationForm("SendLocalList", {"versionNumber": "$version", "updateType": "Full"}),
    "local_list_version": OperationForm("GetLocalListVersion", {}, results={"version": "versionNumber"}),
    "clear_cache": OperationForm("ClearCache", {}),
    "get_setting": OperationForm(
        "GetVariables",
        {"getVariableData": ["$name"]},
        "getVariableResult[0].attributeStatus",
        {"name": _name_variable},
        {"value": "getVariableResult[0].attributeValue"},
    ),
    "set_setting": OperationForm(
        "SetVariables",
        {
            "setVariableData": [
                {"component": "$name.component", "variable": "$name.variable", "attributeValue": "$value"}
            ]
        },
        "setVariableResult[0].attributeStatus",
        {"name": _name_variable},
    ),
    "charging_profile": OperationForm(
        "SetChargingProfile", {"evseId": "$evse", "chargingProfile": PROFILE}, words={"purpose": PURPOSES}
    ),
    "clear_profiles": OperationForm("ClearChargingProfile", {"chargingProfileId": "$id"}),
    "composite_schedule": OperationForm(
        "GetCompositeSchedule",
        {"evseId": "$evse", "duration": "$duration_s", "chargingRateUnit": "A"},
        results={"limit_a": "schedule.chargingSchedulePeriod[0].limit"},
    ),
    "trigger": OperationForm(
        "TriggerMessage", {"requestedMessage": "$message", "evse": {"id": "$evse", "connectorId": "$connector"}}
    ),
    "diagnostics": OperationForm(
        "GetLog", {"requestId": "$id", "logType": "DiagnosticsLog", "log": {"remoteLocation": "$location"}}
    ),
    "data_transfer": OperationForm("DataTransfer", {"vendorId": "$vendor", "messageId": "$message", "data": "$data"}),
}
WORDS = VersionWords(
    {
        "StatusNotification": _read_status,
        "TransactionEvent": _read_transaction_event,
        "MeterValues": _read_meter_values,
    },
    OPERATIONS,
    {
        "reservation": ("ReservationCtrlr.Available", "true"),
        "local_list": ("LocalAuthListCtrlr.Available", "true"),
        "smart_charging": ("SmartChargingCtrlr.Available", "true"),
    },
)

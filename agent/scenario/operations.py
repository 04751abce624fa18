"""Operations of a backend in words that do not depend on the version of OCPP, as a table.

An operation has a form per version: the action, its payload, and where the status of the answer is. ``"$name"`` in a
payload is the parameter of that name; a key whose parameter is not given is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.matching import MISSING, value_at


@frozen
class OperationForm:
    """An operation in one version. ``words``: neutral values of parameters and what they are called in this version.

    ``results``: neutral names of values in the answer, and their paths.
    """

    action: str
    payload: Mapping[str, Any]
    status: str = "status"
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)


@frozen
class Operation:
    """``required`` and ``optional``: names of its parameters, optional ones with their default (None: left out)."""

    name: str
    meaning: str
    required: tuple[str, ...]
    optional: Mapping[str, Any]
    forms: Mapping[str, OperationForm]

    def parameters(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


class UnusableOperation(Exception):
    """An operation cannot be written in this version of OCPP with these parameters."""


def build_request(name: str, parameters: Mapping[str, Any], version: str) -> tuple[str, dict[str, Any], OperationForm]:
    """Return action, payload and form of an operation. Raises ``UnusableOperation``."""
    operation = OPERATIONS[name]
    form = operation.forms.get(version)
    if form is None:
        raise UnusableOperation(f"{name}: there is no such operation in OCPP {version}")
    values = {**operation.optional, **parameters}
    if "value" in values:
        values["value"] = _setting_text(values["value"])
    for parameter, words in form.words.items():
        given = values.get(parameter)
        if given is not None:
            values[parameter] = words[str(given)] if str(given) in words else _named_variable(given, words)
    payload = _fill_payload(form.payload, values)
    return form.action, {} if payload is _DROPPED else dict(payload), form


_DROPPED = object()


def _setting_text(value: Any) -> str:
    """Return the value of a setting as OCPP writes it: always a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named_variable(given: Any, words: Mapping[str, Any]) -> Any:
    """Return a setting that is named as in OCPP 2.x, ``Component.Variable``, in the form of the messages."""
    component, dot, variable = str(given).partition(".")
    if words is not _VARIABLE_201 or not dot:
        return given
    return {"component": {"name": component}, "variable": {"name": variable}}


def _fill_payload(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str) and template.startswith("$"):
        value = value_at(values, template[1:])
        return _DROPPED if value in (None, MISSING) else value
    if isinstance(template, Mapping):
        filled = {key: _fill_payload(inner, values) for key, inner in template.items()}
        kept = {key: inner for key, inner in filled.items() if inner is not _DROPPED}
        return _DROPPED if template and not kept else kept
    if isinstance(template, list):
        entries = [_fill_payload(inner, values) for inner in template]
        return [entry for entry in entries if entry is not _DROPPED]
    return template


_SETTINGS_16 = {
    "sample_interval_s": "MeterValueSampleInterval",
    "heartbeat_interval_s": "HeartbeatInterval",
    "connection_timeout_s": "ConnectionTimeOut",
    "stop_on_unplug_at_vehicle": "StopTransactionOnEVSideDisconnect",
    "authorize_remote": "AuthorizeRemoteTxRequests",
    "offline_unknown": "AllowOfflineTxForUnknownId",
    "local_list_enabled": "LocalAuthListEnabled",
}
_SETTINGS_201 = {
    "sample_interval_s": ("SampledDataCtrlr", "TxUpdatedInterval"),
    "heartbeat_interval_s": ("OCPPCommCtrlr", "HeartbeatInterval"),
    "connection_timeout_s": ("TxCtrlr", "EVConnectionTimeOut"),
    "stop_on_unplug_at_vehicle": ("TxCtrlr", "StopTxOnEVSideDisconnect"),
    "authorize_remote": ("AuthCtrlr", "AuthorizeRemoteStart"),
    "offline_unknown": ("AuthCtrlr", "OfflineTxForUnknownIdEnabled"),
    "local_list_enabled": ("LocalAuthListCtrlr", "Enabled"),
}
SETTINGS = tuple(_SETTINGS_16)
"""Settings with a name that does not depend on the version. A setting may be named as in OCPP as well."""
_VARIABLE_201 = {name: {"component": {"name": c}, "variable": {"name": v}} for name, (c, v) in _SETTINGS_201.items()}
_AVAILABILITY = {"availability": {"operative": "Operative", "inoperative": "Inoperative"}}
_PURPOSES = {"station": "ChargingStationMaxProfile", "default": "TxDefaultProfile", "transaction": "TxProfile"}
_SCHEDULE = [{"startPeriod": 0, "limit": "$limit_a", "numberPhases": "$phases"}]


def _profile(id_key: str, purpose_key: str, transaction: str, schedule: Any) -> dict[str, Any]:
    return {
        id_key: "$id", "stackLevel": "$level", purpose_key: "$purpose", "chargingProfileKind": "$kind",
        "transactionId": transaction, "chargingSchedule": schedule,
    }  # fmt: skip


_SCHEDULE_16 = {"chargingRateUnit": "A", "chargingSchedulePeriod": _SCHEDULE, "duration": "$duration_s"}
_SCHEDULE_201 = [{"id": 1, **_SCHEDULE_16}]

_ROWS = (
    Operation(
        "remote_start", "Start a transaction.", ("token",), {"evse": 1, "number": 1, "token_type": "Central"},
        {"1.6": OperationForm("RemoteStartTransaction", {"connectorId": "$evse", "idTag": "$token"}),
         "2.0.1": OperationForm("RequestStartTransaction", {
             "evseId": "$evse", "remoteStartId": "$number", "idToken": {"idToken": "$token", "type": "$token_type"}})},
    ),
    Operation(
        "remote_stop", "End a transaction.", ("transaction",), {},
        {"1.6": OperationForm("RemoteStopTransaction", {"transactionId": "$transaction"}),
         "2.0.1": OperationForm("RequestStopTransaction", {"transactionId": "$transaction"})},
    ),
    Operation(
        "unlock", "Unlock the connector.", (), {"evse": 1},
        {"1.6": OperationForm("UnlockConnector", {"connectorId": "$evse"}),
         "2.0.1": OperationForm("UnlockConnector", {"evseId": "$evse", "connectorId": 1})},
    ),
    Operation(
        "reset", "Restart the station: `soft` in order, `hard` at once.", ("how",), {},
        {"1.6": OperationForm("Reset", {"type": "$how"}, words={"how": {"soft": "Soft", "hard": "Hard"}}),
         "2.0.1": OperationForm("Reset", {"type": "$how"}, words={"how": {"soft": "Immediate", "hard": "Immediate"}})},
    ),
    Operation(
        "availability", "Take an outlet out of service (`inoperative`), or back (`operative`). `evse` 0: the station.",
        ("availability",), {"evse": 1},
        {"1.6": OperationForm(
            "ChangeAvailability", {"connectorId": "$evse", "type": "$availability"}, words=_AVAILABILITY),
         "2.0.1": OperationForm(
             "ChangeAvailability", {"operationalStatus": "$availability", "evse": {"id": "$evse"}},
             words={**_AVAILABILITY, "evse": {"0": None}})},
    ),
    Operation(
        "reserve", "Keep an outlet for a token until an instant.", ("id", "token", "until"),
        {"evse": 1, "token_type": "ISO14443"},
        {"1.6": OperationForm("ReserveNow", {
            "connectorId": "$evse", "expiryDate": "$until", "idTag": "$token", "reservationId": "$id"}),
         "2.0.1": OperationForm("ReserveNow", {
             "id": "$id", "evseId": "$evse", "expiryDateTime": "$until",
             "idToken": {"idToken": "$token", "type": "$token_type"}})},
    ),
    Operation(
        "cancel_reservation", "Give a reservation up.", ("id",), {},
        dict.fromkeys(("1.6", "2.0.1"), OperationForm("CancelReservation", {"reservationId": "$id"})),
    ),
    Operation(
        "local_list", "Replace the local authorization list by one token.", ("version", "token"),
        {"token_status": "Accepted", "token_type": "ISO14443"},
        {"1.6": OperationForm("SendLocalList", {
            "listVersion": "$version", "updateType": "Full",
            "localAuthorizationList": [{"idTag": "$token", "idTagInfo": {"status": "$token_status"}}]}),
         "2.0.1": OperationForm("SendLocalList", {
             "versionNumber": "$version", "updateType": "Full",
             "localAuthorizationList": [{"idToken": {"idToken": "$token", "type": "$token_type"},
                                         "idTokenInfo": {"status": "$token_status"}}]})},
    ),
    Operation(
        "empty_local_list", "Empty the local authorization list.", ("version",), {},
        {"1.6": OperationForm("SendLocalList", {"listVersion": "$version", "updateType": "Full"}),
         "2.0.1": OperationForm("SendLocalList", {"versionNumber": "$version", "updateType": "Full"})},
    ),
    Operation(
        "local_list_version", "Ask for the version of the local authorization list. Result: `version`.", (), {},
        {"1.6": OperationForm("GetLocalListVersion", {}, results={"version": "listVersion"}),
         "2.0.1": OperationForm("GetLocalListVersion", {}, results={"version": "versionNumber"})},
    ),
    Operation(
        "clear_cache", "Empty the authorization cache.", (), {},
        dict.fromkeys(("1.6", "2.0.1"), OperationForm("ClearCache", {})),
    ),
    Operation(
        "get_setting", "Read a setting. Result: `value`.", ("name",), {},
        {"1.6": OperationForm(
            "GetConfiguration", {"key": ["$name"]}, "configurationKey[0].key", {"name": _SETTINGS_16},
            {"value": "configurationKey[0].value"}),
         "2.0.1": OperationForm(
             "GetVariables", {"getVariableData": ["$name"]}, "getVariableResult[0].attributeStatus",
             {"name": _VARIABLE_201}, {"value": "getVariableResult[0].attributeValue"})},
    ),
    Operation(
        "set_setting", "Write a setting.", ("name", "value"), {},
        {"1.6": OperationForm(
            "ChangeConfiguration", {"key": "$name", "value": "$value"}, words={"name": _SETTINGS_16}),
         "2.0.1": OperationForm(
             "SetVariables",
             {"setVariableData": [{"component": "$name.component", "variable": "$name.variable",
                                   "attributeValue": "$value"}]},
             "setVariableResult[0].attributeStatus", {"name": _VARIABLE_201})},
    ),
    Operation(
        "charging_profile", "Limit the current. `purpose`: station, default or transaction.", ("limit_a",),
        {"evse": 1, "id": 1, "level": 0, "purpose": "default", "kind": "Relative", "transaction": None,
         "duration_s": None, "phases": None},
        {"1.6": OperationForm(
            "SetChargingProfile",
            {"connectorId": "$evse", "csChargingProfiles": _profile(
                "chargingProfileId", "chargingProfilePurpose", "$transaction", _SCHEDULE_16)},
            words={"purpose": {**_PURPOSES, "station": "ChargePointMaxProfile"}}),
         "2.0.1": OperationForm(
             "SetChargingProfile",
             {"evseId": "$evse", "chargingProfile": _profile(
                 "id", "chargingProfilePurpose", "$transaction", _SCHEDULE_201)},
             words={"purpose": _PURPOSES})},
    ),
    Operation(
        "clear_profiles", "Remove charging profiles: the one with `id`, or all.", (), {"id": None},
        {"1.6": OperationForm("ClearChargingProfile", {"id": "$id"}),
         "2.0.1": OperationForm("ClearChargingProfile", {"chargingProfileId": "$id"})},
    ),
    Operation(
        "composite_schedule", "Ask for the limits that result. Result: `limit_a` of the first period.", ("duration_s",),
        {"evse": 1},
        {"1.6": OperationForm(
            "GetCompositeSchedule", {"connectorId": "$evse", "duration": "$duration_s", "chargingRateUnit": "A"},
            results={"limit_a": "chargingSchedule.chargingSchedulePeriod[0].limit"}),
         "2.0.1": OperationForm(
             "GetCompositeSchedule", {"evseId": "$evse", "duration": "$duration_s", "chargingRateUnit": "A"},
             results={"limit_a": "schedule.chargingSchedulePeriod[0].limit"})},
    ),
    Operation(
        "trigger", "Ask the station to send a message.", ("message",), {"evse": None, "connector": None},
        {"1.6": OperationForm("TriggerMessage", {"requestedMessage": "$message", "connectorId": "$evse"}),
         "2.0.1": OperationForm("TriggerMessage", {
             "requestedMessage": "$message", "evse": {"id": "$evse", "connectorId": "$connector"}})},
    ),
    Operation(
        "diagnostics", "Have the station upload its log.", ("location",), {"id": 1},
        {"1.6": OperationForm("GetDiagnostics", {"location": "$location"}, "fileName"),
         "2.0.1": OperationForm("GetLog", {
             "requestId": "$id", "logType": "DiagnosticsLog", "log": {"remoteLocation": "$location"}})},
    ),
    Operation(
        "data_transfer", "Send something that OCPP does not define.", ("vendor",), {"message": None, "data": None},
        dict.fromkeys(("1.6", "2.0.1"), OperationForm(
            "DataTransfer", {"vendorId": "$vendor", "messageId": "$message", "data": "$data"})),
    ),
)  # fmt: skip
OPERATIONS: Mapping[str, Operation] = {row.name: row for row in _ROWS}

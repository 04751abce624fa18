"""OCPP 1.6 over SOAP: the elements of each operation, where they differ from those of 1.5 (decision 59). The security
extension is no part of it."""

from __future__ import annotations

from agent.ocpp.v15.soap_tables import (
    BOOT_FIELDS,
    CONNECTOR,
    ID_TAG_INFO,
    STATUS,
    TRANSACTION,
    TRANSACTION_END,
    point_in_time,
    text_elements,
    whole_number,
)
from agent.ocpp.v15.soap_tables import SERVICE as SERVICE_15
from agent.ocpp.wire.soap_body import BodyElement, ContentKind, SoapOperation, SoapService


def _group(name: str, parts: tuple[BodyElement, ...], is_list: bool = False) -> BodyElement:
    return BodyElement(name, ContentKind.GROUP, parts=parts, is_list=is_list)


_METER_VALUE = (
    point_in_time("timestamp"),
    _group(
        "sampledValue",
        text_elements("value", "context", "format", "measurand", "phase", "location", "unit"),
        is_list=True,
    ),
)
_PERIOD = (whole_number("startPeriod"), BodyElement("limit", ContentKind.NUMBER), whole_number("numberPhases"))
_SCHEDULE = _group(
    "chargingSchedule",
    (
        whole_number("duration"),
        point_in_time("startSchedule"),
        BodyElement("chargingRateUnit"),
        _group("chargingSchedulePeriod", _PERIOD, is_list=True),
        BodyElement("minChargingRate", ContentKind.NUMBER),
    ),
)
_PROFILE = (
    whole_number("chargingProfileId"), TRANSACTION, whole_number("stackLevel"),
    *text_elements("chargingProfilePurpose", "chargingProfileKind", "recurrencyKind"),
    point_in_time("validFrom"), point_in_time("validTo"), _SCHEDULE,
)  # fmt: skip

_CHANGED = {
    "BootNotification": SoapOperation(
        BOOT_FIELDS,
        # some central systems answer with the name of 1.5
        (
            *STATUS,
            point_in_time("currentTime"),
            whole_number("interval"),
            whole_number("heartbeatInterval", "interval"),
        ),
    ),
    "MeterValues": SoapOperation((CONNECTOR, TRANSACTION, _group("meterValue", _METER_VALUE, is_list=True))),
    "RemoteStartTransaction": SoapOperation(
        (BodyElement("idTag"), CONNECTOR, _group("chargingProfile", _PROFILE)), STATUS
    ),
    "SendLocalList": SoapOperation(
        (
            whole_number("listVersion"),
            _group("localAuthorizationList", (BodyElement("idTag"), ID_TAG_INFO), is_list=True),
            BodyElement("updateType"),
        ),
        STATUS,
    ),
    "StopTransaction": SoapOperation(
        (*TRANSACTION_END, BodyElement("reason"), _group("transactionData", _METER_VALUE, is_list=True)),
        (ID_TAG_INFO,),
    ),
    "ClearChargingProfile": SoapOperation(
        (whole_number("id"), CONNECTOR, BodyElement("chargingProfilePurpose"), whole_number("stackLevel")), STATUS
    ),
    "GetCompositeSchedule": SoapOperation(
        (CONNECTOR, whole_number("duration"), BodyElement("chargingRateUnit")),
        (*STATUS, CONNECTOR, point_in_time("scheduleStart"), _SCHEDULE),
    ),
    "SetChargingProfile": SoapOperation((CONNECTOR, _group("csChargingProfiles", _PROFILE)), STATUS),
    "TriggerMessage": SoapOperation((BodyElement("requestedMessage"), CONNECTOR), STATUS),
}

SERVICE = SoapService("urn://Ocpp/Cs/2015/10/", "urn://Ocpp/Cp/2015/10/", {**SERVICE_15.operations, **_CHANGED})

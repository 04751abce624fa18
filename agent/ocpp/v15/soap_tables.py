"""OCPP 1.5 on the wire: the elements of each operation in the order of the WSDL files, and the field of the payload
that each stands for. Payloads have the field names of 1.6."""

from __future__ import annotations

from agent.ocpp.wire.soap_body import BodyElement, ContentKind, SoapOperation, SoapService

CENTRAL_NAMESPACE = "urn://Ocpp/Cs/2012/06/"
STATION_NAMESPACE = "urn://Ocpp/Cp/2012/06/"


def text_elements(*names: str) -> tuple[BodyElement, ...]:
    return tuple(BodyElement(name) for name in names)


def whole_number(name: str, field: str = "") -> BodyElement:
    return BodyElement(name, ContentKind.WHOLE, field)


def point_in_time(name: str) -> BodyElement:
    return BodyElement(name, ContentKind.TIME)


STATUS = text_elements("status")
CONNECTOR, TRANSACTION = whole_number("connectorId"), whole_number("transactionId")
ID_TAG_INFO = BodyElement(
    "idTagInfo",
    ContentKind.GROUP,
    parts=(BodyElement("status"), point_in_time("expiryDate"), BodyElement("parentIdTag")),
)
BOOT_FIELDS = text_elements(
    "chargePointVendor", "chargePointModel", "chargePointSerialNumber", "chargeBoxSerialNumber", "firmwareVersion",
    "iccid", "imsi", "meterType", "meterSerialNumber",
)  # fmt: skip
TRANSACTION_START = (
    CONNECTOR, BodyElement("idTag"), point_in_time("timestamp"), whole_number("meterStart"),
)  # fmt: skip
TRANSACTION_END = (
    TRANSACTION, BodyElement("idTag"), point_in_time("timestamp"), whole_number("meterStop"),
)  # fmt: skip
_SAMPLED_VALUE = BodyElement(
    "value",
    ContentKind.VALUE,
    "sampledValue",
    text_elements("context", "format", "measurand", "location", "unit"),
    True,
)
_METER_VALUE = (point_in_time("timestamp"), _SAMPLED_VALUE)
_RETRIES = (whole_number("retries"), whole_number("retryInterval"))
_DATA_TRANSFER = SoapOperation(text_elements("vendorId", "messageId", "data"), text_elements("status", "data"))

_OF_STATION = {
    "Authorize": SoapOperation(text_elements("idTag"), (ID_TAG_INFO,)),
    "BootNotification": SoapOperation(
        BOOT_FIELDS,
        (*STATUS, point_in_time("currentTime"), whole_number("heartbeatInterval", "interval")),
    ),
    "DataTransfer": _DATA_TRANSFER,
    "DiagnosticsStatusNotification": SoapOperation(STATUS),
    "FirmwareStatusNotification": SoapOperation(STATUS),
    "Heartbeat": SoapOperation((), (point_in_time("currentTime"),)),
    "MeterValues": SoapOperation((
        CONNECTOR,
        TRANSACTION,
        BodyElement("values", ContentKind.GROUP, "meterValue", _METER_VALUE, True),
    )),
    "StartTransaction": SoapOperation(
        (*TRANSACTION_START, whole_number("reservationId")),
        (TRANSACTION, ID_TAG_INFO),
    ),
    "StatusNotification": SoapOperation((
        CONNECTOR, *text_elements("status", "errorCode", "info"), point_in_time("timestamp"),
        *text_elements("vendorId", "vendorErrorCode"),
    )),
    "StopTransaction": SoapOperation(
        (
            *TRANSACTION_END,
            BodyElement("values", ContentKind.GROUP, "transactionData", _METER_VALUE, True, "transactionData"),
        ),
        (ID_TAG_INFO,),
    ),
}  # fmt: skip

_OF_CENTRAL_SYSTEM = {
    "CancelReservation": SoapOperation((whole_number("reservationId"),), STATUS),
    "ChangeAvailability": SoapOperation((CONNECTOR, BodyElement("type")), STATUS),
    "ChangeConfiguration": SoapOperation(text_elements("key", "value"), STATUS),
    "ClearCache": SoapOperation((), STATUS),
    "GetConfiguration": SoapOperation(
        (BodyElement("key", is_list=True),),
        (
            BodyElement(
                "configurationKey",
                ContentKind.GROUP,
                parts=(BodyElement("key"), BodyElement("readonly", ContentKind.TRUTH), BodyElement("value")),
                is_list=True,
            ),
            BodyElement("unknownKey", is_list=True),
        ),
    ),
    "GetDiagnostics": SoapOperation(
        (BodyElement("location"), point_in_time("startTime"), point_in_time("stopTime"), *_RETRIES),
        text_elements("fileName"),
    ),
    "GetLocalListVersion": SoapOperation((), (whole_number("listVersion"),)),
    "RemoteStartTransaction": SoapOperation((BodyElement("idTag"), CONNECTOR), STATUS),
    "RemoteStopTransaction": SoapOperation((TRANSACTION,), STATUS),
    "ReserveNow": SoapOperation(
        (
            CONNECTOR, point_in_time("expiryDate"), *text_elements("idTag", "parentIdTag"),
            whole_number("reservationId"),
        ),
        STATUS,
    ),
    "Reset": SoapOperation(text_elements("type"), STATUS),
    "SendLocalList": SoapOperation(
        (
            BodyElement("updateType"),
            whole_number("listVersion"),
            BodyElement(
                "localAuthorisationList", ContentKind.GROUP, "localAuthorizationList",
                (BodyElement("idTag"), ID_TAG_INFO), True,
            ),
            BodyElement("hash"),
        ),
        text_elements("status", "hash"),
    ),
    "UnlockConnector": SoapOperation((CONNECTOR,), STATUS),
    "UpdateFirmware": SoapOperation((point_in_time("retrieveDate"), BodyElement("location"), *_RETRIES)),
}  # fmt: skip

SERVICE = SoapService(CENTRAL_NAMESPACE, STATION_NAMESPACE, {**_OF_STATION, **_OF_CENTRAL_SYSTEM})

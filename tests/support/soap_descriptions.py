"""Descriptions of OCPP 1.2, 1.5 and 1.6 over SOAP that the agent does not have: the two services of each as WSDL, made
from tables of their own.

The official files permit use without modifications and are not in this repository. Where ``OCPP15_WSDL_DIR`` names the
folder that has those of 1.5, they take the place of the description; ``tests/ocpp/test_soap_description.py`` holds the
two against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OFFICIAL = os.environ.get("OCPP15_WSDL_DIR", "")
OFFICIAL_FILES = {
    "central": "ocpp_centralsystemservice_1.5_final.wsdl",
    "station": "ocpp_chargepointservice_1.5_final.wsdl",
}
SIDES = ("central", "station")
SERVICES = {"central": "CentralSystemService", "station": "ChargePointService"}


@dataclass(frozen=True)
class Description:
    """``words``: enumerations. ``records``: fields of groups. ``operations``: by side and action, the fields of request
    and answer. A field is NAME:KIND, with ? for one that may be missing, * for any number, + for one or more."""

    year: str
    words: Mapping[str, str]
    records: Mapping[str, str]
    operations: Mapping[str, Mapping[str, tuple[str, str]]]

    def namespace(self, side: str) -> str:
        return f"urn://Ocpp/{'Cs' if side == 'central' else 'Cp'}/{self.year}/"


# --- 1.5 -------------------------------------------------------------------------------------------------------------

_ENERGY = " ".join(f"Energy.{k}.{w}.{x}" for k in ("Active", "Reactive") for w in ("Export", "Import")
                   for x in ("Register", "Interval"))  # fmt: skip
_POWER = " ".join(f"Power.{k}.{w}" for k in ("Active", "Reactive") for w in ("Export", "Import"))
WORDS = {
    "Authorization": "Accepted Blocked Expired Invalid ConcurrentTx",
    "YesNo": "Accepted Rejected",
    "Context": "Interruption.Begin Interruption.End Sample.Clock Sample.Periodic Transaction.Begin Transaction.End",
    "Measurand": f"{_ENERGY} {_POWER} Current.Export Current.Import Voltage Temperature",
    "Format": "Raw SignedData",
    "Unit": "Wh kWh varh kvarh W kW var kvar Amp Volt Celsius",
    "Location": "Inlet Outlet Body",
    "Error": (
        "ConnectorLockFailure HighTemperature Mode3Error NoError PowerMeterFailure PowerSwitchFailure ReaderFailure "
        "ResetFailure GroundFailure OverCurrentFailure UnderVoltage WeakSignal OtherError"
    ),
    "Status": "Available Occupied Faulted Unavailable Reserved",
    "Firmware": "Downloaded DownloadFailed InstallationFailed Installed",
    "Upload": "Uploaded UploadFailed",
    "Transfer": "Accepted Rejected UnknownMessageId UnknownVendorId",
    "ResetType": "Hard Soft",
    "Operation": "Inoperative Operative",
    "Availability": "Accepted Rejected Scheduled",
    "Configuration": "Accepted Rejected NotSupported",
    "Reservation": "Accepted Faulted Occupied Rejected Unavailable",
    "Update": "Differential Full",
    "UpdateStatus": "Accepted Failed HashError NotSupported VersionMismatch",
}
LENGTHS = {"Text20": 20, "Text25": 25, "Text50": 50}
RECORDS = {
    "IdTagInfo": "status:Authorization expiryDate:dateTime? parentIdTag:Text20?",
    "MeterValue": "timestamp:dateTime value:Sample+",
    "TransactionData": "values:MeterValue*",
    "KeyValue": "key:string readonly:boolean value:string?",
    "ListEntry": "idTag:Text20 idTagInfo:IdTagInfo?",
}
SAMPLE = {"context": "Context", "format": "Format", "measurand": "Measurand", "location": "Location", "unit": "Unit"}
"""The attributes of the text that a sampled value is."""
_YES_NO, _RETRIES = "status:YesNo", "retries:int? retryInterval:int?"
_TRANSFER = ("vendorId:string messageId:string? data:string?", "status:Transfer data:string?")
OPERATIONS = {
    "central": {
        "Authorize": ("idTag:Text20", "idTagInfo:IdTagInfo"),
        "BootNotification": (
            "chargePointVendor:Text20 chargePointModel:Text20 chargePointSerialNumber:Text25? "
            "chargeBoxSerialNumber:Text25? firmwareVersion:Text50? iccid:Text20? imsi:Text20? meterType:Text25? "
            "meterSerialNumber:Text25?",
            "status:YesNo currentTime:dateTime heartbeatInterval:int",
        ),
        "DataTransfer": _TRANSFER,
        "DiagnosticsStatusNotification": ("status:Upload", ""),
        "FirmwareStatusNotification": ("status:Firmware", ""),
        "Heartbeat": ("", "currentTime:dateTime"),
        "MeterValues": ("connectorId:int transactionId:int? values:MeterValue*", ""),
        "StartTransaction": (
            "connectorId:int idTag:Text20 timestamp:dateTime meterStart:int reservationId:int?",
            "transactionId:int idTagInfo:IdTagInfo",
        ),
        "StatusNotification": (
            "connectorId:int status:Status errorCode:Error info:string? timestamp:dateTime? vendorId:string? "
            "vendorErrorCode:string?",
            "",
        ),
        "StopTransaction": (
            "transactionId:int idTag:Text20? timestamp:dateTime meterStop:int transactionData:TransactionData*",
            "idTagInfo:IdTagInfo?",
        ),
    },
    "station": {
        "CancelReservation": ("reservationId:int", _YES_NO),
        "ChangeAvailability": ("connectorId:int type:Operation", "status:Availability"),
        "ChangeConfiguration": ("key:string value:string", "status:Configuration"),
        "ClearCache": ("", _YES_NO),
        "DataTransfer": _TRANSFER,
        "GetConfiguration": ("key:string*", "configurationKey:KeyValue* unknownKey:string*"),
        "GetDiagnostics": (f"location:anyURI startTime:dateTime? stopTime:dateTime? {_RETRIES}", "fileName:string?"),
        "GetLocalListVersion": ("", "listVersion:int"),
        "RemoteStartTransaction": ("idTag:Text20 connectorId:int?", _YES_NO),
        "RemoteStopTransaction": ("transactionId:int", _YES_NO),
        "ReserveNow": (
            "connectorId:int expiryDate:dateTime idTag:Text20 parentIdTag:Text20? reservationId:int",
            "status:Reservation",
        ),
        "Reset": ("type:ResetType", _YES_NO),
        "SendLocalList": (
            "updateType:Update listVersion:int localAuthorisationList:ListEntry* hash:string?",
            "status:UpdateStatus hash:string?",
        ),
        "UnlockConnector": ("connectorId:int", _YES_NO),
        "UpdateFirmware": (f"retrieveDate:dateTime location:anyURI {_RETRIES}", ""),
    },
}
OF_15 = Description("2012/06", WORDS, RECORDS, OPERATIONS)

# --- 1.2 and 1.6, by difference --------------------------------------------------------------------------------------


def _changed(side: str, without: str, **changes: tuple[str, str]) -> dict[str, tuple[str, str]]:
    kept = {action: bodies for action, bodies in OPERATIONS[side].items() if action not in without.split()}
    return {**kept, **changes}


OF_12 = Description(
    "2010/08",
    {
        **WORDS,
        "Status": "Available Occupied Faulted Unavailable",
        "Error": (
            "ConnectorLockFailure HighTemperature Mode3Error NoError PowerMeterFailure PowerSwitchFailure "
            "ReaderFailure ResetFailure"
        ),
    },
    {"IdTagInfo": RECORDS["IdTagInfo"], "MeterValue": "timestamp:dateTime value:int"},
    {
        "central": _changed(
            "central",
            "DataTransfer",
            BootNotification=(
                OPERATIONS["central"]["BootNotification"][0],
                "status:YesNo currentTime:dateTime? heartbeatInterval:int?",
            ),
            MeterValues=("connectorId:int values:MeterValue*", ""),
            StartTransaction=(
                "connectorId:int idTag:Text20 timestamp:dateTime meterStart:int",
                "transactionId:int idTagInfo:IdTagInfo",
            ),
            StatusNotification=("connectorId:int status:Status errorCode:Error", ""),
            StopTransaction=(
                "transactionId:int idTag:Text20? timestamp:dateTime meterStop:int",
                "idTagInfo:IdTagInfo?",
            ),
        ),
        "station": _changed(
            "station",
            "CancelReservation DataTransfer GetConfiguration GetLocalListVersion ReserveNow SendLocalList",
        ),
    },
)
_PROFILE = (
    "chargingProfileId:int transactionId:int? stackLevel:int chargingProfilePurpose:Purpose "
    "chargingProfileKind:ProfileKind recurrencyKind:Recurrency? validFrom:dateTime? validTo:dateTime? "
    "chargingSchedule:Schedule"
)
OF_16 = Description(
    "2015/10",
    {
        **WORDS,
        "Registration": "Accepted Pending Rejected",
        "Context": f"{WORDS['Context']} Trigger Other",
        "Measurand": f"{WORDS['Measurand']} Current.Offered Frequency Power.Factor Power.Offered RPM SoC",
        "Phase": "L1 L2 L3 N L1-N L2-N L3-N L1-L2 L2-L3 L3-L1",
        "Location": "Body Cable EV Inlet Outlet",
        "Unit": "Wh kWh varh kvarh W kW VA kVA var kvar A V K Celsius Fahrenheit Percent",
        "Error": (
            "ConnectorLockFailure EVCommunicationError GroundFailure HighTemperature InternalError LocalListConflict "
            "NoError OtherError OverCurrentFailure OverVoltage PowerMeterFailure PowerSwitchFailure ReaderFailure "
            "ResetFailure UnderVoltage WeakSignal"
        ),
        "Status": ("Available Preparing Charging SuspendedEVSE SuspendedEV Finishing Reserved Faulted Unavailable"),
        "Firmware": "Downloaded DownloadFailed Downloading Idle InstallationFailed Installing Installed",
        "Upload": "Idle Uploaded UploadFailed Uploading",
        "Reason": (
            "EmergencyStop EVDisconnected HardReset Local Other PowerLoss Reboot Remote SoftReset UnlockCommand "
            "DeAuthorized"
        ),
        "Configuration": "Accepted NotSupported Rejected RebootRequired",
        "UpdateStatus": "Accepted Failed NotSupported VersionMismatch",
        "Unlock": "NotSupported UnlockFailed Unlocked",
        "Purpose": "ChargePointMaxProfile TxDefaultProfile TxProfile",
        "ProfileKind": "Absolute Recurring Relative",
        "Recurrency": "Daily Weekly",
        "RateUnit": "A W",
        "ProfileStatus": "Accepted NotSupported Rejected",
        "Clearing": "Accepted Unknown",
        "Trigger": (
            "BootNotification DiagnosticsStatusNotification FirmwareStatusNotification Heartbeat MeterValues "
            "StatusNotification"
        ),
        "Triggered": "Accepted NotImplemented Rejected",
    },
    {
        "IdTagInfo": RECORDS["IdTagInfo"],
        "SampledValue": (
            "value:string context:Context? format:Format? measurand:Measurand? phase:Phase? location:Location? "
            "unit:Unit?"
        ),
        "MeterValue": "timestamp:dateTime sampledValue:SampledValue+",
        "KeyValue": RECORDS["KeyValue"],
        "ListEntry": RECORDS["ListEntry"],
        "Period": "startPeriod:int limit:decimal numberPhases:int?",
        "Schedule": (
            "duration:int? startSchedule:dateTime? chargingRateUnit:RateUnit chargingSchedulePeriod:Period+ "
            "minChargingRate:decimal?"
        ),
        "Profile": _PROFILE,
    },
    {
        "central": _changed(
            "central",
            "",
            BootNotification=(
                OPERATIONS["central"]["BootNotification"][0],
                "status:Registration currentTime:dateTime interval:int",
            ),
            MeterValues=("connectorId:int transactionId:int? meterValue:MeterValue+", ""),
            StopTransaction=(
                "transactionId:int idTag:Text20? timestamp:dateTime meterStop:int reason:Reason? "
                "transactionData:MeterValue*",
                "idTagInfo:IdTagInfo?",
            ),
        ),
        "station": _changed(
            "station",
            "",
            ClearChargingProfile=(
                "id:int? connectorId:int? chargingProfilePurpose:Purpose? stackLevel:int?",
                "status:Clearing",
            ),
            GetCompositeSchedule=(
                "connectorId:int duration:int chargingRateUnit:RateUnit?",
                "status:YesNo connectorId:int? scheduleStart:dateTime? chargingSchedule:Schedule?",
            ),
            RemoteStartTransaction=("idTag:Text20 connectorId:int? chargingProfile:Profile?", _YES_NO),
            SendLocalList=(
                "listVersion:int localAuthorizationList:ListEntry* updateType:Update",
                "status:UpdateStatus",
            ),
            SetChargingProfile=("connectorId:int csChargingProfiles:Profile", "status:ProfileStatus"),
            TriggerMessage=("requestedMessage:Trigger connectorId:int?", "status:Triggered"),
            UnlockConnector=("connectorId:int", "status:Unlock"),
        ),
    },
)
DESCRIPTIONS = {"1.2": OF_12, "1.5": OF_15, "1.6": OF_16}

# --- as WSDL ---------------------------------------------------------------------------------------------------------

BUILT_IN = ("string", "int", "boolean", "dateTime", "anyURI", "decimal")
OCCURRENCES = {"?": (0, "1"), "*": (0, "unbounded"), "+": (1, "unbounded")}


def description_file(version: str, side: str, folder: Path) -> Path:
    """The WSDL file of one service (``central``, ``station``): the official one, or ours, written to the folder."""
    if OFFICIAL and version == "1.5":
        return Path(OFFICIAL) / OFFICIAL_FILES[side]
    path = folder / f"{side}.wsdl"
    path.write_text(wsdl_text(version, side), "utf-8")
    return path


def element_names(action: str) -> tuple[str, str]:
    stem = action[0].lower() + action[1:]
    return f"{stem}Request", f"{stem}Response"


def wsdl_text(version: str, side: str) -> str:
    described = DESCRIPTIONS[version]
    actions, namespace = list(described.operations[side]), described.namespace(side)
    parts = [*_types(described, side), *_messages(actions), *_port(side, actions), *_binding(side, actions)]
    head = (
        '<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://www.w3.org/2001/XMLSchema" '
        'xmlns:p="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:a="http://www.w3.org/2006/05/addressing/wsdl" '
        f'xmlns:t="{namespace}" targetNamespace="{namespace}">'
    )
    return "\n".join([head, *parts, "</w:definitions>"])


def _types(described: Description, side: str) -> list[str]:
    lines = [f'<w:types><s:schema targetNamespace="{described.namespace(side)}" elementFormDefault="qualified">']
    for name, words in described.words.items():
        options = "".join(f'<s:enumeration value="{word}"/>' for word in words.split())
        lines.append(
            f'<s:simpleType name="{name}"><s:restriction base="s:string">{options}</s:restriction></s:simpleType>'
        )
    for name, most in LENGTHS.items():
        lines.append(
            f'<s:simpleType name="{name}"><s:restriction base="s:string"><s:maxLength value="{most}"/></s:restriction>'
            "</s:simpleType>"
        )
    attributes = "".join(f'<s:attribute name="{name}" type="t:{kind}"/>' for name, kind in SAMPLE.items())
    lines.append(
        f'<s:complexType name="Sample"><s:simpleContent><s:extension base="s:string">{attributes}</s:extension>'
        "</s:simpleContent></s:complexType>"
    )
    lines += [
        f'<s:complexType name="{name}">{_sequence(fields)}</s:complexType>'
        for name, fields in described.records.items()
    ]
    lines.append('<s:element name="chargeBoxIdentity" type="s:string"/>')
    for action, bodies in described.operations[side].items():
        for name, fields in zip(element_names(action), bodies, strict=True):
            lines.append(f'<s:element name="{name}"><s:complexType>{_sequence(fields)}</s:complexType></s:element>')
    return [*lines, "</s:schema></w:types>"]


def _sequence(fields: str) -> str:
    return f"<s:sequence>{''.join(map(_field, fields.split()))}</s:sequence>" if fields else ""


def _field(field: str) -> str:
    name, _, kind = field.partition(":")
    least, most = OCCURRENCES.get(kind[-1], (1, "1"))
    kind = kind.rstrip("?*+")
    prefix = "s" if kind in BUILT_IN else "t"
    return f'<s:element name="{name}" type="{prefix}:{kind}" minOccurs="{least}" maxOccurs="{most}"/>'


def _messages(actions: list[str]) -> list[str]:
    lines = ['<w:message name="Header"><w:part name="ChargeBoxIdentity" element="t:chargeBoxIdentity"/></w:message>']
    for action in actions:
        for name, way in zip(element_names(action), ("Input", "Output"), strict=True):
            lines.append(f'<w:message name="{action}{way}"><w:part name="parameters" element="t:{name}"/></w:message>')
    return lines


def _port(side: str, actions: list[str]) -> list[str]:
    operations = [
        f'<w:operation name="{action}"><w:input message="t:{action}Input" a:Action="/{action}"/>'
        f'<w:output message="t:{action}Output" a:Action="/{action}Response"/></w:operation>'
        for action in actions
    ]
    return [f'<w:portType name="{SERVICES[side]}">', *operations, "</w:portType>"]


def _binding(side: str, actions: list[str]) -> list[str]:
    name = SERVICES[side]
    operations = [
        f'<w:operation name="{action}"><p:operation soapAction="/{action}" style="document"/><w:input>'
        '<p:header use="literal" message="t:Header" part="ChargeBoxIdentity"/><p:body use="literal"/></w:input>'
        '<w:output><p:body use="literal"/></w:output></w:operation>'
        for action in actions
    ]
    return [
        f'<w:binding name="{name}Soap" type="t:{name}"><p:binding transport="http://schemas.xmlsoap.org/soap/http"/>',
        *operations,
        "</w:binding>",
        f'<w:service name="{name}"><w:port name="{name}Soap12" binding="t:{name}Soap">'
        '<p:address location="http://localhost/"/></w:port></w:service>',
    ]


# --- examples --------------------------------------------------------------------------------------------------------

EXAMPLES: dict[str, object] = {
    "string": 'a <text> & "quotes" é',
    "int": 42,
    "boolean": True,
    "decimal": 16.5,
    "dateTime": "2026-11-25T10:00:00.250Z",
    "anyURI": "ftp://example.org/folder/",
    "Text20": "04A1B2C3D4E5F6A1B2C3",
    "Text25": "serial-25-characters-----",
    "Text50": "version",
}


def example_fields(version: str, side: str, action: str, is_answer: bool, whole: bool) -> dict[str, object]:
    """Fields of a message that the description permits: all of them, or as few as possible."""
    described = DESCRIPTIONS[version]
    return _example_record(described, described.operations[side][action][is_answer], whole)


def _example_record(described: Description, fields: str, whole: bool) -> dict[str, object]:
    made: dict[str, object] = {}
    for field in fields.split():
        name, _, kind = field.partition(":")
        least, most = OCCURRENCES.get(kind[-1], (1, "1"))
        if not least and not whole:
            continue
        one = _example_value(described, kind.rstrip("?*+"), whole)
        again = () if kind.startswith("TransactionData") else (one,)  # one with all values says the same as several
        made[name] = [one, *again] if most != "1" else one
    return made


def _example_value(described: Description, kind: str, whole: bool) -> object:
    if kind in described.records:
        return _example_record(described, described.records[kind], whole)
    if kind == "Sample":
        attributes = {name: WORDS[words].split()[-1] for name, words in SAMPLE.items()}
        return {"_value_1": "230.5", **(attributes if whole else {})}
    return described.words[kind].split()[-1] if kind in described.words else EXAMPLES[kind]

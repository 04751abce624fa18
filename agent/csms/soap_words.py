"""OCPP 1.2, 1.5 and 1.6 over SOAP in the words of 1.6 JSON, for the test central system. It shares no table with the
agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
WHOLE = frozenset({
    "connectorId", "duration", "listVersion", "meterStart", "meterStop", "numberPhases", "reservationId", "startPeriod",
    "transactionId",
})  # fmt: skip
DECIMAL = frozenset({"limit", "minChargingRate"})
LISTS = frozenset({
    "chargingSchedulePeriod", "configurationKey", "meterValue", "sampledValue", "transactionData", "unknownKey",
})  # fmt: skip
UNITS = {"Amp": "A", "Volt": "V"}
UNLOCKED = {"Accepted": "Unlocked", "Rejected": "UnlockFailed"}
ORDER: Mapping[str, str] = {
    "AuthorizeResponse": "idTagInfo",
    "BootNotificationResponse": "status currentTime interval",
    "DataTransferResponse": "status data",
    "HeartbeatResponse": "currentTime",
    "StartTransactionResponse": "transactionId idTagInfo",
    "StopTransactionResponse": "idTagInfo",
    "CancelReservationRequest": "reservationId",
    "ChangeAvailabilityRequest": "connectorId type",
    "ChangeConfigurationRequest": "key value",
    "DataTransferRequest": "vendorId messageId data",
    "GetConfigurationRequest": "key",
    "GetDiagnosticsRequest": "location startTime stopTime retries retryInterval",
    "RemoteStartTransactionRequest": "idTag connectorId",
    "RemoteStopTransactionRequest": "transactionId",
    "ReserveNowRequest": "connectorId expiryDate idTag parentIdTag reservationId",
    "ResetRequest": "type",
    "SendLocalListRequest": "updateType listVersion localAuthorizationList",
    "UnlockConnectorRequest": "connectorId",
    "UpdateFirmwareRequest": "retrieveDate location retries retryInterval",
    "idTagInfo": "status expiryDate parentIdTag",
    "localAuthorizationList": "idTag idTagInfo",
}
"""The fields of a message or a group in the order of the wire; others have none."""
_PROFILE = (
    "chargingProfileId transactionId stackLevel chargingProfilePurpose chargingProfileKind recurrencyKind validFrom "
    "validTo chargingSchedule"
)
ORDER_OF_16: Mapping[str, str] = {
    **ORDER,
    "ClearChargingProfileRequest": "id connectorId chargingProfilePurpose stackLevel",
    "GetCompositeScheduleRequest": "connectorId duration chargingRateUnit",
    "RemoteStartTransactionRequest": "idTag connectorId chargingProfile",
    "SendLocalListRequest": "listVersion localAuthorizationList updateType",
    "SetChargingProfileRequest": "connectorId csChargingProfiles",
    "TriggerMessageRequest": "requestedMessage connectorId",
    "chargingProfile": _PROFILE,
    "csChargingProfiles": _PROFILE,
    "chargingSchedule": "duration startSchedule chargingRateUnit chargingSchedulePeriod minChargingRate",
    "chargingSchedulePeriod": "startPeriod limit numberPhases",
}
OLD_NAMES = {"interval": "heartbeatInterval", "localAuthorizationList": "localAuthorisationList"}
"""What 1.2 and 1.5 call a field."""


class NotReadable(Exception):
    """These octets are no message of OCPP over SOAP; ``str()`` is one line."""


# --- reading ---------------------------------------------------------------------------------------------------------


def _short_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _add_old_field(found: dict[str, Any], name: str, child: Element) -> bool:
    """Add a field that 1.2 and 1.5 write otherwise than 1.6. Return False for any other field."""
    if name == "values":
        found.setdefault("meterValue", []).append(_read_moment(child))
    elif name == "transactionData":
        found.setdefault("transactionData", []).extend(_read_moment(moment) for moment in child)
    else:
        return False
    return True


def _add_new_field(found: dict[str, Any], name: str, child: Element) -> bool:
    """Return False: 1.6 writes every field as its JSON has it."""
    return False


def _read_moment(element: Element) -> dict[str, Any]:
    moment: dict[str, Any] = {"sampledValue": []}
    for child in element:
        if _short_name(child) == "timestamp":
            moment["timestamp"] = child.text or ""
        else:
            unit = {"unit": UNITS.get(child.attrib["unit"], child.attrib["unit"])} if "unit" in child.attrib else {}
            moment["sampledValue"].append({**child.attrib, **unit, "value": child.text or ""})
    return moment


@dataclass(frozen=True, slots=True)
class SoapVersion:
    """One version of OCPP over SOAP. ``station_class``: of the test central system. ``wire_names``: of fields that have
    another name in JSON."""

    name: str
    year: str
    station_class: str
    order: Mapping[str, str]
    wire_names: Mapping[str, str] = field(default_factory=dict)
    unlock_words: Mapping[str, str] = field(default_factory=dict)
    add_field: Callable[[dict[str, Any], str, Element], bool] = _add_new_field

    @property
    def to_central(self) -> str:
        """The namespace of what a central system receives, and of its answers."""
        return f"urn://Ocpp/Cs/{self.year}/"

    @property
    def to_station(self) -> str:
        """The namespace of what a station receives, and of its answers."""
        return f"urn://Ocpp/Cp/{self.year}/"


_OLD: dict[str, Any] = {"wire_names": OLD_NAMES, "unlock_words": UNLOCKED, "add_field": _add_old_field}
VERSIONS: Mapping[str, SoapVersion] = {
    version.name: version
    for version in (
        SoapVersion("1.6", "2015/10", "agent.csms.soap_stations:Station16S", ORDER_OF_16),
        SoapVersion("1.5", "2012/06", "agent.csms.soap_stations:Station15", ORDER, **_OLD),
        SoapVersion("1.2", "2010/08", "agent.csms.soap_stations:Station12", ORDER, **_OLD),
    )
}
"""By name, the newest first."""


class SoapMessage:
    """A message that came in. ``name``: of the element in its body; ``version`` None: of no version that is known;
    ``fault``: its text, "" for none."""

    def __init__(self, octets: bytes) -> None:
        root = _parse_envelope(octets)
        self.headers = {_short_name(e): "".join(e.itertext()).strip() for e in root.iterfind(f"{{{SOAP}}}Header/*")}
        body = next(root.iterfind(f"{{{SOAP}}}Body/*"), None)
        if body is None:
            raise NotReadable("an envelope without content")
        self.name = _short_name(body)
        self.version = _version_of(body)
        self.fault = "".join(body.itertext()).strip() or "a fault" if self.name == "Fault" else ""
        self.payload = {} if self.fault or self.version is None else _read_fields(body, self.version)

    @property
    def action(self) -> str:
        """The action that the element stands for."""
        stem = self.name.removesuffix("Request").removesuffix("Response")
        return stem[:1].upper() + stem[1:]


def _version_of(body: Element) -> SoapVersion | None:
    namespace = body.tag[1:].rpartition("}")[0]
    return next((v for v in VERSIONS.values() if namespace in (v.to_central, v.to_station)), None)


def _parse_envelope(octets: bytes) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(octets, forbid_dtd=True)
    except (SyntaxError, ValueError, LookupError, DefusedXmlException) as e:
        raise NotReadable(f"no XML, or XML that is refused ({type(e).__name__})") from e
    if root.tag != f"{{{SOAP}}}Envelope":
        raise NotReadable("no envelope of SOAP 1.2")
    return root


def _read_fields(element: Element, version: SoapVersion) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = _short_name(child)
        if version.add_field(found, name, child):
            continue
        content = _read_fields(child, version) if len(child) else _read_leaf(name, child.text or "")
        if name in LISTS:
            found.setdefault(name, []).append(content)
        else:
            found[name] = content
    return found


def _read_leaf(name: str, text: str) -> Any:
    if name == "readonly":
        return text.strip() in ("true", "1")
    try:
        return int(text) if name in WHOLE else float(text) if name in DECIMAL else text
    except ValueError:
        return text


# --- writing ---------------------------------------------------------------------------------------------------------


def write_request(version: SoapVersion, action: str, payload: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """Write a request for a station. ``headers``: chargeBoxIdentity and those of addressing."""
    return _write_message(version, version.to_station, f"{action}Request", payload, headers)


def write_response(version: SoapVersion, action: str, payload: Mapping[str, Any], relates_to: str) -> bytes:
    """Write the answer to a request of a station."""
    headers = {"Action": f"/{action}Response", "RelatesTo": relates_to}
    return _write_message(version, version.to_central, f"{action}Response", payload, headers)


def _write_message(
    version: SoapVersion, namespace: str, name: str, payload: Mapping[str, Any], headers: Mapping[str, str]
) -> bytes:
    root = Element(f"{{{SOAP}}}Envelope")
    header = SubElement(root, f"{{{SOAP}}}Header")
    for key, text in headers.items():
        where = namespace if key == "chargeBoxIdentity" else ADDRESSING
        SubElement(header, f"{{{where}}}{key}").text = text
    body = SubElement(SubElement(root, f"{{{SOAP}}}Body"), f"{{{namespace}}}{name[:1].lower()}{name[1:]}")
    _write_fields(body, version, namespace, name, payload)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def write_fault(reason: str, relates_to: str, code: str = "Receiver", subcode: str = "", namespace: str = "") -> bytes:
    """Write a fault of this side. ``subcode``: a word of OCPP, of this namespace."""
    root = Element(f"{{{SOAP}}}Envelope")
    header = SubElement(root, f"{{{SOAP}}}Header")
    SubElement(header, f"{{{ADDRESSING}}}RelatesTo").text = relates_to
    fault = SubElement(SubElement(root, f"{{{SOAP}}}Body"), f"{{{SOAP}}}Fault")
    outer = SubElement(fault, f"{{{SOAP}}}Code")
    value = SubElement(outer, f"{{{SOAP}}}Value")
    value.set("xmlns:e", SOAP)
    value.text = f"e:{code}"
    if subcode:
        inner = SubElement(SubElement(outer, f"{{{SOAP}}}Subcode"), f"{{{SOAP}}}Value")
        inner.set("xmlns:o", namespace)
        inner.text = f"o:{subcode}"
    SubElement(SubElement(fault, f"{{{SOAP}}}Reason"), f"{{{SOAP}}}Text").text = reason
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _write_fields(parent: Element, version: SoapVersion, namespace: str, name: str, payload: Mapping[str, Any]) -> None:
    for key in version.order.get(name, "").split():
        for content in _entries_of(payload.get(key)):
            element = SubElement(parent, f"{{{namespace}}}{version.wire_names.get(key, key)}")
            if isinstance(content, Mapping):
                _write_fields(element, version, namespace, key, content)
            else:
                element.text = str(content)


def _entries_of(content: Any) -> Iterator[Any]:
    if isinstance(content, list | tuple):
        yield from content
    elif content is not None:
        yield content

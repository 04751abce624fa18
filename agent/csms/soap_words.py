"""OCPP 1.5 over SOAP in the words of 1.6 JSON, for the test central system. It shares no table with the agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
TO_CENTRAL, TO_STATION = "urn://Ocpp/Cs/2012/06/", "urn://Ocpp/Cp/2012/06/"
WHOLE = frozenset({
    "connectorId", "listVersion", "meterStart", "meterStop", "reservationId", "transactionId",
})  # fmt: skip
LISTS = frozenset({"configurationKey", "unknownKey"})
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
ON_THE_WIRE = {"interval": "heartbeatInterval", "localAuthorizationList": "localAuthorisationList"}


class NotReadable(Exception):
    """These octets are no message of OCPP 1.5; ``str()`` is one line."""


class SoapMessage:
    """A message that came in. ``name``: of the element in its body; ``fault``: its text, "" for none."""

    def __init__(self, octets: bytes) -> None:
        root = _parse_envelope(octets)
        self.headers = {_short_name(e): "".join(e.itertext()).strip() for e in root.iterfind(f"{{{SOAP}}}Header/*")}
        body = next(root.iterfind(f"{{{SOAP}}}Body/*"), None)
        if body is None:
            raise NotReadable("an envelope without content")
        self.name = _short_name(body)
        self.fault = "".join(body.itertext()).strip() or "a fault" if self.name == "Fault" else ""
        self.payload = {} if self.fault else _read_fields(body)

    @property
    def action(self) -> str:
        """The action that the element stands for."""
        stem = self.name.removesuffix("Request").removesuffix("Response")
        return stem[:1].upper() + stem[1:]


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


def _short_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _read_fields(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = _short_name(child)
        if name == "values":
            found.setdefault("meterValue", []).append(_read_moment(child))
        elif name == "transactionData":
            found.setdefault("transactionData", []).extend(_read_moment(moment) for moment in child)
        elif name in LISTS:
            found.setdefault(name, []).append(_read_fields(child) if len(child) else child.text or "")
        else:
            found[name] = _read_fields(child) if len(child) else _read_leaf(name, child.text or "")
    return found


def _read_leaf(name: str, text: str) -> Any:
    if name == "readonly":
        return text.strip() in ("true", "1")
    try:
        return int(text) if name in WHOLE else text
    except ValueError:
        return text


def _read_moment(element: Element) -> dict[str, Any]:
    moment: dict[str, Any] = {"sampledValue": []}
    for child in element:
        if _short_name(child) == "timestamp":
            moment["timestamp"] = child.text or ""
        else:
            unit = {"unit": UNITS.get(child.attrib["unit"], child.attrib["unit"])} if "unit" in child.attrib else {}
            moment["sampledValue"].append({**child.attrib, **unit, "value": child.text or ""})
    return moment


def write_message(namespace: str, name: str, payload: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """Write an envelope. ``name``: for example ResetRequest. ``headers``: chargeBoxIdentity and those of addressing."""
    root = Element(f"{{{SOAP}}}Envelope")
    header = SubElement(root, f"{{{SOAP}}}Header")
    for key, text in headers.items():
        where = namespace if key == "chargeBoxIdentity" else ADDRESSING
        SubElement(header, f"{{{where}}}{key}").text = text
    body = SubElement(SubElement(root, f"{{{SOAP}}}Body"), f"{{{namespace}}}{name[:1].lower()}{name[1:]}")
    _write_fields(body, namespace, name, payload)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def write_fault(reason: str, relates_to: str) -> bytes:
    """Write a fault of this side."""
    root = Element(f"{{{SOAP}}}Envelope")
    header = SubElement(root, f"{{{SOAP}}}Header")
    SubElement(header, f"{{{ADDRESSING}}}RelatesTo").text = relates_to
    fault = SubElement(SubElement(root, f"{{{SOAP}}}Body"), f"{{{SOAP}}}Fault")
    code = SubElement(SubElement(fault, f"{{{SOAP}}}Code"), f"{{{SOAP}}}Value")
    code.set("xmlns:e", SOAP)
    code.text = "e:Receiver"
    SubElement(SubElement(fault, f"{{{SOAP}}}Reason"), f"{{{SOAP}}}Text").text = reason
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _write_fields(parent: Element, namespace: str, name: str, payload: Mapping[str, Any]) -> None:
    for field in ORDER.get(name, "").split():
        for content in _entries_of(payload.get(field)):
            element = SubElement(parent, f"{{{namespace}}}{ON_THE_WIRE.get(field, field)}")
            if isinstance(content, Mapping):
                _write_fields(element, namespace, field, content)
            else:
                element.text = str(content)


def _entries_of(content: Any) -> Iterator[Any]:
    if isinstance(content, list | tuple):
        yield from content
    elif content is not None:
        yield content

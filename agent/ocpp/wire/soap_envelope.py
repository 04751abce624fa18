"""SOAP envelopes with WS-Addressing, as OCPP 1.5 uses them: octets in, a message or a fault out, and back.

SOAP 1.2 is written. SOAP 1.1 is read as well: some servers fall back to it. Any prefix, any order of the headers and
headers that are missing are accepted. A DOCTYPE, an entity and a text that is no XML are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.model.fastclass import frozen
from agent.ocpp.wire.soap_body import (
    BodyElement,
    element_name,
    fill_element,
    local_name,
    namespace_of,
    writable_text,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
OLDER_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
ANONYMOUS = f"{ADDRESSING}/anonymous"
"""The answer is in the HTTP response."""
FAULT_ACTION = f"{ADDRESSING}/soap/fault"
SOAP_PREFIX, SERVICE_PREFIX = "s", "o"
MEDIA_TYPE = "application/soap+xml"
ELEMENTS_MOST, ATTRIBUTES_MOST = 5 * 1024, 2 * 1024
"""Of an envelope. The longest charging profile (1,024 periods) has 4,100 elements."""
LIST_MOST = 8 * 1024
"""Elements, and attributes, of an envelope with a local list. The longest (1,000 entries with every field) has 5,000
elements, and some writers name the namespace in each."""
DEPTH_MOST = 32
"""Elements inside each other. The deepest message (a charging profile with its envelope) has 8."""
LIST_ELEMENT = b"sendLocalListRequest"


class NotSoap(Exception):
    """These octets are no SOAP envelope; ``str()`` is one line."""


@frozen
class SoapFault:
    """``is_sender``: the message is wrong; otherwise the receiver cannot process it. ``subcode``: of OCPP, "": none."""

    is_sender: bool
    subcode: str = ""
    reason: str = ""
    code: str = ""
    """Another code of SOAP, ``MustUnderstand`` for example; "": Sender or Receiver."""


@frozen
class AddressingHeaders:
    """What the headers of a message say; "": the header is missing."""

    identity: str = ""
    message_id: str = ""
    relates_to: str = ""
    to: str = ""
    sender: str = ""
    """``From/Address``."""
    reply_to: str = ""
    action: str = ""


@frozen
class ReceivedEnvelope:
    """``body``: the element in the body; None beside a fault, or where the body is empty."""

    headers: AddressingHeaders
    body: Element | None = None
    fault: SoapFault | None = None
    not_understood: str = ""
    """The name of a header that must be understood and is not."""


# --- reading ---------------------------------------------------------------------------------------------------------


def read_envelope(octets: bytes) -> ReceivedEnvelope:
    """Read an envelope of SOAP 1.2 or 1.1. Raises ``NotSoap``."""
    root = _parse_document(octets)
    soap = namespace_of(root.tag)
    if local_name(root.tag) != "Envelope" or soap not in (SOAP_12, SOAP_11):
        raise NotSoap(f"the root element is {ascii(root.tag)[1:60]}, no SOAP envelope")
    header, body = root.find(f"{{{soap}}}Header"), root.find(f"{{{soap}}}Body")
    if body is None:
        raise NotSoap("the envelope has no body")
    headers, strange = ({}, "") if header is None else _read_headers(header, soap)
    content = next(iter(body), None)
    if content is not None and content.tag == f"{{{soap}}}Fault":
        return ReceivedEnvelope(AddressingHeaders(**headers), None, _read_fault(content, soap))
    return ReceivedEnvelope(AddressingHeaders(**headers), content, None, strange)


def _parse_document(octets: bytes) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    _check_size(octets)
    parser = DefusedXMLParser(target=_ShallowBuilder(), forbid_dtd=True)
    try:
        parser.feed(octets)
        root: Element = parser.close()
    except DefusedXmlException as e:
        raise NotSoap("a DOCTYPE or an entity in it") from e
    except (SyntaxError, ValueError, LookupError) as e:  # no XML; an encoding that is unknown or not readable
        raise NotSoap("no XML") from e
    return root


def _check_size(octets: bytes) -> None:
    """Refuse what would hold the event loop for long, before it is read. Raises ``NotSoap``."""
    elements = octets.count(b"<") // 2
    # a text may have many equals signs or many quotes; an attribute has both
    attributes = min(octets.count(b"="), (octets.count(b'"') + octets.count(b"'")) // 2)
    if elements <= ELEMENTS_MOST and attributes <= ATTRIBUTES_MOST:
        return
    if max(elements, attributes) > LIST_MOST or LIST_ELEMENT not in octets.replace(b"\0", b""):  # UTF-16 has zeros
        raise NotSoap(f"{elements} elements, {attributes} attributes: too many")


class _ShallowBuilder:
    """Builds the tree of a document for the parser. Raises ``NotSoap`` at the element that is too deep."""

    def __init__(self) -> None:
        from xml.etree.ElementTree import TreeBuilder

        self._builder, self._depth = TreeBuilder(), 0
        self.data, self.close = self._builder.data, self._builder.close

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise NotSoap(f"more than {DEPTH_MOST} elements inside each other")
        return self._builder.start(tag, attributes)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return self._builder.end(tag)


_PLAIN_HEADERS = {"MessageID": "message_id", "RelatesTo": "relates_to", "To": "to", "Action": "action"}
_ADDRESS_HEADERS = {"From": "sender", "ReplyTo": "reply_to"}


def _read_headers(header: Element, soap: str) -> tuple[dict[str, str], str]:
    """Return the fields of ``AddressingHeaders``, and the name of a header that must be understood and is not."""
    found: dict[str, str] = {}
    strange = ""
    for element in header:
        name, namespace = local_name(element.tag), namespace_of(element.tag)
        if name == "chargeBoxIdentity":
            found["identity"] = (element.text or "").strip()
        elif namespace not in (ADDRESSING, OLDER_ADDRESSING):
            strange = strange or (name if element.get(f"{{{soap}}}mustUnderstand") in ("1", "true") else "")
        elif name in _PLAIN_HEADERS:
            found[_PLAIN_HEADERS[name]] = (element.text or "").strip()
        elif name in _ADDRESS_HEADERS:
            found[_ADDRESS_HEADERS[name]] = next(
                ((part.text or "").strip() for part in element if local_name(part.tag) == "Address"), ""
            )
    return found, strange


def _read_fault(fault: Element, soap: str) -> SoapFault:
    if soap == SOAP_11:
        code = _local_word(fault.findtext("faultcode"))
        return SoapFault(code == "Client", "", (fault.findtext("faultstring") or "").strip(), _other_code(code))
    place = f"{{{soap}}}"
    code = _local_word(fault.findtext(f"{place}Code/{place}Value"))
    subcode = _local_word(fault.findtext(f"{place}Code/{place}Subcode/{place}Value"))
    reason = (fault.findtext(f"{place}Reason/{place}Text") or "").strip()
    return SoapFault(code == "Sender", subcode, reason, _other_code(code))


def _other_code(code: str) -> str:
    return "" if code in ("Sender", "Receiver", "Client", "Server") else code


def _local_word(qualified: str | None) -> str:
    return (qualified or "").strip().rpartition(":")[2]


# --- writing ---------------------------------------------------------------------------------------------------------


def write_message(
    headers: AddressingHeaders, action: str, is_answer: bool, table: tuple[BodyElement, ...],
    payload: Mapping[str, Any], namespace: str,
) -> bytes:  # fmt: skip
    """Write an envelope with the payload of an action. Raises ``TypeError`` and others for a payload that does not fit
    the table."""
    from xml.etree.ElementTree import SubElement

    root, body = _new_envelope(headers, namespace)
    message = SubElement(body, f"{{{namespace}}}{element_name(action, is_answer)}")
    fill_element(message, table, payload, namespace)
    return _serialize_document(root)


def write_fault(headers: AddressingHeaders, fault: SoapFault, namespace: str) -> bytes:
    """Write an envelope with a fault (SOAP 1.2 part 1, 5.4)."""
    from xml.etree.ElementTree import SubElement

    root, body = _new_envelope(headers, namespace)
    soap = f"{{{SOAP_12}}}"
    element = SubElement(body, f"{soap}Fault")
    code = SubElement(element, f"{soap}Code")
    word = fault.code or ("Sender" if fault.is_sender else "Receiver")
    SubElement(code, f"{soap}Value").text = f"{SOAP_PREFIX}:{word}"
    if fault.subcode:
        value = SubElement(SubElement(code, f"{soap}Subcode"), f"{soap}Value")
        value.set(f"xmlns:{SERVICE_PREFIX}", namespace)  # no element of a fault declares it
        value.text = f"{SERVICE_PREFIX}:{fault.subcode}"
    text = SubElement(SubElement(element, f"{soap}Reason"), f"{soap}Text")
    text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    text.text = writable_text(fault.reason or fault.subcode or word)
    return _serialize_document(root)


def _new_envelope(headers: AddressingHeaders, namespace: str) -> tuple[Element, Element]:
    """Return a new envelope with its headers, and its body."""
    from xml.etree.ElementTree import Element, SubElement, register_namespace

    for prefix, name in ((SOAP_PREFIX, SOAP_12), ("a", ADDRESSING), (SERVICE_PREFIX, namespace)):
        register_namespace(prefix, name)
    root = Element(f"{{{SOAP_12}}}Envelope")
    header = SubElement(root, f"{{{SOAP_12}}}Header")
    if headers.identity:
        identity = SubElement(header, f"{{{namespace}}}chargeBoxIdentity")
        identity.set(f"{{{SOAP_12}}}mustUnderstand", "true")
        identity.text = writable_text(headers.identity)
    plain = {"MessageID": headers.message_id, "RelatesTo": headers.relates_to}
    for name, text in plain.items():
        if text:
            SubElement(header, f"{{{ADDRESSING}}}{name}").text = writable_text(text)
    for name, address in {"From": headers.sender, "ReplyTo": headers.reply_to}.items():
        if address:
            outer = SubElement(header, f"{{{ADDRESSING}}}{name}")
            SubElement(outer, f"{{{ADDRESSING}}}Address").text = writable_text(address)
    for name, text in {"To": headers.to, "Action": headers.action}.items():
        if text:
            element = SubElement(header, f"{{{ADDRESSING}}}{name}")
            element.set(f"{{{SOAP_12}}}mustUnderstand", "true")
            element.text = writable_text(text)
    return root, SubElement(root, f"{{{SOAP_12}}}Body")


def _serialize_document(root: Element) -> bytes:
    from xml.etree.ElementTree import tostring

    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document

"""OCPP 1.5 as SOAP: every operation goes through a codec that is not ours and back, and what is no SOAP is refused."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from agent.ocpp.dialects.dialect import Dialect, MessageRow
from agent.ocpp.dialects.over_soap import speak_over_soap
from agent.ocpp.transport.ocpp_s.soap_codec import FaultyRequest, SoapCodec, SoapRequest
from agent.ocpp.v12 import V12
from agent.ocpp.v12 import soap_tables as soap_12
from agent.ocpp.v15 import V15
from agent.ocpp.v15.soap_tables import SERVICE
from agent.ocpp.v16 import V16
from agent.ocpp.v16 import soap_tables as soap_16
from agent.ocpp.wire.calls import UNREADABLE, Answered, CallError, Code, Errored, Unprocessed
from agent.ocpp.wire.soap_body import SoapService, action_of_element, read_payload, writable_text
from agent.ocpp.wire.soap_envelope import (
    ADDRESSING,
    ATTRIBUTES_MOST,
    DEPTH_MOST,
    ELEMENTS_MOST,
    LIST_MOST,
    NotSoap,
    read_envelope,
)
from tests.support.soap_descriptions import DESCRIPTIONS, OF_15, element_names, example_fields
from tests.support.zeep_central import SOAP, SOAP_11, ZeepCentral, body_schema, read_body, wsdl_client

CODEC = SoapCodec(SERVICE, "CP-1")
VERSIONS: dict[str, tuple[Dialect, SoapService]] = {
    "1.2": (V12, soap_12.SERVICE), "1.5": (V15, SERVICE), "1.6": (V16, soap_16.SERVICE),
}  # fmt: skip
NAMESPACES = {side: OF_15.namespace(side) for side in ("central", "station")}
ALL = [
    (version, side, action)
    for version, described in DESCRIPTIONS.items()
    for side, actions in described.operations.items()
    for action in actions
]
CENTRAL = ZeepCentral()


def written_by_zeep(version: str, side: str, action: str, is_answer: bool, whole: bool) -> Any:
    """The element of a body with example fields."""
    name = f"{{{DESCRIPTIONS[version].namespace(side)}}}{element_names(action)[is_answer]}"
    element = wsdl_client(version, side).get_element(name)
    parent = etree.Element("parent")
    element.render(parent, element(**example_fields(version, side, action, is_answer, whole)))
    schema = body_schema(version, side)
    assert schema.validate(parent[0]), schema.error_log
    return parent[0]


def body_of(envelope: bytes) -> Any:
    return etree.fromstring(envelope).find(f"{{{SOAP}}}Body")[0]


def agent_reads(service: SoapService, element: Any, action: str, is_answer: bool) -> dict[str, Any]:
    operation = service.operations[action]
    table = operation.answer if is_answer else operation.request
    envelope = f'<e:Envelope xmlns:e="{SOAP}"><e:Body>'.encode() + etree.tostring(element) + b"</e:Body></e:Envelope>"
    body = read_envelope(envelope).body
    assert body is not None
    return read_payload(body, table)


def agent_writes(service: SoapService, side: str, action: str, payload: dict[str, Any]) -> bytes:
    """What the station says: a request to the central system, or the answer to one."""
    codec = SoapCodec(service, "CP-1")
    if side == "station":
        return codec.write_answer(SoapRequest(action, {}, "urn:uuid:1"), payload)
    return codec.write_call("abc1", action, payload, "http://central/", "http://10.0.0.7:8090/")


@pytest.mark.parametrize("whole", [True, False], ids=["all fields", "few fields"])
@pytest.mark.parametrize(("version", "side", "action"), ALL)
def test_each_message_comes_through_unchanged(version: str, side: str, action: str, whole: bool) -> None:
    """Zeep writes it, we read it, the schema of payloads takes it; what we write again is valid and reads the same."""
    dialect, service = VERSIONS[version]
    assert dialect.schemas is not None
    for is_answer in (False, True):
        original = written_by_zeep(version, side, action, is_answer, whole)
        payload = agent_reads(service, original, action, is_answer)
        check = (dialect.schemas.response_check if is_answer else dialect.schemas.request_check)(action)
        assert check is not None
        if not (action == "MeterValues" and not whole):  # 1.6 wants a value where 1.5 permits none; we send none such
            assert check(payload) is None, payload
        if is_answer == (side == "station"):
            again = body_of(agent_writes(service, side, action, payload))
            schema = body_schema(version, side)
            assert schema.validate(again), schema.error_log
            assert read_body(version, side, again) == read_body(version, side, original)


@pytest.mark.parametrize(("version", "own", "others"), [("1.2", 9, 9), ("1.5", 10, 15), ("1.6", 10, 19)])
def test_all_operations_are_there(version: str, own: int, others: int) -> None:
    described, (dialect, service) = DESCRIPTIONS[version], VERSIONS[version]
    central, station = described.operations["central"], described.operations["station"]
    assert (len(central), len(station)) == (own, others)
    assert set(service.operations) == {*central, *station}
    assert (service.central_namespace, service.station_namespace) == tuple(
        map(described.namespace, ("central", "station"))
    )
    assert dialect.schemas is not None
    assert dialect.schemas.known_actions() >= set(service.operations)
    spoken = speak_over_soap(dialect, service.operations.keys())
    rows = [r for r in spoken.rows if isinstance(r, MessageRow)]
    assert {r.action for r in rows} <= set(service.operations)
    assert all(r.other is None for r in rows)
    assert not spoken.silent_when_rejected
    assert not spoken.admits_request("Rejected", "Reset")
    assert spoken.admits_request(None, "Reset")


def test_the_headers_say_who_calls_whom_and_where_the_answer_goes() -> None:
    envelope = etree.fromstring(CODEC.write_call("abc1", "Heartbeat", {}, "http://central/x", "http://10.0.0.7:8090/"))
    header = {etree.QName(e).localname: "".join(e.itertext()) for e in envelope[0]}
    assert header == {
        "chargeBoxIdentity": "CP-1",
        "MessageID": "abc1",
        "From": "http://10.0.0.7:8090/",
        "ReplyTo": f"{ADDRESSING}/anonymous",
        "To": "http://central/x",
        "Action": "/Heartbeat",
    }
    assert envelope[0][0].get(f"{{{SOAP}}}mustUnderstand") == "true"
    answer = etree.fromstring(CODEC.write_answer(SoapRequest("Reset", {}, "urn:uuid:9"), {"status": "Accepted"}))
    header = {etree.QName(e).localname: "".join(e.itertext()) for e in answer[0]}
    assert header == {"RelatesTo": "urn:uuid:9", "To": f"{ADDRESSING}/anonymous", "Action": "/ResetResponse"}


# --- what is no SOAP -------------------------------------------------------------------------------------------------

ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>'
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "&{a};&{a};&{a};&{a};&{a};&{a};&{a};&{a};">' for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def request_text(body: str, header: str = "", before: str = "", soap: str = SOAP) -> bytes:
    return (
        f'{before}<q:Envelope xmlns:q="{soap}" xmlns:cp="{NAMESPACES["station"]}" xmlns:w="{ADDRESSING}"><q:Header>'
        f"<cp:chargeBoxIdentity>CP-1</cp:chargeBoxIdentity>{header}</q:Header><q:Body>{body}</q:Body></q:Envelope>"
    ).encode()


MANY_ATTRIBUTES = " ".join(f"a{n}='1'" for n in range(ATTRIBUTES_MOST + 1))


def local_list(entries: int) -> str:
    entry = (
        "<cp:localAuthorisationList><cp:idTag xmlns:n='urn:x'>04A1</cp:idTag><cp:idTagInfo>"
        "<cp:status>Accepted</cp:status><cp:expiryDate>2026-11-25T10:00:00Z</cp:expiryDate></cp:idTagInfo></cp:localAuthorisationList>"
    )
    return f"<cp:sendLocalListRequest>{entry * entries}</cp:sendLocalListRequest>"


RESET = "<cp:resetRequest><cp:type>Hard</cp:type></cp:resetRequest>"


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no XML"),
        (b"hello", "no XML"),
        (b"<a><b></a>", "no XML"),
        (request_text(RESET)[:-5], "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "no XML"),
        (b"<html><body>Please log in</body></html>", "html"),
        (request_text(RESET, before="<!DOCTYPE x>"), "DOCTYPE"),
        (request_text("<cp:resetRequest><cp:type>&a;</cp:type></cp:resetRequest>", before=ENTITY), "DOCTYPE"),
        (request_text("<cp:resetRequest><cp:type>&h;</cp:type></cp:resetRequest>", before=LAUGHS), "DOCTYPE"),
        (request_text("<cp:resetRequest><cp:type>&a;</cp:type></cp:resetRequest>", before=OUTSIDE), "DOCTYPE"),
        (request_text("<a>" + "<b></b>" * ELEMENTS_MOST + "</a>"), "elements"),
        (request_text("<a>" + "<b></b>" * ELEMENTS_MOST + "</a>").decode().encode("utf-16"), "elements"),
        (request_text(f"<a {MANY_ATTRIBUTES}/>"), "attributes"),
        (request_text(f"<a {MANY_ATTRIBUTES}/>".replace("'", '"')), "attributes"),
        (request_text(local_list(LIST_MOST // 4)), "elements"),
        (request_text("<a>" * DEPTH_MOST + "</a>" * DEPTH_MOST), "inside each other"),
        (f'<q:Envelope xmlns:q="{SOAP}"/>'.encode(), "no body"),
        (b'<q:Envelope xmlns:q="urn:other"><q:Body/></q:Envelope>', "no SOAP envelope"),
    ],
)
def test_what_is_no_soap_gets_a_fault_and_nothing_else(octets: bytes, why: str) -> None:
    with pytest.raises(NotSoap, match=why):
        read_envelope(octets)
    with pytest.raises(FaultyRequest) as refused:
        CODEC.read_request(octets)
    assert (refused.value.fault.is_sender, refused.value.fault.subcode) == (True, "ProtocolError")
    assert b"passwd" not in CODEC.write_fault(refused.value.fault, "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_longest_local_list_is_read(encoding: str) -> None:
    octets = request_text(local_list(1000)).decode().encode(encoding)
    body = read_envelope(octets).body
    assert body is not None
    assert len(body) == 1000


def test_a_long_text_is_no_number_of_attributes() -> None:
    """Texts of vendors have quotes (JSON) or equals signs in any number."""
    for text in ('"a", ' * 3 * ATTRIBUTES_MOST, "a=b " * 3 * ATTRIBUTES_MOST):
        body = f"<cp:dataTransferRequest><cp:vendorId>x</cp:vendorId><cp:data>{text}</cp:data></cp:dataTransferRequest>"
        assert CODEC.read_request(request_text(body)).payload["data"] == text


# --- requests of the backend ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        request_text(RESET),
        request_text(RESET, f"<w:MessageID>m</w:MessageID><w:From><w:Address>{ADDRESSING}</w:Address></w:From>"),
        request_text(RESET, soap=SOAP_11),
        request_text(RESET.replace("cp:type", "type")),
        request_text(RESET, "<x:Security xmlns:x='urn:y'><x:a/></x:Security>"),
        request_text(RESET).replace(b"<q:Header>", b"<!-- a comment --><q:Header>"),
        request_text(RESET, before='<?xml version="1.0" encoding="utf-8"?>\n<?pi x?>'),
        request_text(RESET).decode().encode("utf-16"),
    ],
    ids=["no From", "all headers", "SOAP 1.1", "no prefix", "a foreign header", "comment", "instruction", "UTF-16"],
)
def test_any_prefix_and_any_set_of_headers_is_read(octets: bytes) -> None:
    request = CODEC.read_request(octets)
    assert (request.action, request.payload) == ("Reset", {"type": "Hard"})


@pytest.mark.parametrize(
    ("octets", "sender", "subcode"),
    [
        (request_text(RESET).replace(b"CP-1", b"CP-2"), True, "IdentityMismatch"),
        (request_text(RESET).replace(b"chargeBoxIdentity", b"other"), True, "IdentityMismatch"),
        (request_text(""), True, "ProtocolError"),
        (request_text(RESET).replace(b"2012/06", b"2010/08"), True, "ProtocolError"),
        (request_text("<cp:triggerMessageRequest/>"), False, "NotSupported"),
        (request_text("<cp:resetResponse/>"), False, "NotSupported"),
        (request_text(f"<q:Fault xmlns:q='{SOAP}'/>"), True, "ProtocolError"),
    ],
    ids=["another station", "no identity", "empty", "another version", "unknown", "an answer", "a fault"],
)
def test_what_is_no_request_for_this_station_gets_a_fault(octets: bytes, sender: bool, subcode: str) -> None:
    with pytest.raises(FaultyRequest) as refused:
        CODEC.read_request(octets)
    assert (refused.value.fault.is_sender, refused.value.fault.subcode) == (sender, subcode)


def test_a_header_that_must_be_understood_and_is_not_gets_the_fault_of_soap() -> None:
    secured = f"<x:Security xmlns:x='urn:y' q:mustUnderstand='1' xmlns:q='{SOAP}'/><w:MessageID>m7</w:MessageID>"
    with pytest.raises(FaultyRequest) as refused:
        CODEC.read_request(request_text(RESET, secured))
    root = etree.fromstring(CODEC.write_fault(refused.value.fault, refused.value.message_id))
    assert root.findtext(f".//{{{SOAP}}}Value") == "s:MustUnderstand"
    assert root.findtext(f".//{{{ADDRESSING}}}RelatesTo") == "m7"


@pytest.mark.parametrize(
    ("code", "word", "subcode"),
    [
        (Code.NOT_IMPLEMENTED, "s:Receiver", "o:NotSupported"),
        (Code.NOT_SUPPORTED, "s:Receiver", "o:NotSupported"),
        (Code.INTERNAL, "s:Receiver", "o:InternalError"),
        (Code.GENERIC, "s:Receiver", "o:InternalError"),
        (Code.SECURITY, "s:Sender", "o:SecurityError"),
        (Code.FORMAT, "s:Sender", "o:ProtocolError"),
        (Code.TYPE, "s:Sender", "o:ProtocolError"),
    ],
)
def test_each_error_code_has_its_fault(code: str, word: str, subcode: str) -> None:
    envelope, _ = CODEC.write_refusal(SoapRequest("Reset", {}, "m"), CallError("soap1", code, "why \x00"))
    values = list(etree.fromstring(envelope).iter(f"{{{SOAP}}}Value"))
    assert [v.text for v in values] == [word, subcode]
    assert values[1].nsmap["o"] == NAMESPACES["station"]
    assert etree.fromstring(envelope).findtext(f".//{{{SOAP}}}Text") == "why ?"


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ("<cp:connectorId>1</cp:connectorId>", {"connectorId": 1}),
        ("<cp:connectorId> +1\n</cp:connectorId>", {"connectorId": 1}),
        ("<cp:connectorId>one</cp:connectorId>", {"connectorId": "one"}),
        ("<cp:connectorId>1.0</cp:connectorId>", {"connectorId": "1.0"}),
        ("<cp:connectorId>" + "9" * 4000 + "</cp:connectorId>", {"connectorId": "9" * 4000}),
        ("<cp:connectorId>1</cp:connectorId><cp:connectorId>2</cp:connectorId>", {"connectorId": [1, 2]}),
        ("<cp:other>x</cp:other>", {"other": "x"}),
        ("<cp:connectorId xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'/>", {}),
    ],
)
def test_values_that_are_none_are_left_to_the_schema(fields: str, payload: dict[str, Any]) -> None:
    request = CODEC.read_request(request_text(f"<cp:unlockConnectorRequest>{fields}</cp:unlockConnectorRequest>"))
    assert request.payload == payload
    assert V15.schemas is not None
    check = V15.schemas.request_check("UnlockConnector")
    assert check is not None
    assert (check(request.payload) is None) == (payload == {"connectorId": 1})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-25T10:00:00", "2026-11-25T10:00:00Z"),
        ("2026-11-25T10:00:00.5+01:00", "2026-11-25T10:00:00.5+01:00"),
        ("2026-11-25T10:00:00Z", "2026-11-25T10:00:00Z"),
        ("tomorrow", "tomorrow"),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, read: str) -> None:
    body = f"<cp:updateFirmwareRequest><cp:retrieveDate>{text}</cp:retrieveDate></cp:updateFirmwareRequest>"
    assert CODEC.read_request(request_text(body)).payload == {"retrieveDate": read}


def test_names_of_elements_are_those_of_operations() -> None:
    assert action_of_element("getLocalListVersionResponse", SERVICE.operations) == ("GetLocalListVersion", True)
    for name in ("ResetRequest", "reset", "Request", "", "resetRequestRequest"):
        assert action_of_element(name, SERVICE.operations) is None


def test_text_that_xml_cannot_write_gets_a_question_mark() -> None:
    assert writable_text("a\x00b\x1fc\ud800d\ufffee\n") == "a?b?c?d?e\n"
    assert (writable_text(True), writable_text(0)) == ("true", "0")


# --- answers of the backend -------------------------------------------------------------------------------------------


def answer(action: str, octets: bytes) -> Answered | Errored | Unprocessed:
    return CODEC.read_answer("abc1", action, octets)


def fault_text(soap: str, inside: str) -> bytes:
    return (
        f'<f:Envelope xmlns:f="{soap}" xmlns:cs="{NAMESPACES["central"]}"><f:Body><f:Fault>{inside}</f:Fault></f:Body>'
        "</f:Envelope>"
    ).encode()


@pytest.mark.parametrize("soap", [SOAP, SOAP_11], ids=["1.2", "1.1"])
def test_an_answer_in_soap_1_1_is_read_too(soap: str) -> None:
    octets = CENTRAL.envelope("Heartbeat", {"currentTime": "2026-11-25T10:00:00Z"}, "abc1", soap)
    assert answer("Heartbeat", octets) == Answered("abc1", "Heartbeat", {"currentTime": "2026-11-25T10:00:00Z"})


@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        (
            fault_text(
                SOAP,
                "<f:Code><f:Value>f:Receiver</f:Value><f:Subcode><f:Value>cs:NotSupported</f:Value></f:Subcode></f:Code>"
                "<f:Reason><f:Text xml:lang='en'>not here</f:Text></f:Reason>",
            ),
            "NotSupported",
            "not here",
        ),
        (fault_text(SOAP, "<f:Code><f:Value>f:Sender</f:Value></f:Code>"), "GenericError", ""),
    ],
)
def test_a_fault_is_a_refusal(octets: bytes, code: str, text: str) -> None:
    assert answer("Heartbeat", octets) == Errored("abc1", "Heartbeat", code, text)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (fault_text(SOAP, ""), "a fault of the receiver: "),
        (fault_text(SOAP, "<f:Code><f:Value>f:Receiver</f:Value></f:Code>"), "a fault of the receiver: "),
        (
            fault_text(
                SOAP,
                "<f:Code><f:Value>f:Receiver</f:Value><f:Subcode><f:Value>g:FailedCheck</f:Value></f:Subcode></f:Code>"
                "<f:Reason><f:Text xml:lang='en'>l\u00e4uft nicht</f:Text></f:Reason>",
            ),
            r"a fault of the receiver: l\xe4uft nicht",
        ),
        (
            fault_text(SOAP_11, "<faultcode>f:Server</faultcode><faultstring>java.lang.Oops</faultstring>"),
            "a fault of the receiver: java.lang.Oops",
        ),
    ],
)
def test_a_fault_of_the_receiver_without_a_word_of_ocpp_is_no_answer(octets: bytes, why: str) -> None:
    """It is that of a gateway, or of the framework around a backend: the message may be processed later."""
    assert answer("Heartbeat", octets) == Unprocessed("abc1", "Heartbeat", why, is_fault=True)


def test_what_belongs_to_another_message_acknowledges_nothing() -> None:
    stop = CENTRAL.envelope("StopTransaction", {}, "other", SOAP)
    assert answer("StopTransaction", stop) == Errored(
        "abc1", "StopTransaction", Code.GENERIC, "the answer relates to another message"
    )
    longer = CENTRAL.envelope("StopTransaction", {}, "urn:uuid:1abc1", SOAP)  # ends with the id of this message
    assert isinstance(answer("StopTransaction", longer), Errored)
    beat = CENTRAL.envelope("Heartbeat", {"currentTime": "2026-11-25T10:00:00Z"}, "urn:uuid:abc1", SOAP)
    assert isinstance(answer("Heartbeat", beat), Answered)
    assert "another element" in answer("StopTransaction", beat).description  # type: ignore[union-attr]
    older = CENTRAL.envelope("StopTransaction", {}, "abc1").replace(b"Ocpp/Cs/2012/06", b"Ocpp/Cs/2010/08")
    assert "another version" in answer("StopTransaction", older).description  # type: ignore[union-attr]


def test_an_empty_body_answers_where_the_answer_has_nothing_in_it() -> None:
    empty = f'<e:Envelope xmlns:e="{SOAP}"><e:Body/></e:Envelope>'.encode()
    assert answer("StatusNotification", empty) == Answered("abc1", "StatusNotification", {})
    assert answer("Heartbeat", empty) == Errored("abc1", "Heartbeat", UNREADABLE, "an empty body")

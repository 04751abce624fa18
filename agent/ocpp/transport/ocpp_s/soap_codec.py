"""The messages of the call channel as SOAP envelopes, and back, for one version and one station."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from agent.model.fastclass import frozen
from agent.ocpp.wire.calls import UNREADABLE, Answered, CallError, Code, Errored, Unprocessed
from agent.ocpp.wire.soap_body import (
    SoapOperation,
    SoapService,
    action_of_element,
    element_name,
    local_name,
    namespace_of,
    read_payload,
)
from agent.ocpp.wire.soap_envelope import (
    ANONYMOUS,
    FAULT_ACTION,
    AddressingHeaders,
    NotSoap,
    ReceivedEnvelope,
    SoapFault,
    read_envelope,
    write_fault,
    write_message,
)

NO_OPERATION = SoapOperation()
SUBCODES: Mapping[str, SoapFault] = {
    Code.NOT_IMPLEMENTED: SoapFault(False, "NotSupported"),
    Code.NOT_SUPPORTED: SoapFault(False, "NotSupported"),
    Code.INTERNAL: SoapFault(False, "InternalError"),
    Code.GENERIC: SoapFault(False, "InternalError"),
    Code.SECURITY: SoapFault(True, "SecurityError"),
}
"""The fault for each neutral error code; every other one is a ProtocolError of the sender."""
REASON_MOST = 255
OCPP_WORDS = frozenset({
    "SecurityError", "IdentityMismatch", "UrlMismatch", "ProtocolError", "InternalError", "NotSupported",
})  # fmt: skip
"""Subcodes of OCPP. InternalError is the backend's own word about this message, as the error code of JSON."""
VERSION_WORDS = frozenset({"NotSupported", "ProtocolError", "ActionNotSupported", "VersionMismatch", "MustUnderstand"})
"""Codes and subcodes of a fault in answer to a message of a version that a server does not know: of OCPP, of
WS-Addressing, and of SOAP (its identity header must be understood and is of that version)."""


@frozen
class SoapRequest:
    """A request of the backend. ``message_id``: what the answer relates to."""

    action: str
    payload: dict[str, Any]
    message_id: str


class FaultyRequest(Exception):
    """A request that gets a fault and goes no further. ``str()`` is one line for the log."""

    def __init__(self, fault: SoapFault, message_id: str = "") -> None:
        super().__init__(fault.reason)
        self.fault, self.message_id = fault, message_id


def _sender_fault(subcode: str, reason: str, message_id: str = "") -> FaultyRequest:
    return FaultyRequest(SoapFault(True, subcode, reason), message_id)


def _means_version(fault: SoapFault) -> bool:
    """Return whether a fault may mean the version of OCPP. A server that does not know the version may name no subcode;
    then the message is wrong to it. What a receiver cannot do now says nothing of the version."""
    words = {fault.code, fault.subcode} - {""}
    return bool(words & VERSION_WORDS) if words else fault.is_sender


def _read_refusal(id_: str, action: str, fault: SoapFault) -> Errored | Unprocessed:
    """Return what a fault is to a request. A fault of the receiver without a word of OCPP is that of a gateway, or of
    the framework around a backend that has stumbled: the message is not at fault, and may be processed later."""
    if not fault.is_sender and not fault.code and fault.subcode not in OCPP_WORDS:
        why = f"a fault of the receiver: {ascii(fault.reason)[1:-1][:80]}"
        return Unprocessed(id_, action, why, is_fault=True)
    return Errored(id_, action, fault.subcode or Code.GENERIC, fault.reason[:REASON_MOST])


class SoapCodec:
    """Writes and reads the envelopes of one version. ``identity``: chargeBoxIdentity of the station."""

    def __init__(self, service: SoapService, identity: str) -> None:
        self._service, self._identity = service, identity

    # --- our calls ---------------------------------------------------------------------------------------------------

    def write_call(self, id_: str, action: str, payload: Mapping[str, Any], to: str, own_address: str) -> bytes:
        """Write a request of the station. ``own_address``: where the backend may call it."""
        headers = AddressingHeaders(self._identity, id_, "", to, own_address, ANONYMOUS, f"/{action}")
        table = self._service.operations[action].request
        return write_message(headers, action, False, table, payload, self._service.central_namespace)

    def read_answer(self, id_: str, action: str, octets: bytes) -> Answered | Errored | Unprocessed:
        """Read the answer to a request. Raises ``NotSoap``."""
        envelope = read_envelope(octets)
        if envelope.fault is not None:
            return _read_refusal(id_, action, envelope.fault)
        table = self._service.operations[action].answer
        if envelope.body is None:
            return Errored(id_, action, UNREADABLE, "an empty body") if table else Answered(id_, action, {})
        if (why := self._mismatch(envelope, envelope.body, id_, action)) != "":
            return Errored(id_, action, Code.GENERIC, why)
        return Answered(id_, action, read_payload(envelope.body, table))

    def refuses_version(self, action: str, octets: bytes) -> bool:
        """Return whether an answer says that the backend speaks another version of OCPP. Raises ``NotSoap``."""
        envelope = read_envelope(octets)
        if envelope.fault is not None:
            return _means_version(envelope.fault)
        tag = "" if envelope.body is None else envelope.body.tag
        is_answer = local_name(tag) == element_name(action, True)
        return is_answer and namespace_of(tag) not in ("", self._service.central_namespace)

    def is_version_fault(self, octets: bytes) -> bool:
        """Return whether an answer is a fault that may mean the version of OCPP. Raises ``NotSoap``."""
        fault = read_envelope(octets).fault
        return fault is not None and _means_version(fault)

    def _mismatch(self, envelope: ReceivedEnvelope, body: Element, id_: str, action: str) -> str:
        """Return why an envelope is not the answer to this request; "": it is. What belongs to another message must not
        acknowledge a bill."""
        relates_to = envelope.headers.relates_to  # some servers put "urn:uuid:" before the id
        if relates_to and id_ not in (relates_to, relates_to.rpartition(":")[2]):
            return "the answer relates to another message"
        if local_name(body.tag) != element_name(action, True):
            return f"another element than the answer: {ascii(local_name(body.tag))[1:60]}"
        if namespace_of(body.tag) not in ("", self._service.central_namespace):
            return "the answer is of another version of OCPP"
        return ""

    # --- requests of the backend -------------------------------------------------------------------------------------

    def read_request(self, octets: bytes) -> SoapRequest:
        """Read a request of the backend. Raises ``FaultyRequest``."""
        try:
            envelope = read_envelope(octets)
        except NotSoap as e:
            raise _sender_fault("ProtocolError", str(e)) from e
        message_id = envelope.headers.message_id
        if envelope.not_understood:
            why = f"the header {ascii(envelope.not_understood)[1:60]} is not understood"
            raise FaultyRequest(SoapFault(True, "", why, "MustUnderstand"), message_id)
        if envelope.body is None:
            raise _sender_fault("ProtocolError", "no request in the body", message_id)
        if namespace_of(envelope.body.tag) != self._service.station_namespace:
            raise _sender_fault("ProtocolError", "no request of this version of OCPP", message_id)
        if envelope.headers.identity != self._identity:
            raise _sender_fault("IdentityMismatch", "chargeBoxIdentity is not that of this station", message_id)
        return self._read_operation(envelope.body, message_id)

    def _read_operation(self, body: Element, message_id: str) -> SoapRequest:
        name = local_name(body.tag)
        found = action_of_element(name, self._service.operations)
        if found is None or found[1]:
            raise FaultyRequest(SoapFault(False, "NotSupported", f"unknown operation {ascii(name)[1:60]}"), message_id)
        return SoapRequest(found[0], read_payload(body, self._service.operations[found[0]].request), message_id)

    def write_answer(self, request: SoapRequest, payload: Mapping[str, Any]) -> bytes:
        """Write the answer to a request."""
        headers = self._answer_headers(request.message_id, f"/{request.action}Response")
        table = self._service.operations[request.action].answer
        return write_message(headers, request.action, True, table, payload, self._service.station_namespace)

    def write_refusal(self, request: SoapRequest, error: CallError) -> tuple[bytes, SoapFault]:
        """Write the refusal of a request. Return it with its fault."""
        known = SUBCODES.get(error.code, SoapFault(True, "ProtocolError"))
        reason = error.description[:REASON_MOST] or error.code
        fault = SoapFault(known.is_sender, known.subcode, reason)
        return self.write_fault(fault, request.message_id), fault

    def write_fault(self, fault: SoapFault, message_id: str) -> bytes:
        """Write a fault in answer to the message of this id."""
        headers = self._answer_headers(message_id, FAULT_ACTION)
        return write_fault(headers, fault, self._service.station_namespace)

    @staticmethod
    def _answer_headers(message_id: str, action: str) -> AddressingHeaders:
        return AddressingHeaders(relates_to=message_id, to=ANONYMOUS, action=action)

    # --- for people --------------------------------------------------------------------------------------------------

    def write_shown_call(self, headers: AddressingHeaders, action: str, payload: Mapping[str, Any]) -> bytes:
        """Write a request of the backend again, with a payload whose secrets are masked."""
        table = self._service.operations[action].request
        return write_message(headers, action, False, table, payload, self._service.station_namespace)

"""The security extension of 1.6 (whitepaper "Improved security for OCPP 1.6-J"): events,
certificates, and triggers that plain 1.6 does not know. Inside, events have the names of 2.x;
four have another name here."""

from __future__ import annotations

from typing import Any

from agent.domain.certificates import CertificateUse
from agent.domain.messages import CertificateSigningWanted, SecurityHappened
from agent.domain.orders import Response
from agent.domain.requests import (
    CertificateSignedRequest,
    InstallCertificateRequest,
    InstalledCertificatesRequest,
    MessageTrigger,
    TriggerMessageRequest,
)
from agent.ocpp.dialects.certificates import (
    DELETED,
    INSTALLED,
    SIGNED,
    decode_delete_certificate,
    decode_sign_response,
    encode_hash_data,
)
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.v16.remote import decode_trigger
from agent.ocpp.wire.timestamps import format_rfc3339

EVENT_NAMES = {
    "FailedToAuthenticateAtCsms": "FailedToAuthenticateAtCentralSystem",
    "CsmsFailedToAuthenticate": "CentralSystemFailedToAuthenticate",
    "InvalidCsmsCertificate": "InvalidCentralSystemCertificate",
    "InvalidChargingStationCertificate": "InvalidChargePointCertificate",
}
"""Events with another name in 1.6."""
_USES = {
    "CentralSystemRootCertificate": CertificateUse.CSMS_ROOT,
    "ManufacturerRootCertificate": CertificateUse.MANUFACTURER_ROOT,
}
_TRIGGERS = {
    "BootNotification": MessageTrigger.BOOT,
    "FirmwareStatusNotification": MessageTrigger.FIRMWARE_STATUS,
    "Heartbeat": MessageTrigger.HEARTBEAT,
    "LogStatusNotification": MessageTrigger.LOG_STATUS,
    "MeterValues": MessageTrigger.METER_VALUES,
    "SignChargePointCertificate": MessageTrigger.SIGN,
    "StatusNotification": MessageTrigger.STATUS,
}


def _encode_security_event(message: SecurityHappened, ctx: RowContext) -> dict[str, Any]:
    kind = EVENT_NAMES.get(message.kind, message.kind)
    payload = {"type": kind[:50], "timestamp": format_rfc3339(ctx.clock.utc_s(message.at))}
    return payload | ({"techInfo": message.info[:255]} if message.info else {})


def _encode_sign_certificate(message: CertificateSigningWanted, ctx: RowContext) -> dict[str, Any]:
    return {"csr": message.csr}


def _decode_certificate_signed(payload: Payload, ctx: RowContext) -> CertificateSignedRequest:
    return CertificateSignedRequest(payload["certificateChain"])


def _decode_install_certificate(payload: Payload, ctx: RowContext) -> InstallCertificateRequest:
    return InstallCertificateRequest(_USES[payload["certificateType"]], payload["certificate"])


def _decode_get_certificate_ids(payload: Payload, ctx: RowContext) -> InstalledCertificatesRequest:
    return InstalledCertificatesRequest((_USES[payload["certificateType"]],))


def _answer_get_certificate_ids(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    roots = reply.data.get("roots", ())
    if reply.status != "Accepted" or not roots:
        return {"status": "NotFound"}
    return {"status": "Accepted", "certificateHashData": [encode_hash_data(root.hashes) for root in roots]}


def _decode_extended_trigger(payload: Payload, ctx: RowContext) -> TriggerMessageRequest | LocalAnswer:
    return decode_trigger(_TRIGGERS[payload["requestedMessage"]], payload, ctx, extended=True)


ROWS = (
    MessageRow(SecurityHappened, "SecurityEventNotification", _encode_security_event, decode_empty_response),
    MessageRow(CertificateSigningWanted, "SignCertificate", _encode_sign_certificate, decode_sign_response),
    RequestRow("CertificateSigned", _decode_certificate_signed, SIGNED),
    RequestRow("InstallCertificate", _decode_install_certificate, INSTALLED),
    RequestRow("DeleteCertificate", decode_delete_certificate, DELETED),
    RequestRow("GetInstalledCertificateIds", _decode_get_certificate_ids, _answer_get_certificate_ids),
    RequestRow(
        "ExtendedTriggerMessage",
        _decode_extended_trigger,
        answer_one_of("Accepted", "NotImplemented"),
    ),
)

"""The station's certificate and the roots it trusts (OCPP 2.0.1 A02, M03-M05). Certificates of
ISO 15118 are not kept here: they are rejected, and none is found."""

from __future__ import annotations

from typing import Any

from agent.domain.certificates import CertificateUse
from agent.domain.messages import CertificateSigningWanted
from agent.domain.orders import Response
from agent.domain.requests import CertificateSignedRequest, InstallCertificateRequest, InstalledCertificatesRequest
from agent.ocpp.dialects.certificates import (
    DELETED,
    INSTALLED,
    SIGNED,
    decode_delete_certificate,
    decode_sign_response,
    encode_hash_data,
)
from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext

OWN = "ChargingStationCertificate"
_USES = frozenset(CertificateUse)


def _encode_sign_certificate(message: CertificateSigningWanted, ctx: RowContext) -> dict[str, Any]:
    return {"csr": message.csr, "certificateType": OWN}


def _decode_certificate_signed(payload: Payload, ctx: RowContext) -> CertificateSignedRequest | LocalAnswer:
    if payload.get("certificateType", OWN) != OWN:
        return REJECTED
    return CertificateSignedRequest(payload["certificateChain"])


def _decode_install_certificate(payload: Payload, ctx: RowContext) -> InstallCertificateRequest | LocalAnswer:
    if payload["certificateType"] not in _USES:
        return REJECTED
    return InstallCertificateRequest(CertificateUse(payload["certificateType"]), payload["certificate"])


def _decode_get_certificate_ids(payload: Payload, ctx: RowContext) -> InstalledCertificatesRequest:
    """Decode the request; without a type it means all of them."""
    wanted = payload.get("certificateType")
    return InstalledCertificatesRequest(
        None if wanted is None else tuple(use for use in CertificateUse if use in wanted)
    )


def _answer_get_certificate_ids(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    roots = reply.data.get("roots", ())
    if reply.status != "Accepted" or not roots:
        return {"status": "NotFound"}
    chains = [
        {"certificateType": root.use.value, "certificateHashData": encode_hash_data(root.hashes)} for root in roots
    ]
    return {"status": "Accepted", "certificateHashDataChain": chains}


ROWS = (
    MessageRow(CertificateSigningWanted, "SignCertificate", _encode_sign_certificate, decode_sign_response),
    RequestRow("CertificateSigned", _decode_certificate_signed, SIGNED),
    RequestRow("InstallCertificate", _decode_install_certificate, INSTALLED),
    RequestRow("DeleteCertificate", decode_delete_certificate, DELETED),
    RequestRow("GetInstalledCertificateIds", _decode_get_certificate_ids, _answer_get_certificate_ids),
)

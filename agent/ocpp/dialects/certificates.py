"""What the certificate messages of 1.6's security extension and of 2.x have in common."""

from __future__ import annotations

from typing import Any

from agent.domain.certificate_orders import SigningAnswered
from agent.domain.certificates import HashData
from agent.domain.requests import DeleteCertificateRequest
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.dialect import Payload, ResponseEffects, RowContext


def decode_delete_certificate(payload: Payload, ctx: RowContext) -> DeleteCertificateRequest:
    data = payload["certificateHashData"]
    names = ("hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber")
    return DeleteCertificateRequest(HashData(*(data[name] for name in names)))


def encode_hash_data(of: HashData) -> dict[str, str]:
    return {
        "hashAlgorithm": of.algorithm,
        "issuerNameHash": of.issuer_name,
        "issuerKeyHash": of.issuer_key,
        "serialNumber": of.serial,
    }


def decode_sign_response(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """Decode the answer to SignCertificate."""
    return ResponseEffects(events=(SigningAnswered(ctx.link, payload["status"] == "Accepted"),))


SIGNED = answer_one_of("Accepted")
INSTALLED = answer_one_of("Accepted", "Failed")
DELETED = answer_one_of("Accepted", "NotFound", otherwise="Failed")

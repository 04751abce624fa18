"""What the certificate messages of 1.6's security extension and of 2.x have in common."""

from __future__ import annotations

from typing import Any

from agent.domain.certificate_orders import SigningAnswered
from agent.domain.certificates import HashData
from agent.domain.orders import Reply
from agent.domain.requests import AskDeleteCertificate
from agent.ocpp.dialects.dialect import Desk, Heard, Payload


def one_of(*words: str, otherwise: str) -> Any:
    def answer(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
        return {"status": reply.status if reply.status in words else otherwise}

    return answer


def named(payload: Payload, desk: Desk) -> AskDeleteCertificate:
    data = payload["certificateHashData"]
    names = ("hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber")
    return AskDeleteCertificate(HashData(*(data[name] for name in names)))


def hashes(of: HashData) -> dict[str, str]:
    return {
        "hashAlgorithm": of.algorithm,
        "issuerNameHash": of.issuer_name,
        "issuerKeyHash": of.issuer_key,
        "serialNumber": of.serial,
    }


def answered(message: Any, payload: Payload, desk: Desk) -> Heard:
    """Of SignCertificate."""
    return Heard(events=(SigningAnswered(desk.link, payload["status"] == "Accepted"),))


SIGNED = one_of("Accepted", otherwise="Rejected")
INSTALLED = one_of("Accepted", "Failed", otherwise="Rejected")
DELETED = one_of("Accepted", "NotFound", otherwise="Failed")

"""The station's certificate and the roots it trusts (OCPP 2.0.1 A02, M03-M05). Nothing of ISO 15118 is kept here:
certificates for that use are rejected, and none is found."""

from __future__ import annotations

from typing import Any

from agent.domain.certificates import Use
from agent.domain.messages import CertificateSigningWanted
from agent.domain.orders import Reply
from agent.domain.requests import AskCertificateSigned, AskInstallCertificate, AskInstalledCertificates
from agent.ocpp.dialects.certificates import DELETED, INSTALLED, SIGNED, answered, hashes, named
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload

OWN = "ChargingStationCertificate"
_USES = frozenset(Use)


def _csr(message: CertificateSigningWanted, desk: Desk) -> dict[str, Any]:
    return {"csr": message.csr, "certificateType": OWN}


def _signed(payload: Payload, desk: Desk) -> AskCertificateSigned | dict[str, Any]:
    if payload.get("certificateType", OWN) != OWN:
        return {"status": "Rejected"}
    return AskCertificateSigned(payload["certificateChain"])


def _install(payload: Payload, desk: Desk) -> AskInstallCertificate | dict[str, Any]:
    if payload["certificateType"] not in _USES:
        return {"status": "Rejected"}
    return AskInstallCertificate(Use(payload["certificateType"]), payload["certificate"])


def _ids(payload: Payload, desk: Desk) -> AskInstalledCertificates:
    """No type: all of them."""
    wanted = payload.get("certificateType")
    return AskInstalledCertificates(None if wanted is None else tuple(use for use in Use if use in wanted))


def _listed(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    roots = reply.data.get("roots", ())
    if reply.status != "Accepted" or not roots:
        return {"status": "NotFound"}
    chains = [{"certificateType": root.use.value, "certificateHashData": hashes(root.hashes)} for root in roots]
    return {"status": "Accepted", "certificateHashDataChain": chains}


ROWS = (
    Out(CertificateSigningWanted, "SignCertificate", _csr, answered),
    In("CertificateSigned", _signed, SIGNED),
    In("InstallCertificate", _install, INSTALLED),
    In("DeleteCertificate", named, DELETED),
    In("GetInstalledCertificateIds", _ids, _listed),
)

"""What the certificate cases share."""

from __future__ import annotations

from typing import Any

from tests.conformance.ocpp16.play import Play

CSMS, MAKER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"


async def install(s: Play, pem: str, kind: str = CSMS) -> str:
    return await s.ask("InstallCertificate", certificateType=kind, certificate=pem)


async def delete(s: Play, hashes: dict[str, str]) -> str:
    return await s.ask("DeleteCertificate", certificateHashData=hashes)


async def listed(s: Play, kind: str = CSMS) -> list[dict[str, str]]:
    """Hash data of what is installed; an empty list is answered as NotFound."""
    answer: dict[str, Any] = await s.answer("GetInstalledCertificateIds", certificateType=kind)
    assert (answer["status"] == "Accepted") is bool(answer.get("certificateHashData"))
    return list(answer.get("certificateHashData", []))


async def request(s: Play) -> str:
    """The signing request that comes of a trigger."""
    s.begin()
    assert await s.ask("ExtendedTriggerMessage", requestedMessage="SignChargePointCertificate") == "Accepted"
    return str((await s.call("SignCertificate"))["csr"])


async def signed(s: Play, chain: str) -> str:
    return await s.ask("CertificateSigned", certificateChain=chain)

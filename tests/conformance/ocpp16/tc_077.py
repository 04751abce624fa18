"""A signed certificate that is not acceptable: Rejected, reported as a security event, and the old one stays in use."""

from pathlib import Path

from tests.conformance.ocpp16.certificates_play import delete, install, request, signed
from tests.conformance.ocpp16.play import Play
from tests.conformance.ocpp16.secure_play import back, with_tls
from tests.support.certificate_authorities import Authority, shown

EVENT = "InvalidChargePointCertificate"


async def test_of_a_stranger(tmp_path: Path) -> None:
    async with with_tls(tmp_path, 3) as (s, csms, ours):
        first = shown(csms.front)
        other = Authority(name="Foreign Root")
        csr = await request(s)
        assert await signed(s, other.sign(csr) + other.pem) == "Rejected"
        await s.heard(lambda: csms.events().count(EVENT) == 1)
        assert await signed(s, ours.sign(csr, (-20, -10))) == "Rejected"
        assert await signed(s, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n") == "Rejected"
        await s.heard(lambda: csms.events().count(EVENT) == 3)
        said = [p["techInfo"] for p in s.payloads("SecurityEventNotification") if p["type"] == EVENT]
        assert "no installed root" in said[0]
        csms.front.cut()
        await s.heard(lambda: len(csms.users) == 2)
        await back(s, csms)
        assert shown(csms.front) == first


async def test_as_long_as_the_key_says(s: Play) -> None:
    ours = Authority(name="Our Root")
    most = int(await s.get("CertificateSignedMaxChainSize"))
    assert most == 10_000  # what the schema of the message can carry
    assert await install(s, ours.pem) == "Accepted"
    chain = ours.sign(await request(s), (-1, 365))  # or it is to be renewed at once
    assert await signed(s, (chain + "\n" * most)[:most]) == "Accepted"
    assert await delete(s, ours.hashes) == "Accepted"

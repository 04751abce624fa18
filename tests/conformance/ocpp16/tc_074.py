"""The central system asks for a new certificate: a new key, a request, and the next connection with what was signed."""

from pathlib import Path

from cryptography import x509

from tests.conformance.ocpp16.certificates_play import delete, request, signed
from tests.conformance.ocpp16.secure_play import back, with_tls
from tests.support.certificate_authorities import hash_data, serial_of, shown

YEAR = (-1, 365)
"""One that has a month left is asked to be renewed at once."""


async def test_a_new_certificate(tmp_path: Path) -> None:
    async with with_tls(tmp_path, 3) as (s, csms, ours):
        boot = s.payloads("BootNotification")[0]
        first = shown(csms.front)
        await s.set(CpoName="The Operator")
        csr = await request(s)
        subject = x509.load_pem_x509_csr(csr.encode()).subject.rfc4514_string()
        assert subject == f"O=The Operator,CN={boot['chargePointSerialNumber']}"
        chain = ours.sign(csr, YEAR)
        assert await signed(s, chain) == "Accepted"
        await s.heard(lambda: shown(csms.front) == serial_of(chain))
        await back(s, csms)
        assert shown(csms.front) != first
        await s.heard(lambda: "ReconfigurationOfSecurityParameters" in csms.events())
        await s.station.post("/agent", {"action": "kill"})
        await s.heard(lambda: len(csms.users) >= 3)
        await back(s, csms)
        assert shown(csms.front) == serial_of(chain)  # also the next process
        again = ours.sign(await request(s), YEAR)  # and once more, from a key that the agent has made itself
        assert await signed(s, again) == "Accepted"
        await s.heard(lambda: shown(csms.front) == serial_of(again))
        await back(s, csms)
        await s.heard(lambda: len(list((tmp_path / "state" / "pki").glob("*.key"))) == 1)
        name = hash_data(x509.load_pem_x509_certificate(again.encode()), ours.certificate)
        assert await delete(s, name) == "Failed"  # its own certificate cannot be taken away like a root

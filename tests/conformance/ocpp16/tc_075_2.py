"""A root of central systems is installed, listed, and good for the connection."""

from pathlib import Path

from tests.conformance.ocpp16.certificates_play import delete, install, listed
from tests.conformance.ocpp16.secure_play import back, basic, shut_out
from tests.support.certificate_authorities import Authority, tls

OTHER = Authority(name="Other Root")


async def test_a_root_that_opens_tls(tmp_path: Path) -> None:
    ours, old = Authority(tmp_path, "Our Root"), Authority(name="Old Root", span=(-20, -10))
    async with basic(tmp_path) as (s, csms):
        assert await s.get("AdditionalRootCertificateCheck") == "false"
        assert await s.put("SecurityProfile", 2) == "Rejected"  # whom should it trust?
        assert await install(s, old.pem) == "Rejected"
        assert await install(s, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n") == "Rejected"
        assert await listed(s) == []
        assert await install(s, ours.pem) == "Accepted"
        assert await listed(s) == [ours.hashes]
        assert await s.put("SecurityProfile", 2) == "Accepted"
        csms.become(tls(ours.server()))
        await back(s, csms)
        csms.become(tls(Authority(tmp_path, "Foreign Root").server()))
        await shut_out(s, csms)
        await s.station.post("/agent", {"action": "kill"})  # the root is there after a restart
        csms.become(tls(ours.server()))
        await back(s, csms)
        assert await s.get("SecurityProfile") == "2"
        assert await delete(s, ours.hashes) == "Failed"  # the connection hangs on it
        assert await install(s, OTHER.pem) == "Accepted"
        assert await delete(s, ours.hashes) == "Failed"  # the other one is no help
        assert await delete(s, OTHER.hashes) == "Accepted"
        assert await listed(s) == [ours.hashes]

"""SecurityProfile is raised by one: accepted, the higher one is used from then on, and nothing lower ever again."""

from pathlib import Path

from tests.conformance.ocpp16.secure_play import FIRST, back, basic, shut_out, with_tls
from tests.support.certificate_authorities import Authority, common_name, tls


async def test_raised_with_a_reset(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "Our Root")
    async with basic(tmp_path) as (s, csms):
        s.begin()
        assert await s.put("SecurityProfile", 3) == "Rejected"  # no certificate of the station
        assert await s.put("SecurityProfile", 2) == "Rejected"  # no root
        root = {"certificateType": "CentralSystemRootCertificate", "certificate": ours.root.read_text()}
        assert await s.ask("InstallCertificate", **root) == "Accepted"
        assert await s.put("SecurityProfile", 2) == "Accepted"
        assert await s.ask("Reset", type="Hard") == "Accepted"
        csms.become(tls(ours.server()))
        await s.rebooted()
        assert csms.users[-1] == ("CP-1", FIRST)
        assert csms.front.agreed["version"] in ("TLSv1.2", "TLSv1.3")
        assert await s.get("SecurityProfile") == "2"
        csms.become(None)
        await shut_out(s, csms)
        await s.station.post("/agent", {"action": "kill"})
        await s.station.until(lambda p: p["agent"]["up"])
        await shut_out(s, csms)
        csms.become(tls(ours.server()))
        await back(s, csms)


async def test_a_raise_that_does_not_work_is_taken_back_and_one_that_does_needs_no_reset(tmp_path: Path) -> None:
    """Whitepaper A05.FR.06-08: the first server refuses all certificates, late (TLS 1.3) or early."""
    other = tmp_path / "other"
    other.mkdir()
    foreign = Authority(other, "Foreign Root").root
    async with with_tls(tmp_path) as (s, csms, ours):
        for version in ("1.3", "1.2"):
            csms.become(tls(ours.server(), foreign, version, want=False), FIRST)
            await back(s, csms)
            before = csms.events().count("ReconfigurationOfSecurityParameters")
            assert await s.put("SecurityProfile", 3) == "Accepted"
            await s.heard(lambda n=before: csms.events().count("ReconfigurationOfSecurityParameters") == n + 2)
            assert csms.users[-1] == ("CP-1", FIRST)
            assert await s.get("SecurityProfile") == "2"
        assert csms.events().count("FailedToAuthenticateAtCentralSystem") == 2
        csms.become(tls(ours.server(), ours.root, want=False))
        await back(s, csms)
        assert await s.put("SecurityProfile", 3) == "Accepted"
        await s.heard(lambda: csms.users[-1] is None)  # no password any more
        await s.station.until(lambda p: p["backend"]["link"] == "up")
        assert common_name(csms.front.agreed["certificate"]) == "CP-1"
        assert await s.get("SecurityProfile") == "3"

"""SecurityProfile is raised by one: accepted, the higher one is used from then on, and nothing lower ever again."""

from pathlib import Path

from authorities import Authority, common_name, tls

from ocpp16.secure_play import FIRST, back, basic, shut_out, with_tls


async def test_raised_with_a_reset(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "Our Root")
    async with basic(tmp_path, f'ca = "{ours.root}"') as (s, csms):
        s.begin()
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


async def test_raised_without_a_reset_the_station_reconnects_by_itself(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as (s, csms, ours):
        assert await s.put("SecurityProfile", 3) == "Accepted"
        csms.become(tls(ours.server(), ours.root))
        await s.heard(lambda: csms.users == [None])  # no password any more
        await back(s, csms)
        assert common_name(csms.front.agreed["certificate"]) == "CP-1"
        assert await s.get("SecurityProfile") == "3"


async def test_a_raise_that_does_not_work_is_taken_back(tmp_path: Path) -> None:
    """Whitepaper A05.FR.08."""
    ours = Authority(tmp_path, "Our Root")
    async with basic(tmp_path, f'ca = "{ours.root}"') as (s, csms):
        assert await s.put("SecurityProfile", 2) == "Accepted"
        await s.heard(lambda: len(csms.users) == 2)  # in vain thrice in between: that port speaks no TLS
        await back(s, csms)
        assert await s.get("SecurityProfile") == "1"
        await s.heard(lambda: csms.events().count("ReconfigurationOfSecurityParameters") == 2)


async def test_not_without_what_it_needs(tmp_path: Path) -> None:
    async with basic(tmp_path) as (s, _):
        assert await s.put("SecurityProfile", 2) == "Rejected"  # no root
        assert await s.put("SecurityProfile", 3) == "Rejected"
        assert await s.get("SecurityProfile") == "1"

"""SecurityProfile is lowered: rejected, and nothing has changed."""

from pathlib import Path

from ocpp16.secure_play import with_tls


async def test_not_downward(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as (s, csms, _):
        for profile in (1, 0, 2):
            assert await s.put("SecurityProfile", profile) == "Rejected"
        assert await s.get("SecurityProfile") == "2"
        await s.kill()
        await s.station.until(lambda p: p["backend"]["link"] == "up")
        assert csms.front.agreed
        assert await s.get("SecurityProfile") == "2"

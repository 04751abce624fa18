"""SecurityProfile is lowered: rejected, and nothing has changed."""

from tests.conformance.ocpp16.secure_play import Guarded


async def test_not_downward(secured: Guarded) -> None:
    s, csms, _ = secured
    for profile in (1, 0, 2):
        assert await s.put("SecurityProfile", profile) == "Rejected"
    assert await s.get("SecurityProfile") == "2"
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert csms.front.agreed
    assert await s.get("SecurityProfile") == "2"

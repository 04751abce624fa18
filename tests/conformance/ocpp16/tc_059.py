"""A remote start brings the profile of its transaction along."""

from tests.conformance.ocpp16.charging_play import TX, composite, passes, profile, seconds
from tests.conformance.ocpp16.play import APP, Play


async def test_the_profile_holds_from_the_start_on(s: Play) -> None:
    await s.set(AuthorizeRemoteTxRequests=False)
    await s.plug()
    await s.status_reported("Preparing")
    s.profiled = True
    wanted = profile(1, TX, (0, 8), (60, 11), (80, 6))
    assert await s.start(APP, chargingProfile=wanted) == "Accepted"
    began = seconds((await s.call("StartTransaction"))["timestamp"])
    found = (await composite(s))[1:]
    for (at, limit), (due, amperes) in zip(found[::-1], ((began + 80, 6.0), (began + 60, 11.0)), strict=False):
        assert limit == amperes
        assert abs(at - due) <= 1  # the stamp on the wire is rounded, the schedule counts whole seconds
    await passes(s, 8, 11, 6)  # never a moment with more
    assert [limit for _, limit in await composite(s)] == [6.0]

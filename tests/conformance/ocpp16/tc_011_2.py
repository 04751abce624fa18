"""A remote start that no cable follows within ConnectionTimeOut."""

from tests.conformance.ocpp16.play import APP, Play


async def test_no_one_plugs_in(s: Play) -> None:
    await s.set(ConnectionTimeOut=20)
    assert await s.start(APP) == "Accepted"
    await s.heard(lambda: "Preparing" in s.story())
    await s.status_reported("Available")
    await s.plug()
    await s.status_reported("Preparing")
    await s.never("StartTransaction")

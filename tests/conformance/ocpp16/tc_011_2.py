"""A remote start that no cable follows within ConnectionTimeOut."""

from tests.conformance.ocpp16.play import APP, Play


async def test_nobody_plugs_in(s: Play) -> None:
    await s.set(ConnectionTimeOut=20)
    assert await s.start(APP) == "Accepted"
    await s.heard(lambda: "Preparing" in s.story())
    await s.told("Available")
    await s.plug()
    await s.told("Preparing")
    await s.never("StartTransaction")

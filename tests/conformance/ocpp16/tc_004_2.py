"""The card, and no cable within ConnectionTimeOut: the right is gone, a later cable starts nothing."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_nobody_plugs_in(s: Play) -> None:
    await s.set(ConnectionTimeOut=20)
    await s.tap(CARD)
    await s.heard(lambda: "Preparing" in s.story())
    await s.told("Available")
    await s.plug()
    await s.told("Preparing")
    await s.never("StartTransaction")
    assert s.story() == ["Authorize", "Preparing", "Available", "Preparing"]

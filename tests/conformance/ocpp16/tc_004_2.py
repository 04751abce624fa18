"""The card, and no cable within ConnectionTimeOut: the right is gone, a later cable starts nothing."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_no_one_plugs_in(s: Play) -> None:
    await s.set(ConnectionTimeOut=20)
    await s.tap(CARD)
    await s.heard(lambda: "Preparing" in s.story())
    await s.status_reported("Available")
    await s.plug()
    await s.status_reported("Preparing")
    await s.never("StartTransaction")
    assert s.story() == ["Authorize", "Preparing", "Available", "Preparing"]

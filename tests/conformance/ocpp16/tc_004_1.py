"""First the card, then the cable."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_card_then_cable(s: Play) -> None:
    await s.tap(CARD)
    await s.status_reported("Preparing")
    await s.plug()
    await s.status_reported("Charging")
    assert s.story() == ["Authorize", "Preparing", "StartTransaction", "Charging"]

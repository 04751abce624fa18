"""A stranger's card stops nothing; the card that began the transaction ends it."""

from tests.conformance.ocpp16.play import CARD, STRANGER, Play


async def test_the_card_that_began_it(s: Play) -> None:
    await s.session(CARD)
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.screen("charging")
    assert s.payloads("StopTransaction") == []
    await s.tap(CARD)
    stop = await s.call("StopTransaction")
    assert stop["idTag"] == CARD
    assert stop.get("reason", "Local") == "Local"
    await s.status_reported("Finishing")

"""A card of the local list charges without being asked about."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_a_listed_card_is_not_asked_about(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True, LocalPreAuthorize=True)
    assert await s.list(1, **{CARD: OK}) == "Accepted"
    await s.session(CARD)
    assert s.payloads("Authorize") == []
    assert s.payloads("StartTransaction")[0]["idTag"] == CARD
    await s.tap(CARD)
    await s.status_reported("Finishing")
    await s.leave()

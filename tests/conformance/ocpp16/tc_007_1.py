"""A card that the cache knows starts without being asked about."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_cached_card(s: Play) -> None:
    await s.set(AuthorizationCacheEnabled=True, LocalPreAuthorize=True)
    await s.known(CARD)
    await s.session(CARD)
    assert s.story() == ["Preparing", "StartTransaction", "Charging"]

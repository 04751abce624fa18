"""A remote start with a token that the cache knows, while remote starts are to be authorized."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_cached_token_from_afar(s: Play) -> None:
    await s.set(AuthorizationCacheEnabled=True, LocalPreAuthorize=True, AuthorizeRemoteTxRequests=True)
    await s.known(CARD)
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(CARD) == "Accepted"
    await s.status_reported("Charging")
    assert s.story() == ["Preparing", "StartTransaction", "Charging"]

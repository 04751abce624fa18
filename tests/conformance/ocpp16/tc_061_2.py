"""ClearCache: the next remote start with the token is asked about."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_forgotten_token_from_afar(s: Play) -> None:
    await s.set(AuthorizationCacheEnabled=True, LocalPreAuthorize=True, AuthorizeRemoteTxRequests=True)
    await s.known(CARD)
    assert await s.ask("ClearCache") == "Accepted"
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(CARD) == "Accepted"
    await s.status_reported("Charging")
    assert s.story() == ["Preparing", "Authorize", "StartTransaction", "Charging"]

"""ClearCache: the next use of the card is asked about."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_forgotten_card(s: Play) -> None:
    await s.set(AuthorizationCacheEnabled=True, LocalPreAuthorize=True)
    await s.known(CARD)
    assert await s.ask("ClearCache") == "Accepted"
    await s.session(CARD)
    assert s.story() == ["Preparing", "Authorize", "StartTransaction", "Charging"]

"""A remote start with a card of the local list, while remote starts are to be authorized."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_a_remote_start_with_a_listed_card(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True, LocalPreAuthorize=True, AuthorizeRemoteTxRequests=True)
    assert await s.list(1, **{CARD: OK}) == "Accepted"
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(CARD) == "Accepted"
    await s.status_reported("Charging")
    assert s.payloads("Authorize") == []
    assert s.payloads("StartTransaction")[0]["idTag"] == CARD

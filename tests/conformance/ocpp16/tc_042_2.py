"""An empty full list has version 0, whatever version came with it."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_an_empty_list_has_version_0(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True)
    assert await s.list(7, **{CARD: OK}) == "Accepted"
    assert await s.list_version() == 7
    assert await s.list(8) == "Accepted"
    assert await s.list_version() == 0

"""An occupied connector cannot be reserved."""

from tests.conformance.ocpp16.play import CARD, STRANGER, Play


async def test_an_occupied_connector(s: Play) -> None:
    await s.session(STRANGER)
    assert await s.reserve(token=CARD) == "Occupied"


async def test_one_that_is_reserved_already(s: Play) -> None:
    assert await s.reserve(number=7) == "Accepted"
    assert await s.reserve(number=8, token=STRANGER) == "Occupied"

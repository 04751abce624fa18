"""An unknown reservation is cancelled: the real one stays."""

from tests.conformance.ocpp16.play import CARD, STRANGER, Play


async def test_the_real_one_stays(s: Play) -> None:
    assert await s.reserve(number=7) == "Accepted"
    await s.status_reported("Reserved")
    assert await s.cancel(8) == "Rejected"
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.session(CARD)
    assert s.payloads("StartTransaction")[0]["reservationId"] == 7


async def test_the_same_number_replaces(s: Play) -> None:
    assert await s.reserve(1, number=7) == "Accepted"
    await s.status_reported("Reserved", 1)
    assert await s.reserve(2, STRANGER, number=7) == "Accepted"
    await s.status_reported("Available", 1)
    await s.status_reported("Reserved", 2)

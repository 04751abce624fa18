"""A reservation expires."""

from tests.conformance.ocpp16.play import CARD, STRANGER, Play


async def test_at_its_end_the_connector_is_free_again(s: Play) -> None:
    assert await s.reserve(after_s=60) == "Accepted"
    await s.heard(lambda: "Reserved" in s.story())
    await s.status_reported("Available")
    await s.session(STRANGER)
    assert "reservationId" not in s.payloads("StartTransaction")[0]


async def test_one_that_is_over_already(s: Play) -> None:
    assert await s.reserve(token=CARD, after_s=-60) == "Rejected"
    assert s.csms.statuses["1"] == "Available"

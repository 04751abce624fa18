"""A reservation is cancelled."""

from tests.conformance.ocpp16.play import STRANGER, Play


async def test_anyone_may_charge_again(s: Play) -> None:
    assert await s.reserve() == "Accepted"
    await s.status_reported("Reserved")
    assert await s.cancel() == "Accepted"
    await s.status_reported("Available")
    await s.session(STRANGER)
    assert "reservationId" not in s.payloads("StartTransaction")[0]
    assert await s.cancel() == "Rejected"  # it is not there any more

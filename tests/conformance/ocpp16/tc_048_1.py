"""A faulty connector cannot be reserved."""

from tests.conformance.ocpp16.play import Play


async def test_a_faulty_connector(s: Play) -> None:
    await s.fault("GroundFailure")
    await s.status_reported("Faulted")
    assert await s.reserve() == "Faulted"

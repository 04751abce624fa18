"""A remote start on connector 0."""

from tests.conformance.ocpp16.play import APP, Play


async def test_connector_zero_starts_nothing(s: Play) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(APP, 0) in ("Rejected", "PropertyConstraintViolation")
    await s.never("StartTransaction")

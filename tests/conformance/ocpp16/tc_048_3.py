"""A connector that is out of service cannot be reserved."""

from tests.conformance.ocpp16.play import Play


async def test_an_unavailable_connector(s: Play) -> None:
    assert await s.ask("ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
    await s.status_reported("Unavailable")
    assert await s.reserve() == "Unavailable"

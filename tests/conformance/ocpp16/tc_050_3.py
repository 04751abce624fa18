"""Any connector is to be reserved, and all are out of service."""

from tests.conformance.ocpp16.play import Play


async def test_all_are_unavailable(s: Play) -> None:
    assert await s.ask("ChangeAvailability", connectorId=0, type="Inoperative") == "Accepted"
    for n in (1, 2):
        await s.status_reported("Unavailable", n)
    assert await s.reserve(0) == "Unavailable"

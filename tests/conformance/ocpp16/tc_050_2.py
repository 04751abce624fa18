"""Any connector is to be reserved, and all are occupied."""

from tests.conformance.ocpp16.play import CARD, FRIEND, STRANGER, Play


async def test_all_are_occupied(s: Play) -> None:
    await s.session(STRANGER, 1)
    await s.session(FRIEND, 2)
    assert await s.reserve(0, CARD) == "Occupied"

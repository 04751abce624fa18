"""Any connector is to be reserved, and all are faulty."""

from tests.conformance.ocpp16.play import Play


async def test_all_are_faulty(s: Play) -> None:
    for n in (1, 2):
        await s.fault("GroundFailure", n=n)
        await s.status_reported("Faulted", n)
    assert await s.reserve(0) == "Faulted"

"""UnlockConnector while the lock's motor is stuck."""

from tests.conformance.ocpp16.play import Play


async def test_a_lock_that_does_not_open(s: Play) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    await s.station.until_evse(lambda e: e["locked"])  # its motor takes a moment
    await s.fault("UnlockFailure")
    assert await s.ask("UnlockConnector", connectorId=1) == "UnlockFailed"
    assert (await s.station.evse())["locked"]
    await s.fault("UnlockFailure", False)
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"

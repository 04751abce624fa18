"""The cable is pulled at the car, and the socket gives it back by itself."""

from tests.conformance.ocpp16.play import Play


async def test_pulled_at_the_car_and_unlocked(s: Play) -> None:
    await s.set(MinimumStatusDuration=0, StopTransactionOnEVSideDisconnect=True, UnlockConnectorOnEVSideDisconnect=True)
    await s.session()
    await s.unplug(side="ev")
    await s.status_reported("Finishing")
    assert (await s.call("StopTransaction"))["reason"] == "EVDisconnected"
    await s.until(lambda e: not e["locked"])
    await s.leave()
    assert s.story()[-3:] == ["StopTransaction", "Finishing", "Available"]

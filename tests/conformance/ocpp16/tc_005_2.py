"""The cable is pulled at the car, and the socket keeps it until the central system unlocks it, or the driver's card."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_pulled_at_the_car_and_kept(s: Play) -> None:
    await s.set(StopTransactionOnEVSideDisconnect=True, UnlockConnectorOnEVSideDisconnect=False)
    await s.session()
    await s.unplug(side="ev")
    await s.status_reported("Finishing")
    assert (await s.call("StopTransaction"))["reason"] == "EVDisconnected"
    assert (await s.station.evse())["locked"]
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"
    await s.until(lambda e: not e["locked"])
    await s.leave()
    assert len(s.payloads("StopTransaction")) == 1


async def test_pulled_at_the_car_and_freed_by_the_card(s: Play) -> None:
    await s.set(StopTransactionOnEVSideDisconnect=True, UnlockConnectorOnEVSideDisconnect=False)
    await s.session()
    await s.unplug(side="ev")
    await s.status_reported("Finishing")
    assert (await s.call("StopTransaction"))["reason"] == "EVDisconnected"
    assert (await s.station.evse())["locked"]
    await s.tap(CARD)
    await s.until(lambda e: not e["locked"])
    await s.leave()
    assert len(s.payloads("StartTransaction")) == 1

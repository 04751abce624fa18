"""The cable is pulled at the car, and the transaction outlives it until the central system stops it."""

from tests.conformance.ocpp16.play import Play


async def test_pulled_at_the_car_and_going_on(s: Play) -> None:
    await s.set(StopTransactionOnEVSideDisconnect=False, UnlockConnectorOnEVSideDisconnect=False)
    number = await s.session()
    await s.unplug(side="ev")
    await s.heard(lambda: s.csms.statuses["1"] in ("SuspendedEV", "SuspendedEVSE"))
    await s.never("StopTransaction")
    assert (await s.station.evse())["locked"]
    assert await s.stop(number) == "Accepted"
    assert (await s.call("StopTransaction"))["reason"] == "Remote"
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"

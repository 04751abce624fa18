"""UnlockConnector where the cable is fixed to the station."""

from tests.conformance.ocpp16.play import Play


async def test_a_fixed_cable_cannot_be_unlocked(tethered: Play) -> None:
    assert await tethered.ask("UnlockConnector", connectorId=1) == "NotSupported"

"""UnlockConnector in a session on a fixed cable: not supported, and the session goes on."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_session_on_a_fixed_cable_goes_on(tethered: Play) -> None:
    s = tethered
    await s.session(CARD)
    assert await s.ask("UnlockConnector", connectorId=1) == "NotSupported"
    await s.never("StopTransaction")
    assert (await s.station.evse())["contactor"]
    await s.tap(CARD)
    await s.status_reported("Finishing")

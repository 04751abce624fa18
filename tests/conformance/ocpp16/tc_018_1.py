"""UnlockConnector in a session: the transaction ends, then the cable is free."""

from tests.conformance.ocpp16.play import Play


async def test_unlock_in_a_session(s: Play) -> None:
    await s.session()
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"
    evse = await s.status_reported("Finishing")
    assert (evse["locked"], evse["contactor"]) == (False, False)
    assert (await s.call("StopTransaction"))["reason"] == "UnlockCommand"

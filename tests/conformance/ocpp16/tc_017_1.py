"""UnlockConnector on an idle socket."""

from tests.conformance.ocpp16.play import Play


async def test_an_idle_socket(s: Play) -> None:
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"


async def test_a_cable_that_waits(s: Play) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.ask("UnlockConnector", connectorId=1) == "Unlocked"
    await s.until(lambda e: not e["locked"])

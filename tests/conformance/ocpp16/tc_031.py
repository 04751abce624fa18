"""UnlockConnector on a connector that does not exist."""

from tests.conformance.ocpp16.play import Play


async def test_no_such_connector(s: Play) -> None:
    assert await s.ask("UnlockConnector", connectorId=3) == "NotSupported"

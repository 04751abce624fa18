"""TriggerMessage for a connector that does not exist."""

import pytest

from tests.conformance.ocpp16.play import Play


@pytest.mark.parametrize("what", ["MeterValues", "StatusNotification"])
async def test_no_such_connector(s: Play, what: str) -> None:
    assert await s.ask("TriggerMessage", requestedMessage=what, connectorId=9) == "Rejected"
    await s.never(what)

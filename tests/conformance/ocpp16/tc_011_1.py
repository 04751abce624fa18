"""The remote start comes before the cable."""

import pytest

from tests.conformance.ocpp16.play import APP, Play


@pytest.mark.parametrize("authorise", [False, True])
async def test_remote_start_then_cable(s: Play, authorise: bool) -> None:
    await s.set(AuthorizeRemoteTxRequests=authorise)
    assert await s.start(APP) == "Accepted"
    await s.status_reported("Preparing")
    await s.plug()
    await s.status_reported("Charging")
    asked = ["Authorize"] if authorise else []
    assert s.story() == [*asked, "Preparing", "StartTransaction", "Charging"]

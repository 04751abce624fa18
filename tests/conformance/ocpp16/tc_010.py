"""The cable is in when the remote start comes; AuthorizeRemoteTxRequests alone decides whether the token is judged."""

import pytest

from tests.conformance.ocpp16.play import APP, Play


@pytest.mark.parametrize("authorise", [False, True])
async def test_cable_then_remote_start(s: Play, authorise: bool) -> None:
    await s.set(AuthorizeRemoteTxRequests=authorise)
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(APP) == "Accepted"
    await s.status_reported("Charging")
    asked = ["Authorize"] if authorise else []
    assert s.story() == ["Preparing", *asked, "StartTransaction", "Charging"]
    assert (await s.call("StartTransaction"))["idTag"] == APP

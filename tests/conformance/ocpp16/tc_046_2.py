"""A reserved connector and remote starts: only the token of the reservation."""

from tests.conformance.ocpp16.play import APP, STRANGER, Play


async def test_only_the_token_of_the_reservation(s: Play) -> None:
    await s.set(AuthorizeRemoteTxRequests=True)
    assert await s.reserve(token=APP) == "Accepted"
    await s.status_reported("Reserved")
    assert await s.start(STRANGER) == "Rejected"
    assert await s.start(APP) == "Accepted"
    await s.plug()
    await s.status_reported("Charging")
    assert s.payloads("StartTransaction")[0]["reservationId"] == 7
    assert [p["idTag"] for p in s.payloads("Authorize")] == [APP]

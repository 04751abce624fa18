"""Started off line with a card that turns out invalid, which is to stop the transaction."""

from tests.conformance.ocpp16.play import Play, begun_off_line_and_refused


async def test_stopped_as_soon_as_it_is_known(s: Play) -> None:
    await s.set(StopTransactionOnInvalidId=True)
    await begun_off_line_and_refused(s)
    stop = await s.call("StopTransaction")
    assert stop["reason"] == "DeAuthorized"
    assert stop["transactionId"] == next(reversed(s.csms.transactions))
    await s.status_reported("Finishing")

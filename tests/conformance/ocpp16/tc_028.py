"""A remote stop of a transaction that does not exist."""

from tests.conformance.ocpp16.play import Play


async def test_the_running_transaction_is_left_alone(s: Play) -> None:
    number = await s.session()
    assert await s.stop(number + 77) == "Rejected"
    await s.never("StopTransaction")
    assert (await s.station.evse())["contactor"]

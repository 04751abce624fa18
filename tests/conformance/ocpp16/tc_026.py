"""A remote start on a connector that is charging."""

from tests.conformance.ocpp16.play import APP, Play


async def test_the_running_transaction_is_left_alone(s: Play) -> None:
    await s.session()
    assert await s.start(APP) == "Rejected"
    await s.never("StopTransaction")
    assert (await s.station.evse())["contactor"]
    assert len(s.payloads("StartTransaction")) == 1

"""The power fails in a transaction: afterwards it goes on or has ended, once, and no energy is lost."""

from tests.conformance.ocpp16.play import Play


async def test_power_lost_in_a_transaction(s: Play) -> None:
    number = await s.session()
    await s.until(lambda e: e["session"]["energy_wh"] > 20)
    await s.dark()
    s.begin()
    register = (await s.station.evse())["meter_wh"]
    await s.light()
    evse = await s.until(lambda e: e["session"] is None or e["session"]["transaction_id"])
    if evse["session"] is not None:
        assert int(evse["session"]["transaction_id"]) == number
        assert await s.stop(number) == "Accepted"
    stop = await s.call("StopTransaction")
    assert stop["reason"] == ("PowerLoss" if evse["session"] is None else "Remote")
    assert stop["transactionId"] == number
    assert stop["meterStop"] >= register
    await s.empty()
    assert len(s.payloads("StopTransaction")) == 1
    assert s.payloads("StartTransaction") == []

"""Mains is lost, a back-up supply carries the board: StopTransaction says PowerLoss before it goes dark, and once."""

from tests.conformance.ocpp16.play import Play


async def test_the_stop_is_reported_before_it_goes_dark(backed: Play) -> None:
    s = backed
    number = await s.session()
    restarts = (await s.station.picture())["agent"]["restarts"]
    await s.station.post("/power", {"mains": False})
    stop = await s.call("StopTransaction")
    assert (stop["transactionId"], stop["reason"]) == (number, "PowerLoss")
    assert next(a for a, _ in s.calls() if a in ("StopTransaction", "BootNotification")) == "StopTransaction"
    await s.station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] > restarts)
    evse = await s.until(lambda e: not e["contactor"])
    assert stop["meterStop"] == evse["meter_wh"], "nothing has flowed after the register was read"
    await s.station.post("/power", {"mains": True})
    await s.station.healthy()
    await s.empty()
    assert len(s.payloads("StopTransaction")) == 1

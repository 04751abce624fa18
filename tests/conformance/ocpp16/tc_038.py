"""The driver ends a transaction while the network is gone."""

from datetime import datetime, timedelta

from tests.conformance.ocpp16.play import CARD, Play, station_time


async def test_stopped_while_off_line(s: Play) -> None:
    number = await s.session()
    await s.off_line()
    await s.tap(CARD)
    await s.screen("finished")
    evse = await s.until(lambda e: not e["contactor"])
    await s.on_line()
    stop = await s.call("StopTransaction")
    assert stop["transactionId"] == number
    assert stop.get("reason", "Local") == "Local"
    await s.status_reported("Finishing")
    assert stop["meterStop"] == evse["meter_wh"]
    assert await station_time(s) - datetime.fromisoformat(stop["timestamp"]) > timedelta(seconds=3)

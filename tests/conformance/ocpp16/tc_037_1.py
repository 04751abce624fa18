"""A session that began off line is sent afterwards, with the time at which it began."""

from datetime import datetime, timedelta

from tests.conformance.ocpp16.play import CARD, Play, station_time


async def test_the_start_is_reported_with_its_own_time(s: Play) -> None:
    await s.known(CARD)
    await s.set(LocalAuthorizeOffline=True)
    await s.off_line()
    await s.plug()
    await s.tap(CARD)
    await s.screen("charging")
    s.begin()
    await s.until(lambda e: e["session"]["energy_wh"] > 20)
    await s.on_line()
    start = await s.call("StartTransaction")
    await s.status_reported("Charging")
    assert await station_time(s) - datetime.fromisoformat(start["timestamp"]) > timedelta(seconds=3)
    await s.tap(CARD)
    await s.status_reported("Finishing")

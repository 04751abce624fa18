"""All three purposes together: the least of the station's maximum and of the transaction's profile, or the default."""

from typing import Any

from tests.conformance.ocpp16.charging_play import DEFAULT, FREE_A, MAX, TX, follows, now, offered, passes, profile
from tests.conformance.ocpp16.play import Play


async def test_the_least_of_all_at_every_moment(s: Play) -> None:
    rows, _ = await s.keys("MaxChargingProfilesInstalled", "ChargingScheduleMaxPeriods")
    assert int(rows["MaxChargingProfilesInstalled"]["value"]) >= 3
    assert int(rows["ChargingScheduleMaxPeriods"]["value"]) >= 5
    number = await s.session()
    start = await now(s) - 70
    top = profile(1, MAX, (0, 10), (80, 20), (160, 7), start=start, duration=400)
    usual = profile(2, DEFAULT, (0, 9), (120, 16), (180, 8), start=start)
    own = profile(3, TX, (0, 14), (60, 12.5), start=start, duration=100, transactionId=number)
    for n, wanted in ((0, top), (1, usual), (1, own)):
        assert await s.charge_profile(n, wanted) == "Accepted"
    edges = ((0, 10.0), (80, 12.5), (100, 9.0), (120, 16.0), (160, 7.0), (400, 8.0))
    await follows(s, *((start + at, limit) for at, limit in edges), duration=600)
    watts = ((0, 6900.0), (80, 8625.0), (100, 6210.0), (120, 11040.0), (160, 4830.0), (400, 5520.0))
    await follows(s, *((start + at, limit) for at, limit in watts), duration=600, unit="W")
    station = ((0, 10.0), (80, 20.0), (160, 7.0))
    await follows(s, *((start + at, limit) for at, limit in station), n=0)
    await passes(s, FREE_A, 10, 12, 9, 16, 7)  # the board takes whole amperes


async def test_two_cars_share_the_station_s_maximum(s: Play) -> None:
    """Never above it: neither what is offered nor what is drawn."""
    assert await s.charge_profile(0, profile(1, MAX, (0, 20))) == "Accepted"
    await s.session()
    await offered(s, 20)
    await s.session("CARD-B", 2)
    sums: list[float] = []

    def both_have_ten(p: dict[str, Any]) -> bool:
        sums.append(sum(e["limit_a"] for e in p["evses"] if e["pwm"]))
        return all(e["pwm"] and e["limit_a"] == 10 for e in p["evses"])

    await s.station.until(both_have_ten)
    assert max(sums) <= 20
    await s.until(lambda e: 6 < max(e["current_a"]) <= 10, 2)
    assert await s.ask("ClearChargingProfile", id=1) == "Accepted"
    for n in (1, 2):
        await offered(s, FREE_A, n)

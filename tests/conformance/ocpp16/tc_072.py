"""Two default profiles: the higher stack level speaks as long as it lasts, then the lower one."""

from tests.conformance.ocpp16.charging_play import DEFAULT, FREE_A, follows, now, passes, profile
from tests.conformance.ocpp16.play import Play


async def test_the_higher_level_first(s: Play) -> None:
    assert int(await s.get("ChargeProfileMaxStackLevel")) >= 1
    start = await now(s) - 90
    low = profile(1, DEFAULT, (0, 6), (100, 8), (200, 10), start=start, duration=400)
    high = profile(2, DEFAULT, (0, 7), (100, 9), start=start, duration=150, level=1)
    for wanted in (low, high):
        assert await s.charge_profile(1, wanted) == "Accepted"
    edges = ((0, 7.0), (100, 9.0), (150, 8.0), (200, 10.0), (400, FREE_A))
    await s.session()
    await follows(s, *((start + at, limit) for at, limit in edges), duration=350)
    await passes(s, 7, 9, 8, 10)

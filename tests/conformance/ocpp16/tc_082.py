"""A default profile that is set during a transaction holds for it; after a kill -9 it still does."""

from tests.conformance.ocpp16.charging_play import DEFAULT, FREE_A, billed_exactly, offered, profile
from tests.conformance.ocpp16.play import Play


async def test_it_takes_effect_at_once_and_outlives_the_process(s: Play) -> None:
    number = await s.session()
    await offered(s, FREE_A)
    assert await s.charge_profile(1, profile(1, DEFAULT, (0, 7))) == "Accepted"
    await offered(s, 7)
    await s.until(lambda e: 0 < max(e["current_a"]) <= 7)
    await s.kill()
    await offered(s, 7)
    await s.until(lambda e: e["contactor"])
    await s.status_reported("Charging")
    await billed_exactly(s, number)

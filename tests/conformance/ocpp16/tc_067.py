"""Profiles are cleared by id, by criteria, all at once; clearing nothing gives Unknown. The schedule follows."""

from tests.conformance.ocpp16.charging_play import DEFAULT, FREE_A, MAX, composite, offered, profile
from tests.conformance.ocpp16.play import Play


async def limits(s: Play) -> list[float]:
    return [limit for _, limit in await composite(s)]


async def test_clearing_changes_the_schedule_each_time(s: Play) -> None:
    await s.session()
    for n, wanted in (
        (0, profile(1, MAX, (0, 13))),
        (1, profile(2, DEFAULT, (0, 8), level=1)),
        (1, profile(3, DEFAULT, (0, 9))),
        (0, profile(4, DEFAULT, (0, 10), level=1)),
    ):
        assert await s.charge_profile(n, wanted) == "Accepted"
    assert await limits(s) == [8.0]
    await offered(s, 8)
    assert await s.ask("ClearChargingProfile", id=2) == "Accepted"
    assert await limits(s) == [9.0]
    assert await s.ask("ClearChargingProfile", id=2) == "Unknown"
    criteria = {"connectorId": 1, "chargingProfilePurpose": DEFAULT, "stackLevel": 0}
    assert await s.ask("ClearChargingProfile", **criteria) == "Accepted"
    assert await limits(s) == [10.0]
    await offered(s, 10)
    assert await s.ask("ClearChargingProfile", **criteria) == "Unknown"
    assert await s.ask("ClearChargingProfile", chargingProfilePurpose=DEFAULT) == "Accepted"
    assert await limits(s) == [13.0]
    assert await s.ask("ClearChargingProfile") == "Accepted"
    assert await limits(s) == [FREE_A]
    await offered(s, FREE_A)
    assert await s.ask("ClearChargingProfile") == "Unknown"

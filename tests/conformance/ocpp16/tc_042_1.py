"""The version of a local list that is switched off."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_a_list_that_is_switched_off_has_no_version(s: Play) -> None:
    assert await s.list(3, **{CARD: OK}) == "Accepted"
    await s.set(LocalAuthListEnabled=False)
    assert await s.list_version() == -1
    await s.set(LocalAuthListEnabled=True)


async def test_a_station_without_the_profile(bare: Play) -> None:
    assert await bare.list_version() == -1

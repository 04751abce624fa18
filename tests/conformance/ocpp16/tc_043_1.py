"""A local list for a station that does not offer the profile."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_a_station_without_the_profile(bare: Play) -> None:
    profiles = await bare.get("SupportedFeatureProfiles")
    assert "LocalAuthListManagement" not in profiles
    assert await bare.list(1, **{CARD: OK}) == "NotSupported"
    rows, unknown = await bare.keys("LocalAuthListEnabled", "LocalAuthListMaxLength", "SendLocalListMaxLength")
    assert (rows, len(unknown)) == ({}, 3)

"""A reservation for a station that does not offer the profile."""

from tests.conformance.ocpp16.play import Play


async def test_a_station_without_the_profile(bare: Play) -> None:
    assert "Reservation" not in await bare.get("SupportedFeatureProfiles")
    assert await bare.reserve() == "Rejected"
    assert await bare.cancel() == "NotSupported"
    _, unknown = await bare.keys("ReserveConnectorZeroSupported")
    assert unknown == ["ReserveConnectorZeroSupported"]

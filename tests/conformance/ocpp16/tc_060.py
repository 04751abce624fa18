"""A remote start with a profile of another purpose is refused, and nothing starts."""

import pytest

from tests.conformance.ocpp16.charging_play import DEFAULT, MAX, profile
from tests.conformance.ocpp16.play import APP, Play


@pytest.mark.parametrize("purpose", [DEFAULT, MAX])
async def test_another_purpose(s: Play, purpose: str) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(APP, chargingProfile=profile(1, purpose, (0, 8))) == "Rejected"
    await s.never("StartTransaction")
    assert await s.ask("ClearChargingProfile") == "Unknown"

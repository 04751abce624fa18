"""Any connector is to be reserved at a station that knows only reservations of one of them."""

from pathlib import Path

from tests.conformance.ocpp16.play import SETTINGS, play
from tests.support.station_rig import station_text

ONE_OF_THEM = SETTINGS + "\n[settings.ocpp16]\nReserveConnectorZeroSupported = false"


async def test_connector_0_is_not_supported(tmp_path: Path) -> None:
    async with play(tmp_path, station_text(2, settings=ONE_OF_THEM)) as s:
        assert await s.get("ReserveConnectorZeroSupported") == "false"
        assert await s.put("ReserveConnectorZeroSupported", True) == "Rejected"
        assert await s.reserve(0) == "Rejected"
        assert await s.reserve(1) == "Accepted"
        await s.status_reported("Reserved", 1)

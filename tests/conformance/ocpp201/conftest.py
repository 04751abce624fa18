"""One simulated station with two sockets per module; every case finds it free and leaves it free."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.station_rig import FAST_METER
from tests.support.station_rig_v201 import Street201, street201


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    settings = "message_retry_interval_s = 1\noffline_tx_for_unknown_id = true\npublic_key_told = true"
    backend = "call_timeout_s = 2.0"
    folder = tmp_path_factory.mktemp("case")
    async with street201(folder, settings=settings, backend_more=backend, outlet=FAST_METER) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street201) -> AsyncIterator[Street201]:
    """A card waits half a minute of real time for its cable, unless a case sets another time: on a busy machine the
    usual 60 s of the station may be over before the cable is in."""
    assert await opened.put("TxCtrlr.EVConnectionTimeOut", "600") == "Accepted"
    opened.begin()
    yield opened
    await opened.station.post("/links/backend", {"up": True})
    await opened.end()

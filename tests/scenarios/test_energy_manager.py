"""A station of OCPP 1.6 obeys its energy manager, for which 1.6 has no message, over a real Modbus connection: a limit,
its release, silence, a restart. The cases of 2.0.1 are in tests/conformance/ocpp201/test_k_external.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.busy_machine import deadline
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = station_text(evses=2) + (
    '\n[energy_manager]\ndriver = "limit_modbus"\nregister = 7\ntype = "u32"\nrate_unit = "W"\nalive = 20\n'
    "poll_s = 0.05\n"
    'silent_s = 5\non_silence = "fall_back"\nfallback = 5520\n'
)
FALLBACK_A = 8.0
FREE_A = 32.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("manager"), TEXT) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(station: Street) -> AsyncIterator[Street]:
    station.begin()
    yield station
    await station.station.post("/limits", {"max_a": None, "manager": "online"})
    await station.end()


async def composite(s: Street) -> float:
    answer = await s.csms.ask("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "A"})
    return float(answer["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"])


async def follows(s: Street, amperes: float) -> None:
    """Until the composite schedule of outlet 1 has this limit."""
    async with deadline(60):
        while await composite(s) != amperes:
            await asyncio.sleep(0.05)


async def test_two_sessions_share_the_limit_and_the_backend_of_1_6_is_sent_nothing_new(s: Street) -> None:
    await s.charge("CARD-A")
    await s.charge("CARD-B", 2)
    await s.until(lambda e: e["limit_a"] == FREE_A)
    await s.station.post("/limits", {"max_a": 20})
    for n in (1, 2):
        await s.until(lambda e: e["limit_a"] == 10, n)
    await s.station.post("/limits", {"max_a": None})
    await s.until(lambda e: e["limit_a"] == FREE_A)
    known = {"Authorize", "StartTransaction", "StatusNotification", "MeterValues", "Heartbeat", "DataTransfer"}
    assert {action for action, _ in s.calls()} <= known


async def test_a_silent_energy_manager_leaves_the_fallback_until_it_is_back(s: Street) -> None:
    await s.charge("CARD-A")
    await s.station.post("/limits", {"max_a": 16})
    await s.until(lambda e: e["limit_a"] == 16)
    await s.station.post("/limits", {"manager": "silent"})
    assert (await s.station.until(lambda p: p["limits"]["manager"] == "silent"))["limits"]["max_a"] == 16
    await s.until(lambda e: e["limit_a"] == FALLBACK_A)
    await s.station.post("/limits", {"manager": "online"})
    await s.until(lambda e: e["limit_a"] == 16)


async def test_the_limit_outlives_the_process(s: Street) -> None:
    await s.station.post("/limits", {"max_a": 13})
    await follows(s, 13.0)
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    await follows(s, 13.0)
    await s.charge("CARD-A")
    await s.until(lambda e: e["limit_a"] == 13)


async def test_without_an_energy_manager_only_the_boards_know_of_the_limit(tmp_path: Path) -> None:
    async with street(tmp_path, station_text()) as other:
        await other.station.post("/limits", {"manager": "silent"}, 409)
        await other.station.post("/limits", {"max_a": 10}, 202)
        assert "limits" not in await other.station.picture()

"""Whole sessions on an OpenEVSE board: another board, the same station."""

import math
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.busy_machine import stretched
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


def board_tables() -> str:
    """On a busy machine the agent's sign of life comes late: the board waits longer for it, and a killed agent is away
    for still longer."""
    heartbeat_s = math.ceil(stretched(5))
    return f"""restart_s = {heartbeat_s + 1.5}
[board]
driver = "evse_openevse"
heartbeat_s = {heartbeat_s}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(
        tmp_path_factory.mktemp("openevse"), station_text(1, "resume_within_s = 600", simulation=board_tables())
    ) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


async def test_a_session(s: Street) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    evse = await s.status_reported("Charging")
    assert evse["contactor"]
    assert evse["locked"]
    await s.until(lambda e: e["session"]["energy_wh"] >= 5)
    await s.tap("CARD-A")
    evse = await s.status_reported("Finishing")
    assert not evse["contactor"]
    await s.leave()
    want = ["Preparing", "Authorize", "StartTransaction", "Charging", "StopTransaction", "Finishing", "Available"]
    assert s.story() == want
    assert s.payloads("StopTransaction")[0]["meterStop"] == (await s.station.evse())["meter_wh"]


async def test_a_fault_of_the_board_ends_it(s: Street) -> None:
    await s.charge("CARD-A")
    await s.fault("GroundFailure")
    evse = await s.status_reported("Faulted")
    assert evse["reported"]["error"] == "GroundFailure"
    assert not evse["contactor"]
    await s.fault("GroundFailure", False)
    await s.status_reported("Finishing")
    await s.leave()


async def test_the_agent_is_killed_while_it_charges(s: Street) -> None:
    """This board cannot fall back to nothing: it gives 6 A to the vehicle that was released until the agent is back,
    and what was drawn meanwhile is in the bill. No other driver gets anything (the driver's own tests)."""
    number = await s.charge("CARD-A")
    evse = await s.until(lambda e: e["limit_a"] == 32 and e["power_w"] > 7000)
    await s.station.post("/agent", {"action": "kill"})
    alone = await s.station.until(lambda p: p["evses"][0]["limit_a"] == 6 and not p["agent"]["up"])
    assert alone["evses"][0]["contactor"]
    alone_wh = alone["evses"][0]["meter_wh"]
    await s.station.until(lambda p: p["agent"]["up"] and p["evses"][0]["reported"]["status"] == "Charging")
    evse = await s.until(lambda e: e["limit_a"] == 32 and e["contactor"])
    assert evse["meter_wh"] > alone_wh
    assert evse["session"]["transaction_id"] == str(number)
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    (stop,) = s.payloads("StopTransaction")
    assert stop["meterStop"] == (await s.station.evse())["meter_wh"]
    assert len(s.payloads("StartTransaction")) == 1
    await s.leave()


async def test_an_order_to_charge_less_and_to_pause(s: Street) -> None:
    await s.charge("CARD-A")
    for amps in (10.0, 0.0, 13.0):
        profile = {
            "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amps}],
            },
        }  # fmt: skip
        asked = {"connectorId": 1, "csChargingProfiles": profile}
        assert (await s.csms.ask("SetChargingProfile", asked))["status"] == "Accepted"
        await s.until(lambda e, a=amps: e["contactor"] == (a > 0) and (a == 0 or e["limit_a"] == a))
        await s.status_reported("Charging" if amps else "SuspendedEVSE")
    await s.csms.ask("ClearChargingProfile", {})
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.leave()

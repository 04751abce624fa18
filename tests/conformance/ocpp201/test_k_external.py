"""Block K: the limit of an external system (K11 to K13). A simulated energy manager has it in a Modbus register."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.busy_machine import deadline
from tests.support.station_rig import FAST_METER
from tests.support.station_rig_v201 import Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANAGER = '\n[energy_manager]\ndriver = "limit_modbus"\nregister = 100\npoll_s = 0.05\n'
FREE_A = 32.0
EMS = {"chargingLimitSource": "EMS"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    folder = tmp_path_factory.mktemp("external")
    async with street201(folder, simulation=MANAGER, outlet=FAST_METER, backend_more="call_timeout_s = 2.0") as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def none_is_left(s: Street201) -> AsyncIterator[None]:
    """Each case begins and ends without a limit, and the backend knows that."""
    yield
    await s.station.post("/limits", {"max_a": None, "manager": "online"})
    await follows_limit(s, FREE_A)


async def set_limit(s: Street201, amperes: float | None) -> None:
    await s.station.post("/limits", {"max_a": amperes})


async def heard_notice(s: Street201, action: str) -> dict[str, Any]:
    """The newest message of this action since the mark."""
    await s.heard(lambda: s.payloads(action))
    return s.payloads(action)[-1]


async def composite(s: Street201, evse: int = 1) -> list[float]:
    answer = await s.csms.ask("GetCompositeSchedule", {"evseId": evse, "duration": 20, "chargingRateUnit": "A"})
    return [p["limit"] for p in answer["schedule"]["chargingSchedulePeriod"]]


async def follows_limit(s: Street201, amperes: float) -> None:
    """Until the composite schedule of EVSE 1 has this limit: the register is read in turn."""
    async with deadline(60):
        while await composite(s) != [amperes]:
            await asyncio.sleep(0.02)


async def rate_changed(s: Street201) -> dict[str, Any]:
    return await s.event(lambda e: e["triggerReason"] == "ChargingRateChanged")


async def external_profiles(s: Street201, **criterion: Any) -> list[dict[str, Any]]:
    """GetChargingProfiles and its reports; empty: NoProfiles."""
    number = next(s.numbers)
    answer = await s.csms.ask("GetChargingProfiles", {"requestId": number, "chargingProfile": criterion})
    if answer["status"] == "NoProfiles":
        return []
    sent = lambda: [p for p in s.payloads("ReportChargingProfiles") if p["requestId"] == number]  # noqa: E731
    await s.heard(lambda: sent() and not sent()[-1].get("tbc", False))
    return sent()


async def test_TC_K_48_CS(s: Street201) -> None:
    """A limit without a transaction: the backend is informed, and the next session has no more."""
    await set_limit(s, 10)
    assert await heard_notice(s, "NotifyChargingLimit") == {"chargingLimit": EMS}
    await follows_limit(s, 10.0)
    assert await composite(s, 0) == [10.0]
    await s.session()
    await s.until(lambda e: e["limit_a"] == 10 and e["pwm"])


async def test_TC_K_48_CS_with_schedule(s: Street201) -> None:
    """K12.FR.03: with the limit itself, where the backend wants it."""
    assert await s.put("SmartChargingCtrlr.NotifyChargingLimitWithSchedules", "true") == "Accepted"
    await set_limit(s, 13)
    notice = await heard_notice(s, "NotifyChargingLimit")
    (schedule,) = notice["chargingSchedule"]
    assert schedule["chargingRateUnit"] == "A"
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 13.0}]
    assert await s.put("SmartChargingCtrlr.NotifyChargingLimitWithSchedules", "false") == "Accepted"


async def test_TC_K_50_CS(s: Street201) -> None:
    """Released without a transaction."""
    await set_limit(s, 10)
    await heard_notice(s, "NotifyChargingLimit")
    await set_limit(s, None)
    assert await heard_notice(s, "ClearedChargingLimit") == EMS
    await follows_limit(s, FREE_A)


async def test_TC_K_51_CS(s: Street201) -> None:
    """Set and released during a transaction: it follows at once, and its changed rate is reported."""
    number = await s.session()
    await s.until(lambda e: e["limit_a"] == FREE_A)
    await set_limit(s, 10)
    assert await heard_notice(s, "NotifyChargingLimit") == {"chargingLimit": EMS}
    lowered = await rate_changed(s)
    assert (lowered["eventType"], lowered["transactionInfo"]["transactionId"]) == ("Updated", number)
    await s.until(lambda e: 0 < max(e["current_a"]) <= 10)
    s.begin()
    await set_limit(s, None)
    assert await heard_notice(s, "ClearedChargingLimit") == EMS
    raised = await rate_changed(s)
    assert (raised["eventType"], raised["transactionInfo"]["chargingState"]) == ("Updated", "Charging")
    await s.until(lambda e: e["limit_a"] == FREE_A)


async def test_TC_K_52_CS(s: Street201) -> None:
    """The limit appears as ChargingStationExternalConstraints, which the backend neither sets nor clears."""
    purpose = "ChargingStationExternalConstraints"
    assert await external_profiles(s, chargingProfilePurpose=purpose) == []
    await set_limit(s, 10)
    await heard_notice(s, "NotifyChargingLimit")
    (report,) = await external_profiles(s, chargingProfilePurpose=purpose)
    (constraint,) = report["chargingProfile"]
    assert (report["chargingLimitSource"], report["evseId"]) == ("EMS", 0)
    assert (constraint["chargingProfilePurpose"], constraint["id"]) == (purpose, -1)
    assert constraint["chargingSchedule"][0]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.0}]
    assert await external_profiles(s, chargingLimitSource=["EMS"]) == [
        {**report, "requestId": s.payloads("ReportChargingProfiles")[-1]["requestId"]}
    ]
    assert await external_profiles(s, chargingLimitSource=["CSO", "SO"]) == []
    wanted = {**constraint, "id": 7}
    answer = await s.csms.ask("SetChargingProfile", {"evseId": 0, "chargingProfile": wanted})
    assert answer["status"] == "Rejected"
    for criteria in ({"chargingProfileId": -1}, {"chargingProfileCriteria": {"chargingProfilePurpose": purpose}}):
        assert (await s.csms.ask("ClearChargingProfile", criteria))["status"] == "Unknown"
    await follows_limit(s, 10.0)


async def test_the_device_model_shows_external_control(s: Street201) -> None:
    assert await s.get("SmartChargingCtrlr.ExternalControlSignalsEnabled") == ("Accepted", "true")
    assert await s.put("SmartChargingCtrlr.ExternalControlSignalsEnabled", "false") == "Rejected"
    assert await s.put("SmartChargingCtrlr.LimitChangeSignificance", "0.5") == "Accepted"
    assert await s.get("SmartChargingCtrlr.LimitChangeSignificance") == ("Accepted", "0.5")

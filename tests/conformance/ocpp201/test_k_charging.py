"""Block K: smart charging. The limit is looked at where it matters: at the board."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX, DEFAULT, TX = "ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"
FREE_A = 32.0


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def none_is_left(s: Street201) -> AsyncIterator[None]:
    yield
    await s.csms.ask("ClearChargingProfile", {})


def stamp(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def profile(
    number: int, purpose: str, *steps: tuple[int, float], start: float | None = None, level: int = 0, **more: Any
) -> dict[str, Any]:
    """ChargingProfileType. ``steps``: second and limit. Without ``start`` it is Relative."""
    schedule: dict[str, Any] = {
        "id": number,
        "chargingRateUnit": more.pop("unit", "A"),
        "chargingSchedulePeriod": [{"startPeriod": at, "limit": limit} for at, limit in steps],
    }
    if "duration" in more:
        schedule["duration"] = more.pop("duration")
    if start is not None:
        schedule["startSchedule"] = stamp(start)
    kind = "Relative" if start is None else "Absolute"
    return {
        "id": number, "stackLevel": level, "chargingProfilePurpose": purpose, "chargingProfileKind": kind,
        "chargingSchedule": [schedule], **more,
    }  # fmt: skip


async def put(s: Street201, evse: int, wanted: dict[str, Any]) -> str:
    return str((await s.csms.ask("SetChargingProfile", {"evseId": evse, "chargingProfile": wanted}))["status"])


async def clear(s: Street201, number: int | None = None, **criteria: Any) -> str:
    wanted: dict[str, Any] = {"chargingProfileCriteria": criteria} if criteria else {}
    if number is not None:
        wanted["chargingProfileId"] = number
    return str((await s.csms.ask("ClearChargingProfile", wanted))["status"])


async def installed(s: Street201, evse: int | None = None, **criterion: Any) -> list[tuple[int, dict[str, Any]]]:
    """GetChargingProfiles and all its reports: (EVSE, profile); empty: NoProfiles."""
    number, place = next(s.numbers), {} if evse is None else {"evseId": evse}
    answer = await s.csms.ask("GetChargingProfiles", {"requestId": number, "chargingProfile": criterion, **place})
    if answer["status"] == "NoProfiles":
        return []
    sent = lambda: [p for p in s.payloads("ReportChargingProfiles") if p["requestId"] == number]  # noqa: E731
    await s.heard(lambda: sent() and not sent()[-1].get("tbc", False))
    assert {p["chargingLimitSource"] for p in sent()} == {"CSO"}
    return [(p["evseId"], one) for p in sent() for one in p["chargingProfile"]]


async def numbers(s: Street201, evse: int | None = None, **criterion: Any) -> list[tuple[int, int]]:
    return [(n, one["id"]) for n, one in await installed(s, evse, **criterion)]


async def composite(s: Street201, evse: int = 1, duration: int = 300, unit: str = "A") -> list[tuple[int, float]]:
    """(moment in the station's time, limit)."""
    wanted = {"evseId": evse, "duration": duration, "chargingRateUnit": unit}
    answer = await s.csms.ask("GetCompositeSchedule", wanted)
    assert answer["status"] == "Accepted"
    schedule = answer["schedule"]
    assert (schedule["evseId"], schedule["duration"], schedule["chargingRateUnit"]) == (evse, duration, unit)
    began = round(datetime.fromisoformat(schedule["scheduleStart"]).timestamp())
    return [(began + p["startPeriod"], p["limit"]) for p in schedule["chargingSchedulePeriod"]]


async def limits(s: Street201, evse: int = 1, unit: str = "A") -> list[float]:
    return [limit for _, limit in await composite(s, evse, 20, unit)]


async def now(s: Street201) -> int:
    return (await composite(s, 0, 1))[0][0]


async def follows(s: Street201, *edges: tuple[float, float], evse: int = 1) -> None:
    """The composite schedule is exactly this: limits from these moments on."""
    found = await composite(s, evse, 600)
    asked = found[0][0]
    passed = [limit for at, limit in edges if at <= asked]
    assert found == [(asked, passed[-1]), *((round(at), limit) for at, limit in edges if at > asked)]


async def offered(s: Street201, amperes: float, n: int = 1) -> None:
    await s.until(lambda e: e["limit_a"] == amperes and e["pwm"], n)


async def test_TC_K_01_CS(s: Street201) -> None:
    """A default profile for one EVSE: installed as it came, reported, effective."""
    start = await now(s)
    wanted = profile(1, DEFAULT, (0, 9.5), (200, 8), start=start, duration=86400, validTo=stamp(start + 86400))
    assert await put(s, 1, wanted) == "Accepted"
    ((evse, reported),) = await installed(s, 1, chargingProfilePurpose=DEFAULT)
    schedule = reported["chargingSchedule"][0]
    assert evse == 1
    assert schedule.pop("startSchedule").replace(".000", "") == wanted["chargingSchedule"][0].pop("startSchedule")
    assert reported.pop("validTo").replace(".000", "") == wanted.pop("validTo")
    assert reported == wanted
    await s.session()
    await offered(s, 9)  # whole amperes, rounded down
    assert await s.get("SmartChargingCtrlr.Entries@ChargingProfiles") == ("Accepted", "1")


async def test_TC_K_02_CS_TC_K_11_CS_TC_K_14_CS_TC_K_16_CS(s: Street201) -> None:
    """What is not for a running transaction here is refused."""
    assert await put(s, 1, profile(1, TX, (0, 6))) == "Rejected"
    assert await put(s, 1, profile(1, TX, (0, 6), transactionId="unknown")) == "Rejected"
    number = await s.session()
    assert await put(s, 0, profile(1, TX, (0, 6), transactionId=number)) == "Rejected"
    assert await put(s, 1, profile(1, TX, (0, 6), transactionId="unknown")) == "Rejected"
    assert await put(s, 2, profile(1, TX, (0, 6), transactionId=number)) == "Rejected"
    assert await put(s, 9, profile(1, DEFAULT, (0, 6))) == "Rejected"
    assert await numbers(s) == []
    await offered(s, FREE_A)


async def test_TC_K_03_CS_TC_K_44_CS(s: Street201) -> None:
    """The station's maximum caps everything, and is the station's composite schedule."""
    start = await now(s)
    assert await put(s, 1, profile(1, MAX, (0, 12), start=start)) == "Rejected"
    assert await put(s, 0, profile(1, MAX, (0, 12), start=start)) == "Accepted"
    assert (await limits(s, 0), await limits(s, 0, "W")) == ([12.0], [8280.0])
    assert await limits(s, 1) == [12.0]
    await s.session()
    await offered(s, 12)
    await s.session("04CCCCCC", 2)
    await offered(s, 6, 1)
    await offered(s, 6, 2)


async def test_TC_K_04_CS_TC_K_05_CS(s: Street201) -> None:
    """The same id replaces; an id clears."""
    assert await put(s, 1, profile(1, DEFAULT, (0, 7))) == "Accepted"
    assert await put(s, 1, profile(1, DEFAULT, (0, 8))) == "Accepted"
    assert await put(s, 1, profile(2, DEFAULT, (0, 9))) == "Rejected"  # same level, same time
    assert (await limits(s), await numbers(s)) == ([8.0], [(1, 1)])
    assert await clear(s, 1) == "Accepted"
    assert await limits(s) == [FREE_A]


async def test_TC_K_06_CS_TC_K_07_CS_TC_K_08_CS_TC_K_24_CS(s: Street201) -> None:
    """Clearing by criteria, one and several; what is not there."""
    assert await clear(s, 1) == "Unknown"
    assert await clear(s) == "Unknown"
    for n, wanted in ((1, profile(1, DEFAULT, (0, 7), level=1)), (2, profile(2, DEFAULT, (0, 8), level=1))):
        assert await put(s, n, wanted) == "Accepted"
    assert await put(s, 1, profile(3, DEFAULT, (0, 9))) == "Accepted"
    assert await clear(s, stackLevel=5, chargingProfilePurpose=DEFAULT) == "Unknown"
    assert await clear(s, chargingProfilePurpose=MAX) == "Unknown"
    assert await numbers(s) == [(1, 1), (1, 3), (2, 2)]
    assert await clear(s, stackLevel=1, chargingProfilePurpose=DEFAULT) == "Accepted"
    assert await numbers(s) == [(1, 3)]
    assert await clear(s, stackLevel=0, chargingProfilePurpose=DEFAULT, evseId=1) == "Accepted"
    assert await numbers(s) == []


async def test_TC_K_09_CS_TC_K_28_CS(s: Street201) -> None:
    """Set and cleared during a transaction: it follows at once."""
    await s.session()
    await offered(s, FREE_A)
    assert await put(s, 1, profile(1, DEFAULT, (0, 7))) == "Accepted"
    await offered(s, 7)
    assert await clear(s, 1) == "Accepted"
    await offered(s, FREE_A)


async def test_TC_K_10_CS(s: Street201) -> None:
    """A default for EVSE 0 holds for every EVSE."""
    assert await put(s, 0, profile(1, DEFAULT, (0, 7))) == "Accepted"
    assert await put(s, 1, profile(2, DEFAULT, (0, 9))) == "Rejected"  # same level, same time
    await s.session("04AAAAAA", 1)
    await s.session("04CCCCCC", 2)
    for n in (1, 2):
        await offered(s, 7, n)


async def test_TC_K_13_CS(s: Street201) -> None:
    """Profiles outlive the process."""
    assert await put(s, 1, profile(1, DEFAULT, (0, 7))) == "Accepted"
    await s.session()
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert await numbers(s) == [(1, 1)]
    await offered(s, 7)


async def test_TC_K_15_CS(s: Street201) -> None:
    """A profile of a kind that a backend cannot set here: rejected, and nothing is installed."""
    assert await put(s, 1, profile(9, "ChargingStationExternalConstraints", (0, 10.0))) == "Rejected"
    several = profile(9, DEFAULT, (0, 10.0))
    several["chargingSchedule"] *= 2
    assert await put(s, 1, several) == "Rejected"
    assert await installed(s) == []


async def test_TC_K_19_CS(s: Street201) -> None:
    """Again every day."""
    start = await now(s) - 3 * 86400
    daily = profile(1, DEFAULT, (0, 10), (200, 7), (86300, 9), start=start, duration=86400)
    daily |= {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"}
    assert await put(s, 1, daily) == "Accepted"
    today = start + 3 * 86400
    await follows(s, (today, 10.0), (today + 200, 7.0))
    await s.session()
    await s.until(lambda e: e["limit_a"] in (10, 7))


async def test_TC_K_21_CS_TC_K_22_CS_TC_K_23_CS(s: Street201) -> None:
    """Validity and start: outside of them it says nothing."""
    start = await now(s)
    later = profile(1, DEFAULT, (0, 9), start=start, level=2, validFrom=stamp(start + 300))
    ends = profile(2, DEFAULT, (0, 8), start=start, level=1, validTo=stamp(start + 200))
    begins = profile(3, DEFAULT, (0, 7), start=start + 250)
    for wanted in (later, ends, begins):
        assert await put(s, 1, wanted) == "Accepted"
    await follows(s, (start, 8.0), (start + 200, FREE_A), (start + 250, 7.0), (start + 300, 9.0))


async def test_TC_K_29_CS_to_TC_K_36_CS(s: Street201) -> None:
    """TC_K_30_CS TC_K_31_CS TC_K_32_CS TC_K_33_CS TC_K_34_CS TC_K_35_CS: reported by every criterion."""
    start = await now(s)
    for n, wanted in (
        (0, profile(1, MAX, (0, 30), start=start)),
        (1, profile(2, DEFAULT, (0, 7), level=1)),
        (1, profile(3, DEFAULT, (0, 8), level=2)),
        (2, profile(4, DEFAULT, (0, 9), level=1)),
    ):
        assert await put(s, n, wanted) == "Accepted"
    assert await numbers(s, 0) == [(0, 1)]
    assert await numbers(s, 1) == [(1, 2), (1, 3)]
    assert await numbers(s) == [(0, 1), (1, 2), (1, 3), (2, 4)]
    assert await numbers(s, chargingProfileId=[3, 4]) == [(1, 3), (2, 4)]
    assert await numbers(s, 1, stackLevel=1) == [(1, 2)]
    assert await numbers(s, 1, chargingLimitSource=["CSO"]) == [(1, 2), (1, 3)]
    assert await numbers(s, 1, chargingLimitSource=["EMS"]) == []
    assert await numbers(s, 1, chargingProfilePurpose=DEFAULT) == [(1, 2), (1, 3)]
    assert await numbers(s, 1, chargingProfilePurpose=MAX) == []
    assert await numbers(s, 1, chargingProfilePurpose=DEFAULT, stackLevel=2) == [(1, 3)]


async def test_TC_K_37_CS(s: Street201) -> None:
    """A remote start brings its profile along."""
    await s.occupy()
    start = {"idToken": {"idToken": "APP", "type": "Central"}, "remoteStartId": 5, "evseId": 1}
    wrong = profile(1, DEFAULT, (0, 8))
    assert await s.csms.ask("RequestStartTransaction", {**start, "chargingProfile": wrong}) == {"status": "Rejected"}
    wanted = profile(1, TX, (0, 8))
    answer = await s.csms.ask("RequestStartTransaction", {**start, "chargingProfile": wanted})
    assert answer["status"] == "Accepted"
    number = (await s.began())["transactionInfo"]["transactionId"]
    ((evse, reported),) = await installed(s)
    assert (evse, reported["transactionId"]) == (1, number)
    await offered(s, 8)


async def test_TC_K_38_CS(tmp_path: Path) -> None:
    """Without smart charging the profile of a start is ignored; the rest says that it is not offered."""
    async with street201(tmp_path, evses=1, station='features_off = ["SmartCharging"]') as s:
        await s.occupy()
        start = {"idToken": {"idToken": "APP", "type": "Central"}, "remoteStartId": 5, "evseId": 1}
        answer = await s.csms.ask("RequestStartTransaction", {**start, "chargingProfile": profile(1, TX, (0, 8))})
        assert answer["status"] == "Accepted"
        await offered(s, FREE_A)
        assert await put(s, 1, profile(1, DEFAULT, (0, 8))) == "Rejected"
        assert await s.get("SmartChargingCtrlr.Available") == ("Accepted", "false")
        await s.end()


async def test_TC_K_12_CS_TC_K_42_CS(tmp_path: Path) -> None:
    """A station that takes limits in amperes only: neither a profile nor a composite schedule in watts."""
    settings = 'sample_interval_s = 0\nprofile_rate_units = "Current"'
    async with street201(tmp_path, evses=1, settings=settings) as s:
        assert await s.get("SmartChargingCtrlr.RateUnit") == ("Accepted", "A")
        assert await put(s, 1, profile(1, DEFAULT, (0, 4140), unit="W")) == "Rejected"
        assert await installed(s) == []
        wanted = {"evseId": 1, "duration": 60, "chargingRateUnit": "W"}
        assert await s.csms.ask("GetCompositeSchedule", wanted) == {"status": "Rejected"}
        assert await put(s, 1, profile(1, DEFAULT, (0, 8))) == "Accepted"
        assert await limits(s) == [8.0]
        await s.end()


async def test_TC_P_04_CS(s: Street201) -> None:
    """customData inside a profile, its schedule and its periods does no harm."""
    custom = {"vendorId": "com.example", "more": {"a": [1]}}
    wanted = profile(4, DEFAULT, (0, 9), (60, 8), customData=custom)
    (schedule,) = wanted["chargingSchedule"]
    schedule["customData"] = custom
    schedule["chargingSchedulePeriod"][0]["customData"] = custom
    assert await put(s, 1, wanted) == "Accepted"
    assert await limits(s) == [9.0]


async def test_TC_K_39_CS_TC_K_47_CS(s: Street201) -> None:
    """Without a profile it is what the installation can; of an EVSE that is not there nothing."""
    assert (await limits(s), await limits(s, 0), await limits(s, 1, "W")) == ([FREE_A], [2 * FREE_A], [22080.0])
    assert await s.csms.ask("GetCompositeSchedule", {"evseId": 9, "duration": 60}) == {"status": "Rejected"}


async def test_TC_K_40_CS_TC_K_70_CS(s: Street201) -> None:
    """The higher level speaks while it lasts; several of a purpose stand on each other."""
    start = await now(s) - 100
    for n, (amperes, lasts) in enumerate(((6, 400), (8, 250), (10, 160)), 1):
        wanted = profile(n, DEFAULT, (0, amperes), start=start, duration=lasts, level=n)
        assert await put(s, 1, wanted) == "Accepted"
    await follows(s, (start, 10.0), (start + 160, 8.0), (start + 250, 6.0), (start + 400, FREE_A))


async def test_TC_K_41_CS(s: Street201) -> None:
    """All purposes together: the least of the station's maximum and of the transaction's profile, or the default."""
    number = await s.session()
    start = await now(s) - 100
    for n, wanted in (
        (0, profile(1, MAX, (0, 10), (120, 20), start=start)),
        (1, profile(2, DEFAULT, (0, 16), start=start)),
        (1, profile(3, TX, (0, 14), (140, 6), start=start, duration=180, transactionId=number)),
    ):
        assert await put(s, n, wanted) == "Accepted"
    await follows(s, (start, 10.0), (start + 120, 14.0), (start + 140, 6.0), (start + 180, 16.0))
    await offered(s, 16)


async def test_TC_K_43_CS(s: Street201) -> None:
    """Every EVSE has its own."""
    assert await put(s, 1, profile(1, DEFAULT, (0, 7))) == "Accepted"
    assert await put(s, 2, profile(2, DEFAULT, (0, 4140), unit="W")) == "Accepted"
    assert (await limits(s, 1), await limits(s, 2), await limits(s, 2, "W")) == ([7.0], [6.0], [4140.0])


async def test_TC_K_60_CS(s: Street201) -> None:
    """A profile for the running transaction: it pauses, goes on, and goes with the transaction."""
    number = await s.session()
    assert await put(s, 1, profile(1, TX, (0, 5.9), transactionId=number)) == "Accepted"
    await s.event(lambda e: e["transactionInfo"].get("chargingState") == "SuspendedEVSE")
    await s.until(lambda e: not e["contactor"] and e["session"])
    assert await put(s, 1, profile(1, TX, (0, 9), transactionId=number)) == "Accepted"
    await s.until(lambda e: e["contactor"] and 0 < max(e["current_a"]) <= 9)
    assert await s.csms.ask("RequestStopTransaction", {"transactionId": number}) == {"status": "Accepted"}
    ended = await s.ended()
    counted = (await s.until(lambda e: not e["contactor"]))["meter_wh"]
    values = [v["value"] for m in ended["meterValue"] for v in m["sampledValue"] if v["context"] == "Transaction.End"]
    assert values == [counted]
    assert await numbers(s) == []

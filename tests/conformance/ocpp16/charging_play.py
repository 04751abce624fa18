"""What the cases of smart charging share: profiles as on the wire, and what a composite schedule must say of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.conformance.ocpp16.play import Play

MAX, DEFAULT, TX = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"
FREE_A = 32.0
"""What the outlets of the shared stations can."""


def stamp(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp())


async def now(s: Play) -> int:
    """The station's own time, which runs faster than ours: the second in which its schedules begin."""
    found = await s.answer("GetCompositeSchedule", connectorId=0, duration=1)
    return seconds(found["scheduleStart"])


def profile(
    number: int, purpose: str, *steps: tuple[int, float], start: float | None = None, level: int = 0, **more: Any
) -> dict[str, Any]:
    """csChargingProfiles. ``steps``: second and limit. Without ``start`` it is Relative."""
    schedule: dict[str, Any] = {
        "chargingRateUnit": more.pop("unit", "A"),
        "chargingSchedulePeriod": [{"startPeriod": at, "limit": limit} for at, limit in steps],
    }
    if "duration" in more:
        schedule["duration"] = more.pop("duration")
    if start is not None:
        schedule["startSchedule"] = stamp(start)
    return {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative" if start is None else "Absolute",
        "chargingSchedule": schedule,
        **more,
    }


async def composite(s: Play, n: int = 1, duration: int = 300, unit: str = "A") -> list[tuple[int, float]]:
    """The composite schedule as (moment in the station's time, limit); the first moment is that of the answer."""
    found = await s.answer("GetCompositeSchedule", connectorId=n, duration=duration, chargingRateUnit=unit)
    assert found["status"] == "Accepted"
    assert (found["connectorId"], found["chargingSchedule"]["chargingRateUnit"]) == (n, unit)
    assert found["chargingSchedule"]["duration"] == duration
    began = seconds(found["scheduleStart"])
    return [(began + p["startPeriod"], p["limit"]) for p in found["chargingSchedule"]["chargingSchedulePeriod"]]


def expected(asked: int, *edges: tuple[float, float]) -> list[tuple[int, float]]:
    """What must be reported at ``asked`` of limits that hold from these moments on."""
    passed = [limit for at, limit in edges if at <= asked]
    return [(asked, passed[-1]), *((round(at), limit) for at, limit in edges if at > asked)]


async def follows(s: Play, *edges: tuple[float, float], n: int = 1, duration: int = 300, unit: str = "A") -> None:
    """The composite schedule is exactly this."""
    found = await composite(s, n, duration, unit)
    until = found[0][0] + duration
    assert found == expected(found[0][0], *((at, limit) for at, limit in edges if at < until))


async def offered(s: Play, amperes: float, n: int = 1) -> dict[str, Any]:
    """Until the board offers this to the car."""
    return await s.until(lambda e: e["limit_a"] == amperes and e["pwm"], n)


async def passes(s: Play, *levels: float, n: int = 1) -> None:
    """The board offers these one after the other. A slow look may miss one; another one, or another order, is wrong."""
    seen: list[float] = []

    def look(evse: dict[str, Any]) -> bool:
        if evse["pwm"] and evse["limit_a"] != (seen[-1] if seen else None):
            seen.append(evse["limit_a"])
        return seen[-1:] == [levels[-1]]

    await s.until(look, n)
    rest = iter(levels)
    assert all(level in rest for level in seen), (seen, levels)


async def billed_exactly(s: Play, transaction: int, n: int = 1) -> None:
    """End the session: what is billed is what the meter has counted, to the Wh."""
    assert await s.stop(transaction) == "Accepted"
    start, stop = await s.call("StartTransaction"), await s.call("StopTransaction")
    counted = (await s.until(lambda e: not e["contactor"], n))["meter_wh"]
    assert stop["meterStop"] == counted > start["meterStart"]
    assert len(s.payloads("StartTransaction")) == len(s.payloads("StopTransaction")) == 1

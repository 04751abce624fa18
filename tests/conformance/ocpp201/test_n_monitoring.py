"""Block N, monitoring of variables: monitors are set, reported, cleared; what they find is reported as NotifyEvent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.security_csms_v201 import at_home
from tests.support.station_rig_v201 import CARD, Street201, named

pytestmark = pytest.mark.asyncio(loop_scope="module")

POWER, STATUS, OF_STATION = "EVSE/1.Power", "EVSE/1.AvailabilityState", "ChargingStation.AvailabilityState"
SEVERITY = 8
THRESHOLD, DELTA, PERIODS = "ThresholdMonitoring", "DeltaMonitoring", "PeriodicMonitoring"


class Monitored:
    """A station and what a central system does with its monitors."""

    def __init__(self, street: Street201) -> None:
        self.street = street

    async def set(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self.street.csms.ask("SetVariableMonitoring", {"setMonitoringData": list(items)})
        results = answer["setMonitoringResult"]
        for asked, got in zip(items, results, strict=True):
            assert [got[k] for k in ("type", "severity", "component", "variable")] == [
                asked[k] for k in ("type", "severity", "component", "variable")
            ]
            assert ("id" in got) is (got["status"] == "Accepted")
        return list(results)

    async def accepted(self, *items: dict[str, Any]) -> list[int]:
        results = await self.set(*items)
        assert [r["status"] for r in results] == ["Accepted"] * len(items)
        return [r["id"] for r in results]

    async def clear(self, *ids: int) -> list[str]:
        answer = await self.street.csms.ask("ClearVariableMonitoring", {"id": list(ids)})
        assert [r["id"] for r in answer["clearMonitoringResult"]] == list(ids)
        return [r["status"] for r in answer["clearMonitoringResult"]]

    async def base(self, base: str) -> str:
        return str((await self.street.csms.ask("SetMonitoringBase", {"monitoringBase": base}))["status"])

    async def level(self, severity: int) -> str:
        return str((await self.street.csms.ask("SetMonitoringLevel", {"severity": severity}))["status"])

    async def report(self, *paths: str, criteria: tuple[str, ...] = ()) -> list[dict[str, Any]] | str:
        """All monitors that a report has: each with its component and variable. A word for an empty report."""
        number = next(self.street.numbers)
        wanted: dict[str, Any] = {"requestId": number}
        wanted |= {"componentVariable": [named(p) for p in paths]} if paths else {}
        wanted |= {"monitoringCriteria": list(criteria)} if criteria else {}
        status = str((await self.street.csms.ask("GetMonitoringReport", wanted))["status"])
        if status != "Accepted":
            return status

        def parts() -> list[dict[str, Any]]:
            return [p for p in self.street.payloads("NotifyMonitoringReport") if p["requestId"] == number]

        await self.street.heard(lambda: parts() and not parts()[-1].get("tbc"))
        assert [p["seqNo"] for p in parts()] == list(range(len(parts())))
        entries = [e for p in parts() for e in p["monitor"]]
        return [
            {**one, "component": e["component"], "variable": e["variable"]}
            for e in entries
            for one in e["variableMonitoring"]
        ]

    def events(self, number: int | None = None) -> list[dict[str, Any]]:
        """The events since the mark, of one monitor or of all."""
        found = [e for p in self.street.payloads("NotifyEvent") for e in p["eventData"]]
        assert all(p["seqNo"] == 0 for p in self.street.payloads("NotifyEvent"))
        return [e for e in found if number is None or e.get("variableMonitoringId") == number]

    async def event(self, number: int, nth: int = 0) -> dict[str, Any]:
        await self.street.heard(lambda: len(self.events(number)) > nth)
        return self.events(number)[nth]


@pytest_asyncio.fixture(loop_scope="module")
async def m(s: Street201) -> AsyncIterator[Monitored]:
    """Each case finds no monitor but the hard-wired ones, and leaves it so."""
    yield Monitored(s)
    await s.on_line()
    assert await Monitored(s).base("HardWiredOnly") == "Accepted"
    assert await Monitored(s).level(9) == "Accepted"


def monitor(path: str, kind: str, value: float, severity: int = SEVERITY, **more: Any) -> dict[str, Any]:
    return {**named(path), "type": kind, "value": value, "severity": severity, **more}


def shown(report: list[dict[str, Any]] | str) -> set[tuple[str, str, str]]:
    """Component, variable and type of each monitor in a report."""
    assert not isinstance(report, str), report
    return {(m["component"]["name"], m["variable"]["name"], m["type"]) for m in report}


# --- reports (N02) ---------------------------------------------------------------------------------------------------


async def test_TC_N_01_CS_TC_N_02_CS_TC_N_03_CS_TC_N_60_CS(s: Street201, m: Monitored) -> None:
    """A report by criteria, by variables, by both; EmptyResultSet where nothing is left."""
    await m.accepted(
        monitor(POWER, "UpperThreshold", 100), monitor(STATUS, "Delta", 1), monitor(OF_STATION, "Delta", 1)
    )
    assert await m.report(criteria=(PERIODS,)) == "EmptyResultSet"
    assert shown(await m.report(criteria=(THRESHOLD,))) == {("EVSE", "Power", "UpperThreshold")}
    assert await m.report("ChargingStation.Power") == "EmptyResultSet"
    assert shown(await m.report(STATUS)) == {("EVSE", "AvailabilityState", "Delta")}
    assert await m.report(STATUS, criteria=(THRESHOLD,)) == "EmptyResultSet"
    assert shown(await m.report(POWER, criteria=(THRESHOLD,))) == {("EVSE", "Power", "UpperThreshold")}
    assert await m.report(POWER, "ChargingStation.Power", criteria=(DELTA,)) == "EmptyResultSet"
    both = {("EVSE", "AvailabilityState", "Delta"), ("ChargingStation", "AvailabilityState", "Delta")}
    assert shown(await m.report(STATUS, OF_STATION, criteria=(DELTA,))) == both


async def test_TC_N_04_CS_TC_N_07_CS(s: Street201, m: Monitored) -> None:
    """A criterion (N02.FR.02) or a base (N03.FR.02) that the standard does not know: NotSupported, and no change."""
    base = (await s.get("MonitoringCtrlr.ActiveMonitoringBase"))[1]
    number = next(s.numbers)
    wanted = {"requestId": number, "monitoringCriteria": [DELTA, "ShinyMonitoring"]}
    assert await s.csms.ask("GetMonitoringReport", wanted) == {"status": "NotSupported"}
    assert await s.csms.ask("SetMonitoringBase", {"monitoringBase": "Everything"}) == {"status": "NotSupported"}
    assert (await s.get("MonitoringCtrlr.ActiveMonitoringBase"))[1] == base
    assert [p for p in s.payloads("NotifyMonitoringReport") if p["requestId"] == number] == []


async def test_TC_N_47_CS(s: Street201, m: Monitored) -> None:
    """Everything: the hard-wired monitors as well."""
    await m.accepted(monitor(STATUS, "Delta", 1), monitor(OF_STATION, "Delta", 1))
    assert shown(await m.report()) == {
        ("EVSE", "AvailabilityState", "Delta"), ("ChargingStation", "AvailabilityState", "Delta"),
        ("ConnectorPlugRetentionLock", "Problem", "Delta"),
    }  # fmt: skip


# --- bases (N03) -----------------------------------------------------------------------------------------------------


async def test_TC_N_05_CS_TC_N_06_CS(s: Street201, m: Monitored) -> None:
    """All leaves custom monitors alone, FactoryDefault and HardWiredOnly remove them."""
    for base, left in (("All", True), ("FactoryDefault", False), ("HardWiredOnly", False)):
        (number,) = await m.accepted(monitor(POWER, "UpperThreshold", 100))
        assert await m.base(base) == "Accepted"
        assert (await s.get("MonitoringCtrlr.ActiveMonitoringBase"))[1] == base
        report = await m.report(criteria=(THRESHOLD,))
        assert [r["id"] for r in report if isinstance(r, dict)] == [number] if left else report == "EmptyResultSet"
        if left:
            assert await m.clear(number) == ["Accepted"]
    assert await m.report(STATUS) == "EmptyResultSet"


async def test_TC_N_41_CS(s: Street201, m: Monitored) -> None:
    """A preconfigured monitor that was changed comes back with FactoryDefault."""
    assert await m.base("FactoryDefault") == "Accepted"
    report = await m.report(STATUS, criteria=(DELTA,))
    assert isinstance(report, list)
    (number, severity) = report[0]["id"], report[0]["severity"]
    assert await m.accepted(monitor(STATUS, "Delta", 1, severity + 1, id=number)) == [number]
    for base, found in (("All", severity + 1), ("FactoryDefault", severity)):
        assert await m.base(base) == "Accepted"
        report = await m.report(STATUS, criteria=(DELTA,))
        assert [(r["id"], r["severity"]) for r in report if isinstance(r, dict)] == [(number, found)]


# --- setting (N04) ---------------------------------------------------------------------------------------------------


async def test_TC_N_08_CS_TC_N_09_CS(s: Street201, m: Monitored) -> None:
    """One monitor, and several: each has an id and is found in a report."""
    (first,) = await m.accepted(monitor(STATUS, "Delta", 1))
    report = await m.report(STATUS)
    assert [(r["id"], r["severity"], r["value"]) for r in report if isinstance(r, dict)] == [(first, SEVERITY, 1)]
    assert await m.clear(first) == ["Accepted"]
    ids = await m.accepted(monitor(STATUS, "Delta", 1), monitor(OF_STATION, "Delta", 1))
    report = await m.report(STATUS, OF_STATION)
    assert {r["id"] for r in report if isinstance(r, dict)} == {*ids}


async def test_TC_N_10_CS_TC_N_15_CS(s: Street201, m: Monitored) -> None:
    """Two severities on one variable are two monitors; the same one twice is a Duplicate."""
    assert len({*await m.accepted(monitor(STATUS, "Delta", 1, 8), monitor(STATUS, "Delta", 1, 7))}) == 2
    results = await m.set(monitor(STATUS, "Delta", 1, 6), monitor(STATUS, "Delta", 1, 6))
    assert [r["status"] for r in results] == ["Accepted", "Duplicate"]


async def test_TC_N_11_CS_TC_N_37_CS(s: Street201, m: Monitored) -> None:
    """An EVSE and a component that do not exist, and an unknown variable."""
    results = await m.set(
        monitor("EVSE/99.AvailabilityState", "Delta", 1),
        monitor("NonExistent.Power", "UpperThreshold", 1234.0),
        monitor("EVSE/1.unknownVariable", "Delta", 1),
    )
    assert [r["status"] for r in results] == ["UnknownComponent", "UnknownComponent", "UnknownVariable"]


async def test_TC_N_12_CS_TC_N_13_CS(s: Street201, m: Monitored) -> None:
    """A negative change, and a threshold beyond the limit of the variable (maxLimit)."""
    _, entries = await s.report("GetReport", componentVariable=[named(POWER)])
    most = entries[0]["variableCharacteristics"]["maxLimit"]
    assert entries[0]["variableCharacteristics"]["supportsMonitoring"] is True
    results = await m.set(
        monitor(STATUS, "Delta", -1), monitor(POWER, "UpperThreshold", most + 1), monitor(POWER, "LowerThreshold", most)
    )
    assert [r["status"] for r in results] == ["Rejected", "Rejected", "Accepted"]
    assert all("statusInfo" not in r for r in results)


async def test_TC_N_43_CS(s: Street201, m: Monitored) -> None:
    """First and third good, the second out of range: each is answered by itself."""
    results = await m.set(
        monitor(POWER, "UpperThreshold", 100), monitor(POWER, "Delta", -1.0), monitor(POWER, "LowerThreshold", 10)
    )
    assert [(r["status"], "statusInfo" in r) for r in results] == [
        ("Accepted", False), ("Rejected", False), ("Accepted", False)
    ]  # fmt: skip


async def test_TC_N_39_CS_TC_N_40_CS(s: Street201, m: Monitored) -> None:
    """A monitor is replaced by its id; its component and variable cannot be changed."""
    (number,) = await m.accepted(monitor(STATUS, "Delta", 1, 5))
    (result,) = await m.set(monitor("ChargingStation.Power", "UpperThreshold", 100, 5, id=number))
    assert result["status"] == "Rejected"
    assert await m.accepted(monitor(STATUS, "Delta", 1, 4, id=number)) == [number]
    report = await m.report(STATUS, criteria=(DELTA,))
    assert [(r["id"], r["severity"]) for r in report if isinstance(r, dict)] == [(number, 4)]


# --- level and clearing (N05, N06) -----------------------------------------------------------------------------------


async def test_TC_N_16_CS(s: Street201, m: Monitored) -> None:
    """Level 7: an event of severity 8 is not sent, one of 7 is."""
    quiet, heard = await m.accepted(monitor(STATUS, "Delta", 1, 8), monitor(STATUS, "Delta", 1, 7))
    assert await m.level(7) == "Accepted"
    assert (await s.get("MonitoringCtrlr.ActiveMonitoringLevel"))[1] == "7"
    await s.occupy()
    assert (await m.event(heard))["actualValue"] == "Occupied"
    assert m.events(quiet) == []


async def test_TC_N_17_CS(s: Street201, m: Monitored) -> None:
    """A level outside 0 to 9."""
    assert [await m.level(10), await m.level(-1)] == ["Rejected", "Rejected"]


async def test_TC_N_18_CS_TC_N_19_CS_TC_N_44_CS(s: Street201, m: Monitored) -> None:
    """Cleared by id; an unknown id is NotFound; a hard-wired monitor stays."""
    report = await m.report()
    assert isinstance(report, list)
    hard_wired = report[0]["id"]
    ids = await m.accepted(monitor(OF_STATION, "Delta", 1), monitor(STATUS, "Delta", 1))
    assert await m.clear(*ids, max(ids) + 1, hard_wired) == ["Accepted", "Accepted", "NotFound", "Rejected"]
    assert await m.report(OF_STATION, STATUS) == "EmptyResultSet"
    assert shown(await m.report()) == {("ConnectorPlugRetentionLock", "Problem", "Delta")}


# --- events (N07) ----------------------------------------------------------------------------------------------------


async def test_TC_N_20_CS(s: Street201, m: Monitored) -> None:
    """Above the upper threshold: Alerting; below it again: cleared; then below a lower one. All in the transaction."""
    (upper,) = await m.accepted(monitor(POWER, "UpperThreshold", 100))
    transaction = await s.session()
    above = await m.event(upper)
    assert (above["trigger"], above["cleared"], above["transactionId"]) == ("Alerting", False, transaction)
    assert float(above["actualValue"]) > 100
    assert above["component"] == {"name": "EVSE", "evse": {"id": 1}}
    (lower,) = await m.accepted(monitor(POWER, "LowerThreshold", 10))
    await s.tap(CARD)
    await s.ended()
    back, below = await m.event(upper, 1), await m.event(lower)
    assert (back["trigger"], back["cleared"], back["transactionId"]) == ("Alerting", True, transaction)
    assert (below["trigger"], below["cleared"], below["transactionId"]) == ("Alerting", False, transaction)
    assert float(back["actualValue"]) <= 100
    assert float(below["actualValue"]) < 10
    assert {e["eventNotificationType"] for e in (above, back, below)} == {"CustomMonitor"}
    assert len({e["eventId"] for e in (above, back, below)}) == 3


async def test_TC_N_21_CS(s: Street201, m: Monitored) -> None:
    """A fault of an EVSE is a hard-wired notification; that of a lock has a hard-wired monitor."""
    await s.fault("DoorOpen")
    await s.heard(lambda: m.events())
    (event,) = m.events()
    assert (event["eventNotificationType"], event["trigger"]) == ("HardWiredNotification", "Delta")
    assert (event["component"]["name"], event["actualValue"]) == ("EVSE", "true")
    await s.fault("DoorOpen", False)
    await s.heard(lambda: len(m.events()) == 2)
    await s.fault("ConnectorLockFailure")
    await s.heard(lambda: len(m.events()) == 3)
    report = await m.report("ConnectorPlugRetentionLock/1/1.Problem")
    assert isinstance(report, list)
    event = m.events()[2]
    assert (event["eventNotificationType"], event["variableMonitoringId"]) == ("HardWiredMonitor", report[0]["id"])


async def test_TC_N_22_CS_TC_N_23_CS(s: Street201, m: Monitored) -> None:
    """Off line: an event of a severity that is queued arrives afterwards, one of a graver number does not."""
    assert await s.put("MonitoringCtrlr.OfflineQueuingSeverity", "5") == "Accepted"
    queued, other = await m.accepted(monitor(STATUS, "Delta", 1, 5), monitor(STATUS, "Delta", 1, 6))
    await s.off_line()
    await s.plug()
    await s.seen_occupied()
    await s.unplug(side="ev")
    await s.unplug()
    await s.seen_free()
    await s.on_line()
    await m.event(queued, 1)
    assert [(e["trigger"], e["actualValue"]) for e in m.events(queued)] == [
        ("Delta", "Occupied"), ("Delta", "Available")
    ]  # fmt: skip
    assert m.events(other) == []
    assert await s.put("MonitoringCtrlr.OfflineQueuingSeverity", "3") == "Accepted"


async def test_TC_N_45_CS_TC_N_56_CS(s: Street201, m: Monitored) -> None:
    """A change of a number by more than the value, and any change of a word."""
    power, status = await m.accepted(monitor(POWER, "Delta", 100.0), monitor(STATUS, "Delta", 1.0))
    await s.session()
    changed, occupied = await m.event(power), await m.event(status)
    assert (changed["trigger"], changed["variable"]["name"]) == ("Delta", "Power")
    assert float(changed["actualValue"]) > 100
    assert (occupied["trigger"], occupied["actualValue"]) == ("Delta", "Occupied")


async def test_TC_N_51_CS(s: Street201, m: Monitored) -> None:
    """A threshold that is not exceeded is replaced by one that is: reported at once."""
    (number,) = await m.accepted(monitor(POWER, "UpperThreshold", 22000))
    await s.session()
    await s.until(lambda e: e["power_w"] > 100)
    assert m.events(number) == []
    await m.accepted(monitor(POWER, "UpperThreshold", 0, id=number))
    event = await m.event(number)
    assert (event["trigger"], float(event["actualValue"]) > 0) == ("Alerting", True)


async def test_TC_N_52_CS(s: Street201, m: Monitored) -> None:
    """A monitor that is cleared while its threshold is exceeded reports nothing more."""
    (number,) = await m.accepted(monitor(POWER, "UpperThreshold", 0))
    await s.session()
    await m.event(number)
    assert await m.clear(number) == ["Accepted"]
    assert await m.report(POWER, criteria=(THRESHOLD,)) == "EmptyResultSet"
    await s.tap(CARD)
    await s.ended()
    await s.leave()
    assert len(m.events(number)) == 1


async def test_TC_N_48_CS(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A change of a write-only variable: the value in the event is empty."""
    folder: Path = tmp_path_factory.mktemp("secret")
    async with at_home(folder, 1) as guarded:
        m = Monitored(guarded)
        path = "SecurityCtrlr.BasicAuthPassword"
        (number,) = await m.accepted(monitor(path, "Delta", 1))
        guarded.csms.key = b"0123456789abcdef"
        assert await guarded.put(path, "0123456789abcdef") == "Accepted"
        event = await m.event(number)
        assert (event["trigger"], event["actualValue"]) == ("Delta", "")
        assert event["variable"] == {"name": "BasicAuthPassword"}


async def test_TC_N_49_CS_TC_N_53_CS(s: Street201, m: Monitored) -> None:
    """Monitors outlive the process, and the next one clears an alert that is over by then."""
    (number,) = await m.accepted(monitor(POWER, "UpperThreshold", 100))
    transaction = await s.session()
    await m.event(number)
    await s.station.post("/agent", {"action": "kill"})
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: not p["agent"]["up"])
    await s.unplug(side="ev")
    s.begin()
    await s.station.post("/agent", {"action": "start"})
    await s.rebooted()
    report = await m.report(criteria=(THRESHOLD,))
    assert [(r["id"], r["type"]) for r in report if isinstance(r, dict)] == [(number, "UpperThreshold")]
    event = await m.event(number)
    assert (event["trigger"], event["cleared"], event["transactionId"]) == ("Alerting", True, transaction)


# --- periodic notices (N08) ------------------------------------------------------------------------------------------


async def test_TC_N_24_CS_TC_N_50_CS(s: Street201, m: Monitored) -> None:
    """Notices again and again, from the time the monitor was set and by the clock. The plays of the domain have the
    times, which a busy machine stretches."""
    plain, aligned = await m.accepted(monitor(STATUS, "Periodic", 30), monitor(STATUS, "PeriodicClockAligned", 30))
    await m.event(plain, 2)
    await m.event(aligned, 2)
    for number in (plain, aligned):
        events = m.events(number)[:3]
        assert {(e["trigger"], e["actualValue"]) for e in events} == {("Periodic", "Available")}
        assert [e["timestamp"] for e in events] == sorted({e["timestamp"] for e in events})

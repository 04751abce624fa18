"""Every physical condition of the fault catalogue, raised at the simulated board of one station, and followed to the
contactor, the screen, an OCPP 1.6 backend and a 2.0.1 one beside it: eight outlets at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.domain.faults import CATALOGUE, KEPT, LOCKING, Severity
from agent.domain.messages import StopReason
from agent.model.types import Fault
from agent.ocpp.dialects.keys_v1x import nearest_error_16
from tests.support.simulated_station import Simulated
from tests.support.station_rig import Backend, Street, station_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTLETS = 8
INL = "https://chargex.inl.gov"


@dataclass(frozen=True)
class Row:
    """``code``, ``vendor``: as 1.6 sends it; ``tech``: as 2.0.1 does. ``limit_a``: of a fault that only warns, what is
    offered from now on."""

    fault: Fault
    code: str
    vendor: str
    tech: str
    limit_a: float = 32.0

    @property
    def severity(self) -> Severity:
        return CATALOGUE[self.fault].severity


ROWS = (
    Row(Fault.GROUND_FAILURE, "GroundFailure", "CX002", "CX002"),
    Row(Fault.OVER_CURRENT, "OverCurrentFailure", "CX004", "CX004"),
    Row(Fault.OVER_VOLTAGE, "OverVoltage", "CX005", "CX005"),
    Row(Fault.UNDER_VOLTAGE, "UnderVoltage", "CX006", "CX006"),
    Row(Fault.POWER_LOSS, "OtherError", "CX015", "CX015"),
    Row(Fault.EMERGENCY_STOP, "OtherError", "CX008", "CX008"),
    Row(Fault.CONTACTOR_STUCK_OPEN, "PowerSwitchFailure", "CX017", "CX017"),
    Row(Fault.CONTACTOR_STUCK_CLOSED, "PowerSwitchFailure", "CX017", "CX017"),
    Row(Fault.LOCK_FAILURE, "ConnectorLockFailure", "CX001", "CX001"),
    Row(Fault.PILOT_FAULT, "EVCommunicationError", "CX014", "CX014"),
    Row(Fault.DIODE_FAULT, "GroundFailure", "CX014", "CX014"),
    Row(Fault.PROXIMITY_FAULT, "OtherError", "CX023", "CX023"),
    Row(Fault.HIGH_TEMPERATURE, "HighTemperature", "CX019", "CX019"),
    Row(Fault.PLUG_HOT, "HighTemperature", "CX019", "CX019"),
    Row(Fault.DOOR_OPEN, "OtherError", "DoorOpen", "DoorOpen"),
    Row(Fault.TILT, "OtherError", "Tilt", "Tilt"),
    Row(Fault.MREC25, "OtherError", "MREC25BrokenLatch", "CX025"),
    Row(Fault.MREC26, "OtherError", "MREC26CutCable", "CX026"),
    Row(Fault.OTHER_ERROR, "OtherError", "", "OtherError"),
    Row(Fault.MREC20, "OtherError", "MREC20PartialInsertion", "CX020"),  # the plug is not fully in
    Row(Fault.CABLE_REJECTED, "OtherError", "CableRejected", ""),
    Row(Fault.VENTILATION_REFUSED, "OtherError", "VentilationRefused", ""),
    Row(Fault.TEMPERATURE_DERATING, "HighTemperature", "CX003", "CX003", 16.0),
    Row(Fault.PLUG_DERATING, "HighTemperature", "CX018", "CX018", 16.0),
)
LATCHED = (
    Row(Fault.RCD_TEST_FAILED, "GroundFailure", "CX002", "CX002"),
    Row(Fault.CONTACTOR_WELDED, "PowerSwitchFailure", "CX017", "CX017"),
)


class Two(Street):
    """The street with a second backend that speaks 2.0.1."""

    def __init__(self, station: Simulated, csms: Backend, second: Backend) -> None:
        super().__init__(station, csms)
        self.second = second
        self.second_mark = 0

    def begin(self) -> None:
        super().begin()
        self.second_mark = len(self.second.frames)

    def later(self, action: str) -> list[dict[str, Any]]:
        """Payloads of this action that the second backend was sent."""
        sent = (json.loads(text) for way, text in self.second.frames[self.second_mark :] if way == "in")
        return [m[3] for m in sent if m[0] == 2 and m[2] == action]

    def codes(self, n: int) -> list[tuple[str, str, str, str]]:
        reported = [p for p in self.payloads("StatusNotification") if p["connectorId"] == n]
        return [(p["status"], p["errorCode"], p.get("vendorId", ""), p.get("vendorErrorCode", "")) for p in reported]

    def events(self, n: int) -> list[tuple[str, str, str, bool]]:
        """Code, our name, part and whether it is over, of the second backend's events."""
        events = [e for p in self.later("NotifyEvent") for e in p["eventData"] if e["component"]["evse"]["id"] == n]
        return [(e["techCode"], e["techInfo"], e["component"]["name"], e["cleared"]) for e in events]

    def ends(self, n: int) -> list[str]:
        """Reasons of the transactions that have ended on outlet ``n``, as 2.0.1 heard them."""
        ids = {
            p["transactionInfo"]["transactionId"]: p["evse"]["id"]
            for p in self.later("TransactionEvent")
            if p.get("evse")
        }
        events = [p["transactionInfo"] for p in self.later("TransactionEvent") if p["eventType"] == "Ended"]
        return [t["stoppedReason"] for t in events if ids.get(t["transactionId"]) == n]

    def stops(self, number: int) -> list[str]:
        return [p["reason"] for p in self.payloads("StopTransaction") if p["transactionId"] == number]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    folder = tmp_path_factory.mktemp("catalogue")
    async with Backend() as first, Backend(speaks=("2.0.1",)) as second:
        more = f'[[backends]]\nname = "second"\nurl = "{second.url}"\nversions = ["2.0.1"]\nreconnect_s = 0.2'
        async with Simulated(folder, station_text(OUTLETS, backend=more), first.url, 20.0) as station:
            two = Two(station, first, second)
            await two.booted()
            await two.heard(lambda: len(second.since_boot) == OUTLETS)
            yield two


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Two) -> AsyncIterator[Two]:
    opened.begin()
    yield opened


async def until(s: Two, true: Callable[[], bool], what: Callable[[], object]) -> None:
    try:
        await s.heard(true)
    except AssertionError as e:
        raise AssertionError(f"{what()}\n{str(e)[-1500:]}") from None


async def test_the_table_has_every_condition_of_a_board() -> None:
    """All but the MREC names that say the same as one of ours, and what is no matter of a board's inputs."""
    ours = {f for f in CATALOGUE if not f.value.startswith("MREC")}
    elsewhere = {f for f in ours if f.value.startswith("Meter") or f.value.endswith("Silent")}
    elsewhere |= {
        Fault.UNLOCK_FAILURE, Fault.BOARD_CONFIG, Fault.STORE_FAILED, Fault.STORE_NEARLY_FULL,
        Fault.RECORD_POISONED, Fault.WEAK_SIGNAL,
        Fault.RESET_FAILURE, Fault.INTERNAL_ERROR, Fault.PAYMENT_UNCERTAIN, Fault.SIM_UNUSABLE,
        Fault.SIM_EXCHANGED,
    }  # fmt: skip
    assert ours - elsewhere <= {r.fault for r in (*ROWS, *LATCHED)}
    assert {r.fault for r in LATCHED} == KEPT - {Fault.MREC17}
    for row in (*ROWS, *LATCHED):
        assert (nearest_error_16(row.fault).code, nearest_error_16(row.fault).vendor_code) == (row.code, row.vendor)


@pytest.mark.parametrize("batch", range(0, len(ROWS), OUTLETS))
async def test_from_the_board_to_both_backends_and_back(s: Two, batch: int) -> None:
    rows = ROWS[batch : batch + OUTLETS]
    await asyncio.gather(*(_one(s, row, n) for n, row in enumerate(rows, 1)))
    assert s.csms.violations == s.second.violations == []


async def _one(s: Two, row: Row, n: int) -> None:
    number = await s.charge(f"CARD-{n}", n)
    await s.fault(row.fault, True, n)
    await (_warned if row.severity is Severity.WARN else _stopped)(s, row, n, number)
    await s.fault(row.fault, False, n)
    evse = await s.until(lambda e: e["reported"]["error"] == "NoError" and e["reported"]["status"] != "Faulted", n)
    if row.tech:
        await until(s, lambda: _event(row, over=True) in s.events(n), lambda: (row, s.events(n)))
    if row.severity is Severity.WARN:
        await s.until(lambda e: e["limit_a"] == 32.0 and e["contactor"], n)
        await s.tap(f"CARD-{n}", n)
        await s.status_reported("Finishing", n)
    else:
        assert not evse["contactor"], "the old right starts nothing"
    await s.unplug(n, "ev")
    await s.unplug(n)
    await s.status_reported("Available", n)


def _event(row: Row, over: bool = False) -> tuple[str, str, str, bool]:
    part = "ConnectorPlugRetentionLock" if row.fault in LOCKING else "EVSE"
    return row.tech, row.fault.value, part, over


async def _warned(s: Two, row: Row, n: int, number: int) -> None:
    """It charges on, with less."""
    evse = await s.until(lambda e: e["reported"] == {"status": "Charging", "error": row.code}, n)
    assert evse["contactor"]
    assert evse["screen"] == "charging"
    await s.until(lambda e: e["limit_a"] == row.limit_a and max(e["current_a"]) <= row.limit_a, n)
    await until(s, lambda: ("Charging", row.code, INL, row.vendor) in s.codes(n), lambda: (row, s.codes(n)))
    await until(s, lambda: s.events(n) == [_event(row)], lambda: (row, s.events(n)))
    assert s.stops(number) == s.ends(n) == []


async def _stopped(s: Two, row: Row, n: int, number: int) -> None:
    blocks = row.severity is Severity.BLOCK
    reason = CATALOGUE[row.fault].reason
    await until(s, lambda: bool(s.stops(number)) and bool(s.ends(n)), lambda: (row, s.stops(number), s.ends(n)))
    evse = await s.until(lambda e: e["session"] is None and e["reported"]["error"] == row.code, n)
    assert evse["contactor"] is (row.fault is Fault.CONTACTOR_WELDED)
    await s.screen("out_of_service" if blocks else "finished", n)
    word = {StopReason.EMERGENCY_STOP: "EmergencyStop", StopReason.POWER_LOSS: "PowerLoss"}.get(reason, "Other")
    assert s.stops(number) == [word]
    assert s.ends(n) == [reason.value]
    vendor = "" if not row.vendor else INL if row.vendor.startswith(("CX", "MREC")) else "chargy"
    status = "Faulted" if blocks else "Finishing"
    await until(s, lambda: (status, row.code, vendor, row.vendor) in s.codes(n), lambda: (row, s.codes(n)))
    await until(s, lambda: s.events(n)[:1] == ([_event(row)] if row.tech else []), lambda: (row, s.events(n)))

    def is_faulted() -> bool:
        return any(p["connectorStatus"] == "Faulted" for p in s.later("StatusNotification") if p["evseId"] == n)

    if blocks:
        await until(s, is_faulted, lambda: (row, s.later("StatusNotification")))
    assert is_faulted() is blocks


async def test_what_a_person_has_to_look_at_outlives_everything_but_a_hard_reset(s: Two, tmp_path: Path) -> None:
    """Last: the outlets stay out of service until then."""
    for n, row in enumerate(LATCHED, 1):
        number = await s.charge(f"CARD-{n}", n)
        await s.fault(row.fault, True, n)
        await _stopped(s, row, n, number)
        await s.fault(row.fault, False, n)
        await s.until(lambda e: not e["contactor"], n)
        await s.unplug(n, "ev")
    await s.kill()
    for n, row in enumerate(LATCHED, 1):
        evse = await s.until(lambda e, r=row: e["reported"] == {"status": "Faulted", "error": r.code}, n)
        assert evse["screen"] == "out_of_service"
    before = (await s.station.picture())["agent"]["restarts"]
    await s.csms.ask("Reset", {"type": "Hard"})
    await s.station.until(lambda p: p["agent"]["restarts"] > before and p["agent"]["up"])
    for n, _ in enumerate(LATCHED, 1):
        await s.until(lambda e: e["reported"]["error"] == "NoError" and e["reported"]["status"] != "Faulted", n)
    assert s.csms.violations == s.second.violations == []

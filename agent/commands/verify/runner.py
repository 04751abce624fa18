"""Find the checks for a station, and run them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

from agent.commands.verify.bench import DeviceUnderTest, Options, normalized_name
from agent.commands.verify.operator import Operator
from agent.model.fastclass import frozen
from agent.model.types import STATION
from agent.ports import DeviceError
from agent.ports.verify import Check, Skipped, Wire
from agent.services.devices.configured import ComposedDevice, compose_devices, verify_kit_of
from agent.station_file.settings import SettingsError, StationFile

GROUP = "chargy_agent.checks"
PASSED, FAILED, SKIPPED = "passed", "failed", "left out"
CHECK_S = 900.0
"""The most time for a check. Each read of the memory check adds ``READ_S``."""
READ_S = 2.0


@frozen
class Outcome:
    """The outcome of one check of one device.

    ``says``: what was seen; or what failed, where, and what to do; or why it was skipped.
    """

    check: str
    outcome: str
    says: str
    took_s: float = 0.0


@frozen
class DeviceChecks:
    """One device with its checks."""

    device: ComposedDevice
    board: ComposedDevice | None
    checks: tuple[Check, ...]


def installed_checks() -> tuple[Check, ...]:
    """Return all installed checks, in the order of the names of their entry points."""
    from importlib.metadata import entry_points

    found: list[Check] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        found += entry.load()
    return tuple(found)


def device_rounds(file: StationFile, only: Sequence[str] = ()) -> list[DeviceChecks]:
    """Return the chosen devices with their checks. Raises ``SettingsError`` for the file or an unknown name."""
    devices = _with_unique_names(compose_devices(file, _monotonic_stamp))
    chosen = [d for d in devices if not only or normalized_name(d.name) in map(normalized_name, only)]
    names = {normalized_name(d.name) for d in devices}
    if unknown := [n for n in only if normalized_name(n) not in names]:
        there = ", ".join(d.name for d in devices) or "none"
        raise SettingsError([f"--port {unknown[0]}: the station file names no such device; there are: {there}"])
    boards = {d.evse: d for d in devices if d.role == "board"}
    known = installed_checks()
    return [DeviceChecks(d, boards.get(d.evse), tuple(c for c in known if c.role == d.driver.role)) for d in chosen]


def _with_unique_names(devices: list[ComposedDevice]) -> list[ComposedDevice]:
    """Give a shared board one name per EVSE."""
    paths = [d.name for d in devices]
    return [replace(d, name=f"evse[{d.evse}].{d.name}") if paths.count(d.name) > 1 else d for d in devices]


def device_wires(made: Sequence[DeviceChecks]) -> Iterator[Wire]:
    for r in made:
        wire = verify_kit_of(r.device).wire(r.device.settings, r.device.where)
        if wire is not None:
            yield wire


def device_under_test(
    r: DeviceChecks, hands: Operator, options: Options, say: Callable[[str], None]
) -> DeviceUnderTest:
    return DeviceUnderTest(r.device, r.board, hands, options, say)


async def check_outcomes(r: DeviceChecks, bench: DeviceUnderTest) -> AsyncIterator[Outcome]:
    """Run the checks one after the other. A failure does not affect the others."""
    yield _settings_outcome(r.device)
    if r.device.complaints:
        for check in r.checks:
            yield Outcome(check.name, SKIPPED, "its settings are wrong (see above): correct them first")
        return
    if not r.checks:
        yield Outcome(
            "checks", SKIPPED, f"no checks are installed for the role {r.device.driver.role} (entry points {GROUP})"
        )
    for check in r.checks:
        bench.show_progress(f"{check.name} ...")
        made = await run_check(check, bench)
        bench.show_progress(f"{check.name}: {made.outcome}" + ("" if made.outcome == PASSED else f": {made.says}"))
        yield made


def _settings_outcome(device: ComposedDevice) -> Outcome:
    wrong = "; ".join(device.complaints)
    return Outcome("settings", FAILED, wrong) if wrong else Outcome("settings", PASSED, "the driver takes them")


async def run_check(check: Check, bench: DeviceUnderTest) -> Outcome:
    began_s = time.monotonic()
    what, says = await _check_result(check, bench)
    return Outcome(check.name, what, says, time.monotonic() - began_s)


async def _check_result(check: Check, bench: DeviceUnderTest) -> tuple[str, str]:
    try:
        async with asyncio.timeout(CHECK_S + READ_S * bench.reads):
            return PASSED, await check.run(bench)
    except Skipped as e:
        return SKIPPED, str(e)
    except AssertionError as e:
        return FAILED, str(e) or "without a reason: the check has to give one"
    except DeviceError as e:
        return FAILED, f"{type(e).__name__}: {e}"
    except TimeoutError as e:
        return FAILED, str(e) or f"{bench.name}: time-out; does the device answer, did the operator act?"
    except Exception as e:  # noqa: BLE001  (the driver is under test: an error that a driver may not raise is a finding)
        return (
            FAILED,
            f"{bench.name}: raised {type(e).__name__} ({e}), a driver may raise DeviceErrors only; correct it",
        )


def _monotonic_stamp() -> tuple[int, float]:
    return STATION, time.monotonic()

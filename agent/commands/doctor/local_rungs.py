"""The rungs at hand: station file, disk, flash memory, devices."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.assembly.doctor.findings import Finding, make_finding
from agent.assembly.doctor.known_rungs import budget_finding, device_findings, disk_space_state
from agent.assembly.link_profile import data_plan
from agent.commands.doctor.examination import Examination
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.station_file.problems import Problem, place_problems
from agent.station_file.settings import SettingsError, StationFile

if TYPE_CHECKING:
    from agent.services.devices.configured import ComposedDevice

OPEN_S = 15.0
WORN_STEP, END_STEP = 9, 11
"""Steps of ten per cent in ``life_time`` of an eMMC (JEDEC JESD84-B51, 7.4.37): 9 is 80 to 90 %, 11 is beyond 100 %."""
PRE_EOL_WARNING, PRE_EOL_URGENT = 2, 3
DEVICE_CODES: tuple[tuple[type[DeviceError], str], ...] = (
    (Broken, "device_broken"),
    (Refused, "device_refused"),
    (Garbled, "device_garbled"),
    (Unreachable, "device_silent"),
)


def judge_station_file(path: Path, problems: Sequence[Problem]) -> Iterator[Finding]:
    if not problems:
        yield make_finding("file_good", path=path)
        return
    first = problems[0].compiler_line(path)
    yield make_finding("file_wrong", count=len(problems), first=first)


# --- disk and flash memory -------------------------------------------------------------------------------------------


async def judge_disk(exam: Examination) -> AsyncIterator[Finding]:
    folder = _existing_folder(exam.file.station.state_dir)
    disk_problem = exam.agent.get("disk_problem") if exam.agent is not None else ""
    if disk_problem:
        yield make_finding("store_disk_problem", folder=folder, error=disk_problem)
    code, values = await asyncio.to_thread(_disk_state, folder)
    yield make_finding(code, folder=folder, **values)


def _existing_folder(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists: the agent makes the rest."""
    return next((p for p in (folder, *folder.absolute().parents) if p.is_dir()), Path("/"))


def _disk_state(folder: Path) -> tuple[str, dict[str, str]]:
    """Judge the free space, and whether the folder takes what is written."""
    code, values = disk_space_state(folder)
    if code in ("disk_read_only", "disk_full"):
        return code, values
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as e:
        return "disk_not_writable", {**values, "error": e.strerror or str(e)}
    return code, values


async def judge_flash(exam: Examination) -> AsyncIterator[Finding]:
    """Judge the life of the memory under the store, as far as the kernel shows it (eMMC)."""
    number = os.stat(_existing_folder(exam.file.station.state_dir)).st_dev
    block = exam.options.sys_folder / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    disk = block.resolve()
    device = next((d for d in (disk / "device", disk.parent / "device") if (d / "life_time").exists()), None)
    steps = _hexadecimal_numbers(device / "life_time") if device is not None else []
    if device is None or not any(steps):
        yield make_finding("flash_unknown")
        return
    worst = max(steps)
    pre_eol = max(_hexadecimal_numbers(device / "pre_eol_info") or [0])
    used = f"{10 * (worst - 1)} - {10 * worst} %" if worst < END_STEP else "> 100 %"
    if worst >= END_STEP or pre_eol >= PRE_EOL_URGENT:
        yield make_finding("flash_end", used=used)
    elif worst >= WORN_STEP or pre_eol >= PRE_EOL_WARNING:
        yield make_finding("flash_worn", used=used)
    else:
        yield make_finding("flash_good", used=used)


def _hexadecimal_numbers(path: Path) -> list[int]:
    try:
        return [int(word, 16) for word in path.read_text("ascii").split()]
    except (OSError, ValueError):
        return []


# --- data budget -----------------------------------------------------------------------------------------------------


async def judge_budget(exam: Examination) -> AsyncIterator[Finding]:
    """Judge what the links have taken of the data volume of this month."""
    plan = data_plan(exam.file)
    if plan is not None and exam.agent is None and exam.stopped is None:
        yield make_finding("budget_unknown")
        return
    month = exam.agent.get("traffic") if exam.agent is not None else None
    if exam.stopped is not None:
        month = exam.stopped.traffic_figures(time.time())
    yield budget_finding(plan, month)


# --- devices ---------------------------------------------------------------------------------------------------------


async def judge_devices(exam: Examination) -> AsyncIterator[Finding]:
    """Judge the devices, the bearers excepted. Beside a running agent nothing is opened: it has them open."""
    if exam.agent is not None:
        for finding in device_findings(exam.agent["devices"]):
            yield finding
        return
    devices = composed_devices(exam.file)
    for device in devices:
        exam.show_progress(device.name)
        for complaint in device.complaints:
            yield make_finding("device_unfit", device.name, error=complaint.removeprefix(f"{exam.file.path}: "))
        if device.role != "bearer":
            yield await _judge_device(exam, device)
    if not devices:
        yield make_finding("devices_none")


def composed_devices(file: StationFile) -> list[ComposedDevice]:
    """Return the devices of the file; none if their tables are wrong, which is a finding of the station file."""
    from agent.services.devices.configured import compose_devices

    try:
        return compose_devices(file, lambda: (0, time.monotonic()))
    except SettingsError:
        return []


def problems_of_devices(file: StationFile) -> list[Problem]:
    """Return what drivers say against their tables. It may be about this machine: no such line, no such interface."""
    return place_problems(file.path, [c for device in composed_devices(file) for c in device.complaints])


async def _judge_device(exam: Examination, device: ComposedDevice) -> Finding:
    """Open a device and read it once. No release is given, and nothing is written to a meter."""
    try:
        async with asyncio.timeout(OPEN_S), device.opening() as port:
            await _read_device(exam, device, port)
    except DeviceError as e:
        code = next((code for kind, code in DEVICE_CODES if isinstance(e, kind)), "device_silent")
        return make_finding(code, device.name, error=e)
    except TimeoutError:
        return make_finding("device_silent", device.name, error=f"{OPEN_S:g} s")
    return make_finding("device_good", device.name)


async def _read_device(exam: Examination, device: ComposedDevice, port: Any) -> None:
    if device.role == "meter":
        await port.read()
    elif device.role == "board":
        await port.state()
    else:
        from agent.assembly.devices import find_supervisor

        await find_supervisor(exam.file.roles[device.role]).describe_port(port)

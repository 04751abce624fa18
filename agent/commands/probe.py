"""``chargy-agent probe``: read the devices of a station file through their drivers and write a page of evidence.

The page shows the identity of each device. For meters and boards it shows what was proven, what failed, and what cannot
be proven from here. Release is never given. The probe holds the store's lock: a running agent and a probe never share a
line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent import __version__
from agent.assembly.devices import find_supervisor
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.domain.metrology import identity_from_record
from agent.domain.probe_findings import (
    Finding,
    MeterObservation,
    Verdict,
    board_findings,
    meter_findings,
    worst_verdict,
)
from agent.model.bank_card import TerminalIdentity
from agent.model.board import EvseState
from agent.model.command import Command
from agent.model.entry_points import EntryPointError
from agent.model.fastclass import frozen
from agent.model.types import MeterIdentity, MeterPolicy, Reading
from agent.ports import DeviceError
from agent.ports.store import StoreError
from agent.services.devices.configured import ComposedDevice, compose_devices
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import NOMINAL_V, SettingsError, StationFile

EVERY_S = 1.0
OPEN_S = 30.0
ALL_PROVEN, SOMETHING_FAILED, WRONG_FILE, NOT_ALL_PROVEN = 0, 1, 2, 3

ABOUT = """\
Open every device of a station through its driver and write a page of evidence: the identity of each device, and for
meters and boards class, MID marking, step of the register, freshness, monotonic count, plausibility. Release is never
given, nothing is written to a meter. Stop the agent first: two programs on one line get wrong readings.

  chargy-agent probe station.toml                          text, ten seconds per meter
  chargy-agent probe station.toml --seconds 120            under load, so that energy and power can be compared
  chargy-agent probe station.toml --only 'evse[1].meter'   one device
  chargy-agent probe station.toml --json page.json         also as JSON, for the audit

Exit code: 0 everything proven, 1 something failed, 2 it cannot be done, 3 nothing failed but not all is proven.
"""


@frozen
class Options:
    """``seconds``: how long each meter is read. ``only``: names of devices, empty for all. ``json``: the file for the
    page as JSON; "-" for standard output, instead of the text."""

    seconds: float = 10.0
    only: tuple[str, ...] = ()
    json: str = ""


@frozen
class ProbedDevice:
    """One device and the findings about it."""

    device: ComposedDevice
    identity: MeterIdentity | TerminalIdentity | None
    findings: tuple[Finding, ...]
    took_s: float

    @property
    def verdict(self) -> Verdict:
        return worst_verdict(self.findings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long each meter is read (10)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="DEVICE", help="a device by its name on the page; repeatable"
    )
    parser.add_argument("--json", default="", metavar="FILE", help="the page for machines; - for standard output")


def run(arguments: argparse.Namespace) -> int:
    file = load_or_report(arguments.station)
    if file is None:
        return EXIT_CANNOT
    return probe_station(file, Options(max(arguments.seconds, 0.0), tuple(arguments.only), arguments.json))


def probe_station(file: StationFile, options: Options) -> int:
    """Probe and print. Returns 0: everything proven, 1: something failed, 2: cannot be done, 3: not all proven."""
    try:
        seen = asyncio.run(_probe_station(file, options, _print_progress))
    except SettingsError as e:
        return _print_refusal(str(e))
    except (StoreError, StoreRefused) as e:
        return _print_refusal(f"{e} (stop the agent while you probe: two programs on one line get wrong readings)")
    if not seen:
        return _print_refusal(
            f"{file.path}: names no device to look at; write its board, meter ... into it, or, without hardware, start "
            f"chargy-agent bench {file.path} and probe the file that it prints"
        )
    page = machine_page(file, seen)
    if options.json == "-":
        print(json.dumps(page, indent=2, ensure_ascii=False))
    else:
        print("\n".join(text_page(page)))
    if options.json not in ("", "-"):
        Path(options.json).write_text(json.dumps(page, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return {"proven": ALL_PROVEN, "unproven": NOT_ALL_PROVEN, "failed": SOMETHING_FAILED}[page["verdict"]]


def _print_refusal(why: str) -> int:
    print(why, file=sys.stderr)
    return WRONG_FILE


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- probing --------------------------------------------------------------------------------------------------------


async def _probe_station(file: StationFile, options: Options, say: Callable[[str], None]) -> list[ProbedDevice]:
    devices = _choose_devices(compose_devices(file, _monotonic_stamp), options.only)
    store = await _open_locked_store(file)
    try:
        facts = await store.read_facts() if store is not None else {}
        return [await _probe_device(file, d, facts, options, say) for d in devices]
    finally:
        if store is not None:
            await store.close()


def _choose_devices(devices: list[ComposedDevice], only: Sequence[str]) -> list[ComposedDevice]:
    """Return the chosen devices. Raises ``SettingsError`` for an unknown name."""
    names = [d.name for d in devices]
    if unknown := [n for n in only if n not in names]:
        raise SettingsError(
            [f"--only {unknown[0]}: the station file names no such device; there are: {', '.join(names) or 'none'}"]
        )
    return [d for d in devices if not only or d.name in only]


async def _open_locked_store(file: StationFile) -> Store | None:
    """Open the agent's store, so that no other process can. Returns None if there is none; none is created."""
    path = file.station.state_dir / "agent.db"
    return await Store.open(path, file.station.store_max_mb) if path.exists() else None


async def _probe_device(
    file: StationFile, device: ComposedDevice, facts: dict[str, Any], options: Options, say: Callable[[str], None]
) -> ProbedDevice:
    say(f"{device.name}: opening")
    began_s, identity = time.monotonic(), None
    complaints = [Finding("settings", Verdict.FAILED, c) for c in device.complaints]
    try:
        async with asyncio.timeout(OPEN_S + options.seconds), device.opening() as port:
            if device.role == "meter":
                identity, findings = await _probe_meter(file, device, port, facts, options.seconds, say)
            elif device.role == "board":
                findings = await _probe_board(port, say, device.name)
            else:
                identity = getattr(port, "identity", None)
                supervisor = find_supervisor(file.roles[device.role])
                said = _identity_text(identity) if identity is not None else await supervisor.describe_port(port)
                findings = [Finding("answers", Verdict.PROVEN, said)]
    except (DeviceError, TimeoutError, EntryPointError) as e:
        why = str(e) or f"no end within {OPEN_S + options.seconds:g} s"
        identity, findings = None, [Finding("answers", Verdict.FAILED, why)]
    return ProbedDevice(device, identity, (*complaints, *findings), time.monotonic() - began_s)


async def _probe_meter(
    file: StationFile,
    device: ComposedDevice,
    port: Any,
    facts: dict[str, Any],
    seconds: float,
    say: Callable[[str], None],
) -> tuple[MeterIdentity, list[Finding]]:
    readings: list[Reading] = []
    until_s = time.monotonic() + seconds
    fewest = 2 if seconds > 0 else 1  # freshness and count are judged between two readings, however slow the meter is
    while len(readings) < fewest or time.monotonic() < until_s:
        readings.append(await port.read())
        say(f"{device.name}: {readings[-1].energy_wh} Wh, {max(until_s - time.monotonic(), 0):.0f} s to go")
        await asyncio.sleep(min(EVERY_S, seconds / 4))
    bill = await port.read_billing()
    evse = file.evse_table(device.evse)
    known = facts.get("meter", {}).get(str(device.evse))
    looked = MeterObservation(
        port.identity, file.meter_policies.get(device.evse, MeterPolicy()), readings, bill,
        identity_from_record(known) if known else None, evse.phases, evse.phase_a(NOMINAL_V), evse.is_dc,
    )  # fmt: skip
    return port.identity, meter_findings(looked)


async def _probe_board(port: Any, say: Callable[[str], None], name: str) -> list[Finding]:
    states: list[EvseState] = []
    for _ in range(3):
        states.append(await port.state())
        say(f"{name}: pilot {states[-1].pilot}")
        await asyncio.sleep(EVERY_S / 4)
    return board_findings(port.traits, states)


def _identity_text(identity: TerminalIdentity | MeterIdentity) -> str:
    said = (f"{what} {value}" for what, value in asdict(identity).items() if value)
    return ", ".join(said) or "opened; it says nothing of itself"


def _monotonic_stamp() -> tuple[int, float]:
    return 0, time.monotonic()


# --- the page -------------------------------------------------------------------------------------------------------


def machine_page(file: StationFile, seen: Sequence[ProbedDevice]) -> dict[str, Any]:
    """Return the page as data. The audit embeds it. ``v`` changes when a key changes its meaning."""
    verdicts = [s.verdict for s in seen]
    order = (Verdict.FAILED, Verdict.UNPROVEN, Verdict.PROVEN)
    return {
        "v": 1,
        "program": f"chargy-agent {__version__}",
        "station": file.station.id,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": str(min(verdicts, key=order.index)),
        "devices": [_device_entry(s) for s in seen],
    }


def _device_entry(seen: ProbedDevice) -> dict[str, Any]:
    i = seen.identity
    identity = None
    if isinstance(i, TerminalIdentity):
        identity = asdict(i)
    elif i is not None:
        identity = {
            "vendor": i.vendor, "model": i.model, "serial": i.serial, "firmware": i.firmware,
            "step_wh": i.register_step_wh, "classes": list(i.classes), "mid": i.mid,
        }  # fmt: skip
    return {
        "evse": seen.device.evse,
        "role": seen.device.role,
        "name": seen.device.name,
        "took_s": round(seen.took_s, 2),
        "identity": identity,
        "verdict": str(seen.verdict),
        "findings": [{"what": f.what, "verdict": str(f.verdict), "says": f.says} for f in seen.findings],
    }


def text_page(page: dict[str, Any]) -> list[str]:
    lines = [f"{page['program']}: evidence of station {page['station']}, {page['at']}"]
    for device in page["devices"]:
        of = f"EVSE {device['evse']}" if device["evse"] else "station"
        lines += ["", f"{device['name']} ({of}, looked at for {device['took_s']:.1f} s)"]
        lines += [f"  {f['verdict']:<9} {f['what']:<10} {f['says']}" for f in device["findings"]]
    return [*lines, "", f"verdict: {WORDS[page['verdict']]}"]


WORDS = {
    "proven": "everything was proven",
    "unproven": "nothing failed; what is unproven needs a person, a load, or a line in the station file",
    "failed": "something failed: this must not bill before it is mended",
}


COMMAND = Command(
    "probe",
    "Identify the devices of a station, meters and boards above all: a page of evidence.",
    add_arguments,
    run,
    ABOUT,
)

"""Is a station file right? All that can be said of one before an agent runs with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.initial import initial_offers, initial_settings, initial_terms, unusable_certificates, unusable_terminals
from agent.settings import SettingsError, StationFile, load
from agent.station_problems import Problem, placed

if TYPE_CHECKING:
    from agent.services.devices import Composed

GOOD, WRONG = 0, 2


def run(path: Path, as_json: bool) -> int:
    """The command."""
    file, problems = judged(path)
    if as_json:
        listed = [{"line": p.line, "column": p.column, "path": p.path, "message": p.message} for p in problems]
        page = {"v": 1, "file": str(path), "good": not problems, "problems": listed}
        print(json.dumps(page, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            print(problem.text(path), file=sys.stderr)
        if file is not None and not problems:
            print(f"{path}: good ({len(file.evses)} EVSE, {len(file.backends)} backend)")
    return WRONG if problems else GOOD


def judged(path: Path) -> tuple[StationFile | None, list[Problem]]:
    """Whatever could be read of the file, and all its mistakes, those of every stage."""
    complaints: list[str] = []
    try:
        file: StationFile | None = load(path)
    except SettingsError as e:
        file, complaints = e.file, e.problems
    if file is None:
        return None, placed(path, complaints)
    problems = placed(path, complaints)
    told = [p.path for p in problems if p.path]
    later = [p for p in placed(path, list(check(file))) if not _follows(p.path, told)]
    return file, sorted({*problems, *later}, key=lambda p: (p.line or 10**9, p.column, p.path, p.message))


def _follows(path: str, told: Sequence[str]) -> bool:
    """A value that was not accepted is replaced by its default, and what that leads to is no mistake of its own."""
    return any(path == t or path.startswith((f"{t}.", f"{t}[")) for t in told)


def check(file: StationFile) -> Iterable[str]:
    """Complaints about a station file that loading it does not find: settings, drivers and their own settings."""
    from agent.ports.zone import NoZone, zone

    wrong: list[str] = []
    try:
        zone(file.station.timezone)
    except NoZone as e:
        wrong.append(f"{file.path}: station.timezone: {e}")
    wrong += unusable_certificates(file) + unusable_terminals(file)
    for made in (initial_settings, initial_offers, initial_terms):
        try:
            made(file)
        except SettingsError as e:
            wrong += e.problems
    return wrong + devices(file)


def devices(file: StationFile) -> list[str]:
    """Of the devices alone, also of a file in which something else is wrong."""
    from agent.services.devices import compose

    try:
        composed = compose(file, lambda: (0, 0.0))
    except SettingsError as e:
        return e.problems
    return [c for device in composed for c in device.complaints] + _lines(file, composed)


def _lines(file: StationFile, composed: Sequence[Composed]) -> list[str]:
    """All devices on one serial line speak at its speed."""
    from agent.services.devices import fitting_of

    wrong: list[str] = []
    lines: dict[str, tuple[str, str]] = {}
    for device in composed:
        wire = fitting_of(device).wire(device.settings, device.where)
        if wire is None or wire.kind != "serial" or not wire.device:
            continue
        mode = f"{wire.baud} 8{wire.parity}{wire.stopbits}"
        first, its_mode = lines.setdefault(os.path.realpath(wire.device), (device.name, mode))
        if mode != its_mode:
            wrong.append(
                f"{file.path}: {device.name}: speaks {mode} on {wire.device}, {first} speaks {its_mode}; set baud and "
                "parity of all devices on one line to the same"
            )
    return wrong

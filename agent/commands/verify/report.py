"""The report as JSON and as text.

It holds versions, serial numbers and figures. It holds no key of a device's table, which may contain a PIN or password.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent import __version__
from agent.commands.verify.runner import FAILED, PASSED, SKIPPED, Outcome
from agent.model.fastclass import frozen
from agent.services.devices.configured import ComposedDevice, verify_kit_of
from agent.station_file.settings import StationFile

WORDS = {
    PASSED: "everything that was checked is correct",
    SKIPPED: "nothing failed, but some checks were skipped: see their reasons",
    FAILED: "something failed: repair it before the station goes into service",
}


@frozen
class Verified:
    """One device with the outcomes of its checks."""

    device: ComposedDevice
    figures: dict[str, float | str]
    outcomes: tuple[Outcome, ...]


def worst_outcome(done: Sequence[Verified]) -> str:
    found = {o.outcome for v in done for o in v.outcomes}
    return FAILED if FAILED in found else SKIPPED if SKIPPED in found else PASSED


def report_page(file: StationFile, done: Sequence[Verified], consent: bool, hands: str) -> dict[str, Any]:
    """Return the report as data. ``v`` changes when a key changes its meaning."""
    return {
        "v": 1,
        "program": f"chargy-agent {__version__}",
        "commit": source_commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "station": file.station.id,
        "serial": file.station.serial,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "release_allowed": consent,
        "hands": hands,
        "verdict": worst_outcome(done),
        "devices": [_device_entry(v) for v in done],
    }


def source_commit() -> str | None:
    """Return the commit of the source tree, or None if the program was installed from a wheel."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        argv = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _device_entry(v: Verified) -> dict[str, Any]:
    d = v.device
    package, version = _driver_package(d.driver.name)
    return {
        "name": d.name,
        "evse": d.evse,
        "role": d.driver.role,
        "driver": d.driver.name,
        "package": package,
        "package_version": version,
        "figures": v.figures,
        "checks": [
            {"check": o.check, "outcome": o.outcome, "says": o.says, "took_s": round(o.took_s, 2)} for o in v.outcomes
        ],
        "for_a_person": list(verify_kit_of(d).on_hardware),
    }


def _driver_package(driver: str) -> tuple[str, str]:
    from importlib.metadata import entry_points

    from agent.services.devices.configured import GROUP

    dist = next((e.dist for e in entry_points(group=GROUP, name=driver)), None)
    return (dist.name, dist.version) if dist is not None else ("", "")


def report_lines(report: dict[str, Any]) -> list[str]:
    tree = f", commit {report['commit']}" if report["commit"] else ""
    lines = [
        f"{report['program']}{tree}: verification of station {report['station']}, {report['at']}",
        f"release was {'allowed' if report['release_allowed'] else 'not allowed'}; hands: {report['hands']}",
    ]
    for d in report["devices"]:
        figures = ", ".join(f"{k} {v}" for k, v in d["figures"].items())
        lines += [
            "",
            f"{d['name']} ({d['driver']}, {d['package']} {d['package_version']}){': ' + figures if figures else ''}",
        ]
        lines += [
            f"  {c['outcome']:<9} {c['check']:<12} {says}"
            for c, says in zip(d["checks"], _without_repetition(d["checks"]), strict=True)
        ]
        lines += [f"  [ ] by hand  {line}" for line in d["for_a_person"]]
    return [*lines, "", f"verdict: {WORDS[report['verdict']]}"]


def _without_repetition(checks: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the text of each check. A failure that repeats (a silent device) is written once."""
    first: dict[str, str] = {}
    for c in checks:
        before = first.setdefault(c["says"], c["check"])
        yield f"the same as {before}" if before != c["check"] and c["outcome"] == FAILED else c["says"]


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """Write both files. Returns the path of the text. Raises ``OSError``."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"verify-{report['at'].replace(':', '').replace('-', '')}"
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    file = folder / f"{name}.txt"
    file.write_text("\n".join(report_lines(report)) + "\n", "utf-8")
    return file

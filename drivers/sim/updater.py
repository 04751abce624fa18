"""The far end of ``updater_command``: a board with two systems, kept in one JSON file. It is a program of its own:

  python -m drivers.sim.updater FILE install IMAGE | running | commit | reboot

An image is a file whose first line is ``CHARGY-FW`` and whose second is a JSON object with ``version``; ``"boots":
false`` marks a system that does not start, ``"reboot": false`` one that needs no reboot.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MAGIC = "CHARGY-FW"
NO_BOOT, UNFIT = 10, 2


def main(argv: list[str]) -> int:
    path, verb, rest = Path(argv[0]), argv[1], argv[2:]
    slots = _read_slots(path)
    if verb == "install":
        return _install_image(path, slots, Path(rest[0]))
    if verb == "running":
        word = "fell-back" if slots["fell_back"] else "pending" if slots["pending"] else "good"
        sys.stdout.write(f"{word} {slots['version']}\n")
    elif verb == "commit":
        slots["pending"] = slots["fell_back"] = False
        _write_slots(path, slots)
    elif verb == "reboot":
        _boot_system(path, slots)
    else:
        sys.stderr.write(f"unknown verb {verb}\n")
        return 64
    return 0


def _install_image(path: Path, slots: dict[str, Any], image: Path) -> int:
    first, _, rest = image.read_bytes().partition(b"\n")
    try:
        about = json.loads(rest.partition(b"\n")[0])
        version = str(about["version"])
    except (ValueError, KeyError, TypeError):
        about, version = {}, ""
    if first.decode("ascii", "replace").strip() != MAGIC or not version:
        sys.stderr.write("not an image of this board\n")
        return UNFIT
    if about.get("reboot", True) is False:
        slots["version"] = version
        _write_slots(path, slots)
        return NO_BOOT
    slots["other"], slots["boots"] = version, about.get("boots", True) is not False
    _write_slots(path, slots)
    return 0


def _boot_system(path: Path, slots: dict[str, Any]) -> None:
    """Boot as a boot loader does: the new system if it starts, otherwise the old one again."""
    if slots["other"] is None:
        return
    if slots["boots"]:
        slots["version"], slots["other"], slots["pending"] = slots["other"], slots["version"], True
    else:
        slots["fell_back"] = True
    slots["other"] = None if not slots["pending"] else slots["other"]
    _write_slots(path, slots)


def _read_slots(path: Path) -> dict[str, Any]:
    fresh: dict[str, Any] = {"version": "", "other": None, "pending": False, "fell_back": False, "boots": True}
    try:
        return {**fresh, **json.loads(path.read_text("utf-8"))}
    except FileNotFoundError:
        return fresh


def _write_slots(path: Path, slots: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(slots), "utf-8")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

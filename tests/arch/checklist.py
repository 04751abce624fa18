"""``docs/hardware-checklist.md``: what simulation cannot prove, per driver, from the drivers' own fittings."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

from agent.ports.verify import VerifyKit

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

HEAD = """\
# Checklist for the real hardware

Generated from the drivers (`make docs`). `chargy-agent verify` checks on the real device what a program can check;
its report ends with these lines for the devices of the station, to be ticked by hand. **None of them has been ticked
yet: nothing has been tried on real hardware.** What each line asks for cannot be shown by any far end of ours.

Before anything else, for every outlet, by an electrician: protective earth, RCD, insulation, the contactor's own
feedback, and that the board opens the contactor when its own computer is unplugged.
"""


def text() -> str:
    drivers = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]["chargy_agent.drivers"]
    parts = [HEAD]
    for name, where in sorted(drivers.items()):
        driver = _named(where)
        if driver.verify_kit:
            fitting = _named(driver.verify_kit)
            assert isinstance(fitting, VerifyKit)
            lines = "\n".join(f"- [ ] {line}" for line in fitting.on_hardware)
            parts.append(f"## {name} ({driver.role})\n\n{lines}\n")
    return "\n".join(parts)


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)

"""The driver families in the import contracts of ``pyproject.toml``, taken from its entry points: ``make docs``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "pyproject.toml"
SHARED = (
    "drivers.bus", "drivers.panel", "drivers.serial_line", "drivers.network_interface", "drivers.meter_signing",
    "drivers.board_commands", "drivers.mobile_modem", "drivers.system_bus",
)  # fmt: skip
"""What several drivers use; neither a family nor the simulation."""


def families() -> list[str]:
    """Packages of the drivers that this project registers, and the simulation."""
    drivers = tomllib.loads(FILE.read_text("utf-8"))["project"]["entry-points"]["chargy_agent.drivers"]
    return sorted({target.partition(":")[0] for target in drivers.values()} | {"drivers.sim"})


def with_list(text: str, contract: str, key: str, values: list[str]) -> str:
    """The file with this list in this contract. Raises ``ValueError``: there is no such list."""
    pattern = rf'(name = "{re.escape(contract)}"\n(?:(?!\[\[).*\n)*?{key} = )\[[^\]]*\]'
    lines = "".join(f'    "{value}",\n' for value in values)
    text, found = re.subn(pattern, lambda m: f"{m[1]}[\n{lines}]", text)
    if found != 1:
        raise ValueError(f"pyproject.toml: no list {key!r} in the contract {contract!r}")
    return text


def text() -> str:
    found = FILE.read_text("utf-8")
    found = with_list(found, "drivers never know each other", "modules", families())
    found = with_list(found, "what drivers share knows no driver", "source_modules", list(SHARED))
    return with_list(found, "what drivers share knows no driver", "forbidden_modules", families())

"""``docs/station.schema.json``: the JSON Schema of a station file with the drivers of this project."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.model.entry_points import load_checked
from agent.ports.driver import Driver
from agent.station_file.station_schema import schema_text

FILE = Path(__file__).resolve().parents[2] / "pyproject.toml"


def text() -> str:
    entries = tomllib.loads(FILE.read_text("utf-8"))["project"]["entry-points"]["chargy_agent.drivers"]
    return schema_text(load_checked(entry, Driver) for entry in entries.values())

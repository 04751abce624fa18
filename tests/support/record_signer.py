"""The engine's step that signs records, for a play: with the key of a folder, and the number that is on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.assembly.domain_setup import record_signing
from agent.domain.orders import Order
from agent.station_file.settings import parse_station_file


def signing_in(folder: Path) -> Callable[[Mapping[str, Any]], Callable[[Sequence[Order]], Sequence[Order]]]:
    """Return what ``Playbook(signs=...)`` wants. The key is made in this folder."""
    table = {"station": {"state_dir": str(folder)}, "evse": [{"number": 1}]}
    file = parse_station_file(table, folder / "station.toml")
    return lambda facts: record_signing(file, facts)

"""Devices as data: where the map of a device is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class MapError(Exception):
    """What is wrong with a map, for the person who wrote it."""


def find_map_file(role: str, name: str, folders: Sequence[Path]) -> Path:
    """Return the first ``<role>s/<name>.toml`` of the folders. Raises ``MapError``."""
    places = [folder / f"{role}s" for folder in folders]
    for place in places:
        path = place / f"{name}.toml"
        if path.is_file():
            return path
    known = sorted({path.stem for place in places for path in place.glob("*.toml")})
    from agent.station_file.parser import did_you_mean

    raise MapError(
        f"{role} map {name!r} not found in {', '.join(map(str, places))}{did_you_mean(name, known, 'known')}"
    )

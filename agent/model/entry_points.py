"""Entry points of the installed packages, for a station that runs: who brings drivers and maps.

``importlib.metadata`` finds the same, and brings mail, zip archives, compressions and temporary files along: 2 MiB
that a station would never give back. This reads the files that the PyPA specification "Entry points" describes.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def list_entry_points(group: str) -> list[tuple[str, str]]:
    """Name and ``module:attribute`` of all entry points of a group; of two packages with one name the first on the path
    counts."""
    if any(os.path.isfile(folder) or str(folder).endswith(".egg") for folder in sys.path):  # who can read archives may
        from importlib.metadata import entry_points

        return [(e.name, e.value) for e in entry_points(group=group)]
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for folder in sys.path:
        for info in _metadata_folders(folder):
            package = re.sub(r"[-_.]+", "-", info.name.removesuffix(info.suffix).partition("-")[0]).lower()
            if package not in seen:
                seen.add(package)
                found += _parse_entry_points(info / "entry_points.txt", group)
    return found


def _metadata_folders(folder: str) -> list[Path]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return [Path(folder, name) for name in names if name.endswith((".dist-info", ".egg-info"))]


def _parse_entry_points(file: Path, group: str) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(
            "utf-8", "replace"
        ).splitlines()  # foreign files: damaged text in other lines does no harm
    except OSError:
        return []
    found, inside = [], False
    for line in map(str.strip, lines):
        if line.startswith("["):
            inside = line.strip("[] ") == group
        elif inside and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((name.strip(), value.partition("[")[0].strip()))  # extras, in old files
    return found


def load_entry_point(entry: str) -> Any:
    """What ``module:attribute`` names. Raises ``ImportError`` and ``AttributeError`` as an import would."""
    module, _, attribute = entry.partition(":")
    found: Any = importlib.import_module(module.strip())
    for name in filter(None, attribute.strip().split(".")):
        found = getattr(found, name)
    return found


class EntryPointError(Exception):
    """What an entry point names cannot be used. ``str()`` is one line: the entry, and why."""


def load_checked(entry: str, kind: type[T]) -> T:
    """Load what ``module:attribute`` names, and check its type. Raises ``EntryPointError``, and nothing else."""
    try:
        found = load_entry_point(entry)
    except Exception as e:  # the code of another distribution may raise anything while it is imported
        why = " ".join(str(e).split())[:200]
        raise EntryPointError(f"{entry} cannot be loaded ({type(e).__name__}: {why})") from e
    if not isinstance(found, kind):
        raise EntryPointError(f"{entry} is no {kind.__module__}.{kind.__qualname__}")
    return found

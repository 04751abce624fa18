"""What the commands of the command line share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from agent.station_file.settings import SettingsError, StationFile

EXIT_CANNOT = 2
"""It cannot be done: the station file or an argument is wrong."""


def add_station_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", type=Path, metavar="STATION.toml")


def add_language_argument(parser: argparse.ArgumentParser, languages: Sequence[str], what: str) -> None:
    """Add ``--language``; without it the language of the system counts, if it is one of these, else the first one."""
    words = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    chosen = next((w for w in words if w), "")[:2].lower()
    usual = chosen if chosen in languages else languages[0]
    parser.add_argument("--language", choices=languages, default=usual, help=what)


def load_or_report(path: Path) -> StationFile | None:
    """Return the station file. If it is wrong, print each mistake and return None."""
    from agent.station_file.settings import SettingsError, load_station_file

    try:
        return load_station_file(path)
    except SettingsError as e:
        print_problems(path, e)
        return None


def print_problems(path: Path, error: SettingsError) -> None:
    from agent.station_file.problems import place_problems

    for problem in place_problems(path, error.problems):
        print(problem.compiler_line(path), file=sys.stderr)

"""What a command of the command line is, and what the commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.model.fastclass import frozen

if TYPE_CHECKING:
    import argparse

    from agent.station_file.settings import SettingsError, StationFile

EXIT_CANNOT = 2
"""It cannot be done: the station file or an argument is wrong."""


@frozen
class Command:
    """A command. Other packages bring objects of this shape by the entry points of ``chargy_agent.commands``."""

    name: str
    help: str
    """A line for the list of the commands."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Runs the command and returns the exit code."""
    about: str = ""
    """The text of ``chargy-agent COMMAND --help``. Empty: the same as ``help``."""


def add_station_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", type=Path, metavar="STATION.toml")


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

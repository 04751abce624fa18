"""``chargy-agent run``: the station itself. Nothing heavy is imported before the store is being opened."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report, print_problems
from agent.model.command import Command

if TYPE_CHECKING:
    import argparse

    from agent.station_file.settings import StationFile

ABOUT = """\
Run the station that a station file describes, until SIGTERM. On a board systemd starts it (systemd/), at a desk
"simulate" does. The log goes to standard error.

  chargy-agent run /etc/chargy-agent/station.toml
  chargy-agent run station.toml --record day.jsonl      record the OCPP conversations, for "replay" (docs/recording.md)

Exit code: 0 ended in order (SIGTERM, a reset by the backend, mains lost), 2 the station file is wrong, the store cannot
be used, or another agent uses it. Starting again does not help before that is corrected.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument(
        "--clock-rate",
        type=float,
        default=1.0,
        metavar="X",
        help="simulation: let the station's time run X times faster",
    )
    parser.add_argument(
        "--clock-scale",
        metavar="NAME,REAL_S,SCALED_S",
        help="simulation: the rate has changed; the station's time was SCALED_S when the machine's was REAL_S",
    )
    parser.add_argument(
        "--rtc-offset", type=float, default=0.0, metavar="S", help="simulation: the real-time clock is off by S seconds"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="record the OCPP conversations; a file that exists is continued"
    )


def run(options: argparse.Namespace) -> int:
    return run_station(
        options.station, options.clock_rate, options.rtc_offset, options.clock_scale, record=options.record
    )


def run_station(
    path: Path, clock_rate: float = 1.0, rtc_offset_s: float = 0.0, scale: str | None = None, record: Path | None = None
) -> int:
    from agent.assembly.startup import without_garbage_collection

    with without_garbage_collection():
        return _run_file(path, clock_rate, rtc_offset_s, scale, record)


def _run_file(path: Path, clock_rate: float, rtc_offset_s: float, scale: str | None, record: Path | None) -> int:
    file = load_or_report(path)
    if file is None or _has_refused_options(file, record):
        return EXIT_CANNOT
    import asyncio

    from agent.ports.store import StoreError
    from agent.services.store.store import Store, StoreRefused
    from agent.station_file.settings import SettingsError

    store = Store.begin_opening(
        file.station.state_dir / "agent.db", file.station.store_max_mb
    )  # while the rest is loaded
    from agent.assembly import station
    from agent.services.clock import Scale

    try:
        options = station.Options(clock_rate, rtc_offset_s, Scale.from_text(scale) if scale else None, record)
        return asyncio.run(station.run(file, options, store))
    except* SettingsError as group:
        _print_errors(group, path)
    except* (StoreError, StoreRefused) as group:
        _print_errors(group, path)
    return EXIT_CANNOT


def _has_refused_options(file: StationFile, record: Path | None) -> bool:
    """Print why this station cannot be run as it is asked for. Returns whether there is a reason."""
    wrong = []
    if file.simulation.misbehaviour:
        wrong.append(
            f"{file.path}: [simulation] misbehaviour: only a simulated station (chargy-agent simulate) misbehaves on "
            "request, a real one never does; remove the key"
        )
    if record is not None:
        try:
            os.close(os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        except OSError as e:
            wrong.append(f"--record {record}: cannot be written: {e.strerror}")
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


def _print_errors(group: BaseExceptionGroup[Any], path: Path) -> None:
    from agent.station_file.settings import SettingsError

    for e in group.exceptions:
        if isinstance(e, BaseExceptionGroup):
            _print_errors(e, path)
        elif isinstance(e, SettingsError):
            print_problems(path, e)
        else:
            print(e, file=sys.stderr)


COMMAND = Command("run", "Run the station that a station file describes, until SIGTERM.", add_arguments, run, ABOUT)

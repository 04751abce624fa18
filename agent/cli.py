"""The command line: arguments in, exit code out. No logic is here, and nothing heavy is imported for ``run``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.commands.command_help import ABOUT, CHECK, CSMS, DEAD, DRIVERS, FAULTS, PAYMENTS, PROBE, RUN

if TYPE_CHECKING:
    import argparse
    from importlib.metadata import EntryPoint

    from agent.station_file.settings import SettingsError, StationFile

EXIT_WRONG_FILE, EXIT_PIPE = 2, 141
COMMANDS = "chargy_agent.commands"


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) == 2 and arguments[0] == "run" and not arguments[1].startswith("-"):
        _configure_logging(verbose=False)  # the call of systemd: a station starts without argparse
        return _exit_code_of(lambda: _run_station(Path(arguments[1])))
    parser = _build_parser(arguments)
    options = parser.parse_args(arguments)
    if not hasattr(options, "do"):
        parser.print_help()
        return 0
    _configure_logging(getattr(options, "verbose", False))
    try:
        return _exit_code_of(lambda: _run_and_flush(options))
    except BrokenPipeError:
        if options.do is _run_with_options:
            raise  # in a station it would be a defect
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of the output (head) has ended
        return EXIT_PIPE


def _run_and_flush(options: argparse.Namespace) -> int:
    code = int(options.do(options))
    sys.stdout.flush()
    return code


def _exit_code_of(do: Callable[[], int]) -> int:
    try:
        return do()
    except KeyboardInterrupt:
        return 130


def _build_parser(arguments: list[str]) -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="chargy-agent", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"chargy-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    wanted = next((a for a in arguments if not a.startswith("-")), "")
    for add in _parser_builders(wanted):
        add(commands)
    return parser


def _parser_builders(wanted: str) -> list[Callable[[Any], None]]:
    """Return the functions that add the parsers. For one command the imports of the others are not loaded."""
    ours: dict[str, Callable[[Any], None]] = {
        "run": _add_run, "check": _add_check, "drivers": _add_drivers, "probe": _add_probe, "verify": _add_verify,
        "dead": _add_dead, "payments": _add_payments, "faults": _add_faults, "csms": _add_csms,
    }  # fmt: skip
    if wanted in ours:
        return [ours[wanted]]
    from importlib.metadata import entry_points

    brought = {e.name: partial(_add_installed, e) for e in entry_points(group=COMMANDS)}
    return [brought[wanted]] if wanted in brought else [*ours.values(), *brought.values()]


def _add_command_parser(commands: Any, name: str, text: str, about: str) -> argparse.ArgumentParser:
    import argparse

    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("-v", "--verbose", action="store_true", help="write more to the log")
    return command


def _add_run(commands: Any) -> None:
    command = _add_command_parser(commands, "run", "Run the station that a station file describes, until SIGTERM.", RUN)
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument(
        "--clock-rate",
        type=float,
        default=1.0,
        metavar="X",
        help="simulation: let the station's time run X times faster",
    )
    command.add_argument(
        "--clock-scale",
        metavar="NAME,REAL_S,SCALED_S",
        help="simulation: the rate has changed; the station's time was SCALED_S when the machine's was REAL_S",
    )
    command.add_argument(
        "--rtc-offset", type=float, default=0.0, metavar="S", help="simulation: the real-time clock is off by S seconds"
    )
    command.set_defaults(do=_run_with_options)


def _run_with_options(options: argparse.Namespace) -> int:
    return _run_station(options.station, options.clock_rate, options.rtc_offset, options.clock_scale)


def _run_station(path: Path, clock_rate: float = 1.0, rtc_offset_s: float = 0.0, scale: str | None = None) -> int:
    from agent.assembly.startup import without_garbage_collection

    with without_garbage_collection():
        return _run_file(path, clock_rate, rtc_offset_s, scale)


def _run_file(path: Path, clock_rate: float, rtc_offset_s: float, scale: str | None) -> int:
    file = _load_station_file(path)
    if file is None:
        return EXIT_WRONG_FILE
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
        options = station.Options(clock_rate, rtc_offset_s, Scale.from_text(scale) if scale else None)
        return asyncio.run(station.run(file, options, store))
    except* SettingsError as group:
        _print_errors(group, path)
    except* (StoreError, StoreRefused) as group:
        _print_errors(group, path)
    return EXIT_WRONG_FILE


def _print_errors(group: BaseExceptionGroup[Any], path: Path) -> None:
    from agent.station_file.settings import SettingsError

    for e in group.exceptions:
        if isinstance(e, BaseExceptionGroup):
            _print_errors(e, path)
        elif isinstance(e, SettingsError):
            _print_problems(path, e)
        else:
            print(e, file=sys.stderr)


def _add_check(commands: Any) -> None:
    text = "Check a station file: every mistake with line, column and key, and a suggestion."
    command = _add_command_parser(commands, "check", text, CHECK)
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument("--json", action="store_true", help="for machines, on standard output")
    command.set_defaults(do=_run_check)


def _run_check(options: argparse.Namespace) -> int:
    from agent.commands import check

    return check.run(options.station, options.json)


def _add_drivers(commands: Any) -> None:
    command = _add_command_parser(
        commands, "drivers", "List the installed drivers: role, package, settings with defaults.", DRIVERS
    )
    command.add_argument("--json", action="store_true", help="for machines")
    command.set_defaults(do=_run_drivers)


def _run_drivers(options: argparse.Namespace) -> int:
    from agent.commands import drivers

    return drivers.run(options.json)


def _add_probe(commands: Any) -> None:
    text = "Identify the devices of a station, meters and boards above all: a page of evidence."
    command = _add_command_parser(commands, "probe", text, PROBE)
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long each meter is read (10)")
    command.add_argument(
        "--only", action="append", default=[], metavar="DEVICE", help="a device by its name on the page; repeatable"
    )
    command.add_argument("--json", default="", metavar="FILE", help="the page for machines; - for standard output")
    command.set_defaults(do=_run_probe)


def _run_probe(options: argparse.Namespace) -> int:
    file = _load_station_file(options.station)
    if file is None:
        return EXIT_WRONG_FILE
    from agent.commands import probe

    return probe.run(file, probe.Options(max(options.seconds, 0.0), tuple(options.only), options.json))


def _add_verify(commands: Any) -> None:
    from agent.commands.verify import command as verify

    text = "Run the conformance checks of every device on the real hardware and write a report."
    command = _add_command_parser(commands, "verify", text, verify.ABOUT)
    verify.add_arguments(command)
    command.set_defaults(do=_run_verify)


def _run_verify(options: argparse.Namespace) -> int:
    from agent.commands.verify import command

    file = _load_station_file(options.station)
    return EXIT_WRONG_FILE if file is None else command.run(file, options)


def _add_dead(commands: Any) -> None:
    command = _add_command_parser(
        commands, "dead", "Messages that could not be delivered: list, show, resend, drop.", DEAD
    )
    command.add_argument("action", choices=("list", "show", "resend", "drop"))
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument("numbers", type=int, nargs="*", metavar="NUMBER", help="from the list")
    command.add_argument("--all", action="store_true", help="every dead letter (the default of list and show)")
    command.set_defaults(do=_run_dead_letters)


def _run_dead_letters(options: argparse.Namespace) -> int:
    if options.action in ("resend", "drop") and bool(options.numbers) == options.all:
        print(f"dead {options.action}: name the numbers from the list, or give --all", file=sys.stderr)
        return EXIT_WRONG_FILE
    file = _load_station_file(options.station)
    if file is None:
        return EXIT_WRONG_FILE
    from agent.commands import dead_letters

    return dead_letters.run(file, options.action, options.numbers or None)


def _add_payments(commands: Any) -> None:
    command = _add_command_parser(
        commands, "payments", "The journal of bank card payments: list, show, review.", PAYMENTS
    )
    command.add_argument("action", choices=("list", "show", "review"))
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument("names", nargs="*", metavar="REFERENCE", help="from the list")
    command.set_defaults(do=_run_payments)


def _run_payments(options: argparse.Namespace) -> int:
    if options.action == "review" and not options.names:
        print("payments review: name the references from the list", file=sys.stderr)
        return EXIT_WRONG_FILE
    file = _load_station_file(options.station)
    if file is None:
        return EXIT_WRONG_FILE
    from agent.commands import payments

    return payments.run(file, options.action, options.names or None)


def _add_faults(commands: Any) -> None:
    command = _add_command_parser(commands, "faults", "What is wrong with the station: list, clear.", FAULTS)
    command.add_argument("action", choices=("list", "clear"))
    command.add_argument("station", type=Path, metavar="STATION.toml")
    command.add_argument(
        "evses", type=int, nargs="*", metavar="EVSE", help="numbers of outlets; without one all outlets"
    )
    command.set_defaults(do=_run_faults)


def _run_faults(options: argparse.Namespace) -> int:
    file = _load_station_file(options.station)
    if file is None:
        return EXIT_WRONG_FILE
    from agent.commands import faults

    return faults.run(file, options.action, options.evses or None)


def _load_station_file(path: Path) -> StationFile | None:
    from agent.station_file.settings import SettingsError, load_station_file

    try:
        return load_station_file(path)
    except SettingsError as e:
        _print_problems(path, e)
        return None


def _print_problems(path: Path, error: SettingsError) -> None:
    from agent.station_file.problems import place_problems

    for problem in place_problems(path, error.problems):
        print(problem.compiler_line(path), file=sys.stderr)


def _add_csms(commands: Any) -> None:
    from agent.csms import central_system

    command = _add_command_parser(
        commands, "csms", "Start a small central system (CSMS) for tests and demonstrations.", CSMS
    )
    central_system.add_arguments(command)
    command.set_defaults(do=central_system.main)


def _add_installed(entry: EntryPoint, commands: Any) -> None:
    """Add the command of another package (the simulated station)."""
    found = entry.load()
    command = _add_command_parser(commands, found.name, found.help, getattr(found, "about", "") or found.help)
    found.add_arguments(command)
    command.set_defaults(do=found.run)


def _configure_logging(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("websockets", "pymodbus", "nfc", "asyncio", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

"""The command line: a list of commands. Each command brings its arguments, its texts and what it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__

if TYPE_CHECKING:
    import argparse

    from agent.model.command import Command

INTERRUPTED, EXIT_PIPE = 130, 141
GROUP = "chargy_agent.commands"
COMMANDS = {
    "run": "agent.commands.run:COMMAND",
    "check": "agent.commands.check:COMMAND",
    "schema": "agent.commands.schema:COMMAND",
    "drivers": "agent.commands.drivers:COMMAND",
    "probe": "agent.commands.probe:COMMAND",
    "verify": "agent.commands.verify.command:COMMAND",
    "dead": "agent.commands.dead_letters:COMMAND",
    "payments": "agent.commands.payments:COMMAND",
    "tariff": "agent.commands.tariff:COMMAND",
    "undelivered": "agent.commands.undelivered:COMMAND",
    "faults": "agent.commands.faults:COMMAND",
    "bearers": "agent.commands.bearers:COMMAND",
    "traffic": "agent.commands.traffic:COMMAND",
    "doctor": "agent.commands.doctor.command:COMMAND",
    "page": "agent.commands.page.command:COMMAND",
    "kit": "agent.commands.kit.command:COMMAND",
    "csms": "agent.commands.csms:COMMAND",
    "scenario": "agent.commands.scenario.command:COMMAND",
    "audit": "agent.commands.audit.command:COMMAND",
    "replay": "agent.commands.replay.command:COMMAND",
}
"""The commands of this program. Other packages add commands by entry points (``GROUP``), as the simulation does, and
the fleet, which no board has."""

ABOUT = """\
Station-side OCPP agent for public EV charge points.

  chargy-agent simulate                     watch a simulated station charge, in the browser
  chargy-agent check station.toml           check a station file: every mistake and its place
  chargy-agent schema station               print the JSON Schema of a station file, for an editor
  chargy-agent drivers                      list the installed drivers and their settings
  chargy-agent bench station.toml           simulate its devices, to work without hardware
  chargy-agent probe station.toml           identify its devices and write a page of evidence
  chargy-agent verify station.toml          test its devices: speed, silence, corrupted replies
  chargy-agent run station.toml             run a real station (started by systemd)
  chargy-agent kit inspect kit.toml         check the integration kit of the network's operator
  chargy-agent faults list station.toml     list the faults and what to do about them
  chargy-agent bearers station.toml         show what carries the links: LAN, Wi-Fi, GPRS
  chargy-agent traffic station.toml         show what the links take of the data volume
  chargy-agent doctor station.toml          find out why it does not connect, and what to do
  chargy-agent page address station.toml    print the address of the field page, and what it still needs
  chargy-agent dead list station.toml       list messages that could not be delivered
  chargy-agent payments list station.toml   list the bank card payments and their states
  chargy-agent tariff check prices.tariff   check or sign a file of ad-hoc tariffs
  chargy-agent undelivered station.toml     list what no backend has yet, before a board is removed
  chargy-agent csms                         start a small central system (CSMS) to test against
  chargy-agent scenario run --simulate      run scenarios: what is done at a station, and what must happen
  chargy-agent audit --plan NAME            audit a station, with a report of the evidence
  chargy-agent replay day.jsonl             play a recorded conversation again, and see what differs
  chargy-agent fleet 100 --backend URL      load a backend with many stations, and balance its books

chargy-agent COMMAND --help explains each command. Exit codes of all: 0 done, 1 something is wrong or has failed, 2 it
cannot be done (wrong station file or arguments), 3 (probe, verify, scenario, audit) not everything is proven, 3
(doctor) there are only warnings, 130 interrupted by Ctrl-C.
"""


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) == 2 and arguments[0] == "run" and not arguments[1].startswith("-"):
        from agent.model.lazy_import import UNUSED_BY_STATION, load_later

        load_later(*UNUSED_BY_STATION)
        from agent.commands.run import run_station

        _configure_logging(verbose=False)  # the call of systemd: a station starts without argparse
        return _exit_code_of(lambda: run_station(Path(arguments[1])))
    parser = _build_parser(arguments)
    options = parser.parse_args(_with_default_action(arguments))
    if not hasattr(options, "do"):
        parser.print_help()
        return 0
    _configure_logging(getattr(options, "verbose", False))
    try:
        return _exit_code_of(lambda: _run_and_flush(options))
    except BrokenPipeError:
        if options.command_name == "run":
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
        return INTERRUPTED


def _build_parser(arguments: list[str]) -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="chargy-agent", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"chargy-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in _load_commands(next((a for a in arguments if not a.startswith("-")), "")):
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.about or command.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("-v", "--verbose", action="store_true", help="write more to the log")
        command.add_arguments(sub)
        sub.set_defaults(do=command.run, command_name=command.name)
    return parser


def _with_default_action(arguments: list[str]) -> list[str]:
    """Return the words of the user with the action that is meant where they name none of the command's."""
    if not arguments or arguments[0] not in COMMANDS:
        return arguments
    actions = _load_commands(arguments[0])[0].actions
    place = next((n for n, word in enumerate(arguments[1:], 1) if word not in ("-v", "--verbose")), len(arguments))
    if not actions or {*arguments[place : place + 1]} & {*actions, "-h", "--help"}:
        return arguments
    return [*arguments[:place], actions[0], *arguments[place:]]


def _load_commands(wanted: str) -> list[Command]:
    """Return the wanted command alone, so that the imports of the others are not loaded; for another word all."""
    from agent.model.entry_points import list_entry_points, load_entry_point

    found = dict(COMMANDS)
    if wanted not in COMMANDS:
        for name, entry in list_entry_points(GROUP):
            found.setdefault(name, entry)
    return [load_entry_point(value) for name, value in found.items() if name == wanted or wanted not in found]


def _configure_logging(verbose: bool) -> None:
    import logging

    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("websockets", "pymodbus", "nfc", "asyncio", "PIL", "fpdf", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

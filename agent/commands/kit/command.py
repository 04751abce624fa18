"""``chargy-agent kit``: the integration kit of the network's operator, from the questions to the configured station."""

from __future__ import annotations

import argparse
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.commands.command import EXIT_CANNOT
from agent.commands.kit.kit_file import BRANDS, Kit
from agent.model.command import Command
from agent.station_file.problems import place_problems
from agent.station_file.settings import SettingsError

DONE, SOMETHING_WRONG = 0, 1

ABOUT = """\
The integration kit: what the operator of the network fixes for one station (number, hotline, backend, SIM, prices,
required settings), as one TOML file. docs/kit.md lists its keys. Passwords, PINs and keys are files beside it; no
command prints them.

  chargy-agent kit new     kit.toml                 ask for the values, and write a kit; each question is an option too
  chargy-agent kit inspect kit.toml                 check the kit, and explain it in words
  chargy-agent kit diff    kit.toml station.toml    show what it would change in a station file
  chargy-agent kit apply   kit.toml station.toml    change the station file; comments stay, a backup is kept
  chargy-agent kit undo    station.toml             put back the station file of before the last kit
  chargy-agent kit stickers kit.toml                print both stickers: PDF (two pages each) and PNG, 105 x 148 mm
  chargy-agent kit document kit.toml station.toml   print the configuration document (PDF): every key of both files
  chargy-agent kit schema                           print the JSON Schema of kit.toml, for editors

Exit code: 0 done, 1 (diff) the kit would change something, 2 it cannot be done (wrong file or arguments).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    for name, (text, positionals, do) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(kit_action=do)
        for positional in positionals:
            action.add_argument(positional, type=Path, metavar=f"{positional.upper()}.toml")
        for option, settings in OPTIONS.get(name, {}).items():
            action.add_argument(option, **settings)
        if name == "new":
            _add_questions(action)


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    try:
        do: Callable[[argparse.Namespace], int] = options.kit_action
        return do(options)
    except SettingsError as e:
        _print_problems(e, [f for f in (getattr(options, n, None) for n in ("kit", "station")) if f is not None])
    except OSError as e:
        print(f"{e.filename or 'kit'}: {e.strerror or e}", file=sys.stderr)
    return EXIT_CANNOT


def _print_problems(error: SettingsError, files: list[Path]) -> None:
    """Print each problem with its place. A problem begins with its file; one without a file is about the first."""
    complaints: dict[Path, list[str]] = {file: [] for file in files}
    for said in error.problems:
        heads = [(file, f"{named}: ") for file in files for named in (file, file.resolve())]
        file, head = next(((f, h) for f, h in heads if said.startswith(h)), (files[0], ""))
        complaints[file].append(said.removeprefix(head))
    for file, found in complaints.items():
        for problem in place_problems(file, found):
            print(problem.compiler_line(file), file=sys.stderr)


def _inspect_kit(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_explanation import explanation_lines
    from agent.commands.kit.kit_file import load_kit

    for line in explanation_lines(load_kit(options.kit)):
        print(line)
    return DONE


def _show_differences(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_file import load_kit
    from agent.commands.kit.station_changes import change_line, changed_names, planned_changes, read_station_tables

    kit = load_kit(options.kit)
    station = read_station_tables(options.station)
    changes = planned_changes(kit, station, options.station.resolve().parent)
    for change in changes:
        print(change_line(change))
    if not changes:
        print(f"{options.station}: has everything that {options.kit} asks for")
    for said in changed_names(changes):
        print(f"{said}: `kit apply` wants --rename for it", file=sys.stderr)
    _mention_missing_bearer(kit, station)
    return SOMETHING_WRONG if changes else DONE


def _apply_kit(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_file import load_kit
    from agent.commands.kit.station_changes import change_line, read_station_tables
    from agent.commands.kit.station_writer import apply_kit

    kit = load_kit(options.kit)
    with _rights_mentioned(options.station):
        applied = apply_kit(kit, options.station, options.rename, options.leave_bills)
    for change in applied.changes:
        print(change_line(change))
    for problem in applied.remaining:
        print(f"as before: {problem.compiler_line(options.station)}", file=sys.stderr)
    _mention_missing_bearer(kit, read_station_tables(options.station))
    if applied.backup is None:
        print(f"{options.station}: has everything that {options.kit} asks for; nothing was changed")
        return DONE
    print(f"{options.station}: changed. The file as it was: {applied.backup}")
    print("A running agent reads it at its next start: systemctl restart chargy-agent")
    return DONE


def _mention_missing_bearer(kit: Kit, station: Mapping[str, Any]) -> None:
    from agent.commands.kit.station_changes import sim_bearer, sim_keys_left_out

    if kit.sim is not None and sim_bearer(kit, station) is None:
        print("The SIM of the kit is not entered: the station file has no [[bearer]] of kind gprs.", file=sys.stderr)
    for key in sim_keys_left_out(kit, station):
        print(f"sim.{key} of the kit is not entered: the driver of the [[bearer]] has no such key.", file=sys.stderr)


@contextmanager
def _rights_mentioned(station: Path) -> Iterator[None]:
    """Mention whether others could read the station file before and cannot any more."""
    could = station.stat().st_mode & stat.S_IROTH
    yield
    if could and not station.stat().st_mode & stat.S_IROTH:
        words = "only its owner and its group read it now, for it holds a secret; the agent's user must be one of them"
        print(f"{station}: {words}", file=sys.stderr)


def _undo_kit(options: argparse.Namespace) -> int:
    from agent.commands.kit.station_writer import undo_kit

    with _rights_mentioned(options.station):
        edits = undo_kit(options.station, options.discard_edits, leave_bills=options.leave_bills)
    for key in edits:
        print(f"discarded: {key}")
    print(f"{options.station}: is as before the last kit")
    print("A running agent reads it at its next start: systemctl restart chargy-agent")
    return DONE


def _print_schema(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_schema import schema_text

    print(schema_text(), end="")
    return DONE


def _print_stickers(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_file import load_kit
    from agent.commands.kit.sticker_print import write_stickers

    brands = (options.brand,) if options.brand else BRANDS
    for path in write_stickers(load_kit(options.kit), brands, options.copies, options.folder):
        print(f"written: {path}")
    return DONE


def _print_document(options: argparse.Namespace) -> int:
    from agent.commands.kit.configuration_document import write_document
    from agent.commands.kit.kit_file import load_kit

    print(f"written: {write_document(load_kit(options.kit), options.station, options.folder)}")
    return DONE


def _make_kit(options: argparse.Namespace) -> int:
    from agent.commands.kit.kit_questions import (
        QUESTIONS,
        collect_answers,
        proposals_of_station,
        refuse_existing,
        write_kit,
    )

    refuse_existing(options.kit)
    given = {q.name: getattr(options, q.name.replace("-", "_")) for q in QUESTIONS}
    proposals = proposals_of_station(options.station) if options.station else {}
    ask = input if sys.stdin.isatty() and not options.yes else None
    try:
        missing = write_kit(options.kit, collect_answers(given, proposals, ask))
    except EOFError:
        print("\nended before the last answer; nothing was written", file=sys.stderr)
        return EXIT_CANNOT
    print(f"written: {options.kit}")
    for said in missing:
        print(f"still to do: {said}")
    if any("_file" in said for said in missing):
        print("A secret goes into its file like this: install -D -m 600 /dev/stdin secrets/password; end with Ctrl-D")
    print(f"Next: chargy-agent kit inspect {options.kit}")
    return DONE


def _add_questions(parser: argparse.ArgumentParser) -> None:
    from agent.commands.kit.kit_questions import QUESTIONS

    parser.add_argument("--yes", action="store_true", help="ask nothing: options and proposals are the answers")
    parser.add_argument("--station", type=Path, metavar="STATION.toml", help="take proposals from this station file")
    for question in QUESTIONS:
        parser.add_argument(f"--{question.name}", metavar="ANSWER", help=question.text)


ACTIONS: dict[str, tuple[str, tuple[str, ...], Callable[[argparse.Namespace], int]]] = {
    "new": ("Ask for the values of a kit, and write it.", ("kit",), _make_kit),
    "inspect": ("Check a kit, and explain it in words.", ("kit",), _inspect_kit),
    "diff": ("Show what a kit would change in a station file.", ("kit", "station"), _show_differences),
    "apply": ("Write a kit into a station file.", ("kit", "station"), _apply_kit),
    "undo": ("Put back the station file of before the last kit.", ("station",), _undo_kit),
    "stickers": ("Print both stickers of a station as PDF and PNG.", ("kit",), _print_stickers),
    "document": ("Print the configuration document of a station as PDF.", ("kit", "station"), _print_document),
    "schema": ("Print the JSON Schema of kit.toml.", (), _print_schema),
}
FOLDER_OPTION = {
    "--folder": {"type": Path, "default": Path(), "metavar": "DIR", "help": "where to write (the current folder)"}
}
LEAVE_BILLS_OPTION = {
    "--leave-bills": {
        "action": "store_true",
        "help": "also if bills wait for the present backend; they go where the station file leads afterwards",
    }
}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "stickers": {
        "--brand": {"choices": BRANDS, "help": "only the sticker of this brand"},
        "--copies": {
            "type": int,
            "choices": range(1, 101),
            "default": 2,
            "metavar": "N",
            "help": "pages of the PDF (2)",
        },
        **FOLDER_OPTION,
    },
    "document": FOLDER_OPTION,
    "apply": {
        "--rename": {
            "action": "store_true",
            "help": "also if the station file has another number, charge point id or SIM than the kit",
        },
        **LEAVE_BILLS_OPTION,
    },
    "undo": {
        "--discard-edits": {"action": "store_true", "help": "also if the file was edited since; edits are lost"},
        **LEAVE_BILLS_OPTION,
    },
}

COMMAND = Command(
    name="kit",
    help="The integration kit of the network's operator: ask, explain, compare, apply, undo, print.",
    about=ABOUT,
    add_arguments=add_arguments,
    run=run,
)

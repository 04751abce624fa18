"""``chargy-agent dead``: a person reviews messages that could not be delivered, and decides about them.

A running agent is asked over its status socket. While it is stopped, the store itself is opened. Two processes cannot
open the store at once: the first one locks it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from agent.assembly.dead_letter_queries import ACTIONS, ASK, answer_dead_letters
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.model.command import Command
from agent.ports.store import StoreError
from agent.services.store.store import StoreRefused
from agent.station_file.settings import StationFile

ABOUT = """\
Billing messages (start, values and end of a session) that a backend has refused for good, or that cannot be read from
the disk, are not sent again. They are kept in the list of dead letters until you drop them.

  chargy-agent dead list   station.toml          all dead letters, and why
  chargy-agent dead show   station.toml 17 18    whole messages (card numbers masked)
  chargy-agent dead resend station.toml 17       queue it again at its old place, with the start of its session
  chargy-agent dead resend station.toml --all    all, after the backend has been repaired
  chargy-agent dead drop   station.toml 17       delete it for good: its energy will not be billed

Works beside a running agent (as a member of its group) and while it is stopped (as its user).

Exit code: 0 done, 1 a given number does not exist, 2 it cannot be done (no store, no permission).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS)
    add_station_argument(parser)
    parser.add_argument("numbers", type=int, nargs="*", metavar="NUMBER", help="from the list")
    parser.add_argument("--all", action="store_true", help="every dead letter (the default of list and show)")


def run(options: argparse.Namespace) -> int:
    if options.action in ("resend", "drop") and bool(options.numbers) == options.all:
        print(f"dead {options.action}: name the numbers from the list, or give --all", file=sys.stderr)
        return EXIT_CANNOT
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else review_dead_letters(file, options.action, options.numbers or None)


def review_dead_letters(file: StationFile, do: str, seqs: Sequence[int] | None) -> int:
    """Do it and print the result. Returns 0: done, 1: a number is not there, 2: it cannot be done."""
    try:
        question = {"do": do, "seqs": None if seqs is None else list(seqs)}
        said = asyncio.run(query_agent_or_store(file, ASK, question, answer_dead_letters))
        if "error" in said:
            raise CannotDo(str(said["error"]))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 2
    for line in _output_lines(do, said, seqs is None):
        print(line)
    missing = set(seqs or ()) - {x["seq"] for x in said.get("letters", ())} - set(said.get("done", ()))
    for seq in sorted(missing):
        print(f"{seq}: no such dead letter", file=sys.stderr)
    return 1 if missing else 0


def _output_lines(do: str, said: dict[str, Any], everything: bool) -> Iterator[str]:
    words = {"resend": "in the queue again", "drop": "given up"}
    for seq in said.get("done", ()):
        yield f"{seq}: {words[do]}"
    letters = said.get("letters", ())
    if do == "show":
        yield from (json.dumps(x, ensure_ascii=False, indent=2) for x in letters)
    elif do == "list" and letters:
        yield f"{'number':>8}  {'backend':<12} {'message':<20} {'session':<36}  why"
        for x in letters:
            yield f"{x['seq']:>8}  {x['link']:<12} {x['kind']:<20} {x['session']:<36}  {x['reason']}"
    elif not letters and not said.get("done") and everything:
        yield "no dead letters"


COMMAND = Command("dead", "Messages that could not be delivered: list, show, resend, drop.", add_arguments, run, ABOUT)

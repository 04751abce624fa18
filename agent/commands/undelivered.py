"""``chargy-agent undelivered``: list what a backend or a person still has to get, before a board is removed.

A running agent is asked over its status socket. While it is stopped, the store itself is opened.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.assembly.undelivered_queries import ASK, answer_undelivered
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.model.command import Command
from agent.ports.store import StoreError
from agent.services.store.store import StoreRefused
from agent.station_file.settings import StationFile

if TYPE_CHECKING:
    import argparse

ABOUT = """\
What this station holds that is billed and that no backend has yet: open sessions, messages of sessions in the queue,
dead letters, payments that are not settled, damaged records. Ask before a board is wiped, replaced or thrown away: what
is listed exists on this board alone.

  chargy-agent undelivered station.toml

Works beside a running agent (as a member of its group) and while it is stopped (as its user).

Exit code: 0 nothing is undelivered, 1 something is, 2 it cannot be said (no store, no permission).
"""
SOMETHING = 1
ADVICE = {
    "open session": "a vehicle charges, or the session is resumed at the next start",
    "queued": "is sent when the backend is reached",
    "dead letters": "was refused by the backend: chargy-agent dead list",
    "payment": "is not settled, or not reviewed: chargy-agent payments list",
    "unreadable": "is damaged; it may hold a bill",
}


def run(options: argparse.Namespace) -> int:
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else show_undelivered(file)


def show_undelivered(file: StationFile) -> int:
    """Print what is undelivered. Returns the exit code."""
    try:
        said = asyncio.run(query_agent_or_store(file, ASK, {}, answer_undelivered))
        if "error" in said:
            raise CannotDo(str(said["error"]))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    lines = list(_output_lines(said))
    print("\n".join(lines or [f"{said['store']}: nothing is undelivered"]))
    return SOMETHING if lines else 0


def _output_lines(said: dict[str, Any]) -> Iterator[str]:
    rows = said["undelivered"]
    if rows:
        yield f"{'what':<13} {'backend':<12} {'number':>6}  {'session, payment or record':<40}  note"
    for row in rows:
        yield f"{row['what']:<13} {row['link']:<12} {row['count']:>6}  {row['name']:<40}  {ADVICE[row['what']]}"
    for name in said["set_aside"]:
        yield f"{name}: a damaged store that was set aside; it may hold bills"
    if said["lost"]:
        yield f"the store: {said['lost']}"


COMMAND = Command(
    "undelivered", "What no backend has yet: look before a board is removed.", add_station_argument, run, ABOUT
)

"""``chargy-agent faults``: list the faults in words, and clear the latched ones after a review.

A running agent is asked over its status socket. While it is stopped, only the latched faults are known, and nothing is
cleared: the board has to show that a fault is over.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from agent.assembly.fault_queries import ACTIONS, ASK, Row
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.fault_texts import describe_fault, without_markdown
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.domain.faults import blocks_charging
from agent.model.command import Command
from agent.model.types import EvseId, Fault
from agent.ports.store import StoreError
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import StationFile

ABOUT = """\
The faults of the station, for a technician at the station.

  chargy-agent faults list  station.toml      what, where, what to do
  chargy-agent faults clear station.toml 2    clear the latched faults of outlet 2 after a review; without number: all

Only latched faults (a welded contactor, a residual current device that failed its test, a lock that jams again and
again) have to be cleared. All others end with their cause. A fault is cleared only if the board no longer shows it.
Works beside a running agent (as a member of its group); "list" also while it is stopped.

Exit code: 0 nothing is wrong, or all is cleared; 1 something is wrong; 2 it cannot be done.
"""

LOOK_EVERY_S = 0.5
PATIENCE_S = 60.0
"""The board is read five seconds after the reset order, and again as often as ``reset_retries`` says."""


async def _answer_from_store(store: Store, question: dict[str, Any]) -> dict[str, Any]:
    """Answer from the store of a stopped agent: only latched faults are known."""
    if question["do"] == "clear":
        return {"error": "the agent is not running: start it, so that the board can show that it is over"}
    kept = (await store.read_facts()).get("latched", {})
    rows = [
        {"evse": int(number), "fault": fault, "latched": True, "shown": False, "waits": False, "trouble": []}
        for number, record in sorted(kept.items())
        for fault in record["faults"]
    ]
    return {"faults": [r for r in rows if question["evses"] is None or r["evse"] in question["evses"]]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS)
    add_station_argument(parser)
    parser.add_argument(
        "evses", type=int, nargs="*", metavar="EVSE", help="numbers of outlets; without one all outlets"
    )


def run(options: argparse.Namespace) -> int:
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else review_faults(file, options.action, options.evses or None)


def review_faults(file: StationFile, do: str, evses: Sequence[EvseId] | None) -> int:
    """Do it and print the result.

    Returns 0: nothing is wrong, or all that was latched is cleared; 1: something is wrong; 2: it cannot be done.
    """
    unknown = sorted(set(evses or ()) - {e.number for e in file.evses})
    try:
        if unknown:
            raise CannotDo(f"{file.path}: there is no outlet {unknown[0]}")
        return asyncio.run(_list_faults(file, evses) if do == "list" else _clear_faults(file, evses))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 2


async def _query_faults(file: StationFile, do: str, evses: Sequence[EvseId] | None) -> dict[str, Any]:
    said = await query_agent_or_store(
        file, ASK, {"do": do, "evses": None if evses is None else list(evses)}, _answer_from_store
    )
    if "error" in said:
        raise CannotDo(str(said["error"]))
    return said


async def _list_faults(file: StationFile, evses: Sequence[EvseId] | None) -> int:
    said = await _query_faults(file, "list", evses)
    for line in _fault_lines(file, said["faults"]):
        print(line)
    if not said.get("running"):
        print("the agent is not running: only what is latched is known")
    elif not said["faults"]:
        print("nothing is wrong")
    return 1 if said["faults"] else 0


def _fault_lines(file: StationFile, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        fault = Fault(row["fault"])
        what, do = map(without_markdown, describe_fault(fault))
        weight = ["out of service"] if blocks_charging(fault) else []
        weight += ["latched"] if row["latched"] else []
        yield f"{_place_name(row)}: {what} ({', '.join([fault.value, *weight])})"
        yield from (f"  {line}" for line in row["trouble"])
        yield f"  to do: {do}"
        if row["latched"]:
            shown = "the board still shows it; when that is mended" if row["shown"] else "the board shows it no more"
            yield f"  {shown}: chargy-agent faults clear {file.path} {row['evse']}"


def _place_name(row: Row) -> str:
    return f"outlet {row['evse']}" if row["evse"] else "station"


async def _clear_faults(file: StationFile, evses: Sequence[EvseId] | None) -> int:
    said = await _query_faults(file, "clear", evses)
    before = [r for r in said["faults"] if r["latched"]]
    if not before:
        print("nothing is latched; what else is wrong goes by itself when its cause does: chargy-agent faults list")
        _print_boards_given_up(said["faults"])
        return 0
    print("resetting the boards and reading them for some seconds")
    left = await _wait_for_boards(file, sorted({r["evse"] for r in before}))
    for row in before:
        stays = (row["evse"], row["fault"]) in left
        what = without_markdown(describe_fault(Fault(row["fault"]))[0])
        print(f"{_place_name(row)}: {what} ({row['fault']}): " + ("the board still shows it" if stays else "cleared"))
    _print_boards_given_up(said["faults"])
    return 1 if left else 0


def _print_boards_given_up(rows: Sequence[Row]) -> None:
    for row in rows:
        if row["fault"] == Fault.BOARD_SILENT:
            free = "what was kept of the feed for its vehicle is free, unless its session is still open"
            print(f"{_place_name(row)}: its board does not answer; {free}")


async def _wait_for_boards(file: StationFile, evses: Sequence[EvseId]) -> set[tuple[EvseId, str]]:
    """Wait until the boards have been read. Returns the faults that are still latched."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        latched = [r for r in (await _query_faults(file, "list", evses))["faults"] if r["latched"]]
        if not any(r["waits"] for r in latched):
            return {(r["evse"], r["fault"]) for r in latched}
        if time.monotonic() > until_s:
            raise CannotDo("a board has not answered yet; it is read as soon as it does: chargy-agent faults list")
        await asyncio.sleep(LOOK_EVERY_S)


COMMAND = Command("faults", "What is wrong with the station: list, clear.", add_arguments, run, ABOUT)

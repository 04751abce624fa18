"""The journal of a part of a fleet: from it another process goes on where a killed one has stopped.

It is a file of JSON lines that are appended as things happen, in a folder that all processes of the fleet can write
(``--store``). Each line is handed to the kernel before the station goes on, so that a kill of the process loses
nothing; a power cut of the machine may lose the last seconds. The newest line may be torn, and is then ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from agent.domain.serialization import dump_record, load_record
from agent.fleet.volatile_store import VolatileStore
from agent.ports.store import OutboxRow, Put

Entry: TypeAlias = dict[str, Any]
WriteEntry: TypeAlias = Callable[[Entry], None]


class FleetJournal:
    """The file of one part. ``entries_of``: what an earlier process has written of a station."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._found: dict[str, list[Entry]] = {}
        for station, entry in _read_entries(path):
            self._found.setdefault(station, []).append(entry)
        self.is_resumed = bool(self._found)
        """An earlier process has begun this part."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            os.write(self._descriptor, b"\n")  # the torn line of a killed process ends here

    def entries_of(self, station: str) -> list[Entry]:
        return self._found.pop(station, [])

    def writer_of(self, station: str) -> WriteEntry:
        """Return the function that appends an entry of this station."""

        def write_entry(entry: Entry) -> None:
            os.write(self._descriptor, json.dumps({"station": station, **entry}).encode() + b"\n")

        return write_entry

    def close(self) -> None:
        os.close(self._descriptor)


def _read_entries(path: Path) -> Iterator[tuple[str, Entry]]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            yield entry.pop("station"), entry
        except (ValueError, KeyError, AttributeError):
            continue  # torn


class JournaledStore(VolatileStore):
    """The store of a station whose changes are journaled."""

    def __init__(self, write: WriteEntry) -> None:
        super().__init__()
        self._write = write

    async def put_facts(self, facts: Sequence[Put]) -> None:
        self._write({"do": "facts", "puts": _puts_json(facts)})
        await super().put_facts(facts)

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        queued = [[queue, dump_record(message)] for queue, message in messages]
        self._write({"do": "commit", "puts": _puts_json(puts), "messages": queued})
        await super().commit(puts, messages)

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        rows = [_row_json(one) for one in (row, *row.followers)]
        self._write({"do": "delivered", "rows": rows, "puts": _puts_json(facts)})
        await super().remove_delivered(row, facts)

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self._write({"do": "attempt", "rows": [_row_json(row)], "puts": _puts_json(facts)})
        await super().count_attempt(row, facts)

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        self._write({"do": "dead", "rows": [*map(_row_json, rows)], "reason": reason, "puts": _puts_json(facts)})
        await super().dead_letter(rows, reason, facts)

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        self._write({"do": "requeue", "rows": [*map(_row_json, rows)], "puts": _puts_json(facts)})
        await super().requeue_rows(rows, facts)

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        self._write({"do": "resend", "link": link, "session": session, "puts": _puts_json(facts)})
        await super().requeue_session(link, session, facts)

    async def replay_entry(self, entry: Mapping[str, Any]) -> None:
        """Do once more what a killed process has done."""
        puts = [Put(*put) for put in entry["puts"]]
        rows = [_row_of_json(row) for row in entry.get("rows", ())]
        match entry["do"]:
            case "facts":
                await super().put_facts(puts)
            case "commit":
                await super().commit(puts, [(queue, load_record(message)) for queue, message in entry["messages"]])
            case "delivered":
                await super().remove_delivered(_with_followers(rows), puts)
            case "attempt":
                await super().count_attempt(rows[0], puts)
            case "dead":
                await super().dead_letter(rows, entry["reason"], puts)
            case "requeue":
                await super().requeue_rows(rows, puts)
            case "resend":
                await super().requeue_session(entry["link"], entry["session"], puts)


def _puts_json(puts: Sequence[Put]) -> list[list[Any]]:
    return [[put.kind, put.key, put.value] for put in puts]


def _row_json(row: OutboxRow) -> list[Any]:
    return [row.seq, row.link, row.session, dump_record(row.message), row.attempts, row.number]


def _row_of_json(row: Sequence[Any]) -> OutboxRow:
    seq, link, session, message, attempts, number = row
    return OutboxRow(seq, link, session, load_record(message), attempts, number)


def _with_followers(rows: Sequence[OutboxRow]) -> OutboxRow:
    first, *others = rows
    return OutboxRow(first.seq, first.link, first.session, first.message, first.attempts, first.number, tuple(others))

"""``chargy-agent dead``: what could not be delivered, looked at and decided upon by a person.

A running agent is asked over its status socket; while it is stopped the store itself is opened (which no second process
can do: the store is locked by whoever has it).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.ports.store import StoreError
from agent.services.status import VERSION
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import StationFile

ASK = "dead"
DEEDS = ("list", "show", "resend", "drop")
SYSTEM_SOCKET = Path("/run/chargy-agent/status.sock")
PATIENCE_S = 20.0
SEQ_MAX = 2**63 - 1
"""Of SQLite's numbers."""
LINE_BYTES = 16 * 1024 * 1024


Answer = Callable[[Store, dict[str, Any]], Awaitable[dict[str, Any]]]


class CannotDo(Exception):
    """``str()`` says what to do."""


async def answer(store: Store, question: dict[str, Any], resent: Any = lambda: None) -> dict[str, Any]:
    """What both ways have in common. ``question``: ``do``, ``seqs`` (None: all of them), ``store``: the path that is
    meant. ``resent()`` is called when the queue has got something."""
    do, seqs = question.get("do"), question.get("seqs")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in DEEDS or not (seqs is None or (isinstance(seqs, list) and all(map(_is_seq, seqs)))):
        return {"error": f"do must be one of {', '.join(DEEDS)}, seqs a list of numbers"}
    try:
        letters = await store.dead()
        wanted = [x.seq for x in letters] if seqs is None else seqs
        if do in ("list", "show"):
            chosen = [x for x in letters if x.seq in set(wanted)]
            return {"letters": [x.whole() if do == "show" else x.line() for x in chosen]}
        done = await (store.revive(wanted) if do == "resend" else store.drop(wanted))
    except StoreError as e:
        return {"error": str(e)}
    if done and do == "resend":
        resent()
    return {"done": done}


def _is_seq(seq: object) -> bool:
    return type(seq) is int and 0 <= seq <= SEQ_MAX


def run(file: StationFile, do: str, seqs: Sequence[int] | None) -> int:
    """The command. Prints; 0 done, 1 nothing of it was there, 2 it cannot be done."""
    try:
        question = {"do": do, "seqs": None if seqs is None else list(seqs)}
        said = asyncio.run(asked(file, ASK, question, answer))
        if "error" in said:
            raise CannotDo(str(said["error"]))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 2
    for line in _lines(do, said, seqs is None):
        print(line)
    missing = set(seqs or ()) - {x["seq"] for x in said.get("letters", ())} - set(said.get("done", ()))
    for seq in sorted(missing):
        print(f"{seq}: no such dead letter", file=sys.stderr)
    return 1 if missing else 0


def _lines(do: str, said: dict[str, Any], everything: bool) -> Iterator[str]:
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


async def asked(file: StationFile, name: str, question: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The answer of the running agent, otherwise that of its store. Raises ``CannotDo``, ``StoreError``,
    ``StoreRefused``."""
    path = (file.station.state_dir / "agent.db").resolve()
    question = {"v": VERSION, "type": "ask", "ask": name, "store": str(path), **question}
    for socket in _sockets(file):
        said = await _ask_the_agent(socket, question)
        if said is not None and not said.get("other"):
            return said
    if not path.exists():
        raise CannotDo(f"{path}: there is no store; is [station] state_dir the one of the agent?")
    store = await Store.open(path, file.station.store_max_mb)
    try:
        return await answer(store, question)
    finally:
        await store.close()


def _sockets(file: StationFile) -> list[Path]:
    """Where the agent of this file may listen: as it chooses itself, and as systemd makes it choose."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    candidates = [file.station.status_socket, Path(given) / "status.sock" if given else None, SYSTEM_SOCKET]
    return [p for p in (*candidates, file.station.state_dir / "status.sock") if p is not None and p.exists()]


async def _ask_the_agent(socket: Path, question: dict[str, Any]) -> dict[str, Any] | None:
    """None: nobody is there, or nobody who knows this question."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(str(socket), limit=LINE_BYTES)
            try:
                writer.write(json.dumps(question).encode() + b"\n")
                while line := await reader.readline():
                    said = json.loads(line)
                    if said.get("type") == "answer":
                        return dict(said)
            finally:
                writer.close()
    except PermissionError:
        raise CannotDo(f"{socket}: you may not talk to the agent; use its user or group (chargy-agent)") from None
    except TimeoutError:
        raise CannotDo(f"{socket}: the agent has not answered in {PATIENCE_S:g} s; look at its log") from None
    except (OSError, ValueError):
        pass  # a socket that a killed agent left behind
    return None

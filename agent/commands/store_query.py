"""Questions about the store of a station: to the running agent over its status socket, or to the store of a stopped
one. The store is locked by the process that has it open."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from agent.services.status import VERSION
from agent.services.store.migrations import salvaged_path
from agent.services.store.store import Store
from agent.station_file.tables import Station

SYSTEM_SOCKET = Path("/run/chargy-agent/status.sock")
PATIENCE_S = 20.0
LINE_BYTES = 16 * 1024 * 1024
Answer = Callable[[Store, dict[str, Any]], Awaitable[dict[str, Any]]]
Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class StoreAddress(Protocol):
    """What names the store and the sockets of an agent: a station file."""

    @property
    def station(self) -> Station: ...


class CannotDo(Exception):
    """The question cannot be answered. ``str()`` says what to do."""


async def query_agent_or_store(
    file: StoreAddress, name: str, question: dict[str, Any], answer: Answer
) -> dict[str, Any]:
    """Ask the running agent, otherwise its store. Raises ``CannotDo``, ``StoreError``, ``StoreRefused``."""
    async with several_questions(file, name, answer) as ask:
        return await ask(question)


@asynccontextmanager
async def several_questions(file: StoreAddress, name: str, answer: Answer) -> AsyncIterator[Ask]:
    """Yield what answers questions: the running agent, otherwise its store, which is opened once. It raises
    ``CannotDo``, ``StoreError``, ``StoreRefused``."""
    path, opened = store_path(file), list[Store]()

    async def ask_question(question: dict[str, Any]) -> dict[str, Any]:
        if not opened:
            said = await query_running_agent(file, name, question)
            if said is not None:
                return said
            if not path.exists() and not salvaged_path(path).exists():
                raise CannotDo(f"{path}: there is no store; is [station] state_dir the one of the agent?")
            opened.append(await Store.open(path, file.station.store_max_mb))
        return await answer(opened[0], {**question, "store": str(path)})

    try:
        yield ask_question
    finally:
        for store in opened:
            await store.close()


async def query_running_agent(file: StoreAddress, name: str, question: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the running agent of this station. Returns None if none listens. Raises ``CannotDo``."""
    question = {"v": VERSION, "type": "ask", "ask": name, "store": str(store_path(file)), **question}
    for socket in candidate_sockets(file):
        said = await _query_agent(socket, question)
        if said is not None and not said.get("other"):
            return said
    return None


def store_path(file: StoreAddress) -> Path:
    return (file.station.state_dir / "agent.db").resolve()


def candidate_sockets(file: StoreAddress) -> list[Path]:
    """Return where the agent of this file may listen: by its own choice, and by that of systemd."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    candidates = [file.station.status_socket, Path(given) / "status.sock" if given else None, SYSTEM_SOCKET]
    return [p for p in (*candidates, file.station.state_dir / "status.sock") if p is not None and p.exists()]


async def _query_agent(socket: Path, question: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the agent at this socket. Returns None if none listens there, or if it does not know the question."""
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

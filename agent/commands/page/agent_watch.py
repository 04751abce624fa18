"""The connection of the field page to the running agent: its picture, and answers to questions.

It is there while a person looks, so that an agent whose page is not used does nothing for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from typing import Any

from agent.commands.store_query import LINE_BYTES, candidate_sockets, store_path
from agent.services.status import VERSION
from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)

ANSWER_S = 10.0
IDLE_S = 60.0
"""The connection ends when no page was asked for so long."""
FRAME_MARK = b'{"v":1,"type":"frame"'
"""The conversation with the backend is not shown here: its lines are not even parsed."""


class AgentSilent(Exception):
    """No agent runs, or it does not answer."""


class AgentWatch:
    """Asks the agent of a station file over its status socket."""

    def __init__(self, file: StationFile) -> None:
        self.file = file
        self.picture: dict[str, Any] | None = None
        """The newest one; None: no agent is connected."""
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._used_s = 0.0

    async def current_picture(self) -> dict[str, Any]:
        """Return what the agent knows now. Raises ``AgentSilent``."""
        await self.ask_running_agent("picture")
        if self.picture is None:
            raise AgentSilent
        return self.picture

    async def ask_running_agent(self, name: str, **question: Any) -> dict[str, Any]:
        """Ask one question. Raises ``AgentSilent``."""
        self._used_s = time.monotonic()
        await self._connect_running_agent()
        if self._writer is None:
            raise AgentSilent
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        line = {"v": VERSION, "type": "ask", "ask": name, "store": str(store_path(self.file)), **question}
        self._writer.write(json.dumps(line).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                said = await answered
        except (TimeoutError, ConnectionError):
            await self.close()
            raise AgentSilent from None
        if said.get("other"):  # the agent of another station file
            raise AgentSilent
        return said

    async def end_when_unused(self) -> None:
        """End the connection whenever it was not used for a while; runs without end."""
        while True:
            await asyncio.sleep(IDLE_S / 4)
            if self._writer is not None and time.monotonic() - self._used_s > IDLE_S:
                await self.close()

    async def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _connect_running_agent(self) -> None:
        async with self._lock:
            if self._writer is not None:
                return
            for socket in candidate_sockets(self.file):
                try:
                    reader, writer = await asyncio.open_unix_connection(str(socket), limit=LINE_BYTES)
                except OSError:  # one that a killed agent has left
                    continue
                self._writer = writer
                self._reading = asyncio.create_task(self._read_lines(reader, writer))
                return

    async def _read_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if not line.startswith(FRAME_MARK):
                    self._handle_line(json.loads(line))
        except (OSError, ValueError) as e:
            log.debug("the agent's socket: %s", e)
        finally:
            writer.close()
            self._writer = self.picture = None
            while self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError())

    def _handle_line(self, record: dict[str, Any]) -> None:
        if record.get("type") == "picture":
            self.picture = record
        elif record.get("type") == "answer" and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(record)

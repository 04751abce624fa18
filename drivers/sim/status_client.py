"""Client of the agent's status socket: its newest picture, and every OCPP frame that it sent or received.

The frames outlive the agent: their ``seq`` continues over its restarts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

RING = 20_000
RETRY_S = 0.05
FRESH_WITHIN_S = 2.0
"""How long a reader of the picture waits for an agent that does not answer."""
LINE_LIMIT = 8 * 1024 * 1024
"""Longest status line in bytes. A SOAP envelope or a local list of thousands of tokens fits."""


class Trace:
    """The last ``RING`` frames. ``seq`` counts from 1 in each run of the world; ``run`` identifies the run."""

    def __init__(self, size: int = RING) -> None:
        self._frames: deque[Json] = deque(maxlen=size)
        self.last_seq = 0
        self._newest = (0.0, 0.0)
        self.run = secrets.token_hex(4)
        self.listeners: list[Callable[[Json], None]] = []

    def add_frame(self, record: Json) -> None:
        """Add a frame. If the agent did not yet trust its clock, the frame gets the time of its arrival here."""
        self._append_frame({**record, "t": time.time() if record.get("t") is None else record["t"]})

    def add_composed_frame(self, record: Json, rate: float) -> None:
        """Add a frame of which the agent does not know. ``rate``: how many times as fast as this machine's the
        station's time runs."""
        at_s, station_s = self._newest
        present_s = station_s + (time.monotonic() - at_s) * rate if self.last_seq else time.time()
        self._append_frame({**record, "t": present_s, "composed": True})

    def _append_frame(self, record: Json) -> None:
        self.last_seq += 1
        self._newest = (time.monotonic(), record["t"])
        mark = {"composed": True} if record.get("composed") else {}
        self._frames.append({"seq": self.last_seq, **{key: record.get(key) for key in _FRAME_KEYS}, **mark})
        for listen in self.listeners:
            listen(self._frames[-1])

    def frames_since(self, seq: int) -> list[Json]:
        """Return the frames newer than ``seq``, oldest first."""
        missing = self.last_seq - seq
        if missing <= 0:
            return []
        return list(self._frames)[-missing:]


_FRAME_KEYS = ("t", "dir", "link", "version", "frame")


class StatusClient:
    """The client. ``said`` is the newest picture, None while the agent is down.

    ``changed`` is called after every line with news. ``last_sessions`` holds, by outlet, the last session that ended.
    """

    def __init__(self, socket: Path, changed: Callable[[], None]) -> None:
        self.said: Json | None = None
        self.trace = Trace()
        self.last_sessions: dict[int, Json] = {}
        self._socket, self._changed = socket, changed
        self._agent: tuple[int, int] | None = None
        self._newest_n = -1
        self._starts = 0
        self._writer: asyncio.StreamWriter | None = None
        self._asking: deque[asyncio.Future[None]] = deque()

    async def wait_until_fresh(self) -> None:
        """Wait until ``said`` and ``trace`` show the present state of the agent, with all that it has sent."""
        if (answered := self.send_query("picture")) is not None:
            await asyncio.wait([answered], timeout=FRESH_WITHIN_S)

    def send_query(self, name: str, **question: Any) -> asyncio.Future[None] | None:
        """Send a query to the agent, which answers in order. Return None if the agent is down."""
        if self._writer is None or self.said is None:
            return None
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(answered)
        self._writer.write(json.dumps({"v": 1, "type": "ask", "ask": name, **question}).encode() + b"\n")
        return answered

    def agent_starts(self) -> None:
        """Forget the last agent. A dead agent leaves the file of its socket, and maybe its last picture in it."""
        self._starts, self.said = self._starts + 1, None
        self._socket.unlink(missing_ok=True)

    async def follow_agents(self) -> None:
        """Follow one agent after the other, without end."""
        while True:
            try:
                self._recognize_agent()
                reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=LINE_LIMIT)
            except OSError:  # not there yet
                await asyncio.sleep(RETRY_S)
                continue
            self._writer = writer
            try:
                await self._follow_agent(reader)
            finally:
                writer.close()
                self.said = self._writer = None
                while self._asking:
                    self._resolve_query()
                self._changed()
            await asyncio.sleep(RETRY_S)

    def _recognize_agent(self) -> None:
        """Recognize a new agent by its socket. It counts its frames from 0; the same agent repeats known frames."""
        stat = self._socket.stat()
        agent = (stat.st_ino, stat.st_mtime_ns)
        if agent != self._agent:
            self._agent, self._newest_n = agent, -1

    async def _follow_agent(self, reader: asyncio.StreamReader) -> None:
        starts = self._starts
        try:
            while (line := await reader.readline()) and starts == self._starts:
                if line.endswith(b"\n"):  # a killed agent may leave half a line
                    self._handle_line(line)
        except (ConnectionError, ValueError):  # gone, or a line over the limit: connect again
            return

    def _handle_line(self, line: bytes) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            return
        match record:
            case {"v": 1, "type": "picture"}:
                self.said = record
                ended = {e["number"]: e["last_session"] for e in record.get("evses", ()) if e.get("last_session")}
                self.last_sessions |= ended
            case {"v": 1, "type": "answer"}:
                self._resolve_query()
                return
            case {"v": 1, "type": "frame", "n": int(n)} if n > self._newest_n:
                self._newest_n = n
                self.trace.add_frame(record)
            case _:
                return
        self._changed()

    def _resolve_query(self) -> None:
        if self._asking:
            self._asking.popleft().set_result(None)

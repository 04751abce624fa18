"""The link to a backend: a TCP proxy on the loopback that can be slow, lossy, stalled or closed."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit

from drivers.sim.checked_values import Impossible, checked_flag, checked_number
from drivers.sim.link_conversation import LinkConversation, MessageJudge, TransitQueue

_CHUNK = 1400
_AHEAD = 64
"""Chunks in transit in one direction. More wait in the sender's socket."""
AHEAD_BYTES = _CHUNK * _AHEAD
_RESEND_S = 0.3
"""Delay of a lost packet: TCP delivers it later."""
_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of the link."""

    up: bool = True
    """False: connections break and new ones fail."""
    latency_ms: float = 0.0
    kbit_s: float | None = None
    """None: no limit."""
    loss: float = 0.0
    """Share of lost packets; 1 = all."""
    stall: bool = False
    """True: connections stay open, and no data arrive."""

    def with_changes(self, wanted: dict[str, Any]) -> Condition:
        """Return the condition with these changes. Raises ``ValueError``."""
        known = {f.name for f in fields(self)}
        if unknown := sorted(set(wanted) - known):
            raise ValueError(f"{unknown[0]}: unknown key; known: {', '.join(sorted(known))}")
        checked = {key: _CHECKS[key](value) for key, value in wanted.items()}
        return replace(self, **checked)


_CHECKS: dict[str, Any] = {
    "up": lambda v: checked_flag(v, "up"),
    "latency_ms": lambda v: checked_number(v, "latency_ms", 0, 600_000),
    "kbit_s": lambda v: None if v is None else checked_number(v, "kbit_s", 0.1, 10_000_000),
    "loss": lambda v: checked_number(v, "loss", 0, 1),
    "stall": lambda v: checked_flag(v, "stall"),
}


def parse_backend_target(url: str) -> tuple[str, int]:
    """Return host and port of a ws, wss, http or https URL, or of another one that names its port. Raises
    ``ValueError``."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None or not parts.hostname:
        raise ValueError(f"backend url: must look like ws://host:port/path, is {url!r}")
    return parts.hostname, port


class LinkProxy:
    """The proxy. The agent connects to ``port``; host name, path and TLS stay those of the URL."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self.target = (host, port)
        self.condition = Condition()
        self.trouble = ""
        """Why the last connection did not reach the backend."""
        self.on_trouble: Callable[[], None] = lambda: None
        self.port = 0
        self.conversations: list[LinkConversation] = []
        """The present connections, the oldest first."""
        self.keeps_message: MessageJudge = _keep_each_message
        """Is asked whether a message goes on, once messages were added to its connection."""
        self.on_conversation_change: Callable[[], None] = lambda: None
        self.received_bytes = self.sent_bytes = 0
        """What the agent has received and sent."""
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._cars: set[asyncio.Task[None]] = set()
        self._ways: set[asyncio.StreamWriter] = set()
        self._free = asyncio.Event()
        self._free.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept_connection, "127.0.0.1", 0, limit=AHEAD_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.abort_connections()
        for task in list(self._cars):
            task.cancel()
        await asyncio.gather(*self._cars, return_exceptions=True)

    def set_condition(self, **wanted: Any) -> None:
        """Change the condition. Raises ``ValueError`` and changes nothing if a value is wrong."""
        self.condition = self.condition.with_changes(wanted)
        if self.swallows_everything:
            self._free.clear()
        else:
            self._free.set()
        if self.is_cut:
            self.abort_connections()

    @property
    def is_cut(self) -> bool:
        """Whether connections break and new ones fail."""
        return not self.condition.up

    @property
    def swallows_everything(self) -> bool:
        """Whether connections stay open and nothing arrives."""
        return self.condition.stall or self.condition.loss >= 1

    def condition_picture(self) -> dict[str, Any]:
        """Return the condition. ``trouble`` is the older name of ``error`` in version 1 of the control API."""
        return asdict(self.condition) | ({"error": self.trouble, "trouble": self.trouble} if self.trouble else {})

    def add_messages(self, conversation: LinkConversation, from_station: bool, texts: Sequence[str]) -> None:
        """Send messages on a present connection, as slowly as the link is. Raises ``Impossible`` and sends none of
        them."""
        due = asyncio.get_running_loop().time() + self.condition.latency_ms / 1000
        try:
            conversation.add_messages(from_station, texts, due)
        except (asyncio.QueueFull, KeyError):
            raise Impossible("the link takes no more messages now") from None

    def abort_connections(self) -> None:
        """Break all connections."""
        for writer in list(self._ways):
            writer.transport.abort()

    async def _accept_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._cars.add(task)
        self._ways.add(writer)
        try:
            await self._carry_connection(reader, writer)
        except (OSError, EOFError):
            pass  # one side closed: the abort below ends the other one
        finally:
            writer.transport.abort()
            self._ways.discard(writer)
            self._cars.discard(task)

    async def _carry_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._free.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=AHEAD_BYTES)
        except OSError as e:
            self.trouble = _connect_error_text(self.target, e)
            self.on_trouble()
            raise
        self.trouble = ""
        self._ways.add(far_writer)
        conversation = LinkConversation(lambda *message: self.keeps_message(*message), self._note_conversation_change)
        self.conversations.append(conversation)
        try:
            await _run_both_directions(
                self._carry_direction(reader, far_writer, conversation, from_station=True),
                self._carry_direction(far_reader, writer, conversation, from_station=False),
            )
        finally:
            self._ways.discard(far_writer)
            self.conversations.remove(conversation)
            self._note_conversation_change()
            far_writer.transport.abort()

    def _note_conversation_change(self) -> None:
        self.on_conversation_change()

    def _count_bytes(self, from_station: bool, count: int) -> None:
        if from_station:
            self.sent_bytes += count
        else:
            self.received_bytes += count

    async def _carry_direction(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        conversation: LinkConversation,
        from_station: bool,
    ) -> None:
        """Carry one direction. The end of the stream is as slow as the data before it."""
        queue: TransitQueue = asyncio.Queue(_AHEAD)
        conversation.use_queue(from_station, queue)
        await _run_both_directions(
            self._queue_chunks(reader, queue), self._deliver_chunks(queue, writer, conversation, from_station)
        )

    async def _queue_chunks(self, reader: asyncio.StreamReader, queue: TransitQueue) -> None:
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while True:
            data = await reader.read(_CHUNK)
            c = self.condition
            free_at = max(free_at, loop.time())
            if c.kbit_s is not None:
                free_at += len(data) * 8 / (c.kbit_s * 1000)
            while c.loss and c.loss < 1 and self._random.random() < c.loss:
                free_at += _RESEND_S
            await queue.put((free_at + c.latency_ms / 1000, data))
            if not data:
                return

    async def _deliver_chunks(
        self,
        queue: TransitQueue,
        writer: asyncio.StreamWriter,
        conversation: LinkConversation,
        from_station: bool,
    ) -> None:
        """Deliver what arrives: octets, and the texts of messages that were added."""
        loop = asyncio.get_running_loop()
        while True:
            at, item = await queue.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            await self._free.wait()
            if isinstance(item, str):
                data = conversation.pass_message(from_station, item)
            else:
                data = conversation.pass_octets(from_station, item)
            self._count_bytes(from_station, len(data))
            writer.write(data)
            if item == b"":
                writer.write_eof()
                return
            await writer.drain()


def _keep_each_message(conversation: LinkConversation, from_station: bool, text: str) -> bool:
    return True


def _connect_error_text(target: tuple[str, int], error: OSError) -> str:
    """Return why the backend cannot be reached. The agent behind the proxy sees only a connection that ends."""
    where = f"{target[0]}:{target[1]}"
    if isinstance(error, ConnectionRefusedError):
        return f"no server listens at {where}"
    if isinstance(error, socket.gaierror):
        return f"the name {target[0]} cannot be resolved"
    return f"{where} cannot be reached ({error.strerror or error})"


async def _run_both_directions(one: Any, other: Any) -> None:
    """Run both until both have ended, or one has failed."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(one)
            group.create_task(other)
    except* (OSError, EOFError) as e:
        raise ConnectionError("one side closed the connection") from e

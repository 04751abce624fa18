"""A small MQTT broker for far ends that speak MQTT (OASIS, MQTT 3.1.1).

It has QoS 0 and 1, retained messages, wills and wildcards. Sessions are always clean, and a message at QoS 2 ends the
connection. A far end in this process attaches to it directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14,
)  # fmt: skip
MOST_OCTETS = 256 * 1024
CONNECT_S = 10.0
_FLAGS = {SUBSCRIBE: 2, UNSUBSCRIBE: 2}
"""Fixed flags of the header (2.2.2); elsewhere 0."""
_WRONG_VERSION = 1

Heard = Callable[[str, bytes], None]


class Malformed(Exception):
    """The client violated the protocol: its connection ends (4.8)."""


def encode_packet(kind: int, flags: int, body: bytes) -> bytes:
    """Encode a packet. The remaining length is in base 128 (2.2.3)."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def encode_text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


class Fields:
    """Reads the fields of a packet one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take_octets(self, octets: int) -> bytes:
        if self._at + octets > len(self._data):
            raise Malformed("a packet is too short")
        self._at += octets
        return self._data[self._at - octets : self._at]

    def take_number(self, octets: int = 2) -> int:
        return int.from_bytes(self.take_octets(octets), "big")

    def take_blob(self) -> bytes:
        return self.take_octets(self.take_number())

    def take_text(self) -> str:
        try:
            return self.take_blob().decode()
        except UnicodeDecodeError as e:
            raise Malformed("a text is not UTF-8") from e

    def take_rest(self) -> bytes:
        return self.take_octets(len(self._data) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Match a topic (4.7): ``+`` is one level, ``#`` all that follow. As first level neither matches ``$``."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    for wanted, found in itertools.zip_longest(topic_filter.split("/"), topic.split("/")):
        if wanted == "#":
            return True
        if wanted is None or found is None or wanted not in ("+", found):
            return False
    return True


def is_valid_filter(topic_filter: str) -> bool:
    """Check a filter (4.7.1): a wildcard is a level of its own, and ``#`` is the last."""
    levels = topic_filter.split("/")
    alone = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels)
    return bool(topic_filter) and alone and "#" not in levels[:-1]


@dataclass(eq=False)
class Client:
    """One connection. ``patience_s``: how long it may be silent; None: no limit."""

    writer: asyncio.StreamWriter
    id: str = ""
    patience_s: float | None = CONNECT_S
    filters: dict[str, int] = field(default_factory=dict)
    will: tuple[str, bytes, bool, int] | None = None
    ids: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(1, 65536)))

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)

    def deliver_message(self, topic: str, payload: bytes, qos: int, retained: bool = False) -> None:
        head = encode_text(topic) + (next(self.ids).to_bytes(2, "big") if qos else b"")
        self.send(encode_packet(PUBLISH, qos << 1 | int(retained), head + payload))


class Broker:
    """The broker, listening on the loopback. ``mute``: it is connected and sends nothing (a broker that hangs)."""

    def __init__(self) -> None:
        self.port = 0
        self.mute = False
        self._server: asyncio.Server | None = None
        self._clients: set[Client] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retained: dict[str, tuple[bytes, int]] = {}
        self._attached: list[tuple[str, Heard]] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept_client, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def attach_subscriber(self, topic_filter: str, heard: Heard) -> None:
        """Add a subscriber in this process."""
        self._attached.append((topic_filter, heard))

    def publish_message(self, topic: str, payload: bytes, retain: bool = False, qos: int = 1) -> None:
        """Deliver a message to all subscribers of its topic."""
        if retain:
            self._retained[topic] = payload, qos
            if not payload:
                del self._retained[topic]
        for topic_filter, heard in self._attached:
            if topic_matches(topic_filter, topic):
                heard(topic, payload)
        if self.mute:
            return
        for client in list(self._clients):
            found = [granted for f, granted in client.filters.items() if topic_matches(f, topic)]
            if found:
                client.deliver_message(topic, payload, min(qos, max(found)))

    # --- connections ----------------------------------------------------------------------------------------------

    async def _accept_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        client = Client(writer)
        try:
            await self._serve_client(client, reader)
        except (OSError, EOFError, Malformed):  # a TimeoutError is an OSError
            pass  # gone without DISCONNECT: its will is published
        finally:
            self._tasks.discard(task)
            self._clients.discard(client)
            writer.transport.abort()
            if client.will is not None:
                self.publish_message(*client.will)

    async def _serve_client(self, client: Client, reader: asyncio.StreamReader) -> None:
        kind, _, body = await self._next_packet(client, reader)
        if kind != CONNECT:
            raise Malformed("the first packet is no CONNECT")
        self._handle_connect(client, Fields(body))
        while True:
            kind, flags, body = await self._next_packet(client, reader)
            if kind != PUBLISH and flags != _FLAGS.get(kind, 0):
                raise Malformed(f"flags {flags:04b} of a packet of type {kind}")
            if kind == DISCONNECT:
                client.will = None
                return
            if not self.mute:
                self._handle_packet(client, kind, flags, Fields(body))
                with contextlib.suppress(ConnectionError):
                    await client.writer.drain()

    async def _next_packet(self, client: Client, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        async with asyncio.timeout(client.patience_s):
            return await self._read_packet(reader)

    async def _read_packet(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        first = (await reader.readexactly(1))[0]
        length = 0
        for shift in (0, 7, 14, 21):
            digit = (await reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            if not digit & 0x80:
                break
        else:
            raise Malformed("a length of more than four octets")
        if length > MOST_OCTETS:
            raise Malformed("a packet too long for this broker")
        return first >> 4, first & 0x0F, await reader.readexactly(length)

    def _handle_connect(self, client: Client, fields: Fields) -> None:
        """Accept a CONNECT. Every session is clean. A client replaces an older one of the same name (3.1.4)."""
        name, level, flags, keep_alive_s = (
            fields.take_text(),
            fields.take_number(1),
            fields.take_number(1),
            fields.take_number(),
        )
        if name != "MQTT" or level != 4:
            client.send(encode_packet(CONNACK, 0, bytes([0, _WRONG_VERSION])))
            raise Malformed("not MQTT 3.1.1")
        client.id, client.patience_s = fields.take_text(), 1.5 * keep_alive_s or None
        for other in self._clients:
            if client.id and other.id == client.id:
                other.writer.transport.abort()
        if flags & 0x04:
            client.will = (fields.take_text(), fields.take_blob(), bool(flags & 0x20), min(flags >> 3 & 3, 1))
        self._clients.add(client)
        client.send(encode_packet(CONNACK, 0, b"\0\0"))

    def _handle_packet(self, client: Client, kind: int, flags: int, fields: Fields) -> None:
        if kind == PUBLISH:
            self._handle_publish(client, flags, fields)
        elif kind == SUBSCRIBE:
            self._handle_subscribe(client, fields)
        elif kind == UNSUBSCRIBE:
            answer = fields.take_octets(2)
            while fields:
                client.filters.pop(fields.take_text(), None)
            client.send(encode_packet(UNSUBACK, 0, answer))
        elif kind == PINGREQ:
            client.send(encode_packet(PINGRESP, 0, b""))
        elif kind != PUBACK:
            raise Malformed(f"a packet of type {kind}")

    def _handle_publish(self, client: Client, flags: int, fields: Fields) -> None:
        topic, qos = fields.take_text(), flags >> 1 & 3
        if qos > 1 or not topic or "+" in topic or "#" in topic:
            raise Malformed("QoS 2, or a topic with wildcards")
        answer = fields.take_octets(2) if qos else b""
        self.publish_message(topic, fields.take_rest(), bool(flags & 1), qos)
        if qos:
            client.send(encode_packet(PUBACK, 0, answer))

    def _handle_subscribe(self, client: Client, fields: Fields) -> None:
        answer, granted, fresh = fields.take_octets(2), bytearray(), []
        while fields:
            topic_filter, qos = fields.take_text(), fields.take_number(1)
            if not is_valid_filter(topic_filter) or qos > 2:
                raise Malformed(f"a filter {topic_filter!r} at {qos}")
            qos = min(qos, 1)
            client.filters[topic_filter] = qos
            granted.append(qos)
            fresh.append((topic_filter, qos))
        if not granted:
            raise Malformed("SUBSCRIBE without a filter")
        client.send(encode_packet(SUBACK, 0, answer + bytes(granted)))
        for topic_filter, qos in fresh:
            for topic, (payload, at) in self._retained.items():
                if topic_matches(topic_filter, topic):
                    client.deliver_message(topic, payload, min(qos, at), retained=True)

"""One connection over the link to a backend: its handshake, and both directions of its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from drivers.sim.websocket_stream import MessageStream

LONGEST_HEAD = 64 * 1024
TLS_RECORDS = (0x15, 0x16)
"""The first octet of an answer by TLS: an alert, or a handshake (RFC 8446, 5.1)."""
OCPP = "ocpp"
"""The subprotocols begin so (OCPP-J 1.6, 3.1.2)."""
TransitQueue: TypeAlias = asyncio.Queue[tuple[float, bytes | str]]
"""What is in transit in one direction, with the instant at which it arrives: octets, and added messages as texts."""
MessageJudge: TypeAlias = Callable[["LinkConversation", bool, str], bool]
"""Gets a conversation, whether a text is from the station, and the text; False takes the text off the wire."""


class LinkConversation:
    """A connection. ``version``: of OCPP, "" while none is spoken. ``is_encrypted``: by TLS.

    ``changed`` is called when OCPP begins to be spoken.
    """

    def __init__(self, keeps_message: MessageJudge, changed: Callable[[], None]) -> None:
        self.version = ""
        self.is_encrypted = False
        self._changed = changed
        self._streams = {
            from_station: MessageStream(from_station, self._make_judge(keeps_message, from_station))
            for from_station in (True, False)
        }
        self._queues: dict[bool, TransitQueue] = {}
        self._answer_head: bytearray | None = bytearray()

    def _make_judge(self, keeps_message: MessageJudge, from_station: bool) -> Callable[[str], bool]:
        return lambda text: keeps_message(self, from_station, text)

    @property
    def takes_messages(self) -> bool:
        """Whether messages can be added, and their answers taken out."""
        return bool(self.version) and not self.is_unreadable and not any(s.is_closed for s in self._streams.values())

    @property
    def is_unreadable(self) -> bool:
        """Whether a message could not be read, so that answers can no longer be found."""
        return any(s.is_unreadable for s in self._streams.values())

    def use_queue(self, from_station: bool, queue: TransitQueue) -> None:
        """Use the queue of what is in transit in one direction for added messages."""
        self._queues[from_station] = queue

    def add_messages(self, from_station: bool, texts: Sequence[str], due: float) -> None:
        """Add messages behind what is in transit. ``due``: when they arrive. From now on answers can be taken out.

        Raises ``asyncio.QueueFull``, ``KeyError``, and adds none of them.
        """
        queue = self._queues[from_station]
        if queue.maxsize - queue.qsize() < len(texts):
            raise asyncio.QueueFull
        self._streams[not from_station].takes_out = True
        for text in texts:
            queue.put_nowait((due, text))

    def pass_message(self, from_station: bool, text: str) -> bytes:
        """Return what is to be sent for an added message that arrives now; "" while another message is on the way."""
        stream = self._streams[from_station]
        stream.add_message(text)
        return stream.take_added_messages()

    def pass_octets(self, from_station: bool, data: bytes) -> bytes:
        """Return what goes on of what a side has sent. ``data`` b"": it sends no more."""
        stream = self._streams[from_station]
        if not data:
            self._queues.pop(from_station, None)
            return stream.pass_rest()
        if stream.is_websocket:
            return stream.pass_octets(data)
        if from_station or self._answer_head is None:
            return data
        return self._pass_answer_head(data)

    def _pass_answer_head(self, data: bytes) -> bytes:
        """Pass the beginning of the first answer (RFC 6455, 4.2.2)."""
        assert self._answer_head is not None
        before = len(self._answer_head)
        self._answer_head += data
        self.is_encrypted = self._answer_head[0] in TLS_RECORDS
        end = self._answer_head.find(b"\r\n\r\n") + 4
        is_http = self._answer_head.startswith(b"HTTP/"[: len(self._answer_head)])
        if end < 4 and is_http and len(self._answer_head) < LONGEST_HEAD:
            return data
        head, self._answer_head = bytes(self._answer_head[: max(end, 0)]), None
        if end < 4 or not is_http or not self._begin_websocket(head.decode("latin-1")):
            return data
        own = end - before
        return data[:own] + self._streams[False].pass_octets(data[own:])

    def _begin_websocket(self, head: str) -> bool:
        """Begin with frames, if the answer accepts a WebSocket. Returns whether it does."""
        first, *lines = head.split("\r\n")
        if first.split(" ")[1:2] != ["101"]:
            return False
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        is_compressed = "permessage-deflate" in fields.get("sec-websocket-extensions", "")
        for stream in self._streams.values():
            stream.begin_frames(is_compressed)
        subprotocol = fields.get("sec-websocket-protocol", "")
        self.version = subprotocol.removeprefix(OCPP) if subprotocol.startswith(OCPP) else ""
        self._changed()
        return True

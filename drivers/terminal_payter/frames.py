"""Frames of PSP (Payter Session Protocol): bytes to messages and back. Pure.

  preamble | length | 0x3C | header | payload ... | sum

``length`` counts magic, header and payload: one byte, or four once the *extended block format* is agreed. The sum is
the low byte of all bytes before it. Numbers have their most significant byte first.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.model.fastclass import frozen

TO_TERMINAL, FROM_TERMINAL = 0xCC, 0xAA
MAGIC = 0x3C
LONGEST_PLAIN = 254
"""Length byte of the longest frame that a terminal takes (257 bytes in all)."""
LONGEST_EXTENDED = 8192
_PLAIN_HEAD, _EXTENDED_HEAD = 2, 5


class TooLong(ValueError):
    """The payload does not fit the frame format in use."""


@frozen
class Frame:
    header: int
    payload: bytes
    extended: bool = False


def encode_frame(header: int, payload: bytes = b"", extended: bool = False) -> bytes:
    """Encode a frame for the terminal. Raises ``TooLong``."""
    length = len(payload) + 2
    if length > (LONGEST_EXTENDED if extended else LONGEST_PLAIN):
        raise TooLong(f"a message of {length} bytes does not fit a frame")
    head = bytes([TO_TERMINAL]) + length.to_bytes(4 if extended else 1, "big")
    body = head + bytes([MAGIC, header]) + payload
    return body + bytes([sum(body) & 0xFF])


class FrameParser:
    """Frames of the terminal out of any chunks; noise between and inside them is skipped byte by byte.

    A length byte may be noise too: the magic is judged as soon as it is there, and ``silent``, to be called when
    nothing has come for a while, drops a frame that will not be completed."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def has_partial_frame(self) -> bool:
        """True if a frame is incomplete."""
        return bool(self._held)

    def feed_chunk(self, chunk: bytes) -> list[Frame]:
        self._held += chunk
        return list(self._take_complete())

    def flush_partial(self) -> list[Frame]:
        """Give up an incomplete frame and look for frames behind it. Nothing is held afterwards."""
        found: list[Frame] = []
        while self._held:
            del self._held[0]
            found += self._take_complete()
        return found

    def _take_complete(self) -> Iterator[Frame]:
        while True:
            at = self._held.find(FROM_TERMINAL)
            del self._held[: at if at >= 0 else len(self._held)]
            size = _frame_size(self._held)
            if size is None or size > len(self._held):
                return
            frame = _parse_frame(self._held[:size]) if size else None
            del self._held[: size if frame else 1]
            if frame:
                yield frame


def _frame_size(held: bytearray) -> int | None:
    """Return the size of the frame that begins here: 0 if none does, None if that cannot be decided yet. A length byte
    of 0 is the first of four: no message is that short."""
    if len(held) < _PLAIN_HEAD:
        return None
    head = _PLAIN_HEAD if held[1] else _EXTENDED_HEAD
    if len(held) > head and held[head] != MAGIC:
        return 0
    length = int.from_bytes(held[1:head], "big")
    if len(held) >= head and not 2 <= length <= (LONGEST_EXTENDED if head == _EXTENDED_HEAD else 0xFF):
        return 0
    return head + length + 1 if len(held) >= head else None


def _parse_frame(raw: bytearray) -> Frame | None:
    if sum(raw[:-1]) & 0xFF != raw[-1]:
        return None
    head = _PLAIN_HEAD if raw[1] else _EXTENDED_HEAD
    return Frame(raw[head + 1], bytes(raw[head + 2 : -1]), head == _EXTENDED_HEAD)

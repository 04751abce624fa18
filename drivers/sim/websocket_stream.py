"""A WebSocket as it passes through the link to the backend (RFC 6455): messages are read, added and taken out.

Octets go on as they came. From the moment at which an answer may have to be taken out of a direction, each message of
that direction is put into one frame again. A message that was compressed (permessage-deflate, RFC 7692) then goes on
uncompressed, which a sender may do for any message: so no receiver misses the one that was taken out.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass

TEXT, CONTINUATION, CLOSE = 1, 0, 8
CONTROL = 8
"""Opcodes from here on are those of control frames (RFC 6455, 5.5)."""
FINAL, COMPRESSED, MASKED = 0x80, 0x40, 0x80
LONGEST_MESSAGE = 16 * 2**20
"""In octets. A longer one is not read; where each message must be read, it ends the connection."""
_TAIL = b"\x00\x00\xff\xff"
"""What a sender leaves out at the end of a compressed message (RFC 7692, 7.2.1)."""


class MessageTooLong(ConnectionError):
    """A message cannot be held."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The header of a frame. ``size``: octets of the header, ``length``: of the payload; ``mask`` b"": unmasked."""

    first: int
    size: int
    length: int
    mask: bytes

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def is_control(self) -> bool:
        return self.opcode >= CONTROL

    @property
    def is_final(self) -> bool:
        return bool(self.first & FINAL)


def parse_frame_header(data: bytes | bytearray) -> FrameHeader | None:
    """Return the header at the beginning of ``data``; None: it is not whole yet (RFC 6455, 5.2)."""
    if len(data) < 2:
        return None
    length, size = data[1] & 0x7F, 2
    extended = {126: 2, 127: 8}.get(length, 0)
    mask = 4 if data[1] & MASKED else 0
    if len(data) < size + extended + mask:
        return None
    if extended:
        length = int.from_bytes(data[size : size + extended], "big")
        size += extended
    return FrameHeader(data[0], size + mask, length, bytes(data[size : size + mask]))


def encode_frame(opcode: int, payload: bytes, is_masked: bool) -> bytes:
    """Return a final frame. ``is_masked``: as a client must send it."""
    bit, length = MASKED if is_masked else 0, len(payload)
    if length < 126:
        head = bytes([FINAL | opcode, bit | length])
    elif length < 1 << 16:
        head = bytes([FINAL | opcode, bit | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([FINAL | opcode, bit | 127]) + length.to_bytes(8, "big")
    if not is_masked:
        return head + payload
    mask = secrets.token_bytes(4)
    return head + mask + apply_frame_mask(payload, mask)


def apply_frame_mask(payload: bytes | bytearray, mask: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455, 5.3)."""
    if not payload:
        return b""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


class MessageStream:
    """One direction of a connection. ``is_masked``: it is that of the client.

    ``keeps_message``: gets each text while the stream takes messages out; False: the message does not go on.
    """

    def __init__(self, is_masked: bool, keeps_message: Callable[[str], bool]) -> None:
        self._is_masked, self._keeps_message = is_masked, keeps_message
        self.is_websocket = self.is_closed = self.is_unreadable = False
        self.takes_out = False
        """Whether messages are read one by one. It begins with the next message."""
        self._holds = False
        self._buffer = bytearray()
        self._header: FrameHeader | None = None
        self._left = 0
        self._payload = bytearray()
        self._message = bytearray()
        self._opcode = 0
        self._is_compressed = False
        self._waiting: list[bytes] = []
        self._inflater: zlib._Decompress | None = None

    def begin_frames(self, may_be_compressed: bool) -> None:
        """The handshake is over: frames follow."""
        self.is_websocket = True
        self._inflater = zlib.decompressobj(wbits=-15) if may_be_compressed else None

    def add_message(self, text: str) -> None:
        """Have a text sent between two messages. ``take_added_messages`` gives its octets."""
        self._waiting.append(encode_frame(TEXT, text.encode(), self._is_masked))

    def take_added_messages(self) -> bytes:
        """Return the frames of the added messages, if this is a place between two messages."""
        if self._header is not None or (self._opcode and not self._holds):
            return b""
        frames, self._waiting = b"".join(self._waiting), []
        return frames if not self.is_closed else b""

    def pass_octets(self, data: bytes) -> bytes:
        """Return what goes on of these octets. Raises ``MessageTooLong``."""
        self._buffer += data
        out = bytearray()
        while self._pass_part(out):
            pass
        return bytes(out)

    def pass_rest(self) -> bytes:
        """Return what is held at the end of the stream."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def _pass_part(self, out: bytearray) -> bool:
        """Pass on a header, or a part of a payload. Returns whether there is more to do."""
        if self._header is None:
            header = parse_frame_header(self._buffer)
            if header is None:
                return False
            self._begin_frame(header, out)
        header = self._header
        assert header is not None
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if not self._holds:
            out += part
        if self._reads_payload:
            self._payload += part
        if self._left:
            return False
        self._end_frame(header, out)
        return True

    @property
    def _reads_payload(self) -> bool:
        return self._holds or (self._inflater is not None and not self.is_unreadable)

    def _begin_frame(self, header: FrameHeader, out: bytearray) -> None:
        if not self._opcode:  # between two messages
            self._holds = self.takes_out and not self.is_unreadable
            out += self.take_added_messages()
        if self._reads_payload and header.length + len(self._message) > LONGEST_MESSAGE:
            self._give_up_reading(f"a message of more than {LONGEST_MESSAGE} octets")
        if not self._holds:
            out += self._buffer[: header.size]
        del self._buffer[: header.size]
        self._header, self._left = header, header.length
        if not header.is_control and header.opcode != CONTINUATION:
            self._opcode, self._is_compressed = header.opcode, bool(header.first & COMPRESSED)

    def _end_frame(self, header: FrameHeader, out: bytearray) -> None:
        payload = apply_frame_mask(self._payload, header.mask) if header.mask else bytes(self._payload)
        self._header, self._payload = None, bytearray()
        if header.is_control:
            self.is_closed = self.is_closed or header.opcode == CLOSE
            if self._holds:
                out += encode_frame(header.opcode, payload, self._is_masked)
            out += self.take_added_messages()  # what was added while only a part of this frame was here
            return
        self._message += payload
        if header.is_final:
            self._end_message(out)

    def _end_message(self, out: bytearray) -> None:
        opcode, message = self._opcode, bytes(self._message)
        self._opcode, self._message = 0, bytearray()
        if self._is_compressed and self._inflater is not None and not self.is_unreadable:
            message = self._inflate_message(message)
        if self._holds and (opcode != TEXT or self._keeps_message(message.decode("utf-8", "replace"))):
            out += encode_frame(opcode, message, self._is_masked)
        out += self.take_added_messages()

    def _inflate_message(self, message: bytes) -> bytes:
        """Return the content of a compressed message. What came before is needed for it, so each one is read."""
        assert self._inflater is not None
        try:
            content = self._inflater.decompress(message + _TAIL, LONGEST_MESSAGE)
        except zlib.error:
            self._give_up_reading("a compressed message that cannot be read")
            return message
        if self._inflater.unconsumed_tail:
            self._give_up_reading(f"a compressed message of more than {LONGEST_MESSAGE} octets")
        elif self._inflater.eof:  # the sender has ended the stream of its compressor (RFC 7692, 7.2.3.4)
            self._inflater = zlib.decompressobj(wbits=-15)
        return content

    def _give_up_reading(self, what: str) -> None:
        self.is_unreadable = True
        if self._holds:
            raise MessageTooLong(what)

"""The blocks of PSP on the terminal's side. Written from the maker's public pages, not from the driver's codec."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FROM_HOST, TO_HOST, ROUTE = 0xCC, 0xAA, 0x3C


@dataclass(frozen=True, slots=True)
class Block:
    """One message. ``intact`` is False if its checksum was wrong."""

    code: int
    body: bytes
    intact: bool


def encode_block(code: int, body: bytes, wide: bool) -> bytes:
    raw = struct.pack(">BIBB" if wide else ">BBBB", TO_HOST, len(body) + 2, ROUTE, code) + body
    return raw + struct.pack("B", sum(raw) % 256)


def encode_data_objects(items: list[tuple[str, bytes]]) -> bytes:
    return b"".join(bytes.fromhex(tag) + struct.pack("B", len(value)) + value for tag, value in items)


def parse_tag_list(raw: bytes) -> list[str]:
    """Split a list of tags. All tags here have three bytes."""
    return [raw[i : i + 3].hex().upper() for i in range(0, len(raw) - 2, 3)]


class BlockParser:
    """Cut a byte stream into blocks: wait for a preamble, then for as many bytes as the length field gives."""

    def __init__(self) -> None:
        self.wide = False
        self._taken = b""

    def feed_bytes(self, data: bytes) -> Iterator[Block]:
        for i in range(len(data)):
            self._taken += data[i : i + 1]
            if self._taken[0] != FROM_HOST:
                self._taken = b""
            elif self._is_block_complete():
                taken, self._taken = self._taken, b""
                yield self._decode_block(taken)

    def _is_block_complete(self) -> bool:
        head = 5 if self.wide else 2
        if len(self._taken) < head + 1:
            return False
        if self._taken[head] != ROUTE:
            self._taken = b""
            return False
        return len(self._taken) == head + self._declared_length() + 1

    def _declared_length(self) -> int:
        return int(struct.unpack_from(">I" if self.wide else ">B", self._taken, 1)[0])

    def _decode_block(self, taken: bytes) -> Block:
        head = 5 if self.wide else 2
        return Block(taken[head + 1], taken[head + 2 : -1], sum(taken[:-1]) % 256 == taken[-1])

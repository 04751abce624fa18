"""D-Bus on the wire (D-Bus specification 0.43): values to bytes and back, little endian, and whole messages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

CALL, ANSWER, ERROR, SIGNAL = 1, 2, 3, 4
NO_ANSWER_WANTED = 1
_FIELDS = {1: ("path", "o"), 2: ("interface", "s"), 3: ("member", "s"), 4: ("error", "s"), 5: ("answers", "u"),
           6: ("destination", "s"), 7: ("sender", "s"), 8: ("signature", "g")}  # fmt: skip
_NUMBERS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_ALIGNMENTS = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}


class Typed(NamedTuple):
    """A value of a variant with its type."""

    signature: str
    value: Any


class BusMessage(NamedTuple):
    """``fields``: of the header, by name."""

    kind: int
    serial: int
    fields: dict[str, Any]
    body: list[Any]


def split_types(signature: str) -> Iterator[str]:
    """Yield each complete type of a signature."""
    at = 0
    while at < len(signature):
        end = _type_end(signature, at)
        yield signature[at:end]
        at = end


def _type_end(signature: str, at: int) -> int:
    if signature[at] == "a":
        return _type_end(signature, at + 1)
    if signature[at] not in "({":
        return at + 1
    depth = 0
    for place in range(at, len(signature)):
        depth += (signature[place] in "({") - (signature[place] in ")}")
        if depth == 0:
            return place + 1
    raise ValueError(f"signature {signature!r}")


class Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def write(self, kind: str, value: Any) -> None:
        self.align(_ALIGNMENTS.get(kind[0], 4))
        match kind[0]:
            case "s" | "o":
                text = value.encode()
                self.data += struct.pack("<I", len(text)) + text + b"\0"
            case "g":
                self.data += bytes([len(value)]) + value.encode() + b"\0"
            case "v":
                self.write("g", value.signature)
                self.write(value.signature, value.value)
            case "(" | "{":
                for part, item in zip(split_types(kind[1:-1]), value, strict=True):
                    self.write(part, item)
            case "a":
                self._write_array(kind[1:], value)
            case number:
                self.data += struct.pack("<" + _NUMBERS[number], value)

    def _write_array(self, kind: str, value: Any) -> None:
        place = len(self.data)
        self.data += bytes(4)
        self.align(_ALIGNMENTS.get(kind[0], 4))
        begin = len(self.data)
        for item in value.items() if isinstance(value, dict) else value:
            self.write(kind, item)
        struct.pack_into("<I", self.data, place, len(self.data) - begin)


class Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def align(self, size: int) -> None:
        self.at += -self.at % size

    def _take(self, count: int) -> bytes:
        if self.at + count > len(self._data):
            raise ValueError("the message is too short")
        self.at += count
        return self._data[self.at - count : self.at]

    def read(self, kind: str) -> Any:
        self.align(_ALIGNMENTS.get(kind[0], 4))
        match kind[0]:
            case "s" | "o":
                (count,) = struct.unpack("<I", self._take(4))
                return self._take(count + 1)[:-1].decode()
            case "g":
                return self._take(self._take(1)[0] + 1)[:-1].decode()
            case "v":
                return self.read(self.read("g"))
            case "(" | "{":
                return tuple(self.read(part) for part in split_types(kind[1:-1]))
            case "a":
                return self._read_array(kind[1:])
            case number:
                form = "<" + _NUMBERS[number]
                (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
                return bool(value) if number == "b" else value

    def _read_array(self, kind: str) -> Any:
        (count,) = struct.unpack("<I", self._take(4))
        self.align(_ALIGNMENTS.get(kind[0], 4))
        end = self.at + count
        found = []
        while self.at < end:
            found.append(self.read(kind))
        if kind[0] == "{":
            return dict(found)
        return bytes(found) if kind == "y" else found


def write_message(kind: int, serial: int, fields: dict[str, Any], signature: str = "", *body: Any) -> bytes:
    """Return the bytes of a message."""
    content = Writer()
    for part, value in zip(split_types(signature), body, strict=True):
        content.write(part, value)
    codes = {name: (code, form) for code, (name, form) in _FIELDS.items()}
    fields = {**fields, **({"signature": signature} if signature else {})}
    header = Writer()
    header.data += struct.pack("<cBBBII", b"l", kind, 0, 1, len(content.data), serial)
    header.write("a(yv)", [(codes[name][0], Typed(codes[name][1], value)) for name, value in fields.items()])
    header.align(8)
    return bytes(header.data + content.data)


def message_length(head: bytes) -> int:
    """Return how long the message is that begins with these 16 bytes."""
    body, _, fields = (int(n) for n in struct.unpack("<III", head[4:16]))
    return 16 + fields + -fields % 8 + body


def read_message(data: bytes) -> BusMessage:
    """Read a whole message. Raises ``ValueError``."""
    order, kind, _, _, length, serial = struct.unpack("<cBBBII", data[:12])
    if order != b"l":
        raise ValueError("not little endian")
    reader = Reader(data)
    reader.at = 12
    fields = {_FIELDS[code][0]: value for code, value in reader.read("a(yv)") if code in _FIELDS}
    content = Reader(data[len(data) - length :])
    return BusMessage(kind, serial, fields, [content.read(part) for part in split_types(fields.get("signature", ""))])

"""Bytes to lines and back: the framing of RAPI. Pure.

A line is ``$``, words with one blank between, ``^``, two hexadecimal digits, CR. The digits are the XOR of everything
before ``^``. A command may end with a number of its own (`` :1A``); its answer carries the same.
"""

from __future__ import annotations

import functools
import operator
import re
from dataclasses import dataclass

from agent.ports import Garbled

BEGIN, END = b"$", b"\r"
LINE_MAX_BYTES = 64
COMMAND_MAX_BYTES = 31
"""The board's buffer has 32 bytes with the end."""
_LINE = re.compile(rb"\$([!-#%-~]+(?: [!-#%-~]+)*)\^([0-9A-Fa-f]{2})")
_NUMBER = re.compile(r":([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class RapiMessage:
    """``words``: without ``$`` and checksum; ``number``: of the command that this answers, 0 = none."""

    words: tuple[str, ...]
    number: int = 0


class LineParser:
    """``garbled``: how many lines were thrown away: a wrong checksum, or too long."""

    def __init__(self) -> None:
        self.garbled = 0
        self._rest = b""
        self._skip = False

    def feed_chunk(self, chunk: bytes) -> list[RapiMessage]:
        """Return the lines that ``chunk`` completes, in order. What is before ``$`` is noise. A line with a second
        ``$`` has lost its end, or a blank was spoiled: neither is trusted, since XOR does not see errors that cancel
        each other out."""
        *raw, rest = (self._rest + chunk).split(END)
        lines = []
        for r in raw:
            line = None if self._skip else self._parse_line(r)
            self._skip = False
            if line is not None:
                lines.append(line)
        self._rest = rest[rest.find(BEGIN) :] if BEGIN in rest else b""
        if len(self._rest) > LINE_MAX_BYTES:
            self.garbled, self._rest, self._skip = self.garbled + 1, b"", True
        return lines

    def _parse_line(self, raw: bytes) -> RapiMessage | None:
        raw = raw[raw.find(BEGIN) :] if BEGIN in raw else b""
        found = _LINE.fullmatch(raw) if len(raw) <= LINE_MAX_BYTES else None
        if found is None or int(found[2], 16) != rapi_checksum(raw[: found.end(1)]):
            self.garbled += bool(raw)
            return None
        words = tuple(found[1].decode("ascii").split(" "))
        number = _NUMBER.fullmatch(words[-1])
        return RapiMessage(words[:-1], int(number[1], 16)) if number and len(words) > 1 else RapiMessage(words)


def rapi_checksum(data: bytes) -> int:
    return functools.reduce(operator.xor, data, 0)


def encode_command(words: str, number: int) -> bytes:
    """Encode a command. ``number``: 1 to 255; 0 sends none. Raises ``ValueError`` for a command that is longer than the
    board's buffer."""
    body = f"${words}{f' :{number:02X}' if number else ''}".encode("ascii")
    line = body + b"^%02X" % rapi_checksum(body) + END
    if len(line) > COMMAND_MAX_BYTES:
        raise ValueError(f"{words!r} is longer than the board's buffer")
    return line


def parse_numbers(words: tuple[str, ...], bases: tuple[int, ...]) -> tuple[int, ...]:
    """Parse the first words as numbers of these bases. Further words are those of a newer firmware. Raises
    ``Garbled``."""
    try:
        return tuple(int(word, base) for word, base in zip(words[: len(bases)], bases, strict=True))
    except ValueError as e:
        raise Garbled(f"expected {len(bases)} numbers, got {' '.join(words)[:40]!r}") from e

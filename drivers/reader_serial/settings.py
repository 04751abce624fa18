"""Settings of ``drivers.reader_serial``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import BaudRate, Between, DevicePath, OneOf, Text
from agent.model.types import TokenType

FORMLESS_TYPES = (TokenType.CENTRAL, TokenType.KEY_CODE, TokenType.LOCAL)
"""Types of OCPP 2.x for a text of any form."""


@dataclass(frozen=True, slots=True)
class SerialReaderSettings:
    """``device``: ``/dev/ttyUSB0``, a symlink in ``/dev/serial/by-id``, a pseudo terminal. ``strip``: drop blanks
    around the text, for readers that pad; otherwise a line is passed on exactly as it came. ``min_length``,
    ``max_length``: characters of a token (OCPP 2.x: at most 36). ``repeat_holdoff_ms``: for readers that send the same
    card over and over while it is held: ignore it until the line was free of it for so long. ``token_type``: how OCPP
    2.x calls what this reader reads, where the line has the form of this type; ``text_type``: of every other line."""

    device: DevicePath
    baud: BaudRate = 9600
    encoding: Annotated[str, Text(40)] = "utf-8"
    strip: bool = False
    min_length: Annotated[int, Between(1, 36)] = 1
    max_length: Annotated[int, Between(1, 36)] = 36
    repeat_holdoff_ms: Annotated[int, Between(0, 60_000, "ms")] = 0
    token_type: Annotated[str, OneOf(tuple(map(str, TokenType)))] = "ISO14443"
    text_type: Annotated[str, OneOf(tuple(map(str, FORMLESS_TYPES)))] = "Local"

"""Badge reader that sends each card as one line of text over a serial line (RS-232, USB serial, pseudo terminal)."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import BaudRate, Between, DevicePath, OneOf, Text, settings_problems
from agent.model.types import TokenType
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.reader import ReaderPort

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


def list_complaints(settings: SerialReaderSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not settings.device:
        wrong.append('device: is missing, for example device = "/dev/ttyUSB0"')
    try:
        codecs.lookup(settings.encoding)
    except LookupError:
        wrong.append(f"encoding: unknown, use ascii or utf-8, is {settings.encoding!r}")
    if settings.min_length > settings.max_length:
        wrong.append(f"min_length: is {settings.min_length}, more than max_length ({settings.max_length})")
    return wrong


@asynccontextmanager
async def open_reader(settings: SerialReaderSettings, where: Where) -> AsyncIterator[ReaderPort]:
    """Yield the reader with its line open. Raises ``Unreachable`` (no such line), ``Broken`` (settings)."""
    from drivers.reader_serial.reader import SerialReader

    if wrong := list_complaints(settings):
        raise Broken(f"reader_serial {settings.device}: " + "; ".join(wrong))
    async with SerialReader(settings).open_reader() as reader:
        yield reader


DRIVER = Driver(
    "reader_serial",
    "reader",
    SerialReaderSettings,
    open_reader,
    list_complaints,
    verify_kit="drivers.reader_serial.verify_kit:VERIFY_KIT",
)

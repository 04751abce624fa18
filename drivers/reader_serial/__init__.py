"""Badge reader that sends each card as one line of text over a serial line (RS-232, USB serial, pseudo terminal)."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.reader import ReaderPort
from drivers.reader_serial.settings import SerialReaderSettings


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

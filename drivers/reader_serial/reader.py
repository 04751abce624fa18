"""A reader that sends a line of text for each card."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from agent.ports.reader import Tap
from drivers.device_events import DeviceEvents
from drivers.reader_serial.parser import LineParser
from drivers.reader_serial.settings import SerialReaderSettings
from drivers.serial_line import SerialLine


class SerialReader:
    """``ReaderPort`` over a serial line; ``taps`` raises ``Unreachable`` when it hangs up."""

    def __init__(self, settings: SerialReaderSettings) -> None:
        self._settings = settings
        self._parser = LineParser(settings)
        self._taps: DeviceEvents[Tap] = DeviceEvents()
        self._last: tuple[str, float] = ("", 0.0)

    @asynccontextmanager
    async def open_reader(self) -> AsyncIterator[Self]:
        """Open the line. Drop earlier cards: their holders do not wait now. Raises ``Unreachable``, ``Broken``."""
        line = await SerialLine.open_device(
            "reader", self._settings.device, self._settings.baud, self._receive_chunk, self._taps.end_with_error
        )
        try:
            yield self
        finally:
            line.close()

    async def taps(self) -> AsyncIterator[Tap]:
        async for tap in self._taps.wait_for_events():
            yield tap

    def _receive_chunk(self, chunk: bytes) -> None:
        for tap in self._parser.feed_chunk(chunk):
            if not self._is_repeated(tap):
                self._taps.add_event(tap)

    def _is_repeated(self, tap: Tap) -> bool:
        key = tap.token.value if tap.token else tap.reason
        (last, at_s), now_s = self._last, time.monotonic()
        self._last = (key, now_s)
        return key == last and now_s - at_s < self._settings.repeat_holdoff_ms / 1000

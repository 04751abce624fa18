"""The serial line itself: opened by pyserial, read by the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agent.ports import Broken, DeviceError, Unreachable
from agent.ports.reader import Tap
from drivers.reader_serial import SerialReaderSettings
from drivers.reader_serial.parser import LineParser

if TYPE_CHECKING:
    import serial


class SerialReader:
    """``ReaderPort`` over a serial line. ``open`` raises ``Unreachable``, ``Broken``; ``taps`` raises ``Unreachable``
    when the line hangs up."""

    def __init__(self, settings: SerialReaderSettings, line: serial.Serial) -> None:
        self._settings = settings
        self._line = line
        self._fd: int = line.fileno()
        self._parser = LineParser(settings)
        self._told: asyncio.Queue[Tap | DeviceError] = asyncio.Queue()
        self._last: tuple[str, float] = ("", 0.0)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    async def open(cls, settings: SerialReaderSettings) -> SerialReader:
        return cls(settings, await asyncio.to_thread(_open, settings))

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        self._line.close()

    async def taps(self) -> AsyncIterator[Tap]:
        while True:
            told = await self._told.get()
            if isinstance(told, DeviceError):
                self._told.put_nowait(told)  # whoever asks again gets the same answer
                raise told
            yield told

    def _readable(self) -> None:
        try:
            chunk = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError as e:
            self._hang_up(e.strerror or str(e))
            return
        if not chunk:
            self._hang_up("the line was closed at the other end")
            return
        for tap in self._parser.feed(chunk):
            if not self._repeated(tap):
                self._told.put_nowait(tap)

    def _repeated(self, tap: Tap) -> bool:
        key = tap.token.value if tap.token else tap.reason
        (last, at_s), now_s = self._last, time.monotonic()
        self._last = (key, now_s)
        return key == last and now_s - at_s < self._settings.repeat_holdoff_ms / 1000

    def _hang_up(self, why: str) -> None:
        self._loop.remove_reader(self._fd)
        self._told.put_nowait(
            Unreachable(f"reader {self._settings.device}: {why}; check cable and power; it is tried again")
        )


def _open(settings: SerialReaderSettings) -> serial.Serial:
    import serial

    what = f"reader {settings.device}: "
    try:
        if not stat.S_ISCHR(os.stat(settings.device).st_mode):
            raise Broken(f"{what}is no serial line; correct device")
        line = serial.Serial(settings.device, settings.baud, timeout=0, exclusive=True)
    except ValueError as e:
        raise Broken(f"{what}{e}; correct baud") from e
    except OSError as e:
        if e.errno == errno.EACCES:
            raise Unreachable(f"{what}no permission; add the service user to the group of the device") from e
        reason = os.strerror(e.errno) if e.errno else str(e)
        raise Unreachable(f"{what}{reason}; check cable and path; it is tried again") from e
    line.reset_input_buffer()  # a card from before the agent was there is nobody who waits now
    return line

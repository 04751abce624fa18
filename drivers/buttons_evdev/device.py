"""The input device, read by the event loop."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator

from agent.ports import Broken, Unreachable
from drivers.buttons_evdev.events import EV_KEY, PRESSED, RECORD, EventParser
from drivers.buttons_evdev.settings import ButtonsSettings
from drivers.buttons_evdev.touch import Touch
from drivers.device_events import DeviceEvents

_EVIOCGRAB = 0x40044590


class EvdevButtons:
    """``ButtonsPort`` over an input device. The constructor raises ``Unreachable``, ``Broken``; ``presses`` raises
    ``Unreachable`` when the device goes away."""

    def __init__(self, settings: ButtonsSettings) -> None:
        self._path = settings.path
        self.names = (*settings.keys, *settings.fields)
        self._names = {code: name for name, code in settings.keys.items()}
        self._parser = EventParser()
        self._touch = Touch(settings.fields, settings.touch_max)
        self._presses: DeviceEvents[str] = DeviceEvents()
        self._fd = _open_device(settings.path)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read_events)

    def close_device(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    async def presses(self) -> AsyncIterator[str]:
        async for name in self._presses.wait_for_events():
            yield name

    def _read_events(self) -> None:
        try:
            chunk = os.read(self._fd, 64 * RECORD.size)
        except BlockingIOError:
            return
        except OSError as e:
            self._fail_device(e.strerror or str(e))
            return
        if not chunk:
            self._fail_device("closed at the other end")
        for kind, code, value in self._parser.feed_chunk(chunk):
            if kind == EV_KEY and value == PRESSED and code in self._names:
                self._presses.add_event(self._names[code])
            elif (name := self._touch.feed_event(kind, code, value)) is not None:
                self._presses.add_event(name)

    def _fail_device(self, why: str) -> None:
        self._loop.remove_reader(self._fd)
        self._presses.end_with_error(Unreachable(f"buttons {self._path}: {why}; check the cable; it is tried again"))


def _open_device(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        advice = "give the service user access (group input)" if e.errno == errno.EACCES else "check cable and path"
        raise Unreachable(f"buttons {path}: {e.strerror}; {advice}; it is tried again") from e
    mode = os.fstat(fd).st_mode
    if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
        os.close(fd)
        raise Broken(f"buttons {path}: is no input device; correct path, for example /dev/input/event0")
    if stat.S_ISCHR(mode):
        try:
            fcntl.ioctl(fd, _EVIOCGRAB, 1)  # so that a press types nothing on the text console
        except OSError:
            pass  # another reader has it too: presses arrive all the same
    return fd

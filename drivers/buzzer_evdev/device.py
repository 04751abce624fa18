"""Sounds written to an input device. Source: ``linux/input.h``, ``linux/input-event-codes.h``, kernel input.rst."""

from __future__ import annotations

import errno
import os
import stat
import struct

from agent.ports import Broken, Unreachable
from drivers.buzzer_evdev.settings import BuzzerSettings

_RECORD = struct.Struct("llHHi")
"""struct input_event in the machine's own sizes; a device that is written to fills in the time itself."""
_EV_SYN, _EV_SND = 0x00, 0x12
_SND_BELL, _SND_TONE = 0x01, 0x02


class EvdevBuzzer:
    """``BuzzerPort``. A tone goes on until the next one, so the last act is silence."""

    def __init__(self, settings: BuzzerSettings) -> None:
        self._path, self._bell = settings.path, settings.bell
        self._fd = _open_device(settings.path)
        try:
            self._write_tone(0)
        except Unreachable:
            os.close(self._fd)
            raise

    async def tone(self, frequency_hz: int) -> None:
        self._write_tone(frequency_hz)

    def close_device(self) -> None:
        try:
            self._write_tone(0)
        except Unreachable:
            pass  # it is gone: its silence is certain
        os.close(self._fd)

    def _write_tone(self, frequency_hz: int) -> None:
        code, value = (_SND_BELL, int(frequency_hz > 0)) if self._bell else (_SND_TONE, max(0, frequency_hz))
        records = _RECORD.pack(0, 0, _EV_SND, code, value) + _RECORD.pack(0, 0, _EV_SYN, 0, 0)
        try:
            os.write(self._fd, records)
        except OSError as e:
            raise Unreachable(f"buzzer {self._path}: {e.strerror}; check the cable; it is tried again") from e


def _open_device(path: str) -> int:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        advice = "give the service user access (group input)" if e.errno == errno.EACCES else "check cable and path"
        raise Unreachable(f"buzzer {path}: {e.strerror}; {advice}; it is tried again") from e
    mode = os.fstat(fd).st_mode
    if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
        os.close(fd)
        raise Broken(f"buzzer {path}: is no input device; correct path, for example /dev/input/event1")
    return fd

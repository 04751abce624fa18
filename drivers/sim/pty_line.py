"""A serial line as a pseudo terminal. The far end stays when the agent goes: the slave side is held open here too."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import tty
from collections.abc import Callable
from pathlib import Path

Heard = Callable[[bytes], bytes]
"""Bytes that came in to bytes that go out at once."""


class PtyLine:
    """``link`` is a stable name for the changing ``/dev/pts/N``. ``heard`` None: what comes in is thrown away."""

    def __init__(self, link: Path, heard: Heard | None = None) -> None:
        self.link = link
        self._heard = heard
        self._master = self._slave = -1

    @property
    def is_up(self) -> bool:
        return self._master >= 0

    def open(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read_bytes)
        beside = self.link.with_name(self.link.name + ".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.ttyname(self._slave))
        beside.replace(self.link)

    def hang_up(self) -> None:
        """The device loses power: whoever has the line open gets a hang-up, and the name is gone."""
        if not self.is_up:
            return
        self.link.unlink(missing_ok=True)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def send(self, data: bytes) -> None:
        """Bytes that nobody fetches are lost when the line's buffer is full, as on a real line."""
        if not self.is_up:
            return
        try:
            os.write(self._master, data)
        except BlockingIOError:
            pass

    def discard_unread(self) -> None:
        """Throw away what was sent and not fetched."""
        if self.is_up:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def _read_bytes(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        if self._heard is not None and (out := self._heard(data)):
            self.send(out)

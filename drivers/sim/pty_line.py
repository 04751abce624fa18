"""A serial line as a pseudo terminal. The slave side is held open here too, so the line survives the agent."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import tty
from collections.abc import Callable
from pathlib import Path

Heard = Callable[[bytes], bytes]
"""Takes the received bytes, returns the bytes to send at once."""


class PtyLine:
    """The line. ``link`` is a stable name for the changing ``/dev/pts/N``. ``heard`` None: discard received bytes."""

    def __init__(self, link: Path, heard: Heard | None = None) -> None:
        self.link = link
        self._heard = heard
        self._master = self._slave = self._former_slave = -1

    @property
    def is_up(self) -> bool:
        return self._master >= 0

    @property
    def slave(self) -> int:
        """Return the side of the line that the agent opens too, for its settings."""
        return self._slave

    def open(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read_bytes)
        beside = self.link.with_name(self.link.name + ".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.ttyname(self._slave))
        beside.replace(self.link)
        self._release_former_slave()

    def hang_up(self) -> None:
        """Hang up, as when the device loses power: a process with the line open gets a hang-up. The name is removed.

        The slave side stays open until there is a new line: otherwise the number of the line is given to the next
        pseudo terminal of the machine, which a process that still has the old name would then open.
        """
        if not self.is_up:
            return
        self.link.unlink(missing_ok=True)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        self._release_former_slave()
        self._former_slave = self._slave
        self._master = self._slave = -1

    def _release_former_slave(self) -> None:
        if self._former_slave >= 0:
            os.close(self._former_slave)
            self._former_slave = -1

    def __del__(self) -> None:
        self._release_former_slave()

    def send(self, data: bytes) -> None:
        """Send bytes. Unread bytes are lost when the line's buffer is full, as on a real line."""
        if not self.is_up:
            return
        try:
            os.write(self._master, data)
        except BlockingIOError:
            pass

    def discard_unread(self) -> None:
        """Discard the bytes that were sent and not read."""
        if self.is_up:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def _read_bytes(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        if self._heard is not None and (out := self._heard(data)):
            self.send(out)

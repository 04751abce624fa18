"""A serial line of any device: opened by pyserial, read and written in the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from agent.ports import Broken, DeviceError, Unreachable

if TYPE_CHECKING:
    import serial


class SerialLine:
    """``what``: "reader", "board" ..., for the words of an error. ``received`` gets what comes in; ``lost`` is called
    once, when the line hangs up."""

    def __init__(
        self, what: str, port: serial.Serial, received: Callable[[bytes], None], lost: Callable[[DeviceError], None]
    ) -> None:
        self._name, self._port, self._received, self._lost = f"{what} {port.port}", port, received, lost
        self._fd: int = port.fileno()
        self._open, self._waiting = True, b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read_available)

    @classmethod
    async def open_device(
        cls,
        what: str,
        device: str,
        baud: int,
        received: Callable[[bytes], None],
        lost: Callable[[DeviceError], None],
        *,
        dtr: bool = True,
    ) -> Self:
        """Open the line. Drop what is on it already. Raises ``Unreachable``, ``Broken``."""
        return cls(
            what, await asyncio.to_thread(_open_serial_port, f"{what} {device}: ", device, baud, dtr), received, lost
        )

    def write(self, data: bytes) -> None:
        """Write in order, as soon as the line takes it."""
        if self._open:
            self._waiting += data
            self._flush_waiting()

    def write_now(self, data: bytes) -> None:
        """Write now or never: an order must not arrive late."""
        if self._open:
            try:
                os.write(self._fd, data)
            except BlockingIOError:
                pass  # the other end reads nothing from this line: it will not answer either
            except OSError as e:
                self._hang_up(e.strerror or str(e))

    def pause_reading(self) -> None:
        """Leave what arrives to another program that has the line open too."""
        if self._open:
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if self._open:
            self._loop.add_reader(self._fd, self._read_available)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._port.close()

    def _flush_waiting(self) -> None:
        try:
            self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError as e:
            self._hang_up(e.strerror or str(e))
            return
        if self._waiting:
            self._loop.add_writer(self._fd, self._flush_waiting)
        else:
            self._loop.remove_writer(self._fd)

    def _read_available(self) -> None:
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
        self._received(chunk)

    def _hang_up(self, why: str) -> None:
        self.close()
        self._lost(Unreachable(f"{self._name}: {why}; check cable and power; it is tried again"))


def _open_serial_port(what: str, device: str, baud: int, dtr: bool) -> serial.Serial:
    import serial

    try:
        if not stat.S_ISCHR(os.stat(device).st_mode):
            raise Broken(f"{what}is no serial line; correct device")
        line = serial.Serial(None, baud, timeout=0, exclusive=True)
        line.dtr = dtr
        line.port = device
        line.open()
    except ValueError as e:
        raise Broken(f"{what}{e}; correct baud") from e
    except OSError as e:
        if e.errno == errno.EACCES:
            raise Unreachable(f"{what}no permission; add the service user to the group of the device") from e
        reason = os.strerror(e.errno) if e.errno else str(e)
        raise Unreachable(f"{what}{reason}; check cable and path; it is tried again") from e
    line.reset_input_buffer()
    return line

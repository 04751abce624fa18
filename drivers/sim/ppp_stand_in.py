"""What takes the place of ``pppd`` in a simulation: the kernel of a developer's machine may have no PPP, and a user no
right to configure an interface.

``python -m drivers.sim.ppp_stand_in FOLDER file OPTIONS`` is started and ended as ``pppd file OPTIONS`` is, opens the
same line, and ends with the same codes. The interface that it brings up is a folder like those of ``/sys/class/net``.
No PPP goes over the line, and no data: a link proxy carries them (``bearers.py``).
"""

from __future__ import annotations

import ctypes
import os
import select
import shlex
import shutil
import signal
import sys
import termios
import time
import tty
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
ANSWER_S = 5.0
ECHO_S = 1.0
SILENCE_S = 4.0
EXIT_LINE, EXIT_NO_PPP, EXIT_SILENT, EXIT_HUNG_UP, EXIT_LOGIN = 7, 10, 15, 16, 19
"""Exit codes of pppd(8)."""
_REFUSALS = {"refused login": EXIT_LOGIN, "refused address": EXIT_NO_PPP}


class Ended(Exception):
    """The connection has ended with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Connection:
    """The line to the modem, whose call is answered."""

    def __init__(self, device: str) -> None:
        try:
            self._line = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._line)
        except (OSError, termios.error) as e:
            raise Ended(EXIT_LINE) from e
        self._rest = b""
        self._heard_s = time.monotonic()

    def connect(self, user: str, password: str) -> None:
        """Ask for the connection. Raises ``Ended``."""
        self._send(f"connect {user.encode().hex()} {password.encode().hex()}")
        end_s = time.monotonic() + ANSWER_S
        while (left_s := end_s - time.monotonic()) > 0:
            for line in self._read_new_lines(left_s):
                if line == "connected":
                    return
                if line in _REFUSALS:
                    raise Ended(_REFUSALS[line])
        raise Ended(EXIT_NO_PPP)

    def await_connection_end(self) -> None:
        """Look for a sign of life again and again, until ``Ended``."""
        while True:
            self._send("echo")
            due_s = time.monotonic() + ECHO_S
            while (left_s := due_s - time.monotonic()) > 0:
                self._read_new_lines(left_s)
            if time.monotonic() - self._heard_s > SILENCE_S:
                raise Ended(EXIT_SILENT)

    def close(self) -> None:
        """Hang up, as a line does whose last user closes it."""
        try:
            self._send("close")
        except Ended:
            pass

    def _send(self, text: str) -> None:
        try:
            os.write(self._line, text.encode() + b"\r")
        except OSError as e:
            raise Ended(EXIT_HUNG_UP) from e

    def _read_new_lines(self, timeout_s: float) -> list[str]:
        """Return what arrives within ``timeout_s``. Raises ``Ended`` when the modem hangs up."""
        if not select.select([self._line], [], [], timeout_s)[0]:
            return []
        try:
            data = os.read(self._line, 4096)
        except BlockingIOError:
            return []
        except OSError as e:
            raise Ended(EXIT_HUNG_UP) from e
        if not data:
            raise Ended(EXIT_HUNG_UP)
        *lines, self._rest = (self._rest + data).replace(b"\n", b"\r").split(b"\r")
        texts = [line.decode("ascii", "replace").strip() for line in lines]
        if "NO CARRIER" in texts or "RDY" in texts:
            raise Ended(EXIT_HUNG_UP)
        self._heard_s = time.monotonic()
        return texts


def main(folder: Path, options: Path) -> int:
    """Hold the connection. Returns the exit code that pppd would have."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, _end_by_signal)
    device, interface, user, password = _read_options(options)
    state = folder / interface
    connection = None
    try:
        connection = Connection(device)
        connection.connect(user, password)
        state.mkdir(parents=True, exist_ok=True)
        (state / "carrier").write_text("1\n")
        connection.await_connection_end()
    except Ended as e:
        return e.code
    finally:
        shutil.rmtree(state, ignore_errors=True)
        if connection is not None:
            connection.close()
    return 0


def _end_by_signal(number: int, frame: FrameType | None) -> None:
    raise Ended(0)


def _read_options(file: Path) -> tuple[str, str, str, str]:
    """Return line, interface, user and password from the options of pppd."""
    lines = file.read_text("utf-8").splitlines()
    found = dict(words for line in lines[1:] if len(words := shlex.split(line)) == 2)
    return lines[0], found["ifname"], found.get("user", ""), found.get("password", "")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[3])))

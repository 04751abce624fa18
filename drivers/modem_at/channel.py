"""AT commands on a serial line: one command at a time, and the lines of its answer."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports import DeviceError, Refused
from drivers.device_answers import await_answer
from drivers.modem_at.answers import ERROR_WORDS
from drivers.serial_line import SerialLine

log = logging.getLogger(__name__)

LATE_S = 0.2
"""After a command without an answer the line is quiet for so long before the next one."""
LINE_MAX_BYTES = 1000
"""What is longer is noise, and dropped."""
_END = re.compile(rb"[\r\n]+")
_ERROR = re.compile(r"\+CM[ES] ERROR: ?(\d{1,4})")
_FAILURES = ("ERROR", "NO CARRIER", "NO DIALTONE", "BUSY", "NO ANSWER")
_RESTARTS = ("RDY", "Call Ready", "SYSSTART", "PB DONE", "NORMAL POWER DOWN", "POWERED DOWN", "UNDER-VOLTAGE")
"""Reports of a modem that has started again, or is about to."""


class NoAnswer(Refused):
    """The modem did not answer in time."""


class CommandFailed(Refused):
    """The modem has refused a command. ``code``: the number of +CME ERROR; 0: it gave none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class AtChannel:
    """``has_restarted``: the modem has started again since this was last set to False. ``heard_noise``: what came was
    no text."""

    def __init__(self, name: str, answer_s: float) -> None:
        self.has_restarted = True
        self.heard_noise = False
        self._name, self._answer_s = name, answer_s
        self._line: SerialLine
        self._rest = b""
        self._command, self._prefix = "", ""
        self._lines: list[str] = []
        self._answer: asyncio.Future[list[str]] | None = None
        self._lost: DeviceError | None = None
        self._is_late = False

    @asynccontextmanager
    async def open_line(self, device: str, baud: int) -> AsyncIterator[None]:
        """Hold the line open. Raises ``Unreachable``, ``Broken``."""
        self._line = await SerialLine.open_device("modem", device, baud, self._receive_chunk, self._line_lost)
        try:
            yield
        finally:
            self._line.close()

    def pause_reading(self) -> None:
        """Leave what arrives to pppd. The line stays open here too, so that the modem does not hang up."""
        self._line.pause_reading()

    def resume_reading(self) -> None:
        self._rest = b""
        self._line.resume_reading()

    async def send_command(self, command: str, prefix: str = "", timeout_s: float = 0.0) -> list[str]:
        """Return the lines of the answer to ``AT`` and this command: those that begin with ``prefix``, or all.

        Raises ``NoAnswer``, ``CommandFailed``, and ``Unreachable`` when the line is gone.
        """
        if self._is_late:  # what comes now belongs to the command before
            await asyncio.sleep(LATE_S)
            self._is_late = False
        if self._lost is not None:
            raise self._lost
        self._command, self._prefix, self._lines = f"AT{command}", prefix, []
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._line.write(self._command.encode("ascii") + b"\r")
        try:
            return await await_answer(answer, timeout_s or self._answer_s)
        except TimeoutError:
            self._is_late = True
            noise = "; what came is no text: check baud" if self.heard_noise else ""
            raise NoAnswer(f"{self._name}: no answer to {_public_name(command)}{noise}") from None
        finally:
            self._answer = None

    async def write_raw(self, data: bytes, quiet_s: float) -> None:
        """Write bytes with a pause before and after them (the escape from data mode)."""
        await asyncio.sleep(quiet_s)
        self._line.write(data)
        await asyncio.sleep(quiet_s)

    def _line_lost(self, error: DeviceError) -> None:
        self._lost = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _receive_chunk(self, chunk: bytes) -> None:
        *lines, self._rest = _END.split(self._rest + chunk)
        if len(self._rest) > LINE_MAX_BYTES:
            self._rest, self.heard_noise = b"", True
        for line in lines:
            text = line.decode("ascii", "replace").strip()
            if not text.isprintable() or "\ufffd" in text:
                self.heard_noise = True
            elif text:
                self._take_line(text)

    def _take_line(self, line: str) -> None:
        if line.startswith(_RESTARTS):
            self.has_restarted = True
            log.warning("%s: %s", self._name, line)
            return
        answer = self._answer
        if answer is None or answer.done() or line == self._command:  # the last is an echo
            return
        self.heard_noise = False
        failed = _ERROR.fullmatch(line)
        if failed or line in _FAILURES:
            code = int(failed[1]) if failed else 0
            words = ERROR_WORDS.get(code, line)
            answer.set_exception(CommandFailed(f"{self._name}: {_public_name(self._command[2:])}: {words}", code))
        elif line == "OK" or line.startswith("CONNECT"):
            answer.set_result(self._lines)
        elif line.startswith(self._prefix) if self._prefix else not line.startswith(("+", "^", "*", "RING")):
            self._lines.append(line)


def _public_name(command: str) -> str:
    """Return the command without its values: one of them is the PIN."""
    return "AT" + re.split(r"[=?]", command)[0]

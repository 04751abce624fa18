"""One request at a time over a line; messages that come in between go to ``heard``, in order.

A result and a status look alike and carry no number, so an answer belongs to the one request that waits. An answer
that did not come in time may still come: until it is ruled out the link is ``unsure``, and ``terminal`` asks for the
status first, since a terminal answers in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.ports import DeviceError, Garbled, Unreachable
from drivers.device_answers import await_answer
from drivers.terminal_payter.commands import From
from drivers.terminal_payter.frames import Frame, FrameParser, TooLong, encode_frame
from drivers.terminal_payter.lines import Line, TcpLine

log = logging.getLogger(__name__)

GRACE_S = 0.5
"""For the result of an order whose effect is already there: the documents leave open whether one comes."""
RESULT = frozenset({From.RESULT})
Judge = Callable[[Frame], bool]


class NoAnswer(Exception):
    """No answer came in time."""


class TerminalLink:
    def __init__(self, name: str, gap_s: float, heard: Callable[[Frame], None]) -> None:
        self.name = name
        self.extended = self.unsure = False
        self.failed: asyncio.Future[DeviceError] = asyncio.get_running_loop().create_future()
        self._line: Line | None = None
        self._gap_s, self._heard, self._parser = gap_s, heard, FrameParser()
        self._gap: asyncio.TimerHandle | None = None
        self._answer: asyncio.Future[Frame | None] | None = None
        self._wanted: frozenset[int] = frozenset()
        self._signs: frozenset[int] = frozenset()
        self._judge: Judge = _accept_any
        self._late: asyncio.TimerHandle | None = None

    def attach_line(self, line: Line) -> None:
        self._line = line

    @property
    def peer_certificate(self) -> str:
        """What the terminal's own one is known by; "": it has none."""
        return self._line.certificate if isinstance(self._line, TcpLine) else ""

    def close_line(self) -> None:
        self.fail_link(Unreachable(f"terminal {self.name}: closed"))
        if self._line is not None:
            self._line.close()

    def fail_link(self, error: DeviceError) -> None:
        """Fail the link: the waiting request and later ones raise ``error``."""
        if not self.failed.done():
            self.failed.set_result(error)
        for timer in (self._gap, self._late):
            if timer is not None:
                timer.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def raise_if_failed(self) -> None:
        """Raise the error that ended the line."""
        if self.failed.done():
            raise self.failed.result()

    async def request_answer(
        self,
        header: int,
        payload: bytes,
        wait_s: float,
        wanted: frozenset[int] = RESULT,
        signs: frozenset[int] = frozenset(),
        judge: Judge | None = None,
    ) -> Frame | None:
        """Send a request and return the answer. None: one of ``signs`` came, which shows that the request was taken,
        and no result within ``GRACE_S``. ``judge`` returns False for a frame that does not answer this. Raises
        ``Silent``, ``Garbled`` (does not fit a frame), and what ended the line."""
        self.raise_if_failed()
        assert self._line is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._wanted, self._signs, self._judge = wanted, signs, judge or _accept_any
        try:
            self._line.write(encode_frame(header, payload, self.extended))
            return await await_answer(self._answer, wait_s)
        except TooLong as e:
            raise Garbled(f"terminal {self.name}: {e}; set extended = true, or shorten the QR address") from e
        except TimeoutError:
            self.unsure = True
            raise NoAnswer from None
        except asyncio.CancelledError:
            self.unsure = True
            raise
        finally:
            self._answer = None

    def receive_bytes(self, data: bytes) -> None:
        if self._gap is not None:
            self._gap.cancel()
        self._dispatch_frames(self._parser.feed_chunk(data))
        if self._parser.has_partial_frame and not self.failed.done():
            self._gap = asyncio.get_running_loop().call_later(self._gap_s, self._flush_after_gap)

    def _flush_after_gap(self) -> None:
        self._dispatch_frames(self._parser.flush_partial())

    def _dispatch_frames(self, frames: list[Frame]) -> None:
        for frame in frames:
            waits = self._answer is not None and not self._answer.done()
            if waits and frame.header in self._wanted:
                self._take_answer(frame)
                continue
            if frame.header in (From.RESULT, From.SYNCHRONIZE):
                log.debug("terminal %s: an unexpected answer is dropped", self.name)
                continue
            if waits and frame.header in self._signs:
                self._finish_after_grace()
            self._heard(frame)

    def _take_answer(self, frame: Frame) -> None:
        assert self._answer is not None
        if self._judge(frame):
            self._answer.set_result(frame)

    def _finish_after_grace(self) -> None:
        assert self._answer is not None
        self._late = asyncio.get_running_loop().call_later(GRACE_S, self._finish_without_result, self._answer)

    def _finish_without_result(self, answer: asyncio.Future[Frame | None]) -> None:
        if not answer.done():
            self.unsure = True
            answer.set_result(None)


def _accept_any(frame: Frame) -> bool:
    return True

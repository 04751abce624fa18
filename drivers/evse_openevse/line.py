"""The serial line: one command at a time, its answer found by its number. Notices of the board are kept."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable

from agent.ports import DeviceError, Garbled, Refused, Unreachable
from drivers.device_answers import await_answer
from drivers.evse_openevse.frames import LineParser, RapiMessage, encode_command
from drivers.evse_openevse.settings import OpenEvseSettings
from drivers.serial_line import SerialLine

TRIES = 2
_KEPT = 64
_NOTICES = ("AT", "AB")


class RapiLine:
    """``notices``: what the board has reported unasked, oldest first; ``news`` is set with each.
    ``hung_up``: why it is no line any more. Raises ``Unreachable``
    (silence, or the line hung up), ``Garbled`` (only noise came back), ``Refused`` (the board refuses)."""

    _line: SerialLine

    def __init__(self, settings: OpenEvseSettings) -> None:
        self.name = settings.device
        self.notices: deque[RapiMessage] = deque(maxlen=_KEPT)
        self.news = asyncio.Event()
        self._timeout_s = settings.timeout_s
        self._parser = LineParser()
        self._turns = _Turns()
        self._numbers = itertools.cycle(range(1, 0x100))
        self._asked: tuple[int, asyncio.Future[RapiMessage]] | None = None
        self.hung_up: DeviceError | None = None

    @classmethod
    async def open_line(cls, settings: OpenEvseSettings) -> RapiLine:
        """Open the line without DTR: on many adapters it is wired to the board's reset."""
        line = cls(settings)
        line._line = await SerialLine.open_device(
            "board", settings.device, settings.baud, line._receive_chunk, line._line_lost, dtr=False
        )
        return line

    def forget_old_states(self) -> None:
        """Forget the states that were reported before. A start of the board is no state and is kept."""
        starts = [n for n in self.notices if n.words[0] == "AB"]
        self.notices.clear()
        self.notices.extend(starts)

    def close_line(self) -> None:
        self._line.close()

    async def send_command(
        self, words: str, *, urgent: bool = False, wanted: Callable[[], bool] = lambda: True, no: bool = False
    ) -> tuple[bool, tuple[str, ...]]:
        """Send a command. Return whether the board accepted it, and the words of its answer. ``urgent`` overtakes what
        waits. A command is not sent, or not sent again, once it is not ``wanted`` any more. ``no`` True: a refusal is
        an answer."""
        async with self._turns.take_turn(urgent):
            answer = await self._exchange_with_retry(words, wanted)
        ok = answer is None or answer.words[0] == "OK"
        if not ok and not no:
            raise Refused(f"{self.name}: the board refuses ${words}")
        return ok, answer.words[1:] if answer is not None else ()

    async def send_unanswered(self, words: str) -> None:
        """Send a command that the board does not answer."""
        async with self._turns.take_turn(urgent=False):
            self._write_bytes(encode_command(words, 0))

    async def _exchange_with_retry(self, words: str, wanted: Callable[[], bool]) -> RapiMessage | None:
        garbled = self._parser.garbled
        for _ in range(TRIES):
            if not wanted():
                return None
            with contextlib.suppress(TimeoutError):
                return await self._exchange_once(words)
        if self._parser.garbled > garbled:
            raise Garbled(f"{self.name}: no clean answer to ${words}; check baud rate, ground and cable length")
        raise Unreachable(f"{self.name}: no answer to ${words}; check power and wiring of the board")

    async def _exchange_once(self, words: str) -> RapiMessage:
        if self.hung_up is not None:
            raise self.hung_up
        number = next(self._numbers)
        answer: asyncio.Future[RapiMessage] = asyncio.get_running_loop().create_future()
        self._asked = number, answer
        try:
            self._write_bytes(encode_command(words, number))
            return await await_answer(answer, self._timeout_s)
        finally:
            self._asked = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # retrieved: the line may have hung up before the answer was awaited

    def _write_bytes(self, data: bytes) -> None:
        self._line.write_now(data)
        if self.hung_up is not None:
            raise self.hung_up

    # --- what comes in ------------------------------------------------------------------------------------------

    def _receive_chunk(self, chunk: bytes) -> None:
        for line in self._parser.feed_chunk(chunk):
            self._take_message(line)

    def _take_message(self, line: RapiMessage) -> None:
        if line.words[0] in _NOTICES:
            self.notices.append(line)
            self.news.set()
        elif self._answers_command(line) and self._asked is not None:
            self._asked[1].set_result(line)

    def _answers_command(self, line: RapiMessage) -> bool:
        """Return whether the line answers the command that waits, and not one that was given up."""
        asked = self._asked
        return line.words[0] in ("OK", "NK") and asked is not None and line.number == asked[0] and not asked[1].done()

    def _line_lost(self, why: DeviceError) -> None:
        self.hung_up = why
        if self._asked is not None and not self._asked[1].done():
            self._asked[1].set_exception(why)
        self.news.set()


class _Turns:
    """One at a time, the urgent ones first, otherwise in the order of asking."""

    def __init__(self) -> None:
        self._busy = False
        self._count = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def take_turn(self, urgent: bool) -> AsyncIterator[None]:
        place = (not urgent, next(self._count))
        while self._busy:
            await self._wait_turn(place)
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._wake_next()

    async def _wait_turn(self, place: tuple[bool, int]) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (*place, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if not self._busy:
                self._wake_next()  # it was ours, and we leave
            raise

    def _wake_next(self) -> None:
        while self._waiting:
            *_, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
                return

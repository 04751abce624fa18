"""One task owns one line: callers queue transfers, the task makes them one at a time, most urgent first.

A caller that goes away takes its answer with it, never the transfer: a half-made transfer would hand its late answer
to the next request. After a time-out a serial line is left alone for as long again, since RTU frames carry no
transaction number and a late answer to the same question cannot be told from a timely one.

A device that goes on saying that it is busy has refused nothing: what could not be read now is not missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from drivers.bus.backoff import Silence
from drivers.bus.line import LineSettings, Priority, Request
from drivers.bus.wire import Exceptional, Wire

log = logging.getLogger(__name__)

ATTEMPTS = {
    Priority.WITHDRAW: 4,
    Priority.BILLING: 4,
    Priority.CONTROL: 2,
    Priority.POLL: 2,
    Priority.IDENTITY: 2,
}
RECONNECT_S = (0.2, 0.5, 1.0, 2.0)
HUNG_AFTER = 3
"""Unanswered transfers in a row after which a network connection is given up and dialled again."""

Wanted = Callable[[], bool]


@dataclass(slots=True)
class Job:
    request: Request
    priority: Priority
    timeout_s: float
    silence_s: float
    answer: asyncio.Future[list[int]]
    wanted: Wanted | None = None
    attempts: int = 0

    @property
    def abandoned(self) -> bool:
        """Nobody waits for what it would read. A write is an order: it is carried out all the same."""
        return self.answer.done() and not self.request.writes

    @property
    def urgent(self) -> bool:
        return self.priority <= Priority.BILLING

    def succeed(self, registers: list[int]) -> None:
        if not self.answer.done():
            self.answer.set_result(registers)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass
class LineActor:
    """``generation`` counts connections: who remembers an older one has to look again who is at the other end.
    ``billed``: units of billing meters."""

    settings: LineSettings
    generation: int = 0
    users: int = 0
    billed: set[int] = field(default_factory=set)
    _queue: list[tuple[int, int, Job]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _silences: dict[int, Silence] = field(default_factory=dict)
    _free_at: float = 0.0
    _quiet_until: float = 0.0
    _late: Request | None = None
    _misses: int = 0
    _dial_at: float = 0.0
    _dial_failures: int = 0
    _dial_error: DeviceError | None = None

    def __post_init__(self) -> None:
        self._wire = Wire(self.settings)
        self._task = asyncio.create_task(self._run(), name=f"line {self.settings.name}")

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._wire.close()

    def ask(
        self, request: Request, priority: Priority, timeout_s: float, silence_s: float, wanted: Wanted | None
    ) -> asyncio.Future[list[int]]:
        """Queue a transfer. Cancelling the future does not cancel a transfer that has begun, nor any write."""
        if self._task.done():
            raise Broken(f"{self.settings.name}: the line has been closed")
        job = Job(request, priority, timeout_s, silence_s, asyncio.get_running_loop().create_future(), wanted)
        self._silences.setdefault(request.unit, Silence())
        self._enqueue(job)
        return job.answer

    def _enqueue(self, job: Job) -> None:
        heapq.heappush(self._queue, (job.priority, next(self._numbers), job))
        self._arrived.set()

    async def _run(self) -> None:
        try:
            while True:
                await self._serve(await self._next())
                await asyncio.sleep(0)  # who got an answer may ask on before the less urgent get their turn
        finally:
            for _, _, job in self._queue:
                job.fail(Unreachable(f"{self.settings.name}: the line has been closed"))

    async def _next(self) -> Job:
        """The most urgent job, once the line has been silent long enough for it; a more urgent one may come first."""
        while True:
            self._arrived.clear()
            if not self._queue:
                await self._arrived.wait()
                continue
            wait_s = self._silence_before(self._queue[0][2]) - _now()
            if wait_s <= 0:
                return heapq.heappop(self._queue)[2]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()

    def _silence_before(self, job: Job) -> float:
        may_begin = self._free_at + job.silence_s
        # The late answer to a read cannot pass for the acknowledgement of a write: taking release away need not wait.
        harmless = job.request.writes and self._late is not None and not self._late.writes
        return may_begin if harmless else max(may_begin, self._quiet_until)

    async def _serve(self, job: Job) -> None:
        if job.abandoned:
            return
        try:
            self._admit(job)
            registers = await self._transfer(job)
        except (Unreachable, Garbled) as e:
            self._missed(job, e)
        except Exceptional as e:
            self._heard(job)
            self._again_or(Unreachable(str(e)) if e.busy and not job.request.writes else e, job, e.busy)
        except DeviceError as e:
            job.fail(e)
        except BaseException as e:
            job.fail(Unreachable(f"{self.settings.name}: the line was closed in the middle of a transfer"))
            if not isinstance(e, asyncio.CancelledError):
                log.exception("line %s: a fault of this program", self.settings.name)
            raise
        else:
            self._heard(job)
            job.succeed(registers)

    def _admit(self, job: Job) -> None:
        """Raises ``Refused`` for an order that a newer one has overtaken, ``Unreachable`` during a device's pause."""
        if job.wanted is not None and not job.wanted():
            raise Refused(f"{self.settings.name}: {job.request}: not sent, a newer order has overtaken it")
        silence = self._silences[job.request.unit]
        if _now() < silence.until and not job.urgent and len(self._silences) > 1:
            raise _Pausing(silence.why)

    async def _transfer(self, job: Job) -> list[int]:
        if not self._wire.connected:
            await self._dial(job)
        job.attempts += 1
        timeout_s = job.timeout_s + self.settings.line_time_s(job.request.octets)
        try:
            return await self._wire.transfer(job.request, timeout_s)
        finally:
            self._free_at = _now()

    async def _dial(self, job: Job) -> None:
        if self._dial_error and _now() < self._dial_at and not job.urgent:
            raise _Pausing(str(self._dial_error))
        try:
            await self._wire.connect()
        except DeviceError as e:
            job.attempts += 1
            self._dial_error = e
            self._dial_at = _now() + RECONNECT_S[min(self._dial_failures, len(RECONNECT_S) - 1)]
            self._dial_failures += 1
            raise
        self._dial_error, self._dial_failures, self._misses = None, 0, 0
        self.generation += 1

    def _missed(self, job: Job, error: DeviceError) -> None:
        if isinstance(error, _Pausing):
            job.fail(Unreachable(str(error)))
            return
        silence = self._silences[job.request.unit]
        silence.missed(_now(), str(error))
        self._misses += 1
        if self.settings.serial:
            self._quiet_until, self._late = _now() + job.timeout_s, job.request
        elif self._misses >= HUNG_AFTER:
            self._wire.close()
        self._again_or(error, job, job.urgent or not silence.long)

    def _heard(self, job: Job) -> None:
        self._silences[job.request.unit].heard()
        self._misses = 0

    def _again_or(self, error: DeviceError, job: Job, sensible: bool) -> None:
        """Another attempt goes to the end of its class, so that a dead device does not hold up the living."""
        if sensible and job.attempts < ATTEMPTS[job.priority] and not job.abandoned:
            self._enqueue(job)
        else:
            job.fail(error)


class _Pausing(Unreachable):
    """Not asked at all: the device or the line is in its pause."""


def _now() -> float:
    return asyncio.get_running_loop().time()

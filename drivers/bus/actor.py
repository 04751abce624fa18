"""One task owns one line: callers queue transfers, the task makes them one at a time, most urgent first.

A caller that goes away takes its answer with it, never the transfer: a half-made transfer would hand its late answer
to the next request. After a time-out a serial line is left alone for as long again, since RTU frames carry no
transaction number and a late answer to the same question cannot be distinguished from a timely one.

A device that goes on reporting that it is busy has refused nothing: what could not be read now is not missing.
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
from drivers.bus.wire import ExceptionResponse, PymodbusConnection

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
    def is_abandoned(self) -> bool:
        """No caller waits for the values of this read. A write is an order and is carried out all the same."""
        return self.answer.done() and not self.request.is_write

    @property
    def is_urgent(self) -> bool:
        return self.priority <= Priority.BILLING

    def deliver_registers(self, registers: list[int]) -> None:
        if not self.answer.done():
            self.answer.set_result(registers)

    def deliver_error(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass
class LineActor:
    """``generation`` counts connections: a caller that remembers an older
    one has to check again which device is at the other end.
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
    _connect_at: float = 0.0
    _connect_failures: int = 0
    _connect_error: DeviceError | None = None

    def __post_init__(self) -> None:
        self._wire = PymodbusConnection(self.settings)
        self._task = asyncio.create_task(self._serve_queue(), name=f"line {self.settings.name}")

    async def close_line(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._wire.close_connection()

    def queue_transfer(
        self, request: Request, priority: Priority, timeout_s: float, silence_s: float, wanted: Wanted | None
    ) -> asyncio.Future[list[int]]:
        """Queue a transfer. Cancelling the future does not cancel a transfer that has begun, nor any write."""
        if self._task.done():
            raise Broken(f"{self.settings.name}: the line has been closed")
        job = Job(request, priority, timeout_s, silence_s, asyncio.get_running_loop().create_future(), wanted)
        self._silences.setdefault(request.unit, Silence())
        self._enqueue_job(job)
        return job.answer

    def _enqueue_job(self, job: Job) -> None:
        heapq.heappush(self._queue, (self._turn_of_job(job), next(self._numbers), job))
        self._arrived.set()

    def _turn_of_job(self, job: Job) -> Priority:
        """Return the class in which the job waits. Another attempt at a device that has long been silent waits among
        the polls, however urgent it is: its neighbours have to confirm their limits in time."""
        is_repeat_to_silent = job.attempts and self._silences[job.request.unit].is_backing_off
        return max(job.priority, Priority.POLL) if is_repeat_to_silent else job.priority

    async def _serve_queue(self) -> None:
        try:
            while True:
                await self._serve_job(await self._take_next_job())
                await asyncio.sleep(0)  # a caller with an answer may go on asking before the less urgent get their turn
        finally:
            for _, _, job in self._queue:
                job.deliver_error(Unreachable(f"{self.settings.name}: the line has been closed"))

    async def _take_next_job(self) -> Job:
        """Return the most urgent job, once the line has been silent long enough for it; a more urgent one may
        overtake."""
        while True:
            self._arrived.clear()
            if not self._queue:
                await self._arrived.wait()
                continue
            wait_s = self._earliest_start(self._queue[0][2]) - _loop_time()
            if wait_s <= 0:
                return heapq.heappop(self._queue)[2]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()

    def _earliest_start(self, job: Job) -> float:
        may_begin = self._free_at + job.silence_s
        # The late answer to a read cannot pass for the acknowledgement of a write: taking release away need not wait.
        harmless = job.request.is_write and self._late is not None and not self._late.is_write
        return may_begin if harmless else max(may_begin, self._quiet_until)

    async def _serve_job(self, job: Job) -> None:
        if job.is_abandoned:
            return
        try:
            self._admit_job(job)
            registers = await self._transfer_job(job)
        except (Unreachable, Garbled) as e:
            self._handle_no_answer(job, e)
        except ExceptionResponse as e:
            self._note_answer(job)
            self._retry_or_fail(Unreachable(str(e)) if e.busy and not job.request.is_write else e, job, e.busy)
        except DeviceError as e:
            job.deliver_error(e)
        except BaseException as e:
            job.deliver_error(Unreachable(f"{self.settings.name}: the line was closed in the middle of a transfer"))
            if not isinstance(e, asyncio.CancelledError):
                log.exception("line %s: a fault of this program", self.settings.name)
            raise
        else:
            self._note_answer(job)
            job.deliver_registers(registers)

    def _admit_job(self, job: Job) -> None:
        """Raise ``Refused`` for an order that a newer one has overtaken, ``Unreachable`` during a device's pause."""
        if job.wanted is not None and not job.wanted():
            raise Refused(f"{self.settings.name}: {job.request}: not sent, a newer order has overtaken it")
        silence = self._silences[job.request.unit]
        if _loop_time() < silence.until and not job.is_urgent and len(self._silences) > 1:
            raise _BackingOff(silence.why)

    async def _transfer_job(self, job: Job) -> list[int]:
        if not self._wire.is_connected:
            await self._connect_line(job)
        job.attempts += 1
        timeout_s = job.timeout_s + self.settings.line_time_s(job.request.octets_on_line)
        try:
            return await self._wire.transfer_request(job.request, timeout_s)
        finally:
            self._free_at = _loop_time()

    async def _connect_line(self, job: Job) -> None:
        if self._connect_error and _loop_time() < self._connect_at and not job.is_urgent:
            raise _BackingOff(str(self._connect_error))
        try:
            await self._wire.open_connection()
        except DeviceError as e:
            job.attempts += 1
            self._connect_error = e
            self._connect_at = _loop_time() + RECONNECT_S[min(self._connect_failures, len(RECONNECT_S) - 1)]
            self._connect_failures += 1
            raise
        self._connect_error, self._connect_failures, self._misses = None, 0, 0
        self.generation += 1

    def _handle_no_answer(self, job: Job, error: DeviceError) -> None:
        if isinstance(error, _BackingOff):
            job.deliver_error(Unreachable(str(error)))
            return
        silence = self._silences[job.request.unit]
        silence.record_no_answer(_loop_time(), str(error))
        self._misses += 1
        if self.settings.is_serial:
            self._quiet_until, self._late = _loop_time() + job.timeout_s, job.request
        elif self._misses >= HUNG_AFTER:
            self._wire.close_connection()
        self._retry_or_fail(error, job, job.is_urgent or not silence.is_backing_off)

    def _note_answer(self, job: Job) -> None:
        self._silences[job.request.unit].record_answer()
        self._misses = 0

    def _retry_or_fail(self, error: DeviceError, job: Job, sensible: bool) -> None:
        """Queue another attempt, at the end of a class so that a dead device does not delay the others, or fail."""
        if sensible and job.attempts < ATTEMPTS[job.priority] and not job.is_abandoned:
            self._enqueue_job(job)
        else:
            job.deliver_error(error)


class _BackingOff(Unreachable):
    """Not asked at all: the device or the line is in its pause."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()

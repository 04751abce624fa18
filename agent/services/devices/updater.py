"""The supervisor of the system updater."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from agent.domain.events import Event, FirmwareBooted, FirmwareCommitted, FirmwareInstalled, InstallOutcome
from agent.domain.orders import CommitFirmware, InstallFirmware
from agent.model.types import STATION, EvseId
from agent.ports import Broken, DeviceError, Refused, Unreachable
from agent.ports.updater import Untrusted
from agent.services.devices.supervisor import DeviceSupervisor, Opening, SupervisorServices
from agent.services.ordered_jobs import describe_defect

log = logging.getLogger(__name__)

T = TypeVar("T")

UPDATER_S = 300.0
"""An installation waits this long for an updater that cannot be opened. After a power cut a board checks its file
systems before the service of its updater starts: that takes minutes, and a job that fails costs another download."""


class UpdaterSupervisor(DeviceSupervisor):
    """The system updater.

    An order that it cannot carry out now waits until it can be opened, at most ``UPDATER_S``. One that finds its
    connection lost is tried once more when it is open again. A station without its updater charges as well as with it.
    """

    raises_fault = False
    orders = (InstallFirmware, CommitFirmware)

    def __init__(
        self, name: str, opening: Opening, post: Callable[[Event], None], image: Path, known: asyncio.Event
    ) -> None:
        """``image``: the file that is installed. ``known`` is set when the version that runs is known."""
        super().__init__(STATION, name, opening, post)
        self._image, self._known = image, known
        self._queue: asyncio.Queue[InstallFirmware | CommitFirmware] = asyncio.Queue()
        self._port: Any = None
        self._pending = False
        """The system that runs was not committed yet."""
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._tried_again = ""
        """The last job that was tried a second time."""
        self.version: str | None = None
        """What the updater calls the system that runs; None: it has not reported yet."""

    @classmethod
    def for_device(cls, evse: EvseId, name: str, opening: Opening, services: SupervisorServices) -> UpdaterSupervisor:
        return cls(name, opening, services.post_event, services.firmware_image, services.firmware_known)

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        running = await port.running()
        return f"firmware {running.version or 'without a version'}" + (", not committed yet" if running.pending else "")

    def accept_order(self, order: InstallFirmware | CommitFirmware) -> None:
        if isinstance(order, InstallFirmware):
            self._limit_waiting(order.job)
        self._queue.put_nowait(order)

    def _limit_waiting(self, job: str) -> None:
        self._waiting[job] = asyncio.get_running_loop().call_later(UPDATER_S, self._give_up_waiting, job)

    def _give_up_waiting(self, job: str) -> None:
        """Answer an order that no updater has taken. One that is open, and busy, is waited for."""
        if self._port is None:
            log.warning("firmware: not installed: %s was not open for %g s", self.name, UPDATER_S)
            self._report_outcome(job, InstallOutcome.NO_UPDATER)
        else:
            self._limit_waiting(job)

    def status_fields(self) -> dict[str, Any]:
        progress = getattr(self._port, "progress_percent", None)
        shown = {"version": self.version, "progress_percent": progress}
        return {name: value for name, value in shown.items() if value is not None}

    async def reboot_board(self) -> None:
        if self._port is not None:
            try:
                await self._port.reboot()
            except DeviceError as e:
                log.error("the board was not booted: %s", e)

    def _report_outcome(self, job: str, outcome: InstallOutcome) -> None:
        waiting = self._waiting.pop(job, None)
        if waiting is not None:
            waiting.cancel()
            self._post(FirmwareInstalled(job, outcome))

    async def operate_device(self, port: Any) -> None:
        self._port = port
        try:
            running = await port.running()
            self.version, self._pending = running.version, running.pending
            self._known.set()
            self._post(FirmwareBooted(running.pending, running.fell_back, running.version))
            while True:
                order = await self._queue.get()
                if isinstance(order, CommitFirmware):
                    await _without_defect(port.commit())
                    self._pending = False
                    self._post(FirmwareCommitted())
                elif order.job in self._waiting:
                    self._waiting[order.job].cancel()
                    await self._run_installation(port, order.job)
        finally:
            self._port = None

    async def _run_installation(self, port: Any, job: str) -> None:
        try:
            if self._pending:  # ordered before it was known
                raise Broken("the system that runs was not accepted yet: the other one is the only one to fall back to")
            outcome = InstallOutcome.REBOOT if await _without_defect(port.install(self._image)) else InstallOutcome.DONE
        except Untrusted as e:
            log.warning("firmware: %s", e)
            outcome = InstallOutcome.UNTRUSTED
        except Refused as e:
            log.warning("firmware: %s", e)
            outcome = InstallOutcome.UNFIT
        except Unreachable:
            self._retry_once(job)
            raise  # of this opening nothing more is to be expected: the updater is opened again
        except DeviceError as e:
            log.warning("firmware: %s", e)
            outcome = InstallOutcome.FAILED
        self._report_outcome(job, outcome)

    def _retry_once(self, job: str) -> None:
        """Queue the job again, as an order that waits for an updater; the second time it has failed."""
        if job == self._tried_again:
            self._report_outcome(job, InstallOutcome.FAILED)
            return
        self._tried_again = job
        self.accept_order(InstallFirmware(job))


async def _without_defect(work: Awaitable[T]) -> T:
    """Return the result of the work. Raise ``DeviceError`` for every failure.

    What an updater does beyond its contract is a failed job too: no firmware is worth the sessions that run.
    """
    try:
        return await work
    except DeviceError:
        raise
    except Exception as e:
        raise Broken(f"the updater failed: {describe_defect(e)}") from e

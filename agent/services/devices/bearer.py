"""The supervisor of a bearer: it reports the state, and carries out one order after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agent.domain.events import BearerReported, BearerSet, Event, SimUnlockEnded
from agent.domain.orders import BearerOrder, ConfigureBearer, ResetBearer, SetBearer, UnlockSim
from agent.model.bearer import ApnAccess, BearerStatus
from agent.model.types import EvseId
from agent.ports import DeviceError, Refused
from agent.ports.bearer import ApnPort, PinNotPresented
from agent.services.devices.supervisor import DeviceSupervisor, Opening

log = logging.getLogger(__name__)

POLL_S = 2.0
"""A lost carrier is known after so long."""


class BearerSupervisor(DeviceSupervisor):
    """One bearer. What it refuses is logged: the domain looks at the state."""

    orders = (SetBearer, ResetBearer, UnlockSim, ConfigureBearer)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self.status: BearerStatus | None = None
        """What the bearer reported last, with its counters."""
        self._reported: BearerStatus | None = None
        self._takes_apn: bool | None = None
        """Whether the driver can use another APN; None: it was not open yet."""
        self._queue: asyncio.Queue[BearerOrder] = asyncio.Queue()
        self._has_unlock_order = False
        """Whether an order to unlock waits, or is carried out. A second one would use a PIN twice."""

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        return describe_status(await port.read_status())

    def accept_order(self, order: BearerOrder) -> None:
        if order.bearer != self.name:
            return
        is_second = isinstance(order, UnlockSim) and self._has_unlock_order
        if not self.open or is_second:
            self._drop_order(order)
            return
        self._has_unlock_order = self._has_unlock_order or isinstance(order, UnlockSim)
        self._queue.put_nowait(order)

    def _drop_order(self, order: BearerOrder) -> None:
        """Leave out what the device cannot get. A PIN must not count as used then."""
        if isinstance(order, UnlockSim):
            self._post(SimUnlockEnded(self.name, is_presented=False))

    async def operate_device(self, port: Any) -> None:
        self._reported = None  # what was ordered before it was opened is out of date: the domain orders again
        self._takes_apn = isinstance(port, ApnPort)
        while True:
            self._report_status(await port.read_status())
            try:
                async with asyncio.timeout(POLL_S):
                    order = await self._queue.get()
            except TimeoutError:
                continue
            await self._carry_out(port, order)

    async def _carry_out(self, port: Any, order: BearerOrder) -> None:
        try:
            match order:
                case SetBearer(_, on):
                    await (port.bring_up() if on else port.take_down())
                case ResetBearer(_, step):
                    log.warning("%s: recovery: %s", self.name, step)
                    await port.reset_bearer(step)
                case UnlockSim(_, pin_mark):
                    await self._unlock_sim(port, pin_mark)
                case ConfigureBearer(_, access):
                    await self._use_apn_access(port, access)
        except Refused as e:
            log.warning("%s: %s", self.name, e)
        if isinstance(order, SetBearer):
            self._report_status(await port.read_status())
            self._post(BearerSet(self.name))

    async def _use_apn_access(self, port: Any, access: ApnAccess | None) -> None:
        try:
            await port.take_down()
        except Refused as e:  # the connection ends later, or the recovery ends it: the next one has the access
            log.warning("%s: %s", self.name, e)
        if not isinstance(port, ApnPort):
            raise Refused("this driver takes its APN from elsewhere")
        await port.use_apn_access(access)
        self._reported = None  # what the SIM needs is judged again
        log.info("%s: APN %s", self.name, "of the station file" if access is None else access.apn)

    async def _unlock_sim(self, port: Any, pin_mark: str) -> None:
        """Present the PIN. What the SIM is after it is reported before the end."""
        is_presented = True
        try:
            try:
                await port.unlock_sim(pin_mark)
            except Refused as e:
                is_presented = not isinstance(e, PinNotPresented)
                log.warning("%s: %s", self.name, e)
            self._report_status(await port.read_status())
        finally:
            self._has_unlock_order = False
            self._post(SimUnlockEnded(self.name, is_presented))

    def _report_status(self, status: BearerStatus) -> None:
        self.status = status
        if self._reported is None or status.differs_from(self._reported):
            self._reported = status
            self._post(BearerReported(self.name, status, self._takes_apn))

    async def _on_failure(self, error: DeviceError) -> None:
        while not self._queue.empty():
            self._drop_order(self._queue.get_nowait())
        self._has_unlock_order = False
        self._report_status(BearerStatus(reason=str(error)))
        await super()._on_failure(error)


def describe_status(status: BearerStatus) -> str:
    """Return the state of a bearer as one line for a technician. A SIM is shown by the last digits of its ICCID."""
    named = {
        "interface": status.interface,
        "address": status.address,
        "SIM": "" if status.sim == "not used" else f"{status.sim} (ICCID …{status.iccid[-4:]})",
        "registration": "" if status.registration == "unknown" else str(status.registration),
        "operator": status.operator,
        "technology": status.technology,
        "signal": "" if status.signal_dbm is None else f"{status.signal_dbm} dBm",
    }
    parts = [f"{name} {value}" for name, value in named.items() if value]
    return ", ".join([str(status.state), *parts]) + (f": {status.reason}" if status.reason else "")

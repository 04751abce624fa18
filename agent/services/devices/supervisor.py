"""Supervisors: open a device, use it, and when it fails close it, back off and open it again. A ``DeviceError``
becomes a fault of the EVSE; any other exception is a defect and ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CardPresented,
    Event,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterKnown,
    RawMeterReading,
)
from agent.domain.orders import Order, ReadMeter, Show
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.model.fastclass import frozen
from agent.model.slim_event import SlimEvent
from agent.model.types import STATION, EvseId, Fault, MeterIdentity, Reading, Screen
from agent.ports import Broken, DeviceError, Exchanged, Garbled, Unreachable

if TYPE_CHECKING:
    from agent.services.watchdog import LivenessSignal

log = logging.getLogger(__name__)

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
BROKEN_S = 30.0
PATIENCE = 2
"""How many failures in a row before a fault is raised: one hiccup is no fault."""
NONSENSE = 3
FLAPPING = 5
GOOD_S = 30.0
"""How long a device must work before its failures are forgotten: one that opens and fails again and again is no
working device. Until then its fault stays raised."""

Opening = Callable[[], AbstractAsyncContextManager[Any]]


@frozen
class SupervisorServices:
    """What the station offers to its supervisors."""

    post_event: Callable[[Event], None]
    liveness: LivenessSignal
    """Feeds the watchdogs of the boards."""
    firmware_image: Path
    """Where fetched firmware lies."""
    firmware_known: asyncio.Event
    """Is set when the version of the firmware that runs is known."""
    boot_stamp: Callable[[], tuple[int, float]]
    """Return the boot of the kernel and the seconds in it."""


class DeviceSupervisor:
    """``fault`` is raised after ``PATIENCE`` failed openings in a row and cleared by a success. ``seen`` is set when
    the device was opened, or could not be, for the first time."""

    fault = Fault.DEVICE_SILENT
    raises_fault = True
    """False: the station is as good without this device, only the log and the status socket report its failures."""
    orders: tuple[type[Order], ...] = ()
    """The orders for a device that ``accept_order`` takes."""

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        self.evse = evse
        self.name = name
        self.seen: asyncio.Event = SlimEvent()
        self.open = False
        self.trouble = ""
        self._opening = opening
        self._post = post
        self._failures = self._flaps = 0
        self._raised: Fault | None = None
        self._clearing: asyncio.TimerHandle | None = None
        self._leaving = False

    @classmethod
    def for_device(cls, evse: EvseId, name: str, opening: Opening, services: SupervisorServices) -> DeviceSupervisor:
        """Make the supervisor of one device."""
        return cls(evse, name, opening, services.post_event)

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        """Return what an open device says about itself, for ``chargy-agent probe``. Nothing is switched or shown."""
        return getattr(port, "about", "") or "opened; it says nothing of itself: see it with chargy-agent verify"

    @property
    def has_pending_orders(self) -> bool:
        """True if an order is not carried out yet for which the end of the process waits."""
        return False

    def status_fields(self) -> dict[str, Any]:
        """Return what the status socket shows of this device beside its name and its error."""
        return {}

    def places_of_orders(self, outlets: Collection[EvseId]) -> tuple[EvseId, ...]:
        """Return the places whose orders this device takes. ``outlets``: the EVSEs that a device of the station
        serves."""
        return (self.evse,) if self.evse != STATION else (STATION, *outlets)

    def places_of_kind(self, kind: type[Order], outlets: Collection[EvseId]) -> tuple[EvseId, ...]:
        """Return the places whose orders of this kind this device takes."""
        return self.places_of_orders(outlets)

    def before_event(self, event: Event) -> None:
        """Note that the domain is about to learn that the board of this EVSE has opened."""

    def accept_order(self, order: Any) -> None:
        """Take one of ``orders``. Nothing of it blocks."""

    def prepare_to_stop(self) -> None:
        """Call before the task is cancelled: a ``TaskGroup`` whose device fails at the same moment swallows the
        cancellation (Python 3.11), and the supervisor would go on."""
        self._leaving = True

    async def run(self) -> None:
        while not self._leaving:
            error: DeviceError = Unreachable("closed by itself")
            opened_s = asyncio.get_running_loop().time()
            try:
                async with self._opening() as port:
                    self._on_opened()
                    await self.operate_device(port)
            except* DeviceError as group:
                error = _first_error(group)
            finally:
                self._cancel_clearing()
            if self.open and asyncio.get_running_loop().time() - opened_s > GOOD_S:
                self._failures = self._flaps = 0
            self._flaps += self.open  # a device that was merely away may serve at once when it is back
            self.open = False
            await self._on_failure(error)

    async def operate_device(self, port: Any) -> None:
        """Work with the open device until it fails."""
        raise NotImplementedError

    def _on_opened(self) -> None:
        self.open = True
        self.seen.set()
        if self._raised is not None:
            wait_s = 0.0 if self._flaps <= FLAPPING else GOOD_S
            self._clearing = asyncio.get_running_loop().call_later(wait_s, self._clear_fault)

    def _clear_fault(self) -> None:
        if self._raised is not None:
            log.warning("%s: works again", self.name)
            self._post_fault(FaultCleared(self.evse, self._raised))
            self._raised, self.trouble = None, ""

    def _cancel_clearing(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None

    async def _on_failure(self, error: DeviceError) -> None:
        self._failures += 1
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("%s: %s", self.name, error)
        if (self._failures >= PATIENCE or isinstance(error, Broken)) and self._raised is None:
            self._raised = self.fault_for_error(error)
            self._post_fault(FaultRaised(self.evse, self._raised))
        self.seen.set()
        wait_s = BROKEN_S if isinstance(error, Broken) else BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]
        await asyncio.sleep(wait_s)

    def _post_fault(self, event: FaultRaised | FaultCleared) -> None:
        if self.raises_fault:
            self._post(event)

    def fault_for_error(self, error: DeviceError) -> Fault:
        return self.fault


def _first_error(group: BaseExceptionGroup[DeviceError]) -> DeviceError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, DeviceError)
    return error


class MeterSupervisor(DeviceSupervisor):
    """A meter and its requests. Readings for the bill come first. A live request is dropped if one is queued."""

    fault = Fault.METER_SILENT
    orders = (ReadMeter,)
    WAIT_OPEN_S = 5.0
    IDLE_POLL_S = 10.0

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self.identity: MeterIdentity | None = None
        self._requests: list[tuple[int, int, ReadMeter, float]] = []  # a heap: an empty queue of asyncio takes 2 KiB
        self._requested = SlimEvent()
        self._count = 0
        self._live = False
        self._garbled = 0

    def accept_order(self, order: ReadMeter) -> None:
        if order.purpose.kind is ReadingKind.LIVE:
            if self._live or not self.open:
                return
            self._live = True
        self._count += 1
        asked_s = asyncio.get_running_loop().time()
        heapq.heappush(self._requests, (0 if order.billing else 1, self._count, order, asked_s))
        self._requested.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._refuse_while_closed())

    async def _refuse_while_closed(self) -> None:
        """Answer requests that have waited too long for a meter that is not open."""
        while True:
            await asyncio.sleep(1.0 if not self.open else self.IDLE_POLL_S)
            late = asyncio.get_running_loop().time() - self.WAIT_OPEN_S
            while not self.open and self._requests and self._requests[0][3] <= late:
                self._fail_request(heapq.heappop(self._requests)[2])

    async def operate_device(self, port: Any) -> None:
        self.identity = None
        self._report_identity(port.identity)
        while True:
            if not self._requests:
                await self.wait_for_request()
            poll = ReadMeter(self.evse, ReadingPurpose(ReadingKind.POLL))
            await self._answer_request(port, heapq.heappop(self._requests)[2] if self._requests else poll)

    async def wait_for_request(self) -> None:
        """Return when a request waits, or when an idle meter is to be polled."""
        self._requested.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.IDLE_POLL_S):
                await self._requested.wait()

    def _report_identity(self, identity: MeterIdentity) -> None:
        """Report each meter once: before its first reading, and when another meter answers."""
        if identity != self.identity:
            self.identity = identity
            self._post(MeterKnown(self.evse, identity))

    async def _answer_request(self, port: Any, order: ReadMeter) -> None:
        try:
            reading = await _read_meter(port, order)
        except Garbled as e:
            self._fail_request(order)
            self._count_garbled(e)
            return
        except DeviceError:
            self._fail_request(order)
            raise
        finally:
            self._live = self._live and order.purpose.kind is not ReadingKind.LIVE
        if self._garbled >= NONSENSE:
            self._post(FaultCleared(self.evse, Fault.METER_IMPLAUSIBLE))
        self._garbled = 0
        self._report_identity(port.identity)
        self._post(RawMeterReading(self.evse, order.purpose, reading))

    def _count_garbled(self, error: Garbled) -> None:
        """Drop one impossible value. Three in a row are a fault, and the meter is reopened: the value it was compared
        with may be the wrong one."""
        self._garbled += 1
        if self._garbled == 1:
            log.warning("%s: %s", self.name, error)
        if self._garbled == NONSENSE:
            self._post(FaultRaised(self.evse, Fault.METER_IMPLAUSIBLE))
        if self._garbled % NONSENSE == 0:
            raise error

    def _fail_request(self, order: ReadMeter) -> None:
        self._live = self._live and order.purpose.kind is not ReadingKind.LIVE
        self._post(MeterFailed(self.evse, order.purpose))

    def fault_for_error(self, error: DeviceError) -> Fault:
        return Fault.METER_EXCHANGED if isinstance(error, Exchanged) else Fault.METER_SILENT


async def _read_meter(port: Any, order: ReadMeter) -> Reading:
    if order.signing is not None and port.identity.signs:
        found: Reading = await port.read_signed(order.signing)
    else:
        found = await (port.read_billing() if order.billing else port.read())
    return found


class ReaderSupervisor(DeviceSupervisor):
    fault = Fault.READER_SILENT

    async def operate_device(self, port: Any) -> None:
        async for tap in port.taps():
            self._post(CardPresented(self.evse, tap.token, tap.reason))


class ButtonsSupervisor(DeviceSupervisor):
    fault = Fault.READER_SILENT

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        return f"keys: {', '.join(sorted(port.names))}"

    async def operate_device(self, port: Any) -> None:
        self._post(ButtonsKnown(tuple(port.names)))
        async for name in port.presses():
            self._post(ButtonPressed(name))


class NewestScreens:
    """The newest screen of each outlet, that of the outlet of the newest act first. ``changed`` is set by each one."""

    def __init__(self) -> None:
        self.changed: asyncio.Event = SlimEvent()
        self._by_outlet: dict[EvseId, Screen] = {}

    def note_screen(self, order: Show) -> None:
        before = self._by_outlet.get(order.evse)
        self._by_outlet[order.evse] = order.screen
        if before is not None and before.acts != order.screen.acts:
            self._by_outlet = {order.evse: order.screen, **self._by_outlet}
        self.changed.set()

    def screens_in_order(self) -> list[Screen]:
        return [*self._by_outlet.values()]


class DisplaySupervisor(DeviceSupervisor):
    """The newest screen of each outlet is what is shown, the outlet of the newest act first; the screens in between
    are skipped."""

    fault = Fault.DISPLAY_SILENT
    orders = (Show,)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self._screens = NewestScreens()

    def accept_order(self, order: Show) -> None:
        self._screens.note_screen(order)

    async def operate_device(self, port: Any) -> None:
        while True:
            if screens := self._screens.screens_in_order():
                await port.show(*screens)
            await self._screens.changed.wait()
            self._screens.changed.clear()

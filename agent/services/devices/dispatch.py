"""Pass the orders of the domain to those that carry them out: the supervisors of devices, files, keys.

Two tables say where an order goes: ``ANSWERS_WITHOUT_DEVICE`` has every order for a device, and what answers it if the
station has no such device; an ``OrderExecutor`` names the orders that need no device.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

from agent.domain.events import (
    BoardOpened,
    Event,
    FirmwareInstalled,
    InstallOutcome,
    MeterFailed,
    ReleaseWithdrawn,
    UnlockTried,
)
from agent.domain.orders import (
    ClearFaults,
    CommitFirmware,
    ConfigureBearer,
    Feedback,
    InstallFirmware,
    LogNote,
    Order,
    ReadMeter,
    ResetBearer,
    SetBearer,
    SetHold,
    SetLamp,
    SetLimit,
    SetRelease,
    SetService,
    Show,
    Unlock,
    UnlockSim,
)
from agent.domain.terminal_messages import (
    AuthorizePayment,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    RaisePayment,
    TerminalOrder,
    VoidPayment,
)
from agent.model.types import STATION, EvseId
from agent.services.devices.supervisor import DeviceSupervisor

log = logging.getLogger(__name__)

Post: TypeAlias = Callable[[Event], None]
S = TypeVar("S", bound=DeviceSupervisor)


class OrderExecutor(Protocol):
    """Carries out orders that need no device."""

    @property
    def orders(self) -> Collection[type[Order]]: ...
    def accept_order(self, order: Any) -> None: ...


class LateExecutor:
    """Makes the executor of these orders when the first one comes: most stations never have one."""

    def __init__(self, orders: Collection[type[Order]], make_executor: Callable[[], OrderExecutor]) -> None:
        self.orders = orders
        self._make_executor, self._is_closed = make_executor, False
        self._executor: Any = None

    def accept_order(self, order: Any) -> None:
        if self._is_closed:
            return
        if self._executor is None:
            self._executor = self._make_executor()
        self._executor.accept_order(order)

    def close_intake(self) -> Any:
        """Take no more orders. Return the executor; None: there is none."""
        self._is_closed = True
        return self._executor


def _answer_nothing(order: Order, post: Post) -> None:
    """A level has no answer: the domain looks at what devices report."""


def _answer_release(order: SetRelease, post: Post) -> None:
    if not order.on:  # to give release has no answer: without a board the EVSE is out of service
        post(ReleaseWithdrawn(order.evse))


def _answer_unlock(order: Unlock, post: Post) -> None:
    post(UnlockTried(order.evse, order.request, False))


def _answer_reading(order: ReadMeter, post: Post) -> None:
    post(MeterFailed(order.evse, order.purpose))


def _answer_installation(order: InstallFirmware, post: Post) -> None:
    post(FirmwareInstalled(order.job, InstallOutcome.NO_UPDATER))


def _answer_payment(order: TerminalOrder, post: Post) -> None:
    from agent.services.devices.terminal import answer_unserved  # most stations have none

    answer_unserved(order, post)


ANSWERS_WITHOUT_DEVICE: dict[type[Order], Callable[[Any, Post], None]] = {
    SetRelease: _answer_release,
    SetLimit: _answer_nothing,
    SetService: _answer_nothing,
    SetHold: _answer_nothing,
    Unlock: _answer_unlock,
    ClearFaults: _answer_nothing,
    ReadMeter: _answer_reading,
    Show: _answer_nothing,
    SetLamp: _answer_nothing,
    Feedback: _answer_nothing,
    OfferPayment: _answer_payment,
    AuthorizePayment: _answer_payment,
    CancelPayment: _answer_payment,
    CommitPayment: _answer_payment,
    VoidPayment: _answer_payment,
    RaisePayment: _answer_payment,
    InstallFirmware: _answer_installation,
    CommitFirmware: _answer_nothing,
    SetBearer: _answer_nothing,
    ConfigureBearer: _answer_nothing,
    ResetBearer: _answer_nothing,
    UnlockSim: _answer_nothing,
}
REPEATED_LEVELS = (Show, SetLamp)
"""Levels that a device which comes late is given at once. A board starts without release, and the domain orders its
levels again when it has opened."""


KEPT_UNTIL_DEVICES = (InstallFirmware, CommitFirmware)
"""Orders that a resumed job may give before the devices are composed. The answer that there is none would end it."""


class LogNotes:
    """Writes the lines that the domain has for the log."""

    orders = (LogNote,)

    def accept_order(self, order: LogNote) -> None:
        place = order.part if order.evse == STATION else f"EVSE {order.evse}: {order.part}"
        log.warning("%s: %s", place, order.text)


class OrderDispatch:
    """Passes each order to its executor. An order that expects an answer gets one, also without a device for it."""

    def __init__(self, post: Post, executors: Iterable[OrderExecutor] = ()) -> None:
        self.supervisors: list[DeviceSupervisor] = []
        self._post = post
        accepting = [(e.orders, e.accept_order) for e in (LogNotes(), *executors)]
        self._executors = {kind: accept for orders, accept in accepting for kind in orders}
        self._by_order: dict[tuple[type[Order], EvseId], list[DeviceSupervisor]] = {}
        self._levels: dict[tuple[type[Order], EvseId], Order] = {}
        self._early_orders: list[Order] | None = []
        """Orders that wait until all devices are known; None: they are."""

    def add_supervisor(self, supervisor: DeviceSupervisor, outlets: Collection[EvseId] = ()) -> None:
        """Pass orders to this supervisor from now on. ``outlets``: the EVSEs that a device of the station serves."""
        self.supervisors.append(supervisor)
        for kind in supervisor.orders:
            if kind not in ANSWERS_WITHOUT_DEVICE:
                raise TypeError(f"{type(supervisor).__name__}.orders: {kind.__name__} is no order for a device")
            for place in supervisor.places_of_kind(kind, outlets):
                self._by_order.setdefault((kind, place), []).append(supervisor)
                if (kind, place) in self._levels:
                    supervisor.accept_order(self._levels[kind, place])

    def note_devices_known(self) -> None:
        """Note that no further device comes, and pass on what has waited for that."""
        early, self._early_orders = self._early_orders or [], None
        for order in early:
            self.dispatch_order(order)

    def supervisors_of(self, kind: type[S]) -> list[S]:
        return [s for s in self.supervisors if isinstance(s, kind)]

    def newest_level(self, kind: type[Order], evse: EvseId) -> Any:
        """Return the newest order of a kind in ``REPEATED_LEVELS``; None: there was none."""
        return self._levels.get((kind, evse))

    def before_event(self, event: Event) -> None:
        """The engine is about to handle this event."""
        if isinstance(event, BoardOpened):
            for supervisor in self.supervisors:
                if supervisor.evse == event.evse:
                    supervisor.before_event(event)

    def dispatch_order(self, order: Order) -> None:
        kind = type(order)
        if kind in self._executors:
            self._executors[kind](order)
        elif kind in ANSWERS_WITHOUT_DEVICE:
            self._dispatch_to_devices(kind, order)
        else:
            log.error("%s: a defect: it has no executor, nothing was done", kind.__name__)

    def _dispatch_to_devices(self, kind: type[Order], order: Any) -> None:
        place: EvseId = order.terminal if isinstance(order, TerminalOrder) else getattr(order, "evse", STATION)
        if kind in REPEATED_LEVELS:
            self._levels[kind, place] = order
        supervisors = self._by_order.get((kind, place))
        if kind in KEPT_UNTIL_DEVICES and self._early_orders is not None:
            self._early_orders.append(order)
            return
        if supervisors is None:
            ANSWERS_WITHOUT_DEVICE[kind](order, self._post)
            return
        for supervisor in supervisors:
            supervisor.accept_order(order)

    async def wait_until_settled(self, patience_s: float) -> None:
        """Wait until the boards have their orders and the terminals have answered every settlement, at most
        ``patience_s``."""
        end_s = asyncio.get_running_loop().time() + patience_s
        while any(s.has_pending_orders for s in self.supervisors):
            if asyncio.get_running_loop().time() > end_s:
                return
            await asyncio.sleep(0.02)

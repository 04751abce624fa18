"""Passes orders for hardware to the supervisor of the device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.domain.events import BoardOpened, Event, MeterFailed, ReleaseWithdrawn, UnlockTried
from agent.domain.orders import (
    ClearFaults,
    Feedback,
    LogNote,
    Order,
    ReadMeter,
    SetHold,
    SetLamp,
    SetLimit,
    SetRelease,
    SetService,
    Show,
    Unlock,
)
from agent.domain.terminal_messages import TerminalOrder
from agent.model.types import STATION, EvseId
from agent.services.devices.board import BoardSupervisor
from agent.services.devices.indicators import BuzzerSupervisor, LampSupervisor
from agent.services.devices.supervisor import DisplaySupervisor, MeterSupervisor
from agent.services.files.orders import FileOrders
from agent.services.keys.orders import KeyOrders

if TYPE_CHECKING:
    from agent.services.devices.terminal import TerminalSupervisor

log = logging.getLogger(__name__)


class OrderDispatch:
    """Passes orders for hardware to the supervisor of the device. An order for a device that is not configured is
    answered, never lost."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        self.boards: dict[EvseId, BoardSupervisor] = {}
        self.meters: dict[EvseId, MeterSupervisor] = {}
        self.displays: dict[EvseId, DisplaySupervisor] = {}
        self.lamps: dict[EvseId, LampSupervisor] = {}
        self.buzzer: BuzzerSupervisor | None = None
        self.terminals: dict[EvseId, TerminalSupervisor] = {}
        self.files: FileOrders | None = None
        self.keys: KeyOrders | None = None
        self._post = post

    def before_event(self, event: Event) -> None:
        """The engine is about to handle this event."""
        if isinstance(event, BoardOpened) and event.evse in self.boards:
            self.boards[event.evse].before_event(event)

    def dispatch_order(self, order: Order) -> None:
        match order:
            case Show(evse):
                if evse in self.displays:
                    self.displays[evse].accept_order(order)
            case SetLamp(evse) if evse in self.lamps:
                self.lamps[evse].accept_order(order)
            case Feedback():
                self._dispatch_signal(order)
            case ReadMeter(evse, purpose):
                if evse in self.meters:
                    self.meters[evse].accept_order(order)
                else:
                    self._post(MeterFailed(evse, purpose))
            case TerminalOrder(terminal):
                self._dispatch_to_terminal(terminal, order)
            case LogNote(evse, text, part):
                log.warning("EVSE %d: %s: %s", evse, part, text)
            case Unlock(evse, request) if evse not in self.boards:
                self._post(UnlockTried(evse, request, False))
            case SetRelease(evse, False) if evse not in self.boards:
                self._post(ReleaseWithdrawn(evse))
            case (
                SetRelease(evse) | SetLimit(evse) | SetService(evse) | SetHold(evse) | Unlock(evse) | ClearFaults(evse)
            ):
                if evse in self.boards:
                    self.boards[evse].accept_order(order)
            case _ if self.keys is not None and self.keys.accept_order(order):
                pass
            case _ if self.files is not None:
                self.files.accept_order(order)
            case _:
                pass

    def _dispatch_to_terminal(self, terminal: EvseId, order: TerminalOrder) -> None:
        if terminal in self.terminals:
            self.terminals[terminal].accept_order(order)
            return
        from agent.services.devices.terminal import answer_unserved  # most stations have none

        answer_unserved(order, self._post)

    def _dispatch_signal(self, order: Feedback) -> None:
        for number, lamp in self.lamps.items():
            if order.evse in (STATION, number):
                lamp.accept_order(order)
        if self.buzzer is not None:
            self.buzzer.accept_order(order)

    async def wait_until_settled(self, patience_s: float) -> None:
        """Wait until the boards have their orders and the terminals have answered every settlement, at most
        ``patience_s``."""
        end_s = asyncio.get_running_loop().time() + patience_s
        while any(b.has_pending_orders for b in self.boards.values()) or any(
            t.has_pending_settlement for t in self.terminals.values()
        ):
            if asyncio.get_running_loop().time() > end_s:
                return
            await asyncio.sleep(0.02)

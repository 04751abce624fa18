"""Orders to hardware find their keeper."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.domain.events import BoardOpened, Event, MeterFailed, ReleaseWithdrawn, UnlockTried
from agent.domain.orders import (
    ClearFaults,
    Note,
    Order,
    ReadMeter,
    SetHold,
    SetLamp,
    SetLimit,
    SetRelease,
    SetService,
    Show,
    Signal,
    Unlock,
)
from agent.domain.terminal_messages import TerminalOrder
from agent.model.types import STATION, EvseId
from agent.services.devices.board import BoardKeeper
from agent.services.devices.indicators import BuzzerKeeper, LampKeeper
from agent.services.devices.supervisor import DisplayKeeper, MeterKeeper
from agent.services.files.orders import Files
from agent.services.keys.orders import Keys

if TYPE_CHECKING:
    from agent.services.devices.terminal import TerminalKeeper

log = logging.getLogger(__name__)


class Hands:
    """Orders to hardware find their keeper. An order for a device that is not composed is answered, never lost."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        self.boards: dict[EvseId, BoardKeeper] = {}
        self.meters: dict[EvseId, MeterKeeper] = {}
        self.displays: dict[EvseId, DisplayKeeper] = {}
        self.lamps: dict[EvseId, LampKeeper] = {}
        self.buzzer: BuzzerKeeper | None = None
        self.terminals: dict[EvseId, TerminalKeeper] = {}
        self.files: Files | None = None
        self.keys: Keys | None = None
        self._post = post

    def hearing(self, event: Event) -> None:
        """The engine is about to handle this event."""
        if isinstance(event, BoardOpened) and event.evse in self.boards:
            self.boards[event.evse].hearing(event)

    def do(self, order: Order) -> None:
        match order:
            case Show(evse):
                if evse in self.displays:
                    self.displays[evse].do(order)
            case SetLamp(evse) if evse in self.lamps:
                self.lamps[evse].do(order)
            case Signal():
                self._signal(order)
            case ReadMeter(evse, purpose):
                if evse in self.meters:
                    self.meters[evse].do(order)
                else:
                    self._post(MeterFailed(evse, purpose))
            case TerminalOrder(terminal):
                self._pay(terminal, order)
            case Note(evse, text, part):
                log.warning("EVSE %d: %s: %s", evse, part, text)
            case Unlock(evse, request) if evse not in self.boards:
                self._post(UnlockTried(evse, request, False))
            case SetRelease(evse, False) if evse not in self.boards:
                self._post(ReleaseWithdrawn(evse))
            case (
                SetRelease(evse) | SetLimit(evse) | SetService(evse) | SetHold(evse) | Unlock(evse) | ClearFaults(evse)
            ):
                if evse in self.boards:
                    self.boards[evse].do(order)
            case _ if self.keys is not None and self.keys.do(order):
                pass
            case _ if self.files is not None:
                self.files.do(order)
            case _:
                pass

    def _pay(self, terminal: EvseId, order: TerminalOrder) -> None:
        if terminal in self.terminals:
            self.terminals[terminal].do(order)
            return
        from agent.services.devices.terminal import unserved  # most stations have none

        unserved(order, self._post)

    def _signal(self, order: Signal) -> None:
        for number, lamp in self.lamps.items():
            if order.evse in (STATION, number):
                lamp.do(order)
        if self.buzzer is not None:
            self.buzzer.do(order)

    async def settled(self, patience_s: float) -> None:
        """Wait until the boards have what was ordered and the terminals have answered for money, or the patience is
        over."""
        end_s = asyncio.get_running_loop().time() + patience_s
        while any(b.busy for b in self.boards.values()) or any(t.busy for t in self.terminals.values()):
            if asyncio.get_running_loop().time() > end_s:
                return
            await asyncio.sleep(0.02)

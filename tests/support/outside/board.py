"""A board in one file: its settings, its port and its driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Annotated

from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.key_rules import Between, HostName, TcpPort
from agent.model.types import Limit
from agent.ports import DeviceError, Garbled, Unreachable
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort
from tests.support.outside.line import JsonLine, number_of

POLL_S = 0.1
MISSED_POLLS = 3


@dataclass(frozen=True, slots=True)
class OutsideBoardSettings:
    host: HostName
    port: TcpPort = 4002
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 1.0
    watchdog_s: Annotated[int, Between(1, 60, "seconds")] = 10


class OutsideBoard:
    """``agent.ports.evse.EvsePort``. ``_released`` and ``_limit_a`` are the levels that are wanted now."""

    def __init__(self, line: JsonLine, where: Where) -> None:
        self.traits = EvseTraits(phases=where.facts.phases, max_a=where.facts.max_a, counts_plugged=True)
        self._line = line
        self._released = False
        self._limit_a = self.traits.max_a

    async def start_board(self, watchdog_s: int) -> None:
        await self._send_release()
        await self._line.ask(f"WATCHDOG {watchdog_s}")

    async def state(self) -> EvseState:
        answer = await self._line.ask("STATE")
        try:
            pilot = Pilot(str(answer.get("pilot")))
        except ValueError as e:
            raise Garbled("pilot is no state of IEC 61851-1") from e
        return EvseState(
            pilot=pilot,
            pwm=answer.get("pwm") is True,
            cable=answer.get("cable") is True,
            locked=answer.get("locked") is True,
            contactor=answer.get("contactor") is True,
            released=answer.get("released") is True,
            offered_a=number_of(answer, "offered_a"),
            plugged_s=number_of(answer, "plugged_s"),
        )

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        missed = 0
        while True:
            try:
                now = await self.state()
                missed = 0
            except DeviceError as e:
                missed += 1
                if missed == MISSED_POLLS:
                    raise Unreachable(f"{e} ({missed} polls missed)") from e
            else:
                if last is not None and (now.plugged_s or 0.0) < (last.plugged_s or 0.0) and now.vehicle_connected:
                    yield replace(now, pilot=Pilot.A, cable=False, contactor=False, plugged_s=0.0)  # exchanged
                if now != last:
                    last = now
                    yield now
            await asyncio.sleep(POLL_S)

    async def set_release(self, on: bool) -> None:
        self._released = on
        await self._send_release()

    async def set_limit(self, limit: Limit) -> float:
        bounds = [self.traits.max_a, *([limit.current_a] if limit.current_a is not None else [])]
        self._limit_a = min(bounds) if min(bounds) >= self.traits.min_a else 0.0
        if self._limit_a:
            await self._line.ask(lambda: f"LIMIT {self._limit_a:g}")
        await self._send_release()
        return self._limit_a

    async def set_service(self, on: bool) -> None:
        await self._line.ask(f"SERVICE {on:d}")

    async def set_hold(self, on: bool) -> None:
        """The board frees the cable by itself."""

    async def unlock(self) -> bool:
        return (await self._line.ask("UNLOCK")).get("locked") is False

    async def clear_fault(self) -> None:
        """Faults go with their cause."""

    async def beat(self) -> None:
        await self._line.ask("BEAT")

    async def _send_release(self) -> None:
        await self._line.ask(lambda: f"RELEASE {self._released and self._limit_a > 0:d}")


@asynccontextmanager
async def open_board(settings: OutsideBoardSettings, where: Where) -> AsyncIterator[EvsePort]:
    line = JsonLine(f"board of EVSE {where.evse}", settings.host, settings.port, settings.timeout_s)
    board = OutsideBoard(line, where)
    try:
        await board.start_board(settings.watchdog_s)
        yield board
    finally:
        with suppress(DeviceError):
            await board.set_release(False)
        line.hang_up()


DRIVER = Driver("outside_board", "evse", OutsideBoardSettings, open_board)

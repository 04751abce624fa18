"""Supervisors of the small devices: the power-fail input, lamps, the buzzer. No other part waits for any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from agent.domain.events import Event, SupplyChanged
from agent.domain.orders import Feedback, SetLamp
from agent.model.types import STATION, EvseId, Fault, Lamp, Light, Sign
from agent.services.devices.supervisor import DeviceSupervisor, Opening

BLINK_S = 0.25
"""Real seconds of light, and of darkness, when a lamp blinks: 2 Hz is visible, and far from frequencies that do
harm."""
FIRST_SUPPLY_S = 3.0
"""How long ``probe`` waits for what the power-fail input says first."""
COLOURS = {Sign.ACCEPTED: Lamp.GREEN, Sign.REFUSED: Lamp.RED, Sign.FAULT: Lamp.RED}
PATTERNS: dict[Sign, tuple[tuple[int, float], ...]] = {
    Sign.ACCEPTED: ((2400, 0.12),),
    Sign.REFUSED: ((600, 0.15), (0, 0.1), (600, 0.15)),
    Sign.FAULT: ((600, 0.3), (0, 0.15), (600, 0.3), (0, 0.15), (600, 0.3)),
}
"""(Hz, real seconds), all below 1.5 s: high and once is good, low and often is not."""


class PowerSupervisor(DeviceSupervisor):
    fault = Fault.POWER_INPUT_SILENT

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        async with asyncio.timeout(FIRST_SUPPLY_S):
            supply = await anext(port.supplies())
        backup = {True: "a back-up supply is there", False: "no back-up supply", None: "of a back-up nothing is known"}
        return f"mains {'there' if supply.mains else 'lost'}, {backup[supply.backup]}"

    async def operate_device(self, port: Any) -> None:
        async for supply in port.supplies():
            self._post(SupplyChanged(supply))


class LampSupervisor(DeviceSupervisor):
    """The lamp's level is kept when the device is reopened. A signal blinks over it for a moment."""

    fault = Fault.INDICATOR_SILENT
    orders = (SetLamp, Feedback)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self._light = Light(Lamp.OFF)
        self._sign: Feedback | None = None
        self._new = asyncio.Event()

    def places_of_orders(self, outlets: Collection[EvseId]) -> tuple[EvseId, ...]:
        return (self.evse, STATION)  # a signal for the whole station blinks at every lamp

    def accept_order(self, order: SetLamp | Feedback) -> None:
        if isinstance(order, SetLamp):
            self._light = Light(order.lamp, order.percent)
        else:
            self._sign = order if self.open and order.blinks else None
        self._new.set()

    async def operate_device(self, port: Any) -> None:
        self._take_signal()  # a signal from before the device was open is out of date
        while True:
            if (sign := self._take_signal()) is not None:
                await self._blink_lamp(port, sign)
            await port.show(self._light)
            await self._new.wait()
            self._new.clear()

    def _take_signal(self) -> Feedback | None:
        sign, self._sign = self._sign, None
        return sign

    async def _blink_lamp(self, port: Any, sign: Feedback) -> None:
        for _ in range(sign.blinks):
            for lamp in (Lamp.OFF, COLOURS[sign.sign]):
                await port.show(Light(lamp, self._light.percent))
                await asyncio.sleep(BLINK_S)


class BuzzerSupervisor(DeviceSupervisor):
    """Plays one pattern at a time. Of the signals that arrive meanwhile only the newest is played."""

    fault = Fault.INDICATOR_SILENT
    orders = (Feedback,)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self._sign: Sign | None = None
        self._new = asyncio.Event()

    def accept_order(self, order: Feedback) -> None:
        if self.open:
            self._sign = order.sign
            self._new.set()

    async def operate_device(self, port: Any) -> None:
        self._take_signal()
        while True:
            await self._new.wait()
            self._new.clear()
            if (sign := self._take_signal()) is not None:
                await self._play_pattern(port, PATTERNS[sign])

    def _take_signal(self) -> Sign | None:
        sign, self._sign = self._sign, None
        return sign

    async def _play_pattern(self, port: Any, pattern: Sequence[tuple[int, float]]) -> None:
        for frequency_hz, seconds in pattern:
            await port.tone(frequency_hz)
            await asyncio.sleep(seconds)
        await port.tone(0)

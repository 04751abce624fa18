"""A meter in one file: its settings, its port and its driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, HostName, TcpPort
from agent.model.types import MeterIdentity, Reading, Stamp
from agent.ports import Garbled
from agent.ports.driver import Driver, Where
from agent.ports.meter import MeterPort
from tests.support.outside.line import JsonLine, number_of


@dataclass(frozen=True, slots=True)
class OutsideMeterSettings:
    host: HostName
    port: TcpPort = 4001
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 1.0


class OutsideMeter:
    """``agent.ports.meter.MeterPort``."""

    def __init__(self, line: JsonLine, where: Where) -> None:
        self.identity = MeterIdentity(vendor="Outside", model="M1")
        self._line = line
        self._now = where.now
        self._last_wh = 0

    async def read(self) -> Reading:
        answer = await self._line.ask("METER")
        energy_wh = int(number_of(answer, "wh"))
        if energy_wh < self._last_wh:
            raise Garbled(f"the register went back from {self._last_wh} to {energy_wh} Wh")
        self._last_wh = energy_wh
        return Reading(Stamp(*self._now()), energy_wh, power_w=number_of(answer, "w"))

    read_billing = read


@asynccontextmanager
async def open_meter(settings: OutsideMeterSettings, where: Where) -> AsyncIterator[MeterPort]:
    line = JsonLine(f"meter of EVSE {where.evse}", settings.host, settings.port, settings.timeout_s)
    try:
        meter = OutsideMeter(line, where)
        await meter.read()
        yield meter
    finally:
        line.hang_up()


DRIVER = Driver("outside_meter", "meter", OutsideMeterSettings, open_meter)

"""The device as a port: foreign errors become the four of ``agent.ports``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.types import MeterIdentity, Reading, Stamp
from agent.ports import Garbled, Unreachable
from agent.ports.driver import Where
from drivers.blueprint.lines import QUESTION, MeterLine, parse_line
from drivers.blueprint.settings import TextMeterSettings

MOST_STEP_WH = 100


@asynccontextmanager
async def open_text_meter(settings: TextMeterSettings, where: Where) -> AsyncIterator[TextMeter]:
    """Open the meter. Closes the connection in every case. Raises ``Unreachable``, ``Garbled``."""
    meter = TextMeter(settings, where)
    try:
        await meter.read()
        yield meter
    finally:
        meter.hang_up()


class TextMeter:
    """``agent.ports.meter.MeterPort``."""

    def __init__(self, settings: TextMeterSettings, where: Where) -> None:
        self.identity = MeterIdentity(vendor="Blueprint", model="text lines")
        self._settings = settings
        self._now = where.now
        self._name = f"meter of EVSE {where.evse} ({settings.host}:{settings.port})"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last_wh = 0
        self._turn = asyncio.Lock()

    async def read(self) -> Reading:
        async with self._turn:
            line = await self._request_line()
            if line.energy_wh < self._last_wh:
                raise Garbled(f"{self._name}: the register went back from {self._last_wh} to {line.energy_wh} Wh")
            self._last_wh = line.energy_wh
            return Reading(Stamp(*self._now()), line.energy_wh, power_w=line.power_w)

    async def read_billing(self) -> Reading:
        """Read twice, and a third time if the register jumped in between."""
        first = await self.read()
        second = await self.read()
        return second if second.energy_wh - first.energy_wh <= MOST_STEP_WH else await self.read()

    def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _request_line(self) -> MeterLine:
        """Ask once. An error closes the connection, so that a late answer never meets the next question."""
        try:
            async with asyncio.timeout(self._settings.silent_s):
                reader, writer = self._streams or await self._connect_socket()
                writer.write(QUESTION)
                return parse_line(await reader.readuntil(b"\n"))
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as e:
            self.hang_up()
            raise Unreachable(f"{self._name}: no answer ({type(e).__name__}); check power and network") from e
        except asyncio.LimitOverrunError as e:
            self.hang_up()
            raise Garbled(f"{self._name}: a line without end; is it the right port?") from e
        except asyncio.CancelledError:
            self.hang_up()
            raise

    async def _connect_socket(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(self._settings.host, self._settings.port)
        return self._streams

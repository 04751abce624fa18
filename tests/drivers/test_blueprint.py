"""The driver to copy works itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ports import Garbled, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import build_table
from drivers.blueprint import DRIVER
from drivers.blueprint.lines import parse_line
from drivers.blueprint.settings import TextMeterSettings
from drivers.testkit.meter import MeterWorld, check_meter
from tests.support.busy_machine import stretched


class TextMeterFarEnd:
    """A network socket that answers READ with the register."""

    def __init__(self) -> None:
        self.wh = 1000
        self.mute = False
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[TextMeterFarEnd]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() == b"READ\n":
            if not self.mute:
                writer.write(f"ENERGY_WH {self.wh} POWER_W 2300.5\r\n".encode())
        writer.close()

    async def set_wh(self, wh: int) -> None:
        self.wh = wh

    async def silence(self, on: bool) -> None:
        self.mute = on


def where() -> Where:
    ticks = count(1)
    return Where(1, "meter", lambda: (1, float(next(ticks))), (), StationFacts(phases=3, max_a=32))


async def test_it_keeps_the_contract_of_a_meter() -> None:
    async with TextMeterFarEnd().listening() as far_end:
        wrong: list[str] = []
        options = {"host": "127.0.0.1", "port": far_end.port, "silent_s": stretched(0.1)}
        settings = build_table(TextMeterSettings, options, "meter", wrong)
        assert wrong == DRIVER.check(settings, where()) == []
        async with DRIVER.open(settings, where()) as meter:
            assert (await meter.read()).power_w == 2300.5
            await check_meter(meter, MeterWorld(far_end.set_wh, far_end.silence))


async def test_no_one_there() -> None:
    with pytest.raises(Unreachable, match="check power"):
        async with DRIVER.open(TextMeterSettings("127.0.0.1", 1), where()):
            pass


@given(st.binary(max_size=80))
def test_any_line_is_a_number_or_an_error(raw: bytes) -> None:
    try:
        line = parse_line(raw)
    except Garbled:
        return
    assert line.energy_wh >= 0


@pytest.mark.parametrize("raw", [b"ENERGY_WH -5\n", b"ENERGY_WH 1.5\n", b"\n", b"ENERGY_WH 5 POWER_W nan\n"])
def test_lines_that_are_refused(raw: bytes) -> None:
    with pytest.raises(Garbled):
        parse_line(raw)

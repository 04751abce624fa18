"""The energy manager on Modbus: its contract against the simulated far end and a server of pymodbus in a process of its
own, what its registers may mean, and what is reported about a wrong table."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agent.model.energy_manager import LimitReport
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from drivers.limit_modbus import DRIVER, list_complaints
from drivers.limit_modbus.manager import decode_limit_registers
from drivers.limit_modbus.settings import LimitSettings
from drivers.sim.energy_manager import RELEASED, ModbusEnergyManager
from drivers.testkit.energy_manager import check_energy_manager
from tests.support.busy_machine import deadline, stretched

WHERE = Where(0, "energy_manager", lambda: (1, 0.0), ())
POLL_S = 0.05
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"register": 0},
    {"register": 40_000, "type": "u32", "table": "input", "scale": 0.1},
    {"register": 65_534, "type": "f32", "alive": 3, "unit": 17},
    {"register": 5, "type": "i16"},
    {"register": 6, "type": "i32"},
    {"register": 9, "scale": 0.5, "released": 999, "line": "rtu_tcp"},
)


@asynccontextmanager
async def far_end(**options: Any) -> AsyncIterator[tuple[ModbusEnergyManager, LimitSettings]]:
    options = {"released": RELEASED[options.get("type", "u16")], **options}
    manager = ModbusEnergyManager(options)
    await manager.start()
    try:
        yield manager, LimitSettings(**options, host="127.0.0.1", port=manager.port, poll_s=POLL_S, timeout_s=0.2)
    finally:
        await manager.close()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.get('type', 'u16')} {layout['register']}")
async def test_it_keeps_the_contract(layout: dict[str, Any]) -> None:
    async with far_end(**layout) as (manager, settings):

        def set_limit(amperes: float | None) -> None:
            manager.max_a = amperes

        await check_energy_manager(lambda: DRIVER.open(settings, WHERE), set_limit, timeout_s=stretched(5.0))


async def test_a_silent_energy_manager_is_unreachable() -> None:
    async with far_end(register=0) as (manager, settings), DRIVER.open(settings, WHERE) as port:
        reports = port.limits()
        assert (await anext(reports)).limit is None
        manager.silent = True
        with pytest.raises(Unreachable):
            while True:
                await anext(reports)


async def test_a_program_that_hangs_behind_its_modbus_server_gives_no_sign_of_life() -> None:
    async with (
        far_end(register=0, alive=7) as (manager, settings),
        DRIVER.open(replace(settings, alive_s=0.2), WHERE) as port,
    ):
        reports = port.limits()
        manager.max_a = 13
        while (await anext(reports)).limit != 13:
            pass
        manager._encoded_registers = lambda: {0: 13, 7: 5}  # type: ignore[method-assign]  # the registers stand still
        with pytest.raises(Unreachable, match=r"register 7 \(alive\) stands still"):
            while True:
                await anext(reports)


async def test_without_such_a_register_it_is_broken() -> None:
    async with far_end(register=0) as (_, settings):
        wrong = LimitSettings(register=5, host=settings.host, port=settings.port)
        with pytest.raises(Broken, match="register"):
            async with DRIVER.open(wrong, WHERE):
                pass


@pytest.mark.parametrize(
    ("options", "words", "report"),
    [
        ({}, [16], LimitReport(16.0)),
        ({}, [0], LimitReport(0.0)),
        ({}, [0xFFFF], LimitReport(problem="register 0 has no number (0xffff)")),
        ({"released": 0xFFFF}, [0xFFFF], LimitReport(None)),
        ({"released": 0}, [0], LimitReport(None)),
        ({"released": 0}, [0xFFFF], LimitReport(problem="register 0 has no number (0xffff)")),
        ({"scale": 0.1}, [163], LimitReport(16.3)),
        ({"type": "i16"}, [0xFF9C], LimitReport(-100.0)),  # is refused above, like that of any driver
        ({"type": "i16"}, [0xFFFF], LimitReport(problem="register 0 has no number (0xffff)")),
        ({"type": "i16", "released": -1}, [0xFFFF], LimitReport(None)),
        ({"type": "u32"}, [1, 2], LimitReport(65_538.0)),
        ({"type": "u32"}, [0xFFFF, 0xFFFF], LimitReport(problem="register 0 has no number (0xffffffff)")),
        ({"type": "i32"}, [0, 9], LimitReport(9.0)),
        ({"type": "f32"}, [*struct.unpack(">2H", struct.pack(">f", 13.25))], LimitReport(13.25)),
        ({"type": "f32", "released": -1}, [0xBF80, 0], LimitReport(None)),
        ({"type": "f32"}, [0xFFFF, 0xFFFF], LimitReport(problem="register 0 has no number (0xffffffff)")),
        ({"type": "f32"}, [0x7F80, 0], LimitReport(problem="register 0 has no number (0x7f800000)")),
    ],
)
def test_what_the_registers_mean(options: dict[str, Any], words: list[int], report: LimitReport) -> None:
    assert decode_limit_registers(words, LimitSettings(0, host="h", **options)) == report


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"host": ""}, "host: is missing"),
        ({"line": "rtu", "host": ""}, "device: is missing"),
        ({"register": 65_535, "type": "u32"}, "needs two registers"),
        ({"released": 70_000}, "released: 70000 is no number of a register of type u16"),
        ({"released": -1}, "released: -1 is no number"),
    ],
)
def test_a_wrong_table_is_named(options: dict[str, Any], complaint: str) -> None:
    (said,) = list_complaints(LimitSettings(**{"register": 0, "host": "h", **options}))
    assert complaint in said


def test_a_right_table_has_no_complaint() -> None:
    assert list_complaints(LimitSettings(3, host="ems.local")) == []


# --- a server that is not ours ---------------------------------------------------------------------------------------

SERVER = """
import asyncio
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

async def serve():
    registers = ModbusSequentialDataBlock(1, [0xFFFF] * 50)
    server = ModbusTcpServer(ModbusServerContext(devices=ModbusDeviceContext(hr=registers)), address=("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve_forever())
    while server.transport is None:
        await asyncio.sleep(0.01)
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await serving

asyncio.run(serve())
"""


async def test_it_reads_a_server_that_is_not_ours() -> None:
    """The energy manager writes into a Modbus server, which the station reads."""
    from pymodbus.client import AsyncModbusTcpClient

    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        async with deadline(60):
            port = int(await server.stdout.readline())
        settings = LimitSettings(10, released=0xFFFF, host="127.0.0.1", port=port, poll_s=POLL_S)
        writer = AsyncModbusTcpClient("127.0.0.1", port=port)
        async with DRIVER.open(settings, WHERE) as manager, deadline(60):
            assert await writer.connect()
            reports = manager.limits()
            for number, limit in ((0xFFFF, None), (16, 16.0), (0, 0.0), (0xFFFF, None)):
                assert not (await writer.write_register(10, number)).isError()
                while (await anext(reports)).limit != limit:
                    pass
        writer.close()
    finally:
        server.kill()
        await server.wait()

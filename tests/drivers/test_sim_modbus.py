"""Far ends of Modbus lines, asked with bytes written by hand."""

from __future__ import annotations

import asyncio
import math
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.types import Fault
from drivers.sim.board import EXTRA_BASE, ChargeController
from drivers.sim.faults import EXTRA, FAULT_NAMES
from drivers.sim.meter import FAMILIES, Meter, nearest_kwh_float32
from drivers.sim.modbus_slave import NetworkSlave, RtuSlave, frame_checksum
from drivers.sim.pty_line import PtyLine
from drivers.sim.world import World
from tests.drivers.sim_stations import TWO, charging, model, run, until
from tests.support.busy_machine import stretched


@pytest.fixture
def world(tmp_path: Path) -> World:
    return model(tmp_path, evse=TWO)


class Client:
    """A raw Modbus TCP client."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *args: object) -> None:
        self.writer.transport.abort()

    async def ask(self, hexed: str) -> str:
        self.writer.write(bytes.fromhex(hexed))
        head = await asyncio.wait_for(self.reader.readexactly(6), stretched(2))
        return (head + await self.reader.readexactly(int.from_bytes(head[4:6], "big"))).hex(" ")

    async def read(self, address: int, count: int) -> list[int]:
        got = bytes.fromhex(await self.ask(f"0001 0000 0006 01 03 {address:04x} {count:04x}"))
        assert got[7] == 3, got.hex()
        return [int.from_bytes(got[i : i + 2], "big") for i in range(9, len(got), 2)]

    async def write(self, address: int, value: int) -> None:
        sent = f"0001 0000 0006 01 06 {address:04x} {value:04x}"
        assert await self.ask(sent) == bytes.fromhex(sent).hex(" ")


@pytest.fixture
async def board(world: World) -> AsyncIterator[Client]:
    slave = NetworkSlave(ChargeController(world.evses, world._mains))
    await slave.start()
    async with Client(slave.port) as client:
        yield client
    slave.close()


async def test_golden_frames_of_the_board(board: Client, world: World) -> None:
    assert await board.ask("000a 0000 0006 01 03 0513 0001") == "00 0a 00 00 00 05 01 03 02 41 31"
    world.plug_in_vehicle(1)
    run(world, 1)
    assert await board.ask("000b 0000 0006 01 04 0513 0001") == "00 0b 00 00 00 05 01 04 02 42 31"
    assert await board.ask("000c 0000 0006 01 06 0514 0001") == "00 0c 00 00 00 06 01 06 05 14 00 01"
    assert world.evses[1].registers.release
    assert await board.ask("000d 0000 000b 01 10 0514 0002 04 0000 000a") == "00 0d 00 00 00 06 01 10 05 14 00 02"
    assert (world.evses[1].registers.release, world.evses[1].registers.limit_a) == (False, 10)
    assert await board.ask("000e 0000 0006 01 03 0000 0001") == "00 0e 00 00 00 03 01 83 02"
    assert await board.ask("000e 0000 0006 01 03 0513 007e") == "00 0e 00 00 00 03 01 83 03"
    assert await board.ask("000e 0000 0006 01 03 0513 0000") == "00 0e 00 00 00 03 01 83 03"
    assert await board.ask("000e 0000 0006 01 03 0ce3 0001") == "00 0e 00 00 00 03 01 83 02"
    assert await board.ask("000e 0000 0002 01 2b") == "00 0e 00 00 00 03 01 ab 01"
    assert await board.ask("000e 0000 0006 01 06 0514 0007") == "00 0e 00 00 00 03 01 86 03"
    assert await board.ask("000e 0000 0006 01 06 0500 0001") == "00 0e 00 00 00 03 01 86 02"


async def test_poll_block_says_what_is(board: Client, world: World) -> None:
    charging(world, n=2, limit_a=20)
    world.set_bay_occupied(2, True)
    block = await board.read(2232, 77)
    at = {2232 + k: v for k, v in enumerate(block)}
    assert at[2299] == 0x4332
    assert (at[2300], at[2301], at[2303], at[2304]) == (1, 20, 1, 1)
    assert (at[2297], at[2298], at[2295]) == (20, 32, 1)
    assert at[2285] << 16 | at[2286] == 10
    assert 7 <= at[2287] << 16 | at[2288] <= 10
    assert (at[2293], at[2294]) == (0, 0)
    assert at[2238] << 16 | at[2239] == pytest.approx(16_000, rel=0.05)
    assert at[2232] << 16 | at[2233] == pytest.approx(230_000, rel=0.02)
    assert await board.read(2100, 3) == [0, 32, 6]


async def test_error_bits_and_extra_words(board: Client, world: World) -> None:
    for name in ("GroundFailure", "DiodeFault", "EmergencyStop", "MREC6UnderVoltage"):
        world.set_fault_state(1, name, True)
    high, low = await board.read(1293, 2)
    assert high << 16 | low == 1 << 30 | 1 << 28
    words = await board.read(1000 + EXTRA_BASE, -(-len(EXTRA) // 16))
    reported = {FAULT_NAMES[16 * k + b] for k, word in enumerate(words) for b in range(16) if word >> b & 1}
    assert reported == {"EmergencyStop", "MREC6UnderVoltage"}


async def test_contacts_at_the_digital_inputs(board: Client, world: World) -> None:
    """As the station file has them wired; the bay is the lowest bit."""
    evse = world.evses[1]
    evse.contacts = ("", "!EmergencyStop", "DoorOpen")
    assert await board.read(1295, 1) == [0b010]
    evse.bay = True
    evse.faults = {Fault.EMERGENCY_STOP, Fault.DOOR_OPEN}
    assert await board.read(1295, 1) == [0b101]


async def test_writes_feed_the_watchdog_and_reads_do_not(board: Client, world: World) -> None:
    await board.write(1306, 0)
    await board.write(1307, 2)
    await board.write(1300, 1)
    run(world, 1.5)
    await board.read(1232, 77)
    await board.write(1301, 16)
    run(world, 1.5)
    assert await board.read(1300, 1) == [1]
    await board.read(1232, 77)
    run(world, 1)
    assert await board.read(1300, 1) == [0]


async def test_service_and_unlock(board: Client, world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    await board.write(1305, 1)
    run(world, 1)
    assert await board.read(1303, 1) == [0]
    await board.write(1304, 0)
    assert await board.read(1299, 1) == [0x4630]


async def test_dead_board_does_not_answer_but_its_neighbour_does(board: Client, world: World) -> None:
    world.set_fault_state(1, "BoardSilent", True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(board.ask("0001 0000 0006 01 03 0513 0001"), 0.1)
    async with Client(board.port) as other:
        assert await other.read(2299, 1) == [0x4131]


@pytest.mark.parametrize("garbage", ["ffffffffffffffff", "0001 1234 0006 01 03 0000 0001", "0001 0000 ffff 01"])
async def test_garbage_closes_the_connection_and_hurts_no_one(board: Client, garbage: str) -> None:
    async with Client(board.port) as other:
        other.writer.write(bytes.fromhex(garbage))
        assert await asyncio.wait_for(other.reader.read(10), stretched(2)) == b""
    assert await board.read(1299, 1) == [0x4131]


async def test_frames_in_pieces_and_in_one_go(board: Client) -> None:
    one = bytes.fromhex("0001 0000 0006 01 03 0513 0001")
    for byte in one + one:
        board.writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    board.writer.write(one)
    got = await asyncio.wait_for(board.reader.readexactly(33), stretched(2))
    assert got == bytes.fromhex("0001 0000 0005 01 03 02 4131") * 3


# --- RTU --------------------------------------------------------------------------------------------------------------


def eastron(world: World) -> RtuSlave:
    return RtuSlave(1, Meter(FAMILIES["eastron_sdm630"], world.evses[1], world._mains))


def test_golden_checksum() -> None:
    assert frame_checksum(bytes.fromhex("0103 0000 000a")).hex() == "c5cd"
    assert frame_checksum(bytes.fromhex("0104 0000 0002")).hex() == "71cb"


def test_golden_frames_of_the_eastron_meter(world: World) -> None:
    slave = eastron(world)
    world.set_meter_register(1, 1_234_567)
    answer = slave.feed_bytes(bytes.fromhex("0104 0048 0002 f1dd"), 2.0)
    assert answer[:3] == bytes.fromhex("010404")
    assert math.floor(struct.unpack(">f", answer[3:7])[0] * 1000) == 1_234_567
    assert frame_checksum(answer[:-2]) == answer[-2:]
    request = bytes.fromhex("0103 fc02 0001")
    assert slave.feed_bytes(request + frame_checksum(request), 3.0)[:5] == bytes.fromhex("0103020070")
    request = bytes.fromhex("0106 0012 0001")
    assert slave.feed_bytes(request + frame_checksum(request), 4.0)[:3] == bytes.fromhex("018602")


def test_rtu_in_pieces_after_noise_and_for_others(world: World) -> None:
    slave = eastron(world)
    request = bytes.fromhex("0104 0046 0002")
    request += frame_checksum(request)
    assert slave.feed_bytes(request[:3], 1.0) == b""
    answer = slave.feed_bytes(request[3:], 1.01)
    assert 49.9 < struct.unpack(">f", answer[3:7])[0] < 50.1
    assert slave.feed_bytes(b"\x00\xff\x13", 2.0) == b""
    assert slave.feed_bytes(request, 2.1) == answer
    assert slave.feed_bytes(request[:-1] + b"\x00", 3.0) == b""
    assert slave.feed_bytes(request, 4.0) == answer
    other = bytes.fromhex("0204 0046 0002")
    assert slave.feed_bytes(other + frame_checksum(other), 5.0) == b""


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_garbage_breaks_the_slave(pieces: list[bytes]) -> None:
    slave = RtuSlave(1, Meter(FAMILIES["eastron_sdm630"], _EVSE.evses[1], _EVSE._mains))
    for k, piece in enumerate(pieces):
        slave.feed_bytes(piece, k * 0.01)
    request = bytes.fromhex("0104 0048 0002 f1dd")
    assert slave.feed_bytes(request, 100.0)[:3] == bytes.fromhex("010404")


_EVSE = model(Path("/nowhere"))


@given(st.integers(0, 8_000_000))
def test_float_register_floors_to_the_exact_wh(wh: int) -> None:
    assert math.floor(struct.unpack(">f", struct.pack(">f", nearest_kwh_float32(wh)))[0] * 1000) == wh


@given(st.integers(0, 10**9), st.integers(0, 10**5))
def test_float_register_never_runs_backwards(wh: int, more: int) -> None:
    assert nearest_kwh_float32(wh + more) >= nearest_kwh_float32(wh)


def test_silent_exchanged_and_implausible_meter(world: World) -> None:
    slave = eastron(world)
    request = bytes.fromhex("0103 fc00 0002")
    request += frame_checksum(request)
    serial = slave.feed_bytes(request, 1.0)
    world.set_fault_state(1, "MeterExchanged", True)
    assert slave.feed_bytes(request, 2.0) != serial
    world.set_fault_state(1, "MeterImplausible", True)
    assert math.isnan(struct.unpack(">f", slave.feed_bytes(bytes.fromhex("0104 0048 0002 f1dd"), 3.0)[3:7])[0])
    world.set_fault_state(1, "MeterSilent", True)
    assert slave.feed_bytes(request, 4.0) == b""
    for name in ("MeterExchanged", "MeterImplausible", "MeterSilent"):
        world.set_fault_state(1, name, False)
    assert slave.feed_bytes(request, 5.0) == serial


def test_other_families(world: World) -> None:
    world.set_meter_register(1, 1_234_567)
    abb = Meter(FAMILIES["abb_b23"], world.evses[1], world._mains)
    assert abb.read_registers(3, 20480, 4) == [0, 0, 123456 >> 16, 123456 & 0xFFFF]
    assert bytes.fromhex("".join(f"{w:04x}" for w in abb.read_registers(3, 35168, 6))).startswith(b"B23 ")
    gavazzi = Meter(FAMILIES["carlo_gavazzi_em340"], world.evses[1], world._mains)
    assert gavazzi.read_registers(4, 1024, 4) == [1234, 0, 567, 0]
    assert gavazzi.read_registers(3, 11, 1) == [341]
    assert gavazzi.read_registers(4, 0, 42)[11] == 0
    assert gavazzi.read_registers(4, 0, 2)[0] == pytest.approx(2300, rel=0.02)


async def test_pseudo_terminal_keeps_its_name_and_survives_the_agent(tmp_path: Path, world: World) -> None:
    slave = eastron(world)
    line = PtyLine(tmp_path / "meter", lambda data: slave.feed_bytes(data, time.monotonic()))
    line.open()
    try:
        for _ in range(2):
            fd = os.open(line.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            os.write(fd, bytes.fromhex("0104 0048 0002 f1dd"))
            got: list[bytes] = []
            await until(lambda fd=fd, got=got: len(b"".join([*got, *_read(fd, got)])) == 9)
            os.close(fd)
        fd = os.open(line.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        number = line.link.readlink()
        line.hang_up()
        assert not line.link.exists()
        with pytest.raises(OSError):
            os.write(fd, b"x")
        os.close(fd)
        master, slave = os.openpty()
        assert os.ttyname(slave) != str(number), "a process that still knows the number would open a foreign line"
        os.close(master)
        os.close(slave)
        line.open()
        os.close(os.open(line.link, os.O_RDWR | os.O_NOCTTY))
    finally:
        line.hang_up()


def _read(fd: int, got: list[bytes]) -> list[Any]:
    try:
        got.append(os.read(fd, 64))
    except BlockingIOError:
        pass
    return []

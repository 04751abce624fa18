"""A Modbus line against far ends that break rules: every read gives the right registers or an error, never others."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise
from subprocess import run

import pytest

from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from drivers.bus import LineSettings, Priority, open_line
from drivers.sim.modbus_slave import NetworkSlave
from tests.drivers import modbus_far_ends as far
from tests.drivers.modbus_far_ends import Asked, Bank, Part, PtyLine, TcpLine
from tests.support.busy_machine import Deadline

pytestmark = pytest.mark.steady_clock

FAST_S = 0.3
Fault = Callable[[Asked, bytes], list[Part]]


@pytest.fixture
def bank() -> Bank:
    bank = Bank()
    for unit in (1, 2, 3, 4):
        bank.put(unit, 0, *(unit * 100 + i for i in range(40)))
    return bank


@pytest.fixture
async def serial(bank: Bank) -> AsyncIterator[PtyLine]:
    async with PtyLine(bank) as line:
        yield line


@pytest.fixture
async def tcp(bank: Bank) -> AsyncIterator[TcpLine]:
    async with TcpLine(bank) as line:
        yield line


def rtu(serial: PtyLine, timeout_s: float = FAST_S) -> LineSettings:
    return LineSettings("rtu", serial.path, baud=115200, timeout_s=timeout_s)


def ip(tcp: TcpLine, timeout_s: float = FAST_S) -> LineSettings:
    return LineSettings("tcp", host="127.0.0.1", port=tcp.port, timeout_s=timeout_s)


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    patience = Deadline(within_s)
    while not true():
        assert not patience.over, "did not come true"
        await asyncio.sleep(0.005)


async def test_reads_holding_and_input_registers(serial: PtyLine, bank: Bank) -> None:
    async with open_line(rtu(serial)) as line:
        assert await line.read_registers(1, 3, 0, 3) == [100, 101, 102]
        assert await line.read_registers(2, 4, 5, 2) == [205, 206]
    assert [a.function for a in bank.asked] == [3, 4]


@pytest.mark.parametrize(
    "fault",
    [
        far.in_two_pieces,
        far.noise_after,
        far.echo,
        far.noise_before(b"\x00"),
        far.noise_before(b"\xff\xff"),
        far.noise_before(b"\x01"),
        far.noise_before(b"\x01\x03\x04\xde\xad"),
    ],
)
async def test_noise_around_the_answer_does_not_matter(serial: PtyLine, bank: Bank, fault: Fault) -> None:
    bank.script.append(fault)
    async with open_line(rtu(serial)) as line:
        assert await line.read_registers(1, 3, 4, 2) == [104, 105]
    assert len(bank.asked) == 1, "no second attempt was needed"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (far.silent, Unreachable),
        (far.bad_crc, Garbled),
        (far.truncated, Garbled),
        (far.other_unit, Garbled),
        (far.other_function, Garbled),
        (far.fewer_registers, Garbled),
        (far.exception(2), Refused),
        (far.exception(3), Refused),
        (far.exception(6), Unreachable),
        (far.exception(11), Unreachable),
    ],
)
async def test_a_wrong_answer_is_an_error_and_the_next_read_is_right(
    serial: PtyLine, bank: Bank, fault: Fault, error: type[DeviceError]
) -> None:
    bank.script.extend([fault, fault])
    async with open_line(rtu(serial)) as line:
        with pytest.raises(error, match="unit 1, read 2 at 4"):
            await line.read_registers(1, 3, 4, 2)
        bank.script.clear()
        assert await line.read_registers(1, 3, 6, 3) == [106, 107, 108]


@pytest.mark.parametrize("fault", [far.silent, far.bad_crc, far.exception(6)])
async def test_one_fault_is_repaired_by_a_second_attempt(serial: PtyLine, bank: Bank, fault: Fault) -> None:
    bank.script.append(fault)
    async with open_line(rtu(serial)) as line:
        assert await line.read_registers(1, 3, 4, 2) == [104, 105]
    assert len(bank.asked) == 2


async def test_a_refusal_is_not_tried_again(serial: PtyLine, bank: Bank) -> None:
    bank.script.append(far.exception(2))
    async with open_line(rtu(serial)) as line:
        with pytest.raises(Refused, match="no such register"):
            await line.read_registers(1, 3, 4, 2)
    assert len(bank.asked) == 1


@pytest.mark.parametrize("next_count", [2, 3])
async def test_a_late_answer_never_passes_for_the_next_one(serial: PtyLine, bank: Bank, next_count: int) -> None:
    """Same unit, same function, same count, other registers: RTU has no transaction number, only silence helps."""
    bank.script.extend([far.late(FAST_S * 1.4)] * 2)
    async with open_line(rtu(serial)) as line:
        with suppress(DeviceError):  # to a machine that is busy for so long the answer is not late
            assert await line.read_registers(1, 3, 0, 2) == [100, 101]
        assert await line.read_registers(1, 3, 10, next_count) == [110, 111, 112][:next_count]


async def test_a_late_answer_on_tcp_is_distinguished_by_its_number(tcp: TcpLine, bank: Bank) -> None:
    bank.script.append(far.late(FAST_S * 1.4))
    async with open_line(ip(tcp)) as line:
        both = await asyncio.gather(line.read_registers(1, 3, 0, 2), line.read_registers(1, 3, 10, 2))
    assert both == [[100, 101], [110, 111]]
    assert [a.address for a in bank.asked] == [0, 10, 0], "the answer to the first came while the second was awaited"


async def test_a_slow_device_is_waited_for(serial: PtyLine, bank: Bank) -> None:
    bank.script.append(far.late(0.45))
    async with open_line(rtu(serial, 2.0)) as line:
        assert await line.read_registers(1, 3, 0, 2) == [100, 101]


async def test_a_cancelled_reader_leaves_no_answer_behind(serial: PtyLine, bank: Bank) -> None:
    bank.script.append(far.late(FAST_S / 2))
    async with open_line(rtu(serial)) as line:
        reader = asyncio.ensure_future(line.read_registers(1, 3, 0, 2))
        await until(lambda: len(bank.asked) == 1)
        reader.cancel()
        assert await line.read_registers(1, 3, 10, 2) == [110, 111]
        assert reader.cancelled()
    assert len(bank.asked) == 2


async def test_a_cancelled_writer_is_still_carried_out(serial: PtyLine, bank: Bank) -> None:
    bank.script.append(far.late(FAST_S / 2))
    async with open_line(rtu(serial)) as line:
        first = asyncio.ensure_future(line.read_registers(1, 3, 0, 2))
        await until(lambda: len(bank.asked) == 1)
        writer = asyncio.ensure_future(line.write_registers(1, 30, [7]))
        await asyncio.sleep(0)
        writer.cancel()
        await first
        await until(lambda: bank.units[1][30] == 7)


async def test_urgent_transfers_overtake(tcp: TcpLine, bank: Bank) -> None:
    bank.script.append(far.late(FAST_S / 2))
    async with open_line(ip(tcp)) as line:
        first = asyncio.ensure_future(line.read_registers(1, 3, 0, 1))
        await until(lambda: len(bank.asked) == 1)
        rest = [
            asyncio.ensure_future(line.read_registers(1, 3, 1, 1, Priority.IDENTITY)),
            asyncio.ensure_future(line.read_registers(1, 3, 2, 1, Priority.POLL)),
            asyncio.ensure_future(line.write_registers(1, 33, [1], Priority.CONTROL)),
            asyncio.ensure_future(line.read_registers(1, 3, 4, 1, Priority.BILLING)),
            asyncio.ensure_future(line.write_registers(1, 35, [0], Priority.WITHDRAW)),
        ]
        await asyncio.gather(first, *rest)
    in_order = dict.fromkeys(a.address for a in bank.asked)  # on a busy machine the late one is asked for again
    assert list(in_order) == [0, 35, 4, 33, 2, 1]


async def test_an_overtaken_order_is_not_sent(tcp: TcpLine, bank: Bank) -> None:
    bank.script.append(far.late(FAST_S / 2))
    released = True
    async with open_line(ip(tcp)) as line:
        first = asyncio.ensure_future(line.read_registers(1, 3, 0, 1))
        await until(lambda: len(bank.asked) == 1)
        give = asyncio.ensure_future(line.write_registers(1, 30, [1], wanted=lambda: released))
        await asyncio.sleep(0)
        released = False
        await line.write_registers(1, 30, [0], Priority.WITHDRAW)
        await first
        with pytest.raises(Refused, match="overtaken"):
            await give
    assert bank.units[1][30] == 0
    assert [a.values for a in bank.asked if a.function == 16] == [[0]]


async def test_withdrawing_does_not_wait_for_the_silence_after_a_timeout(serial: PtyLine, bank: Bank) -> None:
    bank.script.append(far.silent)
    async with open_line(rtu(serial, 1.5)) as line:
        poll = asyncio.ensure_future(line.read_registers(1, 3, 0, 2))
        await until(lambda: len(bank.asked) == 1)
        began = time.monotonic()
        await line.write_registers(1, 30, [0], Priority.WITHDRAW)
        assert time.monotonic() - began < 2.6, "one time-out, not the drain"
        assert await poll == [100, 101]


async def test_a_dead_device_hardly_delays_its_neighbours(serial: PtyLine, bank: Bank) -> None:
    bank.deaf.add(3)
    took_s = []
    async with open_line(rtu(serial)) as line:
        for _ in range(6):
            dead = asyncio.ensure_future(line.read_registers(3, 3, 0, 2))
            await asyncio.sleep(0)
            for unit in (1, 2, 4):
                began = time.monotonic()
                assert (await line.read_registers(unit, 3, 0, 2))[0] == unit * 100
                took_s.append(time.monotonic() - began)
            with pytest.raises(Unreachable):
                await dead
    # the two worst may be pauses of a busy machine
    assert sorted(took_s)[-3] < 4 * FAST_S, "at most one time-out and one drain"
    assert sum(a.unit == 3 for a in bank.asked) <= 5, "it is asked less and less"


async def test_withdrawing_from_a_dead_board_lets_its_neighbour_confirm_a_limit(serial: PtyLine, bank: Bank) -> None:
    """A board that is opened again begins with a withdrawal each time. The neighbour has two seconds for a limit."""
    bank.deaf.add(3)

    async def open_again_and_again() -> None:
        while True:
            with suppress(Unreachable):
                await line.write_registers(3, 30, [0], Priority.WITHDRAW)
            await asyncio.sleep(0.2)

    async with open_line(rtu(serial, 0.5)) as line:
        dead = asyncio.create_task(open_again_and_again())
        await until(lambda: sum(a.unit == 3 for a in bank.asked) == 4)
        for place in range(3):
            await asyncio.sleep(0.37)  # at other places of the dead board's attempts
            async with asyncio.timeout(1.9):
                await line.write_registers(1, 30, [place])
                assert await line.read_registers(1, 3, 30, 1, Priority.CONTROL) == [place]
        dead.cancel()
    assert sum(a.unit == 3 for a in bank.asked) > 4, "the dead board is still asked to stop"


async def test_billing_is_tried_even_during_a_pause(serial: PtyLine, bank: Bank) -> None:
    bank.deaf.add(3)
    async with open_line(rtu(serial)) as line:
        await line.read_registers(1, 3, 0, 1)
        for _ in range(3):
            with pytest.raises(Unreachable):
                await line.read_registers(3, 3, 0, 2)
        bank.deaf.clear()
        with pytest.raises(Unreachable):
            await line.read_registers(3, 3, 0, 2)
        assert await line.read_registers(3, 3, 0, 2, Priority.BILLING) == [300, 301]
        assert await line.read_registers(3, 3, 0, 2) == [300, 301], "and its success ends the pause"


async def test_a_device_alone_on_its_line_never_pauses(tcp: TcpLine, bank: Bank) -> None:
    bank.deaf.add(1)
    async with open_line(ip(tcp)) as line:
        for _ in range(4):
            with pytest.raises(Unreachable):
                await line.read_registers(1, 3, 0, 1)
        bank.deaf.clear()
        assert await line.read_registers(1, 3, 0, 1) == [100]


async def test_the_gap_before_a_request_is_kept(serial: PtyLine, bank: Bank) -> None:
    times: list[float] = []

    def noted(asked: Asked, good: bytes) -> list[Part]:
        times.append(time.monotonic())
        return [(0, good)]

    bank.script.extend([noted] * 3)
    async with open_line(LineSettings("rtu", serial.path, timeout_s=FAST_S, gap_s=0.05)) as line:
        await asyncio.gather(*(line.read_registers(1, 3, i, 1) for i in range(3)))
    assert min(b - a for a, b in pairwise(times)) >= 0.05


async def test_an_unplugged_adapter_is_unreachable_and_comes_back(bank: Bank) -> None:
    async with PtyLine(bank) as serial:
        link = f"/tmp/bus-test-{os.getpid()}"
        os.symlink(serial.path, link)
        try:
            settings = LineSettings("rtu", link, timeout_s=FAST_S)
            async with open_line(settings) as line:
                assert await line.read_registers(1, 3, 0, 1) == [100]
                assert line.connection_number == 1
                serial.unplug()
                os.unlink(link)
                with pytest.raises(Unreachable, match=r"plugged in|connection lost"):
                    await line.read_registers(1, 3, 0, 1)
                serial.plug()
                os.symlink(serial.path, link)
                assert await eventually(lambda: line.read_registers(1, 3, 0, 1)) == [100]
                assert line.connection_number == 2
        finally:
            os.unlink(link)


async def eventually(read: Callable[[], asyncio.Future[list[int]]], within_s: float = 30.0) -> list[int]:
    patience = Deadline(within_s)
    while True:
        try:
            return await read()
        except Unreachable:
            assert not patience.over
            await asyncio.sleep(0.02)


async def test_a_closed_network_connection_comes_back(tcp: TcpLine, bank: Bank) -> None:
    async with open_line(ip(tcp)) as line:
        assert await line.read_registers(1, 3, 0, 1) == [100]
        await tcp.drop()
        with pytest.raises(Unreachable, match="connection"):
            await line.read_registers(1, 3, 0, 1)
        await tcp.listen()
        assert await eventually(lambda: line.read_registers(1, 3, 0, 1)) == [100]
        assert line.connection_number == 2


async def test_a_hung_connection_is_dialled_again(tcp: TcpLine, bank: Bank) -> None:
    bank.script.extend([far.silent] * 3)
    async with open_line(ip(tcp)) as line:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await line.read_registers(1, 3, 0, 1)
        assert await line.read_registers(1, 3, 0, 1) == [100]
    assert tcp.connections == 2


async def test_rtu_through_tcp(bank: Bank) -> None:
    async with TcpLine(bank, rtu=True) as far_end:
        settings = LineSettings("rtu_tcp", host="127.0.0.1", port=far_end.port, timeout_s=FAST_S)
        bank.script.append(far.noise_before(b"\xff\x00"))
        async with open_line(settings) as line:
            assert await line.read_registers(1, 4, 0, 2) == [100, 101]
            await line.write_registers(1, 30, [9])
    assert bank.units[1][30] == 9


async def test_devices_of_one_line_share_one_connection(tcp: TcpLine, bank: Bank) -> None:
    async with open_line(ip(tcp)) as first:
        async with open_line(ip(tcp, 0.3)) as second:
            await asyncio.gather(first.read_registers(1, 3, 0, 1), second.read_registers(2, 3, 0, 1))
        assert await first.read_registers(1, 3, 0, 1) == [100], "still open for the other user"
    assert tcp.connections == 1
    async with open_line(ip(tcp)) as third:
        await third.read_registers(1, 3, 0, 1)
    assert tcp.connections == 2


async def test_contradicting_serial_settings_are_reported(serial: PtyLine) -> None:
    async with open_line(LineSettings("rtu", serial.path, baud=9600)):
        with pytest.raises(Broken, match=r"9600 8N1.*19200 8E1"):
            async with open_line(LineSettings("rtu", serial.path, baud=19200, parity="E")):
                pass


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (LineSettings("can"), "must be one of"),
        (LineSettings("rtu"), "device: is missing"),
        (LineSettings("tcp"), "host: is missing"),
        (LineSettings("rtu", "/dev/null", parity="X"), "parity"),
    ],
)
async def test_settings_that_make_no_sense(settings: LineSettings, text: str) -> None:
    with pytest.raises(Broken, match=text):
        async with open_line(settings):
            pass


async def test_a_missing_port_says_so() -> None:
    async with open_line(LineSettings("rtu", "/dev/does-not-exist", timeout_s=FAST_S)) as line:
        with pytest.raises(Unreachable, match="no such serial port"):
            await line.read_registers(1, 3, 0, 1)


async def test_closing_the_line_fails_what_waits(tcp: TcpLine, bank: Bank) -> None:
    bank.script.append(far.late(1.0))
    async with open_line(ip(tcp, 2.0)) as line:
        waiting = [asyncio.ensure_future(line.read_registers(1, 3, i, 1)) for i in range(3)]
        await until(lambda: len(bank.asked) == 1)
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, Unreachable)


async def test_a_storm_of_faults_never_gives_a_wrong_value(serial: PtyLine, bank: Bank) -> None:
    """Every fault in turn between good answers, several readers: right registers or an error."""
    faults = [far.silent, far.bad_crc, far.other_unit, far.fewer_registers, far.late(FAST_S * 1.3), far.exception(6)]
    bank.script.extend(f for fault in faults * 3 for f in (fault, far.fine))
    wrong: list[object] = []

    async def reader(unit: int, address: int, count: int) -> None:
        for _ in range(12):
            try:
                got = await line.read_registers(unit, 3, address, count)
            except DeviceError:
                continue
            if got != [unit * 100 + address + i for i in range(count)]:
                wrong.append((unit, address, got))

    async with open_line(rtu(serial)) as line:
        await asyncio.gather(reader(1, 0, 2), reader(1, 10, 2), reader(2, 5, 2))
    assert wrong == []


def test_importing_the_drivers_does_not_import_pymodbus() -> None:
    code = (
        "import sys, drivers.bus, drivers.meter_modbus, drivers.evse_modbus, drivers.blueprint;"
        "heavy = {'pymodbus', 'serial'} & set(sys.modules); assert not heavy, heavy"
    )
    run([sys.executable, "-c", code], check=True)


class Relays:
    """A device with single bits: coils 20 to 38 of the specification's example (6.1), at the protocol's addresses."""

    def __init__(self) -> None:
        self.coils = dict(enumerate(map(int, f"{0x056BCD:019b}"[::-1]), 19))

    def read_registers(self, function: int, address: int, count: int) -> list[int]:
        raise AssertionError("registers were asked for")

    def write_registers(self, address: int, values: list[int]) -> None:
        raise AssertionError("registers were written")

    def read_coils(self, address: int, count: int) -> list[bool]:
        return [bool(self.coils[a]) for a in range(address, address + count)]

    def write_coil(self, address: int, on: bool) -> None:
        self.coils[address] = int(on)


@pytest.mark.parametrize("kind", ["tcp", "rtu_tcp"])
async def test_coils_are_read_in_their_order_and_written_one_by_one(kind: str) -> None:
    relays = Relays()
    slave = NetworkSlave(relays, line=kind)
    await slave.start()
    try:
        async with open_line(LineSettings(kind, host="127.0.0.1", port=slave.port)) as line:
            assert await line.read_registers(1, 1, 19, 19) == list(relays.coils.values())
            assert await line.read_registers(1, 1, 19, 3) == [1, 0, 1]
            await line.write_registers(1, 20, [1], function=5)
            assert await line.read_registers(1, 1, 19, 3) == [1, 1, 1]
            await line.write_registers(1, 19, [0], function=5)
            assert await line.read_registers(1, 1, 19, 3) == [0, 1, 1]
    finally:
        slave.close()

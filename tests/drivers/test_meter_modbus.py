"""The meter driver against hand-written meters on real sockets and ptys."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.ports import Broken, DeviceError, Garbled, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import build_table
from drivers.meter_modbus import DRIVER
from drivers.meter_modbus.settings import MeterSettings
from drivers.testkit.meter import MeterWorld, check_meter
from tests.drivers import modbus_far_ends as far
from tests.drivers.modbus_far_ends import Asked, Bank, Part, PtyLine, TcpLine

pytestmark = pytest.mark.steady_clock

CONFIG = Path(__file__).parents[2] / "config"
FAST_S = 0.3


class Clock:
    """The agent's clock, moved by hand."""

    def __init__(self) -> None:
        self.t_s = 100.0

    def __call__(self) -> tuple[int, float]:
        return 7, self.t_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def where(clock: Clock) -> Where:
    return Where(1, "meter", clock, (CONFIG,), StationFacts(phases=3, max_a=32))


@pytest.fixture
def bank() -> Bank:
    """An Eastron SDM630 with 1234.567 kWh."""
    bank = Bank()
    bank.floats(1, 0, 230.0, 231.0, 229.0, 16.0, 15.8, 16.1, 3680.0, 3650.0, 3687.0)
    bank.floats(1, 52, 11017.0)
    bank.floats(1, 70, 50.0, 1234.567, 0.5)
    bank.put(1, 64512, 0x0001, 0x2345)
    bank.put(1, 64514, 0x70)
    return bank


@pytest.fixture
async def tcp(bank: Bank) -> AsyncIterator[TcpLine]:
    async with TcpLine(bank) as line:
        yield line


def settings(tcp: TcpLine, **more: Any) -> MeterSettings:
    options = {"map": "eastron_sdm630", "line": "tcp", "host": "127.0.0.1", "port": tcp.port, "timeout_s": FAST_S}
    wrong: list[str] = []
    built = build_table(MeterSettings, options | more, "meter", wrong)
    assert wrong == []
    return built


def energy(bank: Bank, wh: int) -> None:
    bank.floats(1, 72, wh / 1000)


async def test_it_keeps_the_contract(tcp: TcpLine, bank: Bank, where: Where, clock: Clock) -> None:
    async def set_wh(wh: int) -> None:
        clock.t_s += 60.0
        energy(bank, wh)

    async def silence(on: bool) -> None:
        bank.deaf = {1} if on else set()

    async with DRIVER.open(settings(tcp), where) as meter:
        await check_meter(meter, MeterWorld(set_wh, silence))


async def test_a_reading_tells_everything_the_map_knows(tcp: TcpLine, where: Where, clock: Clock) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        clock.t_s = 123.0
        r = await meter.read()
        assert meter.identity.serial == str(0x00012345)
        assert (meter.identity.vendor, meter.identity.model) == ("Eastron", "SDM630")
    assert (r.at.boot, r.at.t_s) == (7, 123.0)
    assert r.energy_wh == 1234567
    assert r.export_wh == 500
    assert r.voltage_v == (230.0, 231.0, 229.0)
    assert r.current_a == pytest.approx((16.0, 15.8, 16.1), abs=0.001)
    assert r.power_phase_w == (3680.0, 3650.0, 3687.0)
    assert (r.power_w, r.frequency_hz) == (11017.0, 50.0)


async def test_a_pty_line_with_two_meters(bank: Bank, where: Where) -> None:
    bank.units[2] = dict(bank.units[1])
    bank.floats(2, 72, 77.0)
    async with PtyLine(bank) as serial:
        first = MeterSettings("eastron_sdm630", device=serial.path, baud=115200, timeout_s=FAST_S)
        second = MeterSettings("eastron_sdm630", device=serial.path, baud=115200, timeout_s=FAST_S, unit=2)
        async with DRIVER.open(first, where) as one, DRIVER.open(second, where) as two:
            readings = await asyncio.gather(one.read(), two.read(), two.read_billing(), one.read_billing())
    assert [r.energy_wh for r in readings] == [1234567, 77000, 77000, 1234567]


async def test_the_driver_never_writes(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        await meter.read()
        await meter.read_billing()
    assert {a.function for a in bank.asked} <= {3, 4}


# --- billing --------------------------------------------------------------------------------------------------------


def energy_looks(bank: Bank) -> int:
    return sum(a.address == 70 for a in bank.asked)


def replaced(wh: int) -> Any:
    """One good answer, with another register in it."""

    def say(asked: Asked, good: bytes) -> list[Part]:
        return [(0, good[:13] + struct.pack(">f", wh / 1000) + good[17:])]

    return say


def later(*energies_wh: int) -> list[Any]:
    """What the next looks at the billing register see (serial number and model are read before the first look, the two
    other blocks after it)."""
    looks: list[Any] = [replaced(wh) for wh in energies_wh]
    return [far.fine, far.fine, *looks[:1], far.fine, far.fine, *looks[1:]]


async def test_billing_looks_twice(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        before = energy_looks(bank)
        r = await meter.read_billing()
        assert energy_looks(bank) == before + 2
    assert r.energy_wh == 1234567
    assert r.power_w == 11017.0, "the rest of the picture comes with it"


@pytest.mark.parametrize("wrong", [[1_240_000], [1_000_000], [9_000_000], [1234567, 1_240_000], [1234567, 0]])
async def test_a_third_look_decides(tcp: TcpLine, bank: Bank, where: Where, clock: Clock, wrong: list[int]) -> None:
    """The first or the second look was wrong, plausible or not; the third agrees with the other one."""
    async with DRIVER.open(settings(tcp), where) as meter:
        clock.t_s += 3600.0
        before = energy_looks(bank)
        bank.script.extend(later(*wrong))
        assert (await meter.read_billing()).energy_wh == 1234567
        assert energy_looks(bank) == before + 3
        assert (await meter.read()).energy_wh == 1234567, "the wrong look left no trace"


async def test_a_jump_is_looked_at_again_and_believed_when_it_stays(
    tcp: TcpLine, bank: Bank, where: Where, clock: Clock
) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.script.append(replaced(2_234_567))
        clock.t_s += 1.0
        assert (await meter.read()).energy_wh == 1234567, "one wrong look does not count"
        energy(bank, 2_234_567)
        assert (await meter.read()).energy_wh == 2_234_567, "but a register that stands there does"


async def test_three_different_looks_are_no_bill(tcp: TcpLine, bank: Bank, where: Where, clock: Clock) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.script.extend(later(3_000_000, 4_000_000))
        with pytest.raises(Garbled, match="three answers"):
            await meter.read_billing()
        assert (await meter.read()).energy_wh == 1234567


async def test_two_wild_looks_are_no_reading(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.script.extend([replaced(3_000_000), replaced(4_000_000)])
        with pytest.raises(Garbled, match="jumps"):
            await meter.read()
        assert (await meter.read()).energy_wh == 1234567


async def test_what_the_power_explains_is_no_jump(tcp: TcpLine, bank: Bank, where: Where, clock: Clock) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        before = energy_looks(bank)
        clock.t_s += 3600.0
        energy(bank, 1234567 + 22_000)
        assert (await meter.read()).energy_wh == 1234567 + 22_000
        assert energy_looks(bank) == before + 1


async def test_a_register_that_went_back_is_never_believed(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        energy(bank, 0)
        for _ in range(2):
            with pytest.raises(Garbled, match="exchanged or reset"):
                await meter.read()
        with pytest.raises(Garbled):
            await meter.read_billing()


async def test_billing_overtakes_polls(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.script.append(far.late(FAST_S / 2))
        start = len(bank.asked)
        polls = [asyncio.ensure_future(meter.read()) for _ in range(3)]
        await asyncio.sleep(0.01)
        await meter.read_billing()
        assert len(bank.asked) - start <= 1 + 6 + 1, "its six transfers came before the polls'"
        await asyncio.gather(*polls)


async def test_a_missing_companion_does_not_spoil_the_bill(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.floats(1, 2, 2300.0)
        with pytest.raises(Garbled, match="voltage of 230, 2300, 229 V"):
            await meter.read()
        r = await meter.read_billing()
        assert (r.energy_wh, r.voltage_v) == (1234567, ())


# --- what cannot be true --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "value", "text"),
    [
        (72, float("nan"), "nan"),
        (72, float("inf"), "inf"),
        (72, -1.0, "negative"),
        (0, float("nan"), "nan"),
        (4, 2300.0, "voltage"),
        (4, -230.0, "voltage"),
        (70, 5.0, "frequency"),
        (70, 61.0, "frequency"),
    ],
)
async def test_impossible_values(tcp: TcpLine, bank: Bank, where: Where, address: int, value: float, text: str) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.floats(1, address, value)
        with pytest.raises(Garbled, match=text):
            await meter.read()


async def test_all_lines_at_a_tenth_of_their_voltage_are_a_wrong_unit(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.floats(1, 0, 23.0, 23.1, 22.9)
        with pytest.raises(Garbled, match="voltage"):
            await meter.read()


@pytest.mark.parametrize("volts", [(230.0, 0.0, 229.0), (90.0, 231.0, 229.0), (120.0, 350.0, 395.0)])
async def test_a_lost_phase_or_neutral_is_no_fault_of_the_meter(
    tcp: TcpLine, bank: Bank, where: Where, volts: tuple[float, ...]
) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.floats(1, 0, *volts)
        assert (await meter.read()).voltage_v == volts
        assert (await meter.read_billing()).energy_wh == 1234567


async def test_firmware_that_delivers_ten_times_the_frequency(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.floats(1, 70, 500.0)
    async with DRIVER.open(settings(tcp), where) as meter:
        assert (await meter.read()).frequency_hz == 50.0


async def test_a_power_cut_is_not_implausible(tcp: TcpLine, bank: Bank, where: Where) -> None:
    """The register still ends the transaction, if the meter has a supply of its own."""
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.floats(1, 0, *[0.0] * 9)
        bank.floats(1, 70, 0.0)
        assert (await meter.read()).voltage_v == (0.0, 0.0, 0.0)
        assert (await meter.read_billing()).energy_wh == 1234567


async def test_only_connected_phases_need_a_voltage(tcp: TcpLine, bank: Bank, clock: Clock) -> None:
    bank.floats(1, 2, 0.0, 0.0)
    where = Where(1, "meter", clock, (CONFIG,), StationFacts(phases=1, max_a=32))
    async with DRIVER.open(settings(tcp), where) as meter:
        assert (await meter.read()).voltage_v[0] == 230.0


async def test_marks_for_not_available(bank: Bank, where: Where) -> None:
    """ABB B23 connected to one phase: L2 and L3 are all ones; an all-ones register is never billed."""
    bank.units[1] = {}
    bank.put(1, 20480, 0, 0, 0, 12345, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)
    bank.put(1, 23296, 0, 2300, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)
    bank.put(1, 23308, 0, 1600, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)
    bank.put(1, 23316, 5, 6, 5, 6, 0x7FFF, 0xFFFF, 0x7FFF, 0xFFFF)
    bank.put(1, 23340, 5000)
    bank.put(1, 35168, *struct.unpack(">6H", b"B23 112-100\0"))
    where = Where(1, "meter", where.now, where.config_dirs, StationFacts(phases=1, max_a=32))
    async with TcpLine(bank) as tcp, DRIVER.open(settings(tcp, map="abb_b23"), where) as meter:
        r = await meter.read()
        assert (r.energy_wh, r.export_wh) == (123450, None)
        assert (r.voltage_v, r.current_a, len(r.power_phase_w)) == ((230.0,), (16.0,), 1)
        bank.put(1, 20480, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)
        with pytest.raises(Garbled, match="not available"):
            await meter.read()


async def test_the_fine_register_of_a_carlo_gavazzi(bank: Bank, where: Where) -> None:
    bank.units[1] = {}
    for address in (0, 2, 4):
        bank.put(1, address, 2300, 0)
    bank.put(1, 51, 500)
    bank.put(1, 11, 341)
    bank.put(1, 52, 19, 0)
    bank.put(1, 1024, 1, 0, 999, 0)
    bank.put(1, 20480, *struct.unpack(">7H", b"BQ1234567890\0\0"))
    async with TcpLine(bank) as tcp, DRIVER.open(settings(tcp, map="carlo_gavazzi_em340"), where) as meter:
        assert meter.identity.serial == "BQ1234567890"
        assert meter.identity.register_step_wh == 1.0
        assert (await meter.read()).energy_wh == 1999
        bank.put(1, 1024, 0, 1, 0, 999)
        with pytest.raises(Garbled, match="word order"):
            await meter.read()


# --- who it is ------------------------------------------------------------------------------------------------------


async def test_the_pinned_serial_number(tcp: TcpLine, where: Where) -> None:
    async with DRIVER.open(settings(tcp, serial="74565"), where):
        pass
    with pytest.raises(Broken, match=r"expected '4711'.*exchanged"):
        async with DRIVER.open(settings(tcp, serial="4711"), where):
            pass


async def test_another_model_than_the_map_is_for(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.put(1, 64514, 0x89)
    with pytest.raises(Broken, match="another meter"):
        async with DRIVER.open(settings(tcp), where):
            pass


@pytest.mark.parametrize("code", [5, 6])
async def test_a_meter_that_is_busy_has_not_said_who_it_is(tcp: TcpLine, bank: Bank, where: Where, code: int) -> None:
    """A refusal for now is none for good: another model, or another serial number, would pass for the right one."""
    bank.put(1, 64514, 0x89)
    good = bank.parts

    def parts(asked: Asked, frame: Callable[[bytes], bytes]) -> list[Part]:
        reply = good(asked, frame)
        return [(0.0, frame(bytes([asked.function | 0x80, code])))] if asked.address in (64512, 64514) else reply

    bank.parts = parts  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="it is busy"):
        async with DRIVER.open(settings(tcp), where):
            pass


async def test_a_meter_without_identity_registers(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.holes = {64512, 64513, 64514}
    async with DRIVER.open(settings(tcp), where) as meter:
        assert meter.identity.serial == ""
    with pytest.raises(Broken, match="not readable"):
        async with DRIVER.open(settings(tcp, serial="74565"), where):
            pass


async def test_an_exchanged_meter_is_noticed_after_a_silence(tcp: TcpLine, bank: Bank, where: Where) -> None:
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.deaf = {1}
        with pytest.raises(Unreachable):
            await meter.read()
        bank.deaf = set()
        bank.put(1, 64512, 0, 99)
        with pytest.raises(Broken, match="exchanged"):
            await meter.read_billing()


async def test_one_wrong_look_at_who_it_is_does_not_count(tcp: TcpLine, bank: Bank, where: Where) -> None:
    """A frame that slips through its checksum must not take the outlet out of service for good."""
    async with DRIVER.open(settings(tcp), where) as meter:
        for wrong in (
            [lambda asked, good: [(0, good[:-1] + b"\x99")]],
            [far.fine, lambda asked, good: [(0, good[:-1] + b"\x99")]],
        ):
            bank.script.extend(wrong)
            assert (await meter.read_billing()).energy_wh == 1234567
            assert meter.identity.serial == "74565"


async def test_an_exchanged_meter_is_noticed_before_it_bills(tcp: TcpLine, bank: Bank, where: Where) -> None:
    """Between two polls, on a line that shows nothing of it."""
    async with DRIVER.open(settings(tcp), where) as meter:
        bank.put(1, 64512, 0, 99)
        assert (await meter.read()).energy_wh == 1234567
        with pytest.raises(Broken, match="exchanged"):
            await meter.read_billing()


async def test_an_exchanged_meter_is_noticed_after_a_reconnect(tcp: TcpLine, bank: Bank, where: Where) -> None:
    """The line reconnects by itself in the middle of a reading: the values are those of a stranger."""
    async with DRIVER.open(settings(tcp), where) as meter:
        await tcp.drop()
        await tcp.listen()
        bank.put(1, 64512, 0, 99)
        with pytest.raises(Broken, match="exchanged"):
            await meter.read()


async def test_a_meter_that_lacks_the_billing_register(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.holes = {72}
    with pytest.raises(Broken, match="does the map"):
        async with DRIVER.open(settings(tcp), where):
            pass


async def test_the_first_sdm72_has_no_voltages(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.put(1, 64514, 0x84)
    bank.holes = set(range(48))
    async with DRIVER.open(settings(tcp, map="eastron_sdm72dm"), where) as meter:
        r = await meter.read()
        assert (r.energy_wh, r.power_w, r.voltage_v, r.current_a) == (1234567, 11017.0, (), ())
        before = len(bank.asked)
        await meter.read()
        assert len(bank.asked) == before + 2, "absent blocks are not asked for again"


async def test_a_coarse_float_register_tells_its_step(tcp: TcpLine, bank: Bank, where: Where) -> None:
    energy(bank, 100_000_000)
    async with DRIVER.open(settings(tcp), where) as meter:
        assert meter.identity.register_step_wh == pytest.approx(7.8125)


# --- station file ---------------------------------------------------------------------------------------------------


def test_complaints_about_the_station_file(where: Where) -> None:
    assert DRIVER.check(MeterSettings("eastron_sdm630", device="/dev/ttyS1"), where) == []
    assert "device: is missing" in DRIVER.check(MeterSettings("eastron_sdm630"), where)[0]
    assert "did you mean" in DRIVER.check(MeterSettings("eastron_sdm63"), where)[0]
    assert "line: must be" in DRIVER.check(MeterSettings("abb_b23", line="can"), where)[0]


async def test_errors_name_the_evse_and_the_line(tcp: TcpLine, bank: Bank, where: Where) -> None:
    bank.deaf = {1}
    with pytest.raises(Unreachable, match=r"meter of EVSE 1 \(127\.0\.0\.1:\d+, unit 1\).*check"):
        async with DRIVER.open(settings(tcp), where):
            pass


async def test_a_storm_never_gives_a_wrong_bill(bank: Bank, where: Where, clock: Clock, tmp_path: Path) -> None:
    """Every fault of the list between good answers on a serial line; the register counts on."""
    faults = [far.silent, far.bad_crc, far.truncated, far.fewer_registers, far.other_unit, far.other_function]
    faults += [far.exception(6), far.late(FAST_S * 1.3), far.noise_before(b"\x01\xff"), far.echo]
    (tmp_path / "meters").mkdir()
    hasty = (CONFIG / "meters" / "eastron_sdm630.toml").read_text().replace("gap_s = 0.1", "gap_s = 0")
    (tmp_path / "meters" / "eastron_sdm630.toml").write_text(hasty)
    where = Where(1, "meter", clock, (tmp_path, CONFIG), where.facts)
    async with PtyLine(bank) as serial:
        plain = MeterSettings("eastron_sdm630", device=serial.path, baud=115200, timeout_s=FAST_S)
        async with DRIVER.open(plain, where) as meter:
            bank.script.extend(f for fault in faults for f in (fault, far.fine))
            good = 0
            for wh in range(1234600, 1234630):
                clock.t_s += 60
                energy(bank, wh)
                try:
                    r = await meter.read()
                except DeviceError:
                    continue
                good += 1
                assert r.energy_wh == wh
    assert good > 15

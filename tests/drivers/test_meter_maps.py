"""Every meter map against a far end that was built from the registers as the sources give them (meter_registers.csv,
written without the maps), with an encoder of its own: the driver reads on a real socket what the meter measured."""

from __future__ import annotations

import asyncio
import csv
import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.types import MeterIdentity, Reading, Stamp
from agent.ports import Broken, Garbled
from agent.ports.driver import StationFacts, Where
from drivers.device_maps import MapError
from drivers.meter_modbus import DRIVER, meter_map
from drivers.meter_modbus.decoded_values import check_against_copy, check_plausible, decode_block, reading_of_values
from drivers.meter_modbus.meter import list_complaints
from drivers.meter_modbus.settings import MeterSettings
from tests.drivers.modbus_far_ends import Bank, TcpLine

CONFIG = Path(__file__).parents[2] / "config"
METERS = sorted(p.stem for p in (CONFIG / "meters").glob("*.toml"))
CONFIRMED = 25
"""At least so many meters have a billing register that two or more independent sources agree on."""


@dataclass(frozen=True)
class Row:
    quantity: str
    phase: str
    function: int
    address: int
    count: int
    type: str
    scale: Fraction
    sources: int


def rows() -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    with (Path(__file__).parent / "meter_registers.csv").open() as file:
        for r in csv.DictReader(file):
            row = Row(
                r["quantity"], r["phase"], int(r["function"]), int(r["address"]), int(r["count"]), r["type"],
                Fraction(r["scale"]), int(r["sources"]),
            )  # fmt: skip
            found.setdefault(r["map"], []).append(row)
    return found


ROWS = rows()
IMPORT = "Energy.Active.Import.Register"
MODELS: dict[str, int | str] = {
    "abb_b21": "B21 112-100", "abb_b23": "B23 112-100", "abb_b24": "B24 352-100",
    "bauer_bsm_ws36a": "BSM-WS36A-H01-1311-0000", "carlo_gavazzi_em112": 103,
    "carlo_gavazzi_em24": 71, "carlo_gavazzi_em24_ethernet": 1648, "carlo_gavazzi_em340": 341,
    "carlo_gavazzi_em540": 1744, "eastron_sdm630": 0x70, "eastron_sdm72d": 0x84, "eastron_sdm72dm": 0x89,
    "finder_7e78": 5, "hager_ecr380d": "ECR380D", "saia_ale3": "ALE3D5FD10A3", "schneider_iem3155": "iEM3155",
}  # fmt: skip
"""What the model registers say, where the sources know it."""
EXTRA = {"saia_ale3": (6, "ALE3D5FD10A3", 6)}
"""Text that the sources describe in words: address, text, registers."""


@dataclass(frozen=True)
class Truth:
    """What the meter measures."""

    energy_wh: int = 123_456
    export_wh: int = 1_250
    voltage_v: tuple[float, ...] = (230.1, 231.5, 229.75)
    current_a: tuple[float, ...] = (16.0, 15.875, 16.125)
    power_w: tuple[float, ...] = (3680.0, 3670.0, 3700.0)
    frequency_hz: float = 50.02
    serial: int = 21_060_001

    def of(self, row: Row, phases: int) -> float | None:
        """The value of a register, in the row's unit; None: the register holds something else."""
        line = int(row.phase[1:]) - 1 if row.phase else None
        values: dict[str, float] = {
            IMPORT: self.energy_wh,
            "x.energy_import_hires": self.energy_wh,
            "x.energy_import_int": self.energy_wh // 1000 * 1000,
            "x.energy_import_frac": self.energy_wh % 1000,
            "Energy.Active.Export.Register": self.export_wh,
            "Voltage": self.voltage_v[line or 0],
            "Current.Import": self.current_a[line or 0],
            "Power.Active.Import": sum(self.power_w[:phases]) if line is None else self.power_w[line],
            "Frequency": self.frequency_hz,
            "Power.Factor": 0.998,
        }
        return values.get(row.quantity)


def words(octets: bytes) -> list[int]:
    return list(struct.unpack(f">{len(octets) // 2}H", octets))


def encoded(value: float, row: Row) -> list[int]:
    """A meter of integers cuts off what its step cannot show; one of floats takes the nearest."""
    raw = Fraction(value) / row.scale
    form = {
        "float32_be": ">f", "float32_wordswapped": ">f", "float64_be": ">d", "int16": ">h", "uint16": ">H",
        "int32_be": ">i", "uint32_be": ">I", "int32_wordswapped": ">i", "int64_be": ">q", "uint64_be": ">Q",
        "int64_wordswapped": ">q",
    }[row.type]  # fmt: skip
    whole = math.floor(raw) if "nergy" in row.quantity else round(raw)
    if row.type.startswith("uint"):
        whole = max(whole, 0)  # no register for export here
    found = words(struct.pack(form, float(raw) if form in (">f", ">d") else whole))
    return found[::-1] if row.type.endswith("_wordswapped") else found


def text(said: str, count: int) -> list[int]:
    return words(said.encode("ascii").ljust(2 * count, b"\0")[: 2 * count])


def far_end(name: str, truth: Truth) -> Bank:
    """The meter as the sources describe it, at unit 1, 33 and 42."""
    bank, phases = Bank(), meter_map.find_meter_map(name, (CONFIG,)).phases
    for row in ROWS[name]:
        bank.put(1, row.address, *image(row, name, truth, phases))
    if name in EXTRA:
        bank.put(1, EXTRA[name][0], *text(*EXTRA[name][1:]))
    bank.units[33] = bank.units[42] = bank.units[1]
    return bank


def image(row: Row, name: str, truth: Truth, phases: int) -> list[int]:
    if row.quantity == "x.serial_number":
        return text(str(truth.serial), row.count) if row.type == "ascii" else words(struct.pack(">I", truth.serial))
    if row.quantity == "x.model_id":
        model = MODELS[name]
        return text(model, row.count) if isinstance(model, str) else [model]
    if row.quantity == "x.firmware":
        return text("1.9:32CA", row.count) if row.type == "ascii" else [19]
    if row.quantity == "x.exponent":
        return [int(row.scale) & 0xFFFF]
    if row.quantity == "x.mid_variant":
        return text("A3", 1) if row.type == "ascii" else [1]
    value = truth.of(row, phases)
    return [0] * row.count if value is None else encoded(value, row)


async def read(name: str, truth: Truth) -> tuple[MeterIdentity, Reading, Reading]:
    """Open the meter, read it live and for a bill."""
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    async with TcpLine(far_end(name, truth)) as line:
        chosen = MeterSettings(name, "tcp", host="127.0.0.1", port=line.port, coarsest_wh=1000)
        async with DRIVER.open(chosen, where) as meter:
            return meter.identity, await meter.read(), await meter.read_billing()


def fine(name: str) -> list[Row]:
    """The rows of the billing register: the finest that the sources know."""
    named = [r for r in ROWS[name] if r.quantity.startswith("x.energy_import")]
    return named or [r for r in ROWS[name] if r.quantity == IMPORT]


def step_wh(name: str) -> Fraction:
    return min(r.scale if r.type[0] != "f" else Fraction(1) for r in fine(name))


def test_every_map_has_its_registers_and_enough_are_confirmed() -> None:
    assert set(METERS) == set(ROWS)
    confirmed = [n for n in METERS if meter_map.find_meter_map(n, (CONFIG,)).sources >= 2]
    known = [n for n in METERS if max(r.sources for r in ROWS[n] if r.quantity == IMPORT) >= 2]
    assert len(known) >= CONFIRMED
    assert set(known) - set(confirmed) == {"carlo_gavazzi_em340"}, "its finer register is the manufacturer's word alone"


@pytest.mark.parametrize("name", METERS)
def test_the_billed_register_is_the_lifetime_import_and_says_who_knows_it(name: str) -> None:
    m = meter_map.find_meter_map(name, (CONFIG,))
    billed = [(r.at, r.scale) for r in m.billing_block.values["energy_wh"]]
    said = [(r.address, r.scale) for r in fine(name)]
    if name == "siemens_pac2200":
        said = [(801, Fraction(1)), *said]  # tariff 1; "x.energy_import_t2" is the other
    assert billed == said
    assert m.sources == (3 if name == "siemens_pac2200" else min(r.sources for r in fine(name)))
    assert m.sources >= 2 or "energy_wh" in m.unproven
    assert m.coarse == (m.step_wh > 10)


@pytest.mark.parametrize("name", METERS)
async def test_a_meter_is_read_right(name: str) -> None:
    await judge(name, Truth())


ENERGIES = st.one_of(st.integers(0, 16_000_000), st.sampled_from([0, 1, 999, 1000, 65_535, 65_536, 9_999_999]))


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(METERS),
    truth=st.builds(
        Truth,
        energy_wh=ENERGIES,
        export_wh=st.integers(0, 1_000_000),
        voltage_v=st.tuples(*[st.floats(207, 253, width=32)] * 3),
        current_a=st.tuples(*[st.floats(0, 32, width=32)] * 3),
        power_w=st.tuples(*[st.floats(-7000, 7000, width=32)] * 3),
        frequency_hz=st.floats(49, 51, width=32),
        serial=st.integers(1, 99_999_999),
    ),
)
def test_any_value_is_read_right(name: str, truth: Truth) -> None:
    asyncio.run(judge(name, truth))


async def judge(name: str, truth: Truth) -> None:
    identity, live, bill = await read(name, truth)
    m = meter_map.find_meter_map(name, (CONFIG,))
    step = int(step_wh(name))
    expected = truth.energy_wh // step * step
    assert live.energy_wh == bill.energy_wh == expected
    if any(r.quantity == "x.serial_number" for r in ROWS[name]):
        assert identity.serial == str(truth.serial)
    if any(r.quantity == "x.firmware" for r in ROWS[name]):
        assert identity.firmware in ("1.9:32CA", "19.0.0")
    assert identity.vendor == m.vendor
    assert identity.register_step_wh == pytest.approx(float(m.step_wh), abs=1)
    judge_companions(name, live, truth, m.phases)


def judge_companions(name: str, live: Reading, truth: Truth, phases: int) -> None:
    """Within half a step of what the register can show."""
    figures = {
        "Voltage": (live.voltage_v, truth.voltage_v[:phases], True),
        "Current.Import": (live.current_a, truth.current_a[:phases], True),
        "Power.Active.Import": ((live.power_w,), (sum(truth.power_w[:phases]),), False),
        "Frequency": ((live.frequency_hz,), (truth.frequency_hz,), False),
    }
    if live.power_phase_w:
        figures["phase power"] = (live.power_phase_w, truth.power_w[:phases], True)
    if live.power_factor is not None:
        figures["Power.Factor"] = ((live.power_factor,), (0.998,), False)
    if live.export_wh is not None:
        figures["Energy.Active.Export.Register"] = ((live.export_wh,), (truth.export_wh,), False)
    for quantity, (found, measured, phased) in figures.items():
        named = "Power.Active.Import" if quantity == "phase power" else quantity
        lines = [r for r in ROWS[name] if r.quantity == named and bool(r.phase) == phased]
        if lines:
            half = float(lines[0].scale) / (1 if "nergy" in quantity else 2) if lines[0].type[0] != "f" else 0.0
            if lines[0].type.startswith("uint"):
                measured = tuple(max(m, 0.0) for m in measured)
            assert found == pytest.approx(measured[: len(lines)], abs=half + 1e-3, rel=1e-5), quantity


@pytest.mark.parametrize("name", METERS)
async def test_the_other_word_order_is_noticed(name: str) -> None:
    """A meter that delivers its words the other way round must never give a reading."""
    m = meter_map.find_meter_map(name, (CONFIG,))
    registers = dict(far_end(name, Truth()).units[1])
    for row in ROWS[name]:
        if row.count in (2, 4) and row.type != "ascii":
            places = range(row.address, row.address + row.count)
            registers |= dict(zip(places, [registers[p] for p in reversed(places)], strict=True))
    with pytest.raises(Garbled):
        values = {}
        for block in m.blocks:
            values |= decode_block(
                block, [registers.get(block.address + i, 0) for i in range(block.count)], m.marks_missing
            )
        check_plausible(values, 3)
        check_against_copy(values, m.copy_step_wh)


@pytest.mark.parametrize("name", METERS)
def test_no_two_reads_can_be_mixed_up(name: str) -> None:
    m = meter_map.find_meter_map(name, (CONFIG,))
    shapes = [(b.function, b.count) for b in m.blocks] + [(i.function, i.count) for i in m.identity.values()]
    assert len(set(shapes)) == len(shapes)
    assert max(b.count for b in m.blocks) <= m.longest


def test_line_defaults() -> None:
    lines = {
        n: (m.baud, m.parity, m.stopbits, m.gap_s) for n in METERS if (m := meter_map.find_meter_map(n, (CONFIG,)))
    }
    assert lines["eastron_sdm630"] == lines["eastron_sdm72dm"] == (9600, "N", 1, 0.1)
    assert lines["abb_b23"] == lines["schneider_iem3155"] == (19200, "E", 1, 0.0)
    assert lines["carlo_gavazzi_em340"] == (9600, "N", 1, 0.0)
    assert meter_map.find_meter_map("finder_7m38", (CONFIG,)).unit == 33


# --- what a map refuses -------------------------------------------------------------------------------------------


def complaints_of(name: str, phases: int = 3, **more: float) -> list[str]:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=phases, max_a=32))
    return list_complaints(MeterSettings(name, "tcp", host="meter", **more), where)


def test_a_coarse_register_needs_the_stations_word() -> None:
    assert "steps of 100 Wh" in complaints_of("carlo_gavazzi_em24")[0]
    assert complaints_of("carlo_gavazzi_em24", coarsest_wh=100.0) == []
    assert "steps of 1000 Wh" in complaints_of("hager_ecr380d", coarsest_wh=100.0)[0]


async def test_a_coarse_register_is_not_opened() -> None:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    async with TcpLine(far_end("carlo_gavazzi_em24", Truth())) as line:
        chosen = MeterSettings("carlo_gavazzi_em24", "tcp", host="127.0.0.1", port=line.port)
        with pytest.raises(Broken, match="steps of 100 Wh"):
            async with DRIVER.open(chosen, where):
                pass


def test_one_phase_does_not_bill_three() -> None:
    assert "measures one phase" in complaints_of("abb_b21")[0]
    assert complaints_of("abb_b21", phases=1) == []


@pytest.mark.parametrize(("name", "address", "word"), [("finder_7e78", 1286, 0), ("saia_ale3", 11, 0x4132)])
async def test_a_meter_may_say_that_it_is_no_mid_variant(name: str, address: int, word: int) -> None:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    for said, mid in ((None, True), (word, False)):
        bank = far_end(name, Truth())
        if said is not None:
            bank.put(1, address, said)
        async with (
            TcpLine(bank) as line,
            DRIVER.open(MeterSettings(name, "tcp", host="127.0.0.1", port=line.port), where) as meter,
        ):
            assert meter.identity.mid is mid


async def test_the_fine_register_is_compared_with_its_well_known_copy() -> None:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    bank = far_end("carlo_gavazzi_em340", Truth(energy_wh=5_000_123))
    async with TcpLine(bank) as line:
        chosen = MeterSettings("carlo_gavazzi_em340", "tcp", host="127.0.0.1", port=line.port)
        async with DRIVER.open(chosen, where) as meter:
            assert (await meter.read()).energy_wh == 5_000_123
            bank.put(1, 52, 12_345, 0)
            with pytest.raises(Garbled, match=r"its copy 1.2345e\+06 Wh"):
                await meter.read()


@pytest.mark.parametrize(("name", "at", "place"), [("bauer_bsm_ws36a", 40136, 40144)])
async def test_a_register_of_powers_of_ten_moves_the_point(name: str, at: int, place: int) -> None:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    for exponent, wh, step in ((1, 50_000, 10.0), (-1, 500, 0.1), (0, 5000, 1.0)):
        bank = far_end(name, Truth(energy_wh=0))
        bank.put(1, at, 0, 5000)
        bank.put(1, place, exponent & 0xFFFF)
        async with TcpLine(bank) as line:
            chosen = MeterSettings(name, "tcp", host="127.0.0.1", port=line.port)
            async with DRIVER.open(chosen, where) as meter:
                assert (await meter.read_billing()).energy_wh == wh
                assert meter.identity.register_step_wh == pytest.approx(step)
                bank.put(1, place, 7)
                with pytest.raises(Garbled, match=r"10\^7"):
                    await meter.read()
    bank.put(1, place, 2)
    async with TcpLine(bank) as line:
        chosen = MeterSettings(name, "tcp", host="127.0.0.1", port=line.port)
        with pytest.raises(Broken, match="steps of 100 Wh"):
            async with DRIVER.open(chosen, where):
                pass


async def test_direct_current_has_no_phase_and_no_mains_voltage() -> None:
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=400))
    bank = far_end("acrel_djsf1352", Truth())
    bank.put(1, 0, 8123, 2, 1250, 2, 0, 0, 0, 0, 10154, 4)
    async with TcpLine(bank) as line:
        chosen = MeterSettings("acrel_djsf1352", "tcp", host="127.0.0.1", port=line.port)
        async with DRIVER.open(chosen, where) as meter:
            reading = await meter.read()
            assert (reading.dc, reading.voltage_v, reading.current_a) == (True, (812.3,), (125.0,))
            assert (reading.power_w, reading.energy_wh, reading.frequency_hz) == (101_540.0, 123_456, None)


async def test_two_devices_never_bill_from_one_meter() -> None:
    """However they spell it: the map's own unit and the same number written out."""
    where = Where(1, "meter", lambda: (7, 100.0), (CONFIG,), StationFacts(phases=3, max_a=32))
    async with TcpLine(far_end("eastron_sdm630", Truth())) as line:
        first = MeterSettings("eastron_sdm630", "tcp", host="127.0.0.1", port=line.port)
        second = MeterSettings("eastron_sdm630", "tcp", host="127.0.0.1", port=line.port, unit=1)
        async with DRIVER.open(first, where):
            with pytest.raises(Broken, match="billed twice"):
                async with DRIVER.open(second, where):
                    pass
        async with DRIVER.open(second, where):
            pass


# --- files --------------------------------------------------------------------------------------------------------


TWENTY_LINES = """
vendor = "New"
model = "M1"
[line]
baud = 19200
[[block]]
function = 3
address = 100
count = 3
[block.values]
energy_wh = { at = 100, type = "uint32_be", scale = SCALE }
frequency_hz = { at = 102, type = "uint16", scale = 0.01 }
"""
GOOD = TWENTY_LINES.replace("SCALE", "1")


def written(folder: Path, text: str) -> Path:
    path = folder / "meters" / "new.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_few_lines_add_a_meter_and_the_own_folder_wins(tmp_path: Path) -> None:
    written(tmp_path, GOOD).rename(tmp_path / "meters" / "abb_b23.toml")
    m = meter_map.find_meter_map("abb_b23", (tmp_path, CONFIG))
    assert m.vendor == "New"
    assert reading_of_values(decode_block(m.billing_block, [1, 2, 5000], False), Stamp(1, 1.0)).energy_wh == 65538


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TWENTY_LINES.replace("SCALE", "100"), "steps of 100 Wh"),
        (TWENTY_LINES.replace("SCALE", "10.5"), "steps of 10.5 Wh"),
        (GOOD.replace("uint32_be", "uint33"), "unknown type"),
        (GOOD.replace("count = 3", "count = 2"), "outside of the block"),
        (GOOD.replace("frequency_hz", "frequency"), "unknown value"),
        (GOOD.replace("energy_wh", "export_wh"), "must have values.energy_wh"),
        (GOOD.replace("baud", "boud"), "unknown key 'boud'"),
        (GOOD.replace("function = 3\n", ""), "function is missing"),
        (GOOD + '[identity]\nserial={function=3,address=1,count=3,type="ascii"}', "pad"),
        (GOOD + '[never_bill]\n100="resettable"', "must not be billed .resettable"),
        (GOOD + '[never_bill]\nx="resettable"', "no register address"),
        (GOOD + '[unproven]\nexport_wh="guessed"', "the map has no 'export_wh'"),
        (GOOD.replace("[line]", "longest = 2\n[line]"), "count 1 to 2"),
        (GOOD.replace("[line]", 'classes = ["D"]\n[line]'), "'D' is none of A, B, C"),
        (GOOD.replace("[line]", "phases = 2\n[line]"), "must be 1 or 3"),
        (GOOD.replace("[line]", 'current = "ac"\n[line]'), "must be AC or DC"),
        ("vendor = ", "Invalid value"),
    ],
)
def test_a_wrong_map_says_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MapError, match=complaint) as caught:
        meter_map.load_meter_map(written(tmp_path, text))
    assert "new.toml" in str(caught.value)


def test_an_unknown_map_is_guessed() -> None:
    with pytest.raises(MapError, match="did you mean 'eastron_sdm630'"):
        meter_map.find_meter_map("eastron_sdm360", (CONFIG,))

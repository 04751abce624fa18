"""The maps in ``config/``: every address against the manufacturers' registers, golden registers for every meter."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from agent.kinds import Fault, Pilot, Stamp
from agent.ports import Garbled
from drivers.evse_modbus import board_map
from drivers.meter_modbus import meter_map
from drivers.meter_modbus.meter_map import Block, MapError, MeterMap
from drivers.meter_modbus.picture import check, decode, reading

CONFIG = Path(__file__).parents[2] / "config"
METERS = sorted(p.stem for p in (CONFIG / "meters").glob("*.toml"))


def f32(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def u32(value: int) -> list[int]:
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


def swapped(value: int) -> list[int]:
    return list(reversed(u32(value)))


def u64(value: int) -> list[int]:
    return u32(value >> 32) + u32(value)


def each(encode: Callable[[Any], list[int]], numbers: Iterable[Any]) -> list[int]:
    return [word for n in numbers for word in encode(n)]


BILLED: dict[str, tuple[int, list[tuple[int, str, Fraction]]]] = {
    "eastron_sdm630": (4, [(72, "float32", Fraction(1000))]),  # kWh; 342 would be import + export
    "eastron_sdm72dm": (4, [(72, "float32", Fraction(1000))]),
    "abb_b23": (3, [(20480, "uint64", Fraction(10))]),  # 0.01 kWh
    "carlo_gavazzi_em340": (4, [(1024, "int32", Fraction(1000)), (1026, "int32", Fraction(1))]),  # not 52, not 60
}
"""Function, and address, type, Wh per unit of what is billed: from the manufacturers' register lists, by hand."""

VOLT, AMP, WATT = [230.1, 231.5, 229.75], [16.0, 15.875, 16.125], [3681.5, 3675.0, 3704.75]
GOLDEN: dict[str, dict[int, list[int]]] = {
    "eastron_sdm630": {
        0: each(f32, VOLT + AMP + WATT),
        52: f32(11061.25),
        70: f32(50.02) + f32(123.456) + f32(1.25),
    },
    "eastron_sdm72dm": {
        0: each(f32, VOLT + AMP),
        52: f32(11061.25),
        70: f32(50.02) + f32(123.456) + f32(1.25),
    },
    "abb_b23": {
        20480: u64(12345) + u64(125),
        23296: each(u32, (2301, 2315, 2298)),
        23308: each(u32, (1600, 1588, 1613)),
        23316: each(u32, (1106125, 368150, 367500, 370475)),
        23340: [5002],
    },
    "carlo_gavazzi_em340": {
        0: each(swapped, (2301, 2315, 2298)),
        12: each(swapped, (16000, 15875, 16125)),
        18: each(swapped, (36815, 36750, 37048)),
        40: swapped(110613),
        49: [998, 0, 500],
        1024: swapped(123) + swapped(456),
    },
}
WH = {"eastron_sdm630": 123456, "eastron_sdm72dm": 123456, "abb_b23": 123450, "carlo_gavazzi_em340": 123456}


def cut(image: dict[int, list[int]], block: Block) -> list[int]:
    """The registers of a block out of a golden image."""
    flat = {at + i: word for at, words in image.items() for i, word in enumerate(words)}
    return [flat.get(block.address + i, 0) for i in range(block.count)]


def values(m: MeterMap, image: dict[int, list[int]]) -> dict[str, tuple[Fraction, ...]]:
    found: dict[str, tuple[Fraction, ...]] = {}
    for block in m.blocks:
        found |= decode(block, cut(image, block), m.marks_missing)
    return found


def test_every_map_has_its_golden_registers() -> None:
    assert set(METERS) == set(BILLED) == set(GOLDEN)


@pytest.mark.parametrize("name", METERS)
def test_the_billed_register_is_the_lifetime_import(name: str) -> None:
    block = meter_map.find(name, (CONFIG,)).billing
    found = [(r.at, f"{r.type.kind}{r.type.bits}", r.scale) for r in block.values["energy_wh"]]
    assert (block.function, found) == BILLED[name]


@pytest.mark.parametrize("name", METERS)
def test_golden_registers_give_the_reading(name: str) -> None:
    m = meter_map.find(name, (CONFIG,))
    found = values(m, GOLDEN[name])
    check(found, 3)
    r = reading(found, Stamp(1, 2.0))
    assert r.energy_wh == WH[name]
    assert type(r.energy_wh) is int
    assert r.voltage_v == pytest.approx((230.1, 231.5, 229.8), abs=0.06)
    assert r.current_a == pytest.approx((16.0, 15.88, 16.13), abs=0.01)
    assert r.power_w == pytest.approx(11061.25, abs=0.1)
    assert r.frequency_hz == pytest.approx(50.0, abs=0.03)
    if r.power_phase_w:
        assert sum(r.power_phase_w) == pytest.approx(11061.25, abs=0.2)
    if r.export_wh is not None:
        assert r.export_wh == 1250


@pytest.mark.parametrize("name", METERS)
def test_the_other_word_order_is_noticed(name: str) -> None:
    """A meter that delivers its words the other way round must never give a reading."""
    m = meter_map.find(name, (CONFIG,))
    turned = {
        at: [w for i in range(0, len(words), 2) for w in reversed(words[i : i + 2])] if len(words) > 1 else words
        for at, words in GOLDEN[name].items()
    }
    with pytest.raises(Garbled):
        check(values(m, turned), 3)


@pytest.mark.parametrize("name", METERS)
def test_no_two_reads_can_be_mixed_up(name: str) -> None:
    m = meter_map.find(name, (CONFIG,))
    shapes = [(b.function, b.count) for b in m.blocks] + [(i.function, i.count) for i in m.identity.values()]
    assert len(set(shapes)) == len(shapes)


def test_line_defaults() -> None:
    lines = {n: (m.baud, m.parity, m.stopbits, m.gap_s) for n in METERS if (m := meter_map.find(n, (CONFIG,)))}
    assert lines["eastron_sdm630"] == lines["eastron_sdm72dm"] == (9600, "N", 1, 0.1)
    assert lines["abb_b23"] == (19200, "E", 1, 0.0)
    assert lines["carlo_gavazzi_em340"] == (9600, "N", 1, 0.0)


def test_short_blocks_for_meters_that_answer_ten_registers() -> None:
    assert max(b.count for b in meter_map.find("eastron_sdm72dm", (CONFIG,)).blocks) <= 10


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


def written(folder: Path, text: str) -> Path:
    path = folder / "meters" / "new.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_few_lines_add_a_meter_and_the_own_folder_wins(tmp_path: Path) -> None:
    written(tmp_path, TWENTY_LINES.replace("SCALE", "1")).rename(tmp_path / "meters" / "abb_b23.toml")
    m = meter_map.find("abb_b23", (tmp_path, CONFIG))
    assert m.vendor == "New"
    assert reading(decode(m.billing, [1, 2, 5000], False), Stamp(1, 1.0)).energy_wh == 65538


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TWENTY_LINES.replace("SCALE", "100"), "steps of 100 Wh"),
        (TWENTY_LINES.replace("SCALE", "10.5"), "steps of 10.5 Wh"),
        (TWENTY_LINES.replace("SCALE", "1").replace("uint32_be", "uint33"), "unknown type"),
        (TWENTY_LINES.replace("SCALE", "1").replace("count = 3", "count = 2"), "outside of the block"),
        (TWENTY_LINES.replace("SCALE", "1").replace("frequency_hz", "frequency"), "unknown value"),
        (TWENTY_LINES.replace("SCALE", "1").replace("energy_wh", "export_wh"), "must have values.energy_wh"),
        (TWENTY_LINES.replace("SCALE", "1").replace("baud", "boud"), "unknown key 'boud'"),
        (TWENTY_LINES.replace("SCALE", "1").replace("function = 3\n", ""), "function is missing"),
        (TWENTY_LINES.replace("SCALE", "1") + '[identity]\nserial={function=3,address=1,count=3,type="ascii"}', "pad"),
        ("vendor = ", "Invalid value"),
    ],
)
def test_a_wrong_map_says_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MapError, match=complaint) as caught:
        meter_map.load(written(tmp_path, text))
    assert "new.toml" in str(caught.value)


def test_an_unknown_map_is_guessed() -> None:
    with pytest.raises(MapError, match="did you mean 'eastron_sdm630'"):
        meter_map.find("eastron_sdm360", (CONFIG,))
    with pytest.raises(board_map.MapError, match="did you mean 'charx_sec'"):
        board_map.find("charx", (CONFIG,))


# --- boards -------------------------------------------------------------------------------------------------------


def test_charx_registers() -> None:
    """UM EN CHARX SEC, appendix B."""
    m = board_map.find("charx_sec", (CONFIG,))
    assert (m.stride, m.poll_address, m.poll_count, m.state_at) == (1000, 232, 77, 299)
    assert (m.release.at, m.release.on, m.release.off) == (300, 1, 0)
    assert (m.limit.at, m.limit.pause, m.limit.least, m.limit.most) == (301, 0, 6, 80)
    assert m.service is not None
    assert (m.service.at, m.service.off) == (304, 0)
    assert m.unlock is not None
    assert (m.unlock.at, m.unlock.on) == (305, 1)
    assert (m.watchdog.fallback_at, m.watchdog.seconds_at) == (306, 307)
    places = {n: (p.at, p.registers) for n, p in m.picture.items()}
    assert places["plugged_s"] == (285, 2)
    assert places["errors"] == (293, 2)
    assert [places[n] for n in ("inputs", "offered_a", "cable_a", "released", "locked")] == [
        (295, 1), (297, 1), (298, 1), (300, 1), (303, 1),
    ]  # fmt: skip
    assert {k: c.pilot for k, c in m.codes.items()} == {
        "A1": Pilot.A, "A2": Pilot.A, "B1": Pilot.B, "B2": Pilot.B, "C1": Pilot.C, "C2": Pilot.C,
        "D1": Pilot.D, "D2": Pilot.D, "E0": Pilot.E, "F0": Pilot.F,
    }  # fmt: skip
    assert {k for k, c in m.codes.items() if c.power} == {"C2", "D2"}
    assert m.errors[30] is Fault.GROUND_FAILURE
    assert m.errors[27] is Fault.CONTACTOR_WELDED
    assert 4 not in m.errors, "a pause by the load management is no fault"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"PilotFault"', '"PilotFoult"', "PilotFoult"),
        ("released = { at = 300 }", "", "released is missing"),
        ("at = 299", "at = 400", "outside of the poll"),
        ("release = { at = 300, on = 1, off = 0 }", "", "release"),
        ("inputs = {", "imputs = {", "unknown imputs"),
        ("seconds_at = 307", "secs_at = 307", "secs_at"),
    ],
)
def test_a_wrong_board_map_says_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = (CONFIG / "boards" / "charx_sec.toml").read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(board_map.MapError, match=complaint) as caught:
        board_map.load(path)
    assert "wrong.toml" in str(caught.value)

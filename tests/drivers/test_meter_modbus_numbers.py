"""Registers to numbers, exactly."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ports import Garbled
from drivers.meter_modbus.register_numbers import NumberType, exact_energy_wh, float_step, registers_to_text

F32 = NumberType.from_type_name("float32_be")
KWH = Fraction(1000)


def words(raw: bytes) -> list[int]:
    return list(struct.unpack(f">{len(raw) // 2}H", raw))


def from_kwh(kwh: float) -> int:
    """Wh of a float32 kWh register that holds the nearest neighbour of ``kwh``."""
    return exact_energy_wh(F32.decode_words(words(struct.pack(">f", kwh))), KWH, F32) // 1


@pytest.mark.parametrize(
    ("name", "registers", "value"),
    [
        ("uint16", [0xFFFE], 65534),
        ("int16", [0xFFFE], -2),
        ("uint32_be", [0x0001, 0x0002], 65538),
        ("int32_be", [0xFFFF, 0xFFFE], -2),
        ("int32_wordswapped", [0x0002, 0x0001], 65538),
        ("int32_wordswapped", [0xFFFE, 0xFFFF], -2),
        ("uint64_be", [0, 0, 1, 0], 65536),
        ("int64_be", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2),
        ("int64_wordswapped", [4, 3, 2, 1], 0x0001000200030004),
        ("float32_be", [0x4366, 0x3333], Fraction(230.1999969482421875)),
        ("float32_wordswapped", [0x3333, 0x4366], Fraction(230.1999969482421875)),
        ("float64_be", [0x3FF8, 0, 0, 0], Fraction(3, 2)),
    ],
)
def test_decoding(name: str, registers: list[int], value: int | Fraction) -> None:
    assert NumberType.from_type_name(name).decode_words(registers) == value


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800000, 0xFF800000])
def test_nan_and_infinity_are_refused(bits: int) -> None:
    with pytest.raises(Garbled):
        F32.decode_words([bits >> 16, bits & 0xFFFF])


def test_a_wrong_number_of_registers_is_refused() -> None:
    with pytest.raises(Garbled):
        F32.decode_words([1])


@pytest.mark.parametrize("name", ["float16", "int24_be", "Float32_be", "", "ascii_be"])
def test_unknown_types(name: str) -> None:
    with pytest.raises(ValueError, match="unknown type"):
        NumberType.from_type_name(name)


@given(st.integers(0, 16_384_000))
def test_every_wh_of_a_float32_kwh_register_is_found_again(wh: int) -> None:
    """Up to 16.384 MWh neighbours are less than 1 Wh apart; the plain floor would lose a Wh for half of the values."""
    assert from_kwh(wh / 1000) == wh


@given(st.integers(16_384_001, 300_000_000))
def test_above_that_it_is_the_floor_of_what_the_register_holds(wh: int) -> None:
    held = struct.unpack(">f", struct.pack(">f", wh / 1000))[0]
    assert from_kwh(wh / 1000) == Fraction(held) * 1000 // 1


@given(st.floats(0, 2e5, width=32), st.floats(0, 2e5, width=32))
def test_the_bill_never_goes_backwards_with_the_register(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert from_kwh(low) <= from_kwh(high)


@given(st.floats(0, 1e4, width=32))
def test_never_more_than_the_register_by_a_whole_wh(kwh: float) -> None:
    assert from_kwh(kwh) - 1 < Fraction(kwh) * 1000 <= from_kwh(kwh) + 1


@given(st.integers(0, 2**64 - 2))
def test_integers_never_become_floats(raw: int) -> None:
    kind = NumberType.from_type_name("uint64_be")
    assert exact_energy_wh(kind.decode_words(words(struct.pack(">Q", raw))), Fraction(10), kind) == raw * 10


def test_steps_of_a_float32_kwh_register() -> None:
    """0.98 Wh at 10 MWh, 1.95 at 20, 7.8 at 100."""
    steps = [float(float_step(Fraction(kwh), F32) * 1000) for kwh in (10_000, 20_000, 100_000)]
    assert steps == pytest.approx([0.977, 1.953, 7.813], abs=0.001)


def test_missing_marks() -> None:
    assert NumberType.from_type_name("uint32_be").marks_unavailable(0xFFFFFFFF)
    assert NumberType.from_type_name("int32_be").marks_unavailable(0x7FFFFFFF)
    assert not NumberType.from_type_name("int32_be").marks_unavailable(-1)
    assert not NumberType.from_type_name("uint16").marks_unavailable(0x7FFF)
    assert not F32.marks_unavailable(0)


def test_text_with_two_or_one_characters_in_a_register() -> None:
    assert registers_to_text(words(b"BQ1234567Z\0\0")) == "BQ1234567Z"
    assert registers_to_text(words(b"\0B\0Q\x001")) == "BQ1"
    assert registers_to_text(words(b"B23 112 ")) == "B23 112"

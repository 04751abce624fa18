"""Which octets count as the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bus.frames import ExpectedAnswer, modbus_crc16
from tests.drivers.modbus_far_ends import crc, framed

READ = framed(1, bytes([3, 0, 10, 0, 2]))
GOOD = framed(1, bytes([3, 4, 1, 2, 3, 4]))
TCP_READ = bytes.fromhex("000500000006 01 04 0048 0002")
TCP_GOOD = bytes.fromhex("000500000007 01 04 04 01020304")


def test_crc_of_the_specification() -> None:
    """Modbus over serial line V1.02: 02 07 -> CRC 41 12."""
    assert modbus_crc16(b"\x02\x07") == b"\x41\x12" == crc(b"\x02\x07")


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_answer_is_found_in_any_noise(before: bytes, after: bytes) -> None:
    assert ExpectedAnswer.for_request(READ, rtu=True).find_frame(before + GOOD + after) == GOOD


@given(st.binary(max_size=260))
def test_random_octets_are_never_an_answer(noise: bytes) -> None:
    found = ExpectedAnswer.for_request(READ, rtu=True).find_frame(noise)
    assert found is None or crc(found[:-2]) == found[-2:]


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_wrong_octet_is_no_answer(place: int, flip: int) -> None:
    wrong = bytearray(GOOD)
    wrong[place] ^= flip
    assert ExpectedAnswer.for_request(READ, rtu=True).find_frame(bytes(wrong)) is None


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_an_unfinished_answer_is_waited_for(cut: int) -> None:
    assert ExpectedAnswer.for_request(READ, rtu=True).find_frame(GOOD[:cut]) is None


def test_a_refusal_is_an_answer() -> None:
    refusal = framed(1, bytes([0x83, 2]))
    assert ExpectedAnswer.for_request(READ, rtu=True).find_frame(b"\x00" + refusal) == refusal
    assert ExpectedAnswer.for_request(READ, rtu=True).find_frame(framed(2, bytes([0x83, 2]))) is None


def test_tcp_wants_its_own_transaction_number() -> None:
    answer = ExpectedAnswer.for_request(TCP_READ, rtu=False)
    older = b"\x00\x04" + TCP_GOOD[2:]
    assert answer.find_frame(older) is None
    assert answer.find_frame(older + TCP_GOOD) == TCP_GOOD
    assert answer.find_frame(bytes.fromhex("000500000003 01 84 02")) is not None


def test_a_write_is_acknowledged_by_address_and_value() -> None:
    write = framed(7, bytes([6, 0, 44, 0, 1]))
    assert ExpectedAnswer.for_request(write, rtu=True).find_frame(write) == write
    assert ExpectedAnswer.for_request(write, rtu=True).find_frame(framed(7, bytes([6, 0, 44, 0, 0]))) is None


def test_the_echo_of_a_multiple_write_is_no_acknowledgement() -> None:
    write = framed(7, bytes([16, 0, 44, 0, 1, 2, 0, 1]))
    assert ExpectedAnswer.for_request(write, rtu=True).find_frame(write) is None
    assert ExpectedAnswer.for_request(write, rtu=True).find_frame(write + framed(7, write[1:6])) == framed(
        7, write[1:6]
    )


def test_bits_and_coils_of_the_specification() -> None:
    """Application protocol V1.1b3, 6.1: 19 coils come in three octets. 6.5: a coil is acknowledged as written."""
    read, good = framed(1, bytes.fromhex("0100130013")), framed(1, bytes.fromhex("0103cd6b05"))
    assert ExpectedAnswer.for_request(read, rtu=True).find_frame(b"\x00" + good) == good
    assert ExpectedAnswer.for_request(read, rtu=True).find_frame(framed(1, bytes.fromhex("0102cd6b"))) is None
    on = framed(1, bytes.fromhex("0500acff00"))
    assert ExpectedAnswer.for_request(on, rtu=True).find_frame(on) == on
    assert ExpectedAnswer.for_request(on, rtu=True).find_frame(framed(1, bytes.fromhex("0500ac0000"))) is None

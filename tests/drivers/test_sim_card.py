"""Cards in the simulated field, read by the real nfcpy in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import nfc
import nfc.clf
import nfc.tag
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim.card import KINDS, Card
from drivers.sim.rf_field import RfField
from tests.drivers.sim_stations import until
from tests.support.busy_machine import Deadline
from tests.support.moving_clock import run_moving

UID = bytes.fromhex("04A1B2C3D4E5F6")


@pytest.fixture
async def field() -> AsyncIterator[RfField]:
    field = RfField()
    await field.start()
    yield field
    field.close()


class Reader:
    """nfcpy calls, each in a thread."""

    def __init__(self, field: RfField) -> None:
        self.clf = nfc.ContactlessFrontend(f"udp:127.0.0.1:{field.port}")

    async def sense(self) -> Any:
        return await asyncio.to_thread(self.clf.sense, nfc.clf.RemoteTarget("106A"), iterations=1)

    async def activate(self, target: Any) -> Any:
        return await asyncio.to_thread(nfc.tag.activate, self.clf, target)


@pytest.fixture
async def reader(field: RfField) -> AsyncIterator[Reader]:
    reader = Reader(field)
    yield reader
    await asyncio.to_thread(reader.clf.close)


async def test_card_is_noticed_while_the_reader_is_waiting(field: RfField, reader: Reader) -> None:
    waiting = asyncio.create_task(reader.sense())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    began = time.monotonic()
    field.present_card(Card(UID), 5)
    target = await waiting
    assert time.monotonic() - began < 0.9
    assert (bytes(target.sdd_res), bytes(target.sens_res), bytes(target.sel_res)) == (UID, b"\x44\x03", b"\x20")


async def test_desfire_speaks_iso_dep_and_is_present_until_taken_away(field: RfField, reader: Reader) -> None:
    field.present_card(Card(UID), 60)
    tag = await reader.activate(await reader.sense())
    assert tag.type == "Type4Tag"
    assert tag.identifier == UID
    assert await asyncio.to_thread(lambda: tag.is_present)
    first = await asyncio.to_thread(tag.transceive, bytes.fromhex("9060000000"))
    second = await asyncio.to_thread(tag.transceive, bytes.fromhex("90af000000"))
    third = await asyncio.to_thread(tag.transceive, bytes.fromhex("90af000000"))
    assert first.hex() == "0401010100180591af"
    assert second.hex() == "0401010104180591af"
    assert third[:7] == UID
    assert third[-2:] == b"\x91\x00"
    assert await asyncio.to_thread(lambda: tag.is_present)
    native = await asyncio.to_thread(tag.transceive, b"\x60")
    assert native.hex() == "af04010101001805"
    field.discard_cards()
    patience = Deadline(20)
    while await asyncio.to_thread(lambda: tag.is_present):
        assert not patience.over
    assert field.card is None


async def test_long_command_in_chained_blocks(field: RfField, reader: Reader) -> None:
    field.present_card(Card(UID), 5)
    tag = await reader.activate(await reader.sense())
    assert await asyncio.to_thread(tag.transceive, bytes((0x90, 0x3D)) + bytes(150)) == b"\x91\x1c"


async def test_random_identifier_is_another_one_at_each_power_up(field: RfField, reader: Reader) -> None:
    field.present_card(Card(UID, "random_uid"), 10)
    seen = [bytes((await reader.sense()).sdd_res) for _ in range(3)]
    assert len(set(seen)) == 3
    assert all(len(uid) == 4 and uid[0] == 0x08 for uid in seen)
    tag = await reader.activate(await reader.sense())
    await asyncio.to_thread(tag.transceive, bytes.fromhex("9060000000"))
    await asyncio.to_thread(tag.transceive, bytes.fromhex("90af000000"))
    assert (await asyncio.to_thread(tag.transceive, bytes.fromhex("90af000000")))[:7] == bytes(7)


@pytest.mark.parametrize(("uid", "atqa"), [(b"\x11\x22\x33\x44", b"\x04\x00"), (UID, b"\x44\x00")])
async def test_classic_has_no_iso_dep(field: RfField, reader: Reader, uid: bytes, atqa: bytes) -> None:
    field.present_card(Card(uid, "classic"), 5)
    target = await reader.sense()
    assert (bytes(target.sdd_res), bytes(target.sens_res), bytes(target.sel_res)) == (uid, atqa, b"\x08")
    again = await asyncio.to_thread(reader.clf.sense, nfc.clf.RemoteTarget("106A", sel_req=uid), iterations=1)
    assert again is not None


async def test_cards_come_one_after_the_other(field: RfField, reader: Reader) -> None:
    field.present_card(Card(UID), 1)
    field.present_card(Card(b"\x11\x22\x33\x44", "classic"), 5)
    assert bytes((await reader.sense()).sdd_res) == UID
    patience = Deadline(20)
    while (target := await reader.sense()) is None or bytes(target.sdd_res) != b"\x11\x22\x33\x44":
        assert not patience.over


async def test_a_card_is_not_taken_away_from_a_reader_that_is_only_slow(field: RfField, reader: Reader) -> None:
    """A person waits for the beep. From one that is not at work it is taken away in time."""
    field.present_card(Card(UID), 0.0)
    await until(lambda: field.card is None)
    assert await reader.sense() is None  # it is at work from here on
    field.present_card(Card(UID), 0.0)
    target = await reader.sense()
    await asyncio.sleep(0.05)
    assert field.card is not None
    assert (await reader.activate(target)).identifier == UID
    await until(lambda: field.card is None)


def test_a_card_is_held_to_a_reader_that_takes_seconds_for_it_and_not_for_ever() -> None:
    """On a busy machine: it is at work, and each of its attempts takes a second."""

    async def read_slowly() -> list[bool]:
        field, held = RfField(), list[bool]()
        field.datagram_received(b"106A 26", ("127.0.0.1", 9))
        field.present_card(Card(UID), 0.3)
        for _ in range(15):
            await asyncio.sleep(1)
            field.datagram_received(b"106A 26", ("127.0.0.1", 9))
            held.append(field.card is not None)
        return held

    held = run_moving(read_slowly())
    assert all(held[:8])
    assert not held[-1]


async def test_a_card_is_taken_away_from_a_reader_that_does_without_its_blocks(field: RfField, reader: Reader) -> None:
    """It looks whether the card is still there by its identifier, after RATS was answered too late."""
    await reader.sense()
    field.present_card(Card(UID), 0.0)
    patience = Deadline(1.5)
    while await reader.sense() is not None:
        assert not patience.over, "held on, though the reader knows which one it is"


async def test_other_technologies_and_garbage_are_ignored(field: RfField, reader: Reader) -> None:
    field.present_card(Card(UID), 10)
    for raw in (b"", b"106A", b"106A zz", b"\xff\xfe", b"106B 050010", b"212F 0600ffff0100", b"RFOFF"):
        field.datagram_received(raw, ("127.0.0.1", 9))
    assert bytes((await reader.sense()).sdd_res) == UID


def test_presence_check_repeats_the_last_block_only_when_it_was_lost() -> None:
    card = Card(UID)
    for frame in ("26", "9320", "937088" + "04a1b2" + "9f", "9520", "9570" + "c3d4e5f6" + "04"):
        assert card.answer_frame(bytes.fromhex(frame)) is not None
    assert card.answer_frame(b"\xe0\x80") == bytes.fromhex("067577810280")
    assert card.answer_frame(b"\xb2") == b"\xa3"
    version = card.answer_frame(b"\x02\x60")
    assert card.answer_frame(b"\xb2") == version
    assert card.answer_frame(b"\xb3") == b"\xa2"
    assert card.answer_frame(b"\xc2") == b"\xc2"
    assert card.answer_frame(b"\xb2") is None


@given(st.sampled_from(KINDS), st.lists(st.binary(max_size=12), max_size=30))
def test_no_frame_breaks_a_card(kind: str, frames: list[bytes]) -> None:
    card = Card(UID, kind)
    for frame in [b"\x26", *frames]:
        card.answer_frame(frame)
    card.power_off()
    assert card.answer_frame(b"\x26") is not None

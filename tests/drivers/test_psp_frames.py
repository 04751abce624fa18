"""PSP's frames: golden ones, and the parser under any chunks and any noise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.bank_card import AcquirerRecord, TerminalIdentity
from agent.model.types import Token
from agent.ports.reader import Tap
from drivers.sim.apollo.blocks import BlockParser, encode_block
from drivers.terminal_payter import commands, messages, tlv
from drivers.terminal_payter.badges import BadgeHoldOff, badge_hold_off_s, tap_of_badge
from drivers.terminal_payter.card import (
    RECEIPT_TEXT_MAX,
    acquirer_record_of_tags,
    acquirer_record_of_words,
    bank_card_of_tags,
)
from drivers.terminal_payter.card_numbers import mask_card_numbers
from drivers.terminal_payter.commands import From, State, To
from drivers.terminal_payter.frames import LONGEST_PLAIN, Frame, FrameParser, TooLong, encode_frame
from drivers.terminal_payter.messages import Status, uint32_bytes
from drivers.terminal_payter.settings import PayterSettings

TO_TERMINAL = [
    ("CC 02 3C 24 2E", To.SYNCHRONIZE, b""),
    ("CC 02 3C 12 1C", To.ENABLE, b""),
    ("CC 02 3C 11 1B", To.DISABLE, b""),
    ("CC 02 3C 26 30", To.GET_STATUS, b""),
    ("CC 07 3C 13 03 00 00 00 1B 40", To.PROTOCOL, messages.protocol_payload(0x1B)),
    ("CC 07 3C 23 00 01 51 80 01 05", To.SETUP, messages.setup_payload(86400)),
    ("CC 0A 3C 34 00 00 13 88 00 00 00 01 E2", To.START, messages.start_payload(5000, 1)),
    ("CC 02 3C 36 40", To.AUTH, b""),
    ("CC 02 3C 37 41", To.CANCEL, b""),
    ("CC 0A 3C 35 00 00 00 07 00 00 04 D2 24", To.COMMIT, uint32_bytes(7) + uint32_bytes(1234)),
    ("CC 06 3C 33 00 00 00 07 48", To.VOID, uint32_bytes(7)),
    (
        "CC 29 3C 28 69 6E 66 6F 00 74 69 74 6C 65 00 43 68 61 72 67 69 6E 67 00 73 75 62 74 69 74 6C 65 00 "
        "31 2E 32 33 34 20 6B 57 68 00 F8",
        0x28,
        messages.ui_request_payload("info", [("title", "Charging"), ("subtitle", "1.234 kWh")]),
    ),
    ("CC 0B 3C 41 40 00 00 00 03 DF F0 02 FD 65", 0x41, messages.read_card_payload(1 << 30, b"\xdf\xf0\x02", 0xFD)),
    ("CC 02 3C 44 4E", 0x44, b""),
    ("CC 06 3C 45 00 00 00 07 5A", 0x45, uint32_bytes(7)),
    ("CC 06 3C 46 00 00 00 07 5B", 0x46, uint32_bytes(7)),
    (
        "CC 1F 3C 34 00 00 13 88 00 00 00 01 00 02 00 00 00 50 59 31 00 00 53 74 6F 70 3A 20 63 61 72 64 00 6D",
        To.START,
        messages.start_payload(5000, 1, b"", messages.apollo_extras(2, "PY1", "Stop: card")),
    ),
]
FROM_TERMINAL = [
    ("AA 03 3C 00 00 E9", Frame(From.RESULT, b"\0")),
    ("AA 04 3C 00 01 05 F0", Frame(From.RESULT, b"\1\5")),
    ("AA 04 3C 00 08 00 F2", Frame(From.RESULT, b"\x08\0")),
    ("AA 06 3C 31 00 00 00 07 24", Frame(From.APPROVED, uint32_bytes(7))),
    ("AA 03 3C 32 09 24", Frame(From.DECLINED, b"\x09")),
    ("AA 04 3C 21 03 66 74", Frame(0x21, b"\x03\x66")),
    ("AA 00 00 00 04 3C 21 03 66 74", Frame(0x21, b"\x03\x66", True)),
    (
        "AA 0E 3C 40 0B DF F0 02 07 04 A1 B2 C3 D4 E5 F6 E0",
        Frame(From.BADGE_READ, bytes.fromhex("0B DFF002 07 04A1B2C3D4E5F6")),
    ),
    (
        "AA 1C 3C 44 65 74 68 65 72 6E 65 74 00 31 39 32 2E 30 2E 32 2E 37 00 6F 6E 6C 69 6E 65 00 E9",
        Frame(0x44, b"ethernet\x00192.0.2.7\0online\0"),
    ),
]


@pytest.mark.parametrize(("golden", "header", "payload"), TO_TERMINAL)
def test_what_is_sent(golden: str, header: int, payload: bytes) -> None:
    assert encode_frame(header, payload) == bytes.fromhex(golden)


@pytest.mark.parametrize(("golden", "frame"), FROM_TERMINAL)
def test_what_comes(golden: str, frame: Frame) -> None:
    assert FrameParser().feed_chunk(bytes.fromhex(golden)) == [frame]


def test_what_a_result_says() -> None:
    assert messages.parse_result(b"\0") == commands.OK
    assert messages.parse_result(b"\1\5") == commands.WRONG_STATE
    assert messages.parse_result(b"\1") == 0


@pytest.mark.parametrize("late", ["00", "01", "0105", "0111", "010C"])
def test_no_result_passes_for_a_status(late: str) -> None:
    assert messages.parse_status(bytes.fromhex(late)) is None


def test_statuses() -> None:
    assert messages.parse_status(b"\x08\x00") == Status(State.ENABLED, False)
    assert messages.parse_status(b"\x20\x01") == Status(State.WAIT_AUTH, True)
    assert messages.parse_status(b"\x01\x00") == Status(State.OFFLINE, False)


def test_a_session_that_no_one_settles_is_voided_never_charged() -> None:
    assert messages.setup_payload(259_200)[-1] == 0x01


def test_the_longest_frame() -> None:
    assert len(encode_frame(To.START, bytes(LONGEST_PLAIN - 2))) == 257
    with pytest.raises(TooLong):
        encode_frame(To.START, bytes(LONGEST_PLAIN - 1))
    assert len(encode_frame(To.START, bytes(4400), extended=True)) == 4400 + 8


def test_a_long_text_is_cut_between_characters() -> None:
    assert messages.text_field("é" * 40, 63) == ("é" * 31).encode() + b"\0"
    assert messages.text_field("a\0b", 63) == b"ab\0"


@pytest.mark.parametrize("tags", [0, 18, 100])
def test_the_longest_card_message_fits_the_frame(tags: int) -> None:
    said = "x" * min(messages.CARD_MESSAGE_ROOM - tags, messages.LONGEST_CARD_MESSAGE)
    extras = messages.apollo_extras(0, "r" * 70, said)
    payload = messages.start_payload(5000, 1, bytes(tags), extras)
    assert len(encode_frame(To.START, payload)) <= 257
    assert said.encode() in payload


def test_who_it_is() -> None:
    identity = messages.parse_identity(b"A123\0Apollo\0P 1\0psp 2\0ui 3\0")
    assert identity == TerminalIdentity("Payter", "Apollo", "A123", "P 1 psp 2 ui 3")
    assert messages.parse_identity(b"") == TerminalIdentity("Payter")


# --- the parser ------------------------------------------------------------------------------------------------------

FRAMES = st.builds(Frame, st.integers(0, 255), st.binary(max_size=250), st.booleans())
CUTS = st.lists(st.integers(0, 2000), max_size=20)


def wire(frame: Frame) -> bytes:
    return encode_block(frame.header, frame.payload, frame.extended)


def parsed(data: bytes, cuts: list[int]) -> list[Frame]:
    parser = FrameParser()
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    return [f for a, b in pairwise(edges) for f in parser.feed_chunk(data[a:b])] + parser.flush_partial()


@given(st.lists(FRAMES, max_size=5), CUTS)
def test_frames_pass_in_any_chunks(frames: list[Frame], cuts: list[int]) -> None:
    assert parsed(b"".join(map(wire, frames)), cuts) == frames


@given(st.binary(max_size=300), CUTS)
def test_noise_never_harms(noise: bytes, cuts: list[int]) -> None:
    parsed(noise, cuts)


@given(st.lists(st.tuples(st.binary(max_size=12).filter(lambda n: 0xAA not in n), FRAMES), max_size=4), CUTS)
def test_frames_between_noise_are_all_found(parts: list[tuple[bytes, Frame]], cuts: list[int]) -> None:
    assert parsed(b"".join(n + wire(f) for n, f in parts), cuts) == [f for _, f in parts]


@given(st.binary(max_size=40), FRAMES)
def test_after_a_silence_the_next_frame_is_found_whatever_came_before(noise: bytes, frame: Frame) -> None:
    parser = FrameParser()
    parser.feed_chunk(noise)
    parser.flush_partial()
    assert not parser.has_partial_frame
    assert parser.feed_chunk(wire(frame)) == [frame]


def test_a_false_preamble_with_a_big_length_hides_nothing() -> None:
    good = bytes.fromhex("AA 03 3C 00 00 E9")
    assert FrameParser().feed_chunk(bytes.fromhex("AA F0 11") + good) == [
        Frame(0, b"\0")
    ]  # the magic is judged at once
    parser = FrameParser()
    assert parser.feed_chunk(bytes.fromhex("AA F0 3C") + good) == []  # here only the silence shows it
    assert parser.flush_partial() == [Frame(0, b"\0")]


def test_a_wrong_sum_is_no_frame_and_what_is_inside_it_is_looked_at() -> None:
    inner = bytes.fromhex("AA 03 3C 00 00 E9")
    outer = bytes([0xAA, 2 + len(inner), 0x3C, 0x34]) + inner
    assert FrameParser().feed_chunk(outer + b"\0") == [Frame(0, b"\0")]


@given(st.integers(0, 255), st.binary(max_size=252))
def test_the_far_end_reads_what_is_sent(header: int, payload: bytes) -> None:
    for extended in (False, True):
        ear = BlockParser()
        ear.wide = extended
        (heard,) = ear.feed_bytes(encode_frame(header, payload, extended))
        assert (heard.code, heard.body, heard.intact) == (header, payload, True)


# --- card data -------------------------------------------------------------------------------------------------------


def test_card_data() -> None:
    data = bytes.fromhex("DFCA0B10") + b"411111******1234" + bytes.fromhex("DFAA7004DEADBEEFDFCA0A04") + b"VISA"
    read = bank_card_of_tags(data, "DFAA70", b"salt")
    assert (read.last4, read.brand, len(read.mark)) == ("1234", "VISA", 32)
    assert bank_card_of_tags(data, "DFAA70", b"other").mark != read.mark
    assert "deadbeef" not in read.mark


def tagged(**values: bytes) -> bytes:
    return b"".join(bytes.fromhex(tag) + bytes([len(value)]) + value for tag, value in values.items())


def test_the_words_of_the_acquirer_hold_no_whole_card_number() -> None:
    said = tagged(
        DFCA03=b"4000000000000002", DFCA02=b"00 4111111111111111", DFAA01=b"AUTH=004711;PAN=4111111111111111;N=1234"
    )
    found = acquirer_record_of_tags(said)
    assert found.reference == "************0002", "what passes for a card number is masked everywhere"
    assert found.response == "00 ************1111"
    assert found.data == "AUTH=004711;PAN=************1111;N=1234"
    assert acquirer_record_of_tags(tagged(DFCA03=b"123456789012")).reference == "123456789012"
    assert acquirer_record_of_tags(tagged(DFAA01=b"a\nb\x00c")).data == "abc"
    assert acquirer_record_of_tags(b"") == AcquirerRecord()


def test_the_terminals_own_receipt_holds_no_whole_card_number() -> None:
    text = "SHOP\r\n  VISA 4111 1111 1111 1111\r\n\r\nTERMINAL 4111-1111-1111-1112\0AUTH 004711"
    assert acquirer_record_of_words(text.encode()).receipt == (
        "SHOP\nVISA **** **** **** 1111\nTERMINAL 4111-1111-1111-1112\nAUTH 004711"
    )
    assert len(acquirer_record_of_words(b"x" * 5000).receipt) == RECEIPT_TEXT_MAX
    record = acquirer_record_of_words(tagged(DFCA03=b"HTR1", DFAA01=b"A,1"))
    assert record == AcquirerRecord("HTR1", "", "A,1"), "what is no text is read as tags"


@pytest.mark.parametrize("before", ["", "01 ", "EUR 45 ", "SEQ 01", "x" * (RECEIPT_TEXT_MAX - 10), "9" * 40 + "\n"])
@pytest.mark.parametrize("between", ["", " ", "  ", ".", " - ", "\n", "\r\n  "])
@pytest.mark.parametrize("after", ["", " 12/27", "01", "\n123", "\nTOTAL 9.80"])
@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "6304000000000000000"])
def test_a_card_number_is_masked_whatever_stands_around_it(number: str, before: str, between: str, after: str) -> None:
    """Not even its first digits are left, wherever the text is cut."""
    groups = between.join(number[at : at + 4] for at in range(0, len(number), 4))
    text = before + groups + after
    for said in (acquirer_record_of_words(text.encode()).receipt, acquirer_record_of_tags(long_tag(text)).data):
        digits = "".join(c for c in said if c.isdigit() or c == "*")
        assert number[:6] not in digits, said


@pytest.mark.parametrize(
    "reference", ["74537604221022145678912", "5531234567890123456789", "9000000000000001 20261129"]
)
def test_a_reference_of_the_acquirer_stays_whole(reference: str) -> None:
    """Its file names the booking by it. By chance most long numbers have digits that pass for a card number."""
    assert mask_card_numbers(reference) != reference
    assert acquirer_record_of_tags(tagged(DFCA03=reference.encode()), "1111").reference == reference
    assert acquirer_record_of_tags(tagged(DFCA03=reference.encode())).reference == reference


def test_the_number_of_the_card_itself_is_masked_in_a_reference() -> None:
    said = tagged(DFCA03=b"01 4111111111111111 7")
    assert acquirer_record_of_tags(said, "1111").reference == "01 ************1111 7"


def long_tag(text: str) -> bytes:
    raw = text.encode()
    return bytes.fromhex("DFAA0182") + len(raw).to_bytes(2, "big") + raw


def test_what_is_no_card_number_is_left_as_it_is() -> None:
    text = "2026-11-29 08:12\nTERMINAL 4111-1111-1111-1112\nIBAN LU28 0019 4006 4475 0000\nTOTAL EUR 50.00"
    assert acquirer_record_of_words(text.encode()).receipt == text


def test_words_whose_layout_is_not_public_are_shown_as_they_are_said() -> None:
    assert messages.parse_words(b"ethernet\x00192.0.2.7\0online\0") == "ethernet, 192.0.2.7, online"
    assert messages.parse_words(b"\x01\xff\x02") == "01 ff 02"
    assert messages.parse_words(b"") == ""


UID, SHORT_UID = bytes.fromhex("04A1B2C3D4E5F6"), bytes.fromhex("DEADBEEF")


@pytest.mark.parametrize(
    ("data", "keys", "tap"),
    [
        (tagged(DFF002=UID), {}, Tap(Token("04A1B2C3D4E5F6"))),
        (tagged(DFF002=bytes(20), DFF003=SHORT_UID), {}, Tap(Token("DEADBEEF"))),
        (tagged(DFF002=b"h" * 20, DFF003=UID), {"uid_order": "reversed", "uid_case": "lower"},
         Tap(Token("f6e5d4c3b2a104"))),
        (tagged(DFF002=b"\x08\x01\x02\x03"), {}, Tap(None, "phone_at_terminal")),
        (tagged(DFF002=bytes(7)), {}, Tap(None, "unreadable")),
        (tagged(DFF002=b"a hash of twenty byte"), {}, Tap(None, "unreadable")),
        (tagged(DFCA0B=SHORT_UID), {}, Tap(None, "unreadable")),
        (tagged(DFF005=SHORT_UID), {"badge_tags": "85DFF005"}, Tap(Token("DEADBEEF"))),
        (b"", {}, Tap(None, "unreadable")),
    ],
)  # fmt: skip
def test_only_a_uid_is_a_badge(data: bytes, keys: dict[str, Any], tap: Tap) -> None:
    assert tap_of_badge(data, PayterSettings(**keys)) == tap


def test_a_badge_that_is_held_there_is_one_tap() -> None:
    hold_off, tap = BadgeHoldOff(5.0), Tap(Token("DEADBEEF"))
    assert hold_off.is_new_tap(tap, 100.0)
    assert not hold_off.is_new_tap(tap, 104.0)
    assert not hold_off.is_new_tap(tap, 108.0), "it was read again meanwhile"
    assert hold_off.is_new_tap(tap, 113.0)
    assert hold_off.is_new_tap(Tap(None, "unreadable"), 113.1)
    assert hold_off.is_new_tap(tap, 113.2), "another card was there between"


@pytest.mark.parametrize("screen_hold_s", [0.0, 3.0, 10.0])
def test_a_badge_that_stays_there_is_one_tap_however_long_results_are_shown(screen_hold_s: float) -> None:
    """While a result is on the screen no badge is read: the next reading comes behind it."""
    hold_off_s = badge_hold_off_s(PayterSettings(screen_hold_s=screen_hold_s), rest_s=2.0)
    hold_off, tap = BadgeHoldOff(hold_off_s), Tap(Token("DEADBEEF"))
    every_s = screen_hold_s + 2.0 + 1.5
    assert [hold_off.is_new_tap(tap, 100.0 + n * every_s) for n in range(4)] == [True, False, False, False]
    assert hold_off.is_new_tap(tap, 100.0 + 3 * every_s + hold_off_s)


def test_the_hold_off_that_the_settings_want_is_kept() -> None:
    assert badge_hold_off_s(PayterSettings(), rest_s=2.0) == 5.0
    assert badge_hold_off_s(PayterSettings(badge_holdoff_ms=60_000, screen_hold_s=10.0), rest_s=2.0) == 60.0
    assert badge_hold_off_s(PayterSettings(badge_holdoff_ms=0, screen_hold_s=10.0), rest_s=2.0) == 0.0, "each is a tap"


def test_a_card_without_a_hash_has_no_mark() -> None:
    assert bank_card_of_tags(bytes.fromhex("DFF00601 01"), "DFAA70", b"salt").mark == ""


@pytest.mark.parametrize("pan", ["", "123", "************", "4111 **** ٤٢٤٢"])
def test_no_last_digits_of_what_has_none(pan: str) -> None:
    raw = pan.encode()
    assert bank_card_of_tags(bytes.fromhex("DFCA0B") + bytes([len(raw)]) + raw, "DFAA70", b"s").last4 == ""


def test_long_lengths_and_short_tags() -> None:
    value = bytes(300)
    assert tlv.parse_tlv(b"\x5a\x81\x02ab" + b"\xdf\xaa\x70\x82\x01\x2c" + value) == {"5A": b"ab", "DFAA70": value}


@given(st.binary(max_size=80))
def test_broken_card_data_is_no_failure(data: bytes) -> None:
    tlv.parse_tlv(data)
    bank_card_of_tags(data, "DFAA70", b"salt")


@given(st.dictionaries(st.sampled_from(["DFAA70", "DFCA0B", "5A", "DF01"]), st.binary(max_size=120)), st.data())
def test_card_data_that_is_cut_keeps_what_came_before(items: dict[str, bytes], data: st.DataObject) -> None:
    raw = b"".join(bytes.fromhex(t) + bytes([len(v)]) + v for t, v in items.items())
    assert tlv.parse_tlv(raw) == items
    cut = tlv.parse_tlv(raw[: data.draw(st.integers(0, len(raw)))])
    assert cut.items() <= items.items()

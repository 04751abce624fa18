"""The software card of the simulation and the stack that reads cards: written apart, one against the other, and both
against talks that are on record."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reader_nfc.desfire import NotGenuine, Refusal
from drivers.reader_nfc.desfire.ciphers import Key
from drivers.reader_nfc.desfire.picc import ENCIPHERED, MACED, PLAIN, Picc
from drivers.sim import card_list
from drivers.sim.desfire_card import EVERYBODY, Application, Chip, File
from tests.drivers.test_desfire import AES_TALK, COUNT, TEXT, UID

h = bytes.fromhex
KINDS = {
    "aes": ("aes", True, 16),
    "three": ("iso", False, 24),
    "two": ("iso", False, 16),
    "legacy": ("legacy", False, 16),
}
COMMUNICATIONS = (PLAIN, MACED, ENCIPHERED)


def exchange(chip: Chip) -> object:
    def answer(apdu: bytes) -> bytes:
        status, data = chip.answer_command(apdu[1:2] + apdu[5:-1])
        assert len(data) <= 59
        return data + bytes((0x91, status))

    return answer


def picc(chip: Chip) -> Picc:
    return Picc(exchange(chip))  # type: ignore[arg-type]


class Fixed(random.Random):
    """Gives these bytes."""

    def __init__(self, given: str) -> None:
        super().__init__()
        self.given = h(given)

    def randbytes(self, n: int) -> bytes:
        return self.given[:n]


@pytest.mark.parametrize(
    ("code", "key", "b", "challenge", "token", "proof"),
    [
        (
            "AA", "00" * 16, "C05DDD714FD788A6B7B754F3C4D066E8", "B969FDFE56FD91FC9DE6F6F213B8FD1E",
            "36AAD7DF6E436BA08D18613830A70D5AD43E3D3F4A8D47541EEE623A934E4774", "800DB680BC146BD121D6578F2D2E2059",
        ),
        (
            "1A", "00" * 16, "4FD1B75942A8B8E1", "5D994CE085F24089",
            "21D0AD5F2FD97454A746CC80567F1B1C", "913C6DED84221C41",
        ),
        (
            "1A", "10182029303840485058606870788088", "A40E79E0F52F63AF", "9414819CC8BB62C3",
            "937E6B1854A6D92E0FD975D9909001E8", "E055D11DD9535060",
        ),
        (
            "1A", "101820293038404850586068707880889098A0A8B0B8C0C8", "5814D2513D9EC06668C0CC1B59237AFD",
            "EDFAC076F7F75F3FA930D8365A7C9206", "B4F5266DBF4BF93970BC386E94F4FA59884E94F9F113B1BFB5A54E5A1BA08892",
            "65F4F5DADE89E12E2405FCE14D5CD798",
        ),
    ],
)  # fmt: skip
def test_the_card_answers_as_real_ones_did(code: str, key: str, b: str, challenge: str, token: str, proof: str) -> None:
    chip = Chip(UID, {7: Application([h(key)], {}, code == "AA")}, rng=Fixed(b))
    assert chip.answer_command(h("5A070000")) == (0, b"")
    assert chip.answer_command(h(code + "00")) == (0xAF, h(challenge))
    assert chip.answer_command(h("AF" + token)) == (0x00, h(proof))


def test_the_card_answers_as_the_recorded_talk() -> None:
    """The talk that python-desfire has read: enciphered and maced, in frames of 59 bytes."""
    files = {1: File(TEXT + COUNT[: 64 - 17]), 3: File(COUNT[:16], MACED)}
    application = Application([bytes(16), h("2c7638621cbc45bc6340587cf94fa36e")], files)
    chip = Chip(UID, {0xF58840: application}, rng=Fixed(bytes(range(0xB0, 0xC0)).hex()))
    for command, answer in AES_TALK:
        status, data = chip.answer_command(h(command))
        assert bytes((status,)) + data == h(answer), command


@settings(max_examples=80)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    communication=st.sampled_from(COMMUNICATIONS),
    content=st.binary(min_size=1, max_size=300),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_what_the_card_says_is_what_the_station_reads(
    kind: str, communication: int, content: bytes, seed: int, data: st.DataObject
) -> None:
    scheme, aes, size = KINDS[kind]
    dice = random.Random(seed)
    key = dice.randbytes(size)
    offset = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(0, len(content) - offset))
    application = Application([bytes(16), key], {3: File(content, communication, 1)}, aes)
    card = picc(Chip(dice.randbytes(7), {0xF58840: application}, rng=dice))
    card.select_application(0xF58840)
    card.authenticate_key(scheme, Key(key, aes), 1)
    if data.draw(st.booleans()):
        assert card.get_version().is_ev1_4k
    assert card.get_file_settings(3).read_communication(1) == communication
    read = card.read_data(3, offset, length, communication)
    assert read == (content[offset : offset + length] if length else content[offset:])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_uids(kind: str) -> None:
    """A check sum that ends in zeros looks like padding: one card of 256 (legacy: check sum of two bytes)."""
    scheme, aes, size = KINDS[kind]
    dice = random.Random(5)
    for _ in range(300):
        key, uid = dice.randbytes(size), dice.randbytes(7)
        card = picc(Chip(uid, {1: Application([key], {}, aes)}, rng=dice))
        card.select_application(1)
        card.authenticate_key(scheme, Key(key, aes), 0)
        assert card.get_card_uid() == uid


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_wrong_key_is_refused_by_both(kind: str) -> None:
    scheme, aes, size = KINDS[kind]
    card = picc(Chip(UID, {1: Application([bytes(range(size))], {}, aes)}))
    card.select_application(1)
    with pytest.raises(Refusal, match="authentication error"):
        card.authenticate_key(scheme, Key(bytes(range(1, size + 1)), aes), 0)


def test_what_a_card_does_not_give() -> None:
    files = {1: File(b"secret", ENCIPHERED, 1), 2: File(b"open", ENCIPHERED, EVERYBODY)}
    card = picc(Chip(UID, {1: Application([bytes(16), b"k" * 16, b"o" * 16], files)}))
    for wrong, status in (
        (lambda: card.select_application(9), 0xA0),
        (lambda: card.authenticate_key("aes", Key(bytes(16)), 0), 0xAE),
    ):
        with pytest.raises(Refusal) as caught:
            wrong()
        assert caught.value.status == status
    card.select_application(1)
    assert card.read_data(2, 0, 4, PLAIN) == b"open"
    for communication in COMMUNICATIONS:
        with pytest.raises((Refusal, NotGenuine)):
            card.read_data(1, 0, 6, communication)
    card.authenticate_key("aes", Key(b"o" * 16), 2)
    with pytest.raises(Refusal):
        card.read_data(1, 0, 6, ENCIPHERED)  # another key's file
    card.authenticate_key("aes", Key(b"k" * 16), 1)
    with pytest.raises(Refusal, match="beyond"):
        card.read_data(1, 0, 7, ENCIPHERED)
    card.authenticate_key("aes", Key(b"k" * 16), 1)
    assert card.read_data(1, 0, 6, ENCIPHERED) == b"secret"


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_no_command_breaks_the_chip(commands: list[bytes]) -> None:
    chip = Chip(UID, {1: Application([bytes(16)], {1: File(b"x")})})
    for command in [h("5A010000"), *commands]:
        status, data = chip.answer_command(command)
        assert 0 <= status <= 255
        assert len(data) <= 59


LIST = """
[[card]]
uid = "04112233445566"
random_uid = true
application = "F58840"
keys = ["00000000000000000000000000000000", "2c7638621cbc45bc6340587cf94fa36e"]
files = [{ number = 1, text = "LU*CHG*C12345678*" }]
"""


def test_cards_from_a_list(tmp_path: Path) -> None:
    path = tmp_path / "cards.toml"
    path.write_text(LIST)
    card = card_list.read_card_list(path)[UID].make_card(random.Random(1))
    assert card.uid != UID
    assert card.chip is not None
    reader = picc(card.chip)
    reader.select_application(0xF58840)
    reader.authenticate_key("aes", Key(h("2c7638621cbc45bc6340587cf94fa36e")), 1)
    assert reader.read_data(1, 0, 17, ENCIPHERED) == b"LU*CHG*C12345678*"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"04112233445566"', '"0411"', "seven bytes"),
        ("random_uid", "randomuid", "unknown key"),
        ('"F58840"', '"Q"', "invalid literal"),
        ("2c7638621cbc45bc", "", "32 hex digits"),
        ("number = 1, ", "", "'number' is missing"),
        ("text =", 'communication = "open", text =', "plain, maced, enciphered"),
    ],
)
def test_a_wrong_list_says_where(tmp_path: Path, old: str, new: str, why: str) -> None:
    path = tmp_path / "cards.toml"
    path.write_text(LIST.replace(old, new))
    with pytest.raises(ValueError, match=rf"cards\.toml: card 1: .*{why}"):
        card_list.read_card_list(path)

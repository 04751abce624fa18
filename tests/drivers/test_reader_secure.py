"""Badges that prove themselves: the driver over the real nfcpy and its udp field, against the software card."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.types import Token, TokenType
from agent.ports import Broken
from agent.ports.driver import Where
from agent.ports.reader import ReaderPort, Tap
from drivers.reader_nfc import DRIVER, key_file
from drivers.reader_nfc import field as field_module
from drivers.reader_nfc.desfire.ciphers import Key
from drivers.reader_nfc.desfire.diversify import diversify_an10922
from drivers.reader_nfc.secure_settings import SecureSettings
from drivers.reader_nfc.settings import NfcSettings
from drivers.sim.card import Card
from drivers.sim.desfire_card import MACED, PLAIN, Application, Chip, File
from drivers.sim.rf_field import RfField
from tests.drivers.test_desfire import MASTER, TEXT, UID
from tests.support.busy_machine import stretched

WHERE = Where(1, "reader", lambda: (1, 0.0), ())
AID = 0xF58840
SHARED = b"ask-for-the-uid!"
TOKEN = Token(TEXT.decode(), TokenType.LOCAL)


@pytest.fixture
async def field(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RfField]:
    for name, wait_s in (("RATS_TIMEOUT_S", 0.3), ("PRESENCE_TIMEOUT_S", 0.2)):  # the event loop answers for the card
        monkeypatch.setattr(field_module, name, stretched(wait_s))
    field = RfField()
    await field.start()
    yield field
    field.close()


@pytest.fixture
def secure(tmp_path: Path) -> SecureSettings:
    keys = {"master": MASTER.hex(), "shared": SHARED.hex()}
    for name, digits in keys.items():
        path = tmp_path / name
        path.write_text(digits + "\n")
        path.chmod(0o600)
    inputs = ("uid", "application", "hex:434847")
    return SecureSettings("F58840", tmp_path / "master", 1, diversify_input=inputs, file=1, length=17)


def chip(uid: bytes = UID, key: bytes = b"", **changes: object) -> Chip:
    """A badge of the network, with its own key made of the master key."""
    own = key or diversify_an10922(Key(MASTER), uid + bytes.fromhex("F58840") + b"CHG").value
    files = {1: File(TEXT + bytes(15)), 2: File(b"\x12\x34\x56\xab", MACED), 3: File(b"UNPROVEN CONTENT", PLAIN)}
    return Chip(uid, {AID: Application([bytes(16), own, SHARED], files)}, **changes)  # type: ignore[arg-type]


def badge(uid: bytes = UID, key: bytes = b"", hidden: bool = False) -> Card:
    inside = chip(uid, key, hidden=hidden)
    return Card(uid, "random_uid" if hidden else "desfire_ev1", chip=inside)


def opened(field: RfField, secure: SecureSettings, /, **keys: object) -> AbstractAsyncContextManager[ReaderPort]:
    fast = {"poll_ms": 0, "presence_ms": 10, "same_card_holdoff_ms": 0, "mode": "secure"}
    path = f"udp:127.0.0.1:{field.port}"
    return DRIVER.open(NfcSettings(path, **{**fast, "secure": secure, **keys}), WHERE)  # type: ignore[arg-type]


async def next_tap(port: ReaderPort, timeout_s: float = 5.0) -> Tap:
    return await asyncio.wait_for(anext(port.taps()), stretched(timeout_s))


# --- what a badge says -------------------------------------------------------------------------------------------


async def test_the_token_is_what_the_file_says(field: RfField, secure: SecureSettings) -> None:
    async with opened(field, secure) as port:
        field.present_card(badge(), stretched(2.0))
        assert (await next_tap(port)).token == TOKEN
        with pytest.raises(TimeoutError):
            await next_tap(port, 0.4)  # one presence, one tap


@pytest.mark.parametrize(
    ("changes", "reader", "token"),
    [
        ({"communication": "auto"}, {}, TOKEN),
        ({"length": 0}, {}, TOKEN),
        ({"token_type": "KeyCode"}, {}, Token(TEXT.decode(), TokenType.KEY_CODE)),
        ({"token_type": "eMAID", "text_type": "Central"}, {}, Token(TEXT.decode(), TokenType.CENTRAL)),
        ({"token": "uid"}, {}, Token("04112233445566")),
        ({"token": "uid"}, {"uid_order": "reversed", "uid_case": "lower"}, Token("66554433221104")),
        ({"file": 2, "length": 4, "communication": "maced", "encoding": "hex"}, {}, Token("123456AB")),
        (
            {"file": 2, "length": 4, "communication": "auto", "encoding": "hex"}, {"uid_case": "lower"},
            Token("123456ab"),
        ),
        ({"file": 3, "length": 16, "communication": "plain"}, {}, Token("UNPROVEN CONTENT", TokenType.LOCAL)),
        ({"offset": 3, "length": 3}, {}, Token("CHG", TokenType.LOCAL)),
        ({}, {"accept": "desfire_ev1_4k"}, TOKEN),
    ],
)  # fmt: skip
async def test_how_a_badge_is_read(
    field: RfField, secure: SecureSettings, changes: dict[str, object], reader: dict[str, object], token: Token
) -> None:
    async with opened(field, replace(secure, **changes), **reader) as port:  # type: ignore[arg-type]
        field.present_card(badge(), 5)
        assert await next_tap(port) == Tap(token)


@pytest.mark.parametrize(("auth", "size"), [("iso", 16), ("iso", 24), ("legacy", 16)])
async def test_des_badges(field: RfField, secure: SecureSettings, auth: str, size: int) -> None:
    master = bytes(range(3, 3 + size))
    secure.key_file.write_text(master.hex())
    own = diversify_an10922(Key(master, aes=False), UID + bytes.fromhex("F58840")).value
    inside = Chip(UID, {AID: Application([bytes(size), own], {1: File(TEXT)}, aes=False)})
    async with opened(field, replace(secure, auth=auth, diversify_input=("uid", "application"))) as port:
        field.present_card(Card(UID, chip=inside), 5)
        assert (await next_tap(port)).token == TOKEN


async def test_a_hidden_uid_is_asked_for_under_the_shared_key(field: RfField, secure: SecureSettings) -> None:
    shared = secure.key_file.parent / "shared"
    settings = replace(secure, uid_key_file=shared, uid_key_number=2, token="uid")
    async with opened(field, settings) as port:
        field.present_card(badge(hidden=True), 5)
        assert (await next_tap(port)).token == Token("04112233445566")


async def test_a_hidden_uid_without_the_shared_key_is_no_one(field: RfField, secure: SecureSettings) -> None:
    async with opened(field, secure) as port:
        field.present_card(badge(hidden=True), 5)
        assert await next_tap(port) == Tap(None, "random_uid")


# --- a card without proof has no token ---------------------------------------------------------------------------


IMPOSTORS: dict[str, Callable[[], Card]] = {
    "another key": lambda: badge(key=bytes(16)),
    "key of another card": lambda: badge(bytes.fromhex("04112233445567"), diversify_an10922(Key(MASTER), UID).value),
    "no application": lambda: Card(UID),
    "no DESFire": lambda: Card(b"\x11\x22\x33\x44", "classic"),
    "random without application": lambda: Card(b"", "random_uid"),
}


@pytest.mark.parametrize("name", IMPOSTORS)
async def test_there_is_no_way_back_to_the_uid(field: RfField, secure: SecureSettings, name: str) -> None:
    async with opened(field, secure) as port:
        field.present_card(IMPOSTORS[name](), 0.6)
        tap = await next_tap(port)
        assert tap.token is None
        assert tap.reason in ("not_genuine", "unreadable", "random_uid")
        with pytest.raises(TimeoutError):
            await next_tap(port, 0.3)  # reported once
        field.present_card(badge(), 5)
        assert (await next_tap(port)).token == TOKEN


async def test_a_key_of_ones_own_does_not_prove_the_uid_of_another(field: RfField, secure: SecureSettings) -> None:
    """A driver has got the key out of his own badge and shows what he likes under it, behind a random UID."""

    class Emulator(Chip):
        def _get_card_uid(self, code: int, rest: bytes) -> tuple[int, bytes]:
            answer = super()._get_card_uid(code, rest)
            self.uid = bytes.fromhex("04FFFFFFFFFFFF")
            return answer

    honest = chip(hidden=True)
    emulator = Emulator(UID, honest.applications, hidden=True)
    shared = secure.key_file.parent / "shared"
    settings = replace(secure, uid_key_file=shared, uid_key_number=2, token="uid")
    async with opened(field, settings) as port:
        field.present_card(Card(UID, "random_uid", chip=emulator), 5)
        assert await next_tap(port) == Tap(None, "not_genuine")


async def test_a_card_that_claims_another_uid(field: RfField, secure: SecureSettings) -> None:
    """UID mode with a look at the version: a cheap copy keeps the UID of its own chip there."""
    async with opened(field, secure, mode="uid", accept="desfire_ev1_4k", secure=None) as port:
        field.present_card(Card(UID, chip=chip(bytes(7))), 0.5)
        assert await next_tap(port) == Tap(None, "unreadable")
        field.present_card(Card(UID), 5)
        assert (await next_tap(port)).token == Token("04112233445566")


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (MASTER.hex(), 0o640, "mode 0640"),
        (MASTER.hex(), 0o604, "mode 0604"),
        (MASTER.hex()[:-1], 0o600, "32 hex digits"),
        ("correct horse battery", 0o600, "32 hex digits"),
        (None, 0, "No such file"),
    ],
)
async def test_a_key_file_that_cannot_be_used(
    field: RfField, secure: SecureSettings, content: str | None, mode: int, why: str
) -> None:
    if content is None:
        secure.key_file.unlink()
    else:
        secure.key_file.write_text(content)
        secure.key_file.chmod(mode)
    settings = NfcSettings(f"udp:127.0.0.1:{field.port}", mode="secure", secure=secure)
    (complaint,) = DRIVER.check(settings, WHERE)
    assert complaint.startswith("secure.key_file: ")
    assert why in complaint
    assert (content or "x" * 9) not in complaint
    with pytest.raises(Broken, match=why):
        async with DRIVER.open(settings, WHERE):
            pass


def test_keys_in_hex_and_in_bytes(secure: SecureSettings) -> None:
    for written in (MASTER, MASTER.hex().encode(), b" ".join(b"%02X" % b for b in MASTER) + b"\r\n"):
        secure.key_file.write_bytes(written)
        assert key_file.read_key(secure.key_file, "aes") == MASTER


def test_a_credential_of_systemd_is_as_it_is(secure: SecureSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its right is an access list, which shows as a right of the group; it is there only while the service runs."""
    secure.key_file.chmod(0o440)
    assert "mode 0440" in key_file.key_file_problem(secure.key_file, "aes")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secure.key_file.parent))
    assert key_file.key_file_problem(secure.key_file, "aes") == ""
    assert key_file.key_file_problem(Path("/run/credentials/chargy-agent.service/none"), "aes") == ""


async def test_no_key_and_no_content_in_the_logs(
    field: RfField, secure: SecureSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    logging.getLogger("nfc").setLevel(1)
    async with opened(field, secure) as port:
        for card in (badge(), badge(key=bytes(16))):
            field.present_card(card, stretched(1.0))
            await next_tap(port)
    own = diversify_an10922(Key(MASTER), UID + bytes.fromhex("F58840") + b"CHG").value
    for secret in (MASTER.hex(), own.hex(), repr(MASTER)[2:-1], TEXT.decode(), UID.hex()):
        assert secret.lower() not in caplog.text.lower()
    assert "authentication error" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"application": "F5884"}, {"application": "0xF588"}, {"key_number": 14}, {"auth": "des"}, {"diversify": "yes"},
        {"diversify_input": ()}, {"diversify_input": ("uid", "hex:1")}, {"diversify_input": ("hex:" + "00" * 32,)},
        {"file": 32}, {"length": -1}, {"token": "text"}, {"communication": "open"}, {"encoding": "utf8"},
        {"token_type": "emaid"}, {"text_type": "eMAID"}, {"auth": "legacy", "communication": "auto"},
        {"auth": "legacy", "communication": "plain"},
    ],
)  # fmt: skip
def test_wrong_settings_name_their_key(secure: SecureSettings, changes: dict[str, object]) -> None:
    s = NfcSettings("usb", mode="secure", secure=replace(secure, **changes))  # type: ignore[arg-type]
    (complaint,) = DRIVER.check(s, WHERE)
    assert complaint.startswith(f"secure.{list(changes)[-1]}: must be ")


def test_the_table_belongs_to_the_mode(secure: SecureSettings) -> None:
    assert DRIVER.check(NfcSettings("usb", mode="secure", secure=secure), WHERE) == []
    assert "mode" in DRIVER.check(NfcSettings("usb", mode="secure"), WHERE)[0]
    assert "proves nothing" in DRIVER.check(NfcSettings("usb", secure=secure), WHERE)[0]

"""The contactless reader: real nfcpy over its udp driver, against a card written here by ISO/IEC 14443."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.types import Token, TokenType
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from agent.ports.reader import ReaderPort, Tap
from drivers.reader_nfc import DRIVER
from drivers.reader_nfc import field as field_module
from drivers.reader_nfc import reader as reader_module
from drivers.reader_nfc.cards import Card, Debounce, tap_of
from drivers.reader_nfc.field import RfField, to_device_error
from drivers.reader_nfc.reader import NfcReader
from drivers.reader_nfc.settings import NfcSettings
from drivers.testkit.reader import check_reader
from tests.support.busy_machine import Deadline, stretched

WHERE = Where(1, "reader", lambda: (1, 0.0), ())
FAST = {"poll_ms": 0, "presence_ms": 10, "same_card_holdoff_ms": 100}
DESFIRE = bytes.fromhex("04A1B2C3D4E5F6")
OTHER = bytes.fromhex("04112233445566")


@dataclass(frozen=True)
class Picc:
    """A type A card. ``ats`` empty: it does not answer RATS; ``random``: a new UID 08xxxxxx after each power-up."""

    uid: bytes
    sak: int = 0x20
    ats: bytes = bytes.fromhex("067577810280")
    random: bool = False


class UdpField:
    """The far end of nfcpy's udp driver: an antenna with at most one card, in a thread of its own. A card that comes
    while a request is pending answers that request, as a card does that enters a field that is on."""

    def __init__(self) -> None:
        self._socket = self._bound()
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._card: Picc | None = None
        self._uid = b""
        self._block = 1
        self._awake = self._selected = False
        self._pending: tuple[str, int] | None = None
        self.powered = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _bound() -> socket.socket:
        while True:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("127.0.0.1", 0))
            try:
                socket.getservbyport(s.getsockname()[1])
            except OSError:
                return s  # nfcpy cannot use a port that has a name

    def put(self, card: Picc) -> None:
        with self._lock:
            self._card = card
            self._power_up()
            if self._pending:
                self._answer(b"\x26", self._pending)

    def take(self) -> None:
        with self._lock:
            self._card = None

    def close(self) -> None:
        self._socket.close()

    def _power_up(self) -> None:
        self.powered += 1
        self._awake = self._selected = False
        self._block = 1
        if self._card:
            self._uid = b"\x08" + os.urandom(3) if self._card.random else self._card.uid

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(1024)
            except OSError:
                return
            with self._lock:
                self._pending = None
                if data == b"RFOFF":
                    self._power_up()
                elif data.startswith(b"106A "):
                    self._answer(bytes.fromhex(data[5:].decode()), peer)

    def _answer(self, frame: bytes, peer: tuple[str, int]) -> None:
        if frame == b"\x26":
            self._pending = peer
            self._power_up()
        answer = self._said(frame) if self._card else None
        if answer is not None:
            self._pending = None
            try:
                self._socket.sendto(b"106A " + answer.hex().encode(), peer)
            except OSError:
                pass  # the test is over

    def _said(self, frame: bytes) -> bytes | None:
        assert self._card
        levels = self._levels()
        if frame == b"\x26":
            return b"\x04\x03" if len(self._uid) == 4 else b"\x44\x03"
        for n, code in enumerate(b"\x93\x95\x97"[: len(levels)]):
            last = n == len(levels) - 1
            if frame == bytes((code, 0x20)):
                return levels[n]
            if frame == bytes((code, 0x70)) + levels[n]:
                self._selected = last
                return bytes((self._card.sak if last else 0x24,))
        if not self._selected or not self._card.ats:
            return None
        if frame[0] == 0xE0:
            self._awake = True
            return self._card.ats
        if self._awake and frame[0] & 0xF6 == 0xB2:
            return bytes((0xA2 | self._block,)) if frame[0] & 1 != self._block else b"\x02"
        return None

    def _levels(self) -> list[bytes]:
        """The UID as it goes over the air: cascade tag 88, four bytes, check byte."""
        rest, parts = self._uid, []
        while len(rest) > 4:
            parts.append(b"\x88" + rest[:3])
            rest = rest[3:]
        return [p + bytes((reduce(xor, p),)) for p in (*parts, rest)]


@pytest.fixture(autouse=True)
def _patient_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is a thread of the process that waits for its answer. On a busy machine it may not have had its turn
    within the 30 ms of an answer to select, or the 81 ms of a question whether it is still there: then the field is
    switched off and on, or the same card is another one."""
    monkeypatch.setattr(field_module, "RATS_TIMEOUT_S", stretched(0.3))
    monkeypatch.setattr(field_module, "PRESENCE_TIMEOUT_S", stretched(0.2))
    monkeypatch.setattr(reader_module, "STOP_S", stretched(reader_module.STOP_S))


@pytest.fixture
def field() -> Iterator[UdpField]:
    field = UdpField()
    yield field
    field.close()


def opened(field: UdpField, **keys: object) -> AbstractAsyncContextManager[ReaderPort]:
    settings = NfcSettings(f"udp:127.0.0.1:{field.port}", **{**FAST, **keys})  # type: ignore[arg-type]
    return DRIVER.open(settings, WHERE)


async def next_tap(port: ReaderPort, timeout_s: float = 20.0) -> Tap:
    return await asyncio.wait_for(anext(port.taps()), stretched(timeout_s))


async def silent(port: ReaderPort, for_s: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(port.taps()), for_s)


async def activated(field: UdpField) -> None:
    patience = Deadline(20)
    while not field._awake:
        assert not patience.over, "the driver does not activate the card"
        await asyncio.sleep(0.005)


async def gone(field: UdpField) -> None:
    """Held until the driver has activated the card, then away until it looks for a card again."""
    await activated(field)
    field.take()
    patience = Deadline(20)
    while not field._pending:
        assert not patience.over, "the driver does not look for cards again"
        await asyncio.sleep(0.005)


# --- what a card is worth ----------------------------------------------------------------------------------------


def test_tokens() -> None:
    s = NfcSettings("usb")
    assert tap_of(Card(DESFIRE, 0x20), s) == Tap(Token("04A1B2C3D4E5F6", TokenType.ISO14443))
    assert tap_of(Card(DESFIRE, 0x20), replace(s, uid_case="lower")).token == Token("04a1b2c3d4e5f6")
    assert tap_of(Card(DESFIRE, 0x20), replace(s, uid_order="reversed")).token == Token("F6E5D4C3B2A104")
    assert tap_of(Card(b"\xde\xad\xbe\xef", 0x08), s).token == Token("DEADBEEF")
    assert tap_of(Card(b"\x80\xad\xbe\xef", 0x08), s).token == Token("80ADBEEF")
    assert tap_of(Card(b"\xde\xad\xbe\xef", 0x08), replace(s, accept="desfire_only")) == Tap(None, "unreadable")


@given(st.binary(max_size=12), st.integers(0, 255))
def test_a_random_or_impossible_uid_is_never_a_token(uid: bytes, sak: int) -> None:
    tap = tap_of(Card(uid, sak), NfcSettings("usb"))
    random = len(uid) == 4 and (uid[0] == 8 or (uid[0] == 0x80 and sak & 0x20))
    if random or len(uid) not in (4, 7, 10) or not any(uid):
        assert tap.token is None
        assert tap.reason == ("random_uid" if random else "unreadable")
    else:
        assert tap.token == Token(uid.hex().upper())


def test_debounce() -> None:
    d, a, b = Debounce(1.5), Tap(Token("A")), Tap(Token("B"))
    assert d.is_new_tap(a, 0.0)
    assert not d.is_new_tap(a, 1.0)
    assert d.is_new_tap(b, 1.1), "another card counts at once"
    assert d.is_new_tap(a, 2.4), "a presence that was not reported prolongs nothing"
    d.note_presence(a, 5.0)
    assert not d.is_new_tap(a, 6.4)
    assert d.is_new_tap(a, 7.9)
    assert d.is_new_tap(Tap(None, "random_uid"), 8.0)
    assert not d.is_new_tap(Tap(None, "random_uid"), 9.0), "a phone has a new UID each time and is reported once"
    assert set(d.remembered_cards) == {"A", "random_uid"}


# --- over the air ------------------------------------------------------------------------------------------------


async def test_contract(field: UdpField) -> None:
    async def tap(value: str) -> None:
        field.put(Picc(bytes.fromhex(value)))
        await activated(field)
        await asyncio.sleep(0.5)  # one presence, looked at many times
        field.take()

    def open_port() -> AbstractAsyncContextManager[ReaderPort]:
        return opened(field)

    values = ["04A1B2C3D4E5F6", "DEADBEEF"]
    await check_reader(open_port, tap, values, timeout_s=stretched(5.0), lag_s=stretched(0.05), close_s=stretched(1.5))


async def test_a_held_card_is_reported_once_and_at_once(field: UdpField) -> None:
    async with opened(field) as port:
        field.put(Picc(DESFIRE))
        started_s = time.monotonic()
        assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
        assert time.monotonic() - started_s < stretched(1.4)
        powered = field.powered
        await silent(port, 0.5)
        assert field.powered == powered, "presence is asked without a power cycle of the field"


async def test_same_card_again_only_after_the_holdoff(field: UdpField) -> None:
    async with opened(field, same_card_holdoff_ms=60_000) as port:
        field.put(Picc(DESFIRE))
        await next_tap(port)
        await gone(field)
        field.put(Picc(DESFIRE))
        await silent(port, 0.3)
        await gone(field)
        field.put(Picc(OTHER))
        assert (await next_tap(port)).token == Token("04112233445566")


async def test_same_card_counts_again_after_the_holdoff(field: UdpField) -> None:
    async with opened(field, same_card_holdoff_ms=0) as port:
        for _ in range(2):
            field.put(Picc(DESFIRE))
            assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
            await gone(field)


async def test_one_card_taken_for_another(field: UdpField) -> None:
    async with opened(field) as port:
        for uid, sak, ats in ((DESFIRE, 0x20, Picc.ats), (b"\xde\xad\xbe\xef", 8, b""), (OTHER, 0x20, Picc.ats)):
            field.put(Picc(uid, sak, ats))
            assert (await next_tap(port)).token == Token(uid.hex().upper())


@pytest.mark.parametrize("ats", ["", "01", "0278", "037577"], ids=["none", "1", "2", "3"])
async def test_short_answers_to_select(field: UdpField, ats: str) -> None:
    async with opened(field) as port:
        field.put(Picc(DESFIRE, ats=bytes.fromhex(ats)))
        assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
        await silent(port, 0.4)
        field.put(Picc(OTHER))
        assert (await next_tap(port)).token == Token("04112233445566")


@pytest.mark.parametrize("ats", [Picc.ats, b""], ids=["iso_dep", "uid_only"])
async def test_random_uid_is_reported_once_and_never_a_token(field: UdpField, ats: bytes) -> None:
    async with opened(field, same_card_holdoff_ms=1500) as port:
        field.put(Picc(b"\x08\0\0\0", ats=ats, random=True))
        assert await next_tap(port) == Tap(None, "random_uid")
        await silent(port, 0.5)


async def test_card_without_iso_dep_is_reported_once_while_held(field: UdpField) -> None:
    async with opened(field) as port:
        field.put(Picc(b"\xde\xad\xbe\xef", 0x08, b""))
        assert (await next_tap(port)).token == Token("DEADBEEF")
        await silent(port, 0.6)


async def test_closing_is_quick_with_and_without_a_card(field: UdpField) -> None:
    for card in (None, Picc(DESFIRE)):
        async with opened(field, poll_ms=5000) as port:
            if card:
                field.put(card)
                await next_tap(port)
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 4.5
    patience = Deadline(20)
    while any(t.name == "reader_nfc" for t in threading.enumerate()):
        assert not patience.over, "the reader's thread outlives its reader"
        await asyncio.sleep(0.01)


async def test_no_uid_in_the_logs(field: UdpField, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logging.getLogger("nfc").setLevel(1)
    async with opened(field) as port:
        field.put(Picc(DESFIRE))
        await next_tap(port)
        await gone(field)
    assert "a1b2c3" not in caplog.text.lower()


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "nfc"}, {"path": "tty:AMA0"}, {"path": "udp:host"}, {"path": "udp:127.0.0.1:1", "mode": "secure"},
        {"path": "usb", "uid_case": "Upper"}, {"path": "usb", "uid_order": ""}, {"path": "usb", "accept": "all"},
        {"path": "usb", "poll_ms": -1}, {"path": "usb", "removal_misses": 0},
    ],
)  # fmt: skip
async def test_wrong_settings_need_a_person(keys: dict[str, object]) -> None:
    settings = NfcSettings(**keys)  # type: ignore[arg-type]
    assert len(DRIVER.check(settings, WHERE)) == 1
    with pytest.raises(Broken, match="must"):
        async with DRIVER.open(settings, WHERE):
            pass


@pytest.mark.parametrize("path", ["usb", "usb:072f", "usb:072f:2200", "usb:001:023", "tty:rfid0:pn532",
                                  "tty:/dev/serial/by-id/usb-x_1.2-if00:pn532", "udp:localhost:54321"])  # fmt: skip
def test_paths_that_are_right(path: str) -> None:
    assert DRIVER.check(NfcSettings(path), WHERE) == []


async def test_a_reader_that_is_not_there_is_unreachable() -> None:
    for path in ("tty:nosuchreader:pn532", "tty:/dev/nosuchreader:pn532"):
        with pytest.raises(Unreachable, match=r"no such device|no reader found"):
            async with DRIVER.open(NfcSettings(path), WHERE):
                pass


async def test_a_port_with_a_name_needs_another_one() -> None:
    with pytest.raises(Broken, match="choose another"):
        async with DRIVER.open(NfcSettings("udp:127.0.0.1:80"), WHERE):
            pass


async def test_a_stuck_driver_is_noticed_by_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Stuck(RfField):
        reader_description = "no reader behind it"

        def find_card(self) -> Card | None:
            release.wait(30)
            return None

        def close_reader(self) -> None:
            pass

    monkeypatch.setattr(reader_module, "SILENCE_S", 0.2)
    monkeypatch.setattr(reader_module, "_WATCH_S", 0.05)
    monkeypatch.setattr(reader_module, "STOP_S", 0.1)
    reader = NfcReader(NfcSettings("usb"), lambda path: Stuck(None, None))
    await reader.start_thread()
    with pytest.raises(Unreachable, match="no sign of life"):
        await asyncio.wait_for(anext(reader.taps()), stretched(5))
    started_s = time.monotonic()
    await reader.stop_thread()
    assert time.monotonic() - started_s < 10  # it would never end by itself
    release.set()


async def test_a_driver_that_hangs_is_not_asked_by_one_thread_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program can end a thread in a stuck USB driver; a new one every few seconds would take the station with it."""
    release, opened = threading.Event(), []

    def stuck(path: str) -> RfField:
        opened.append(path)
        release.wait(30)
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(reader_module, "OPEN_S", 0.1)
    monkeypatch.setattr(reader_module, "STOP_S", 0.05)
    for _ in range(3):
        reader = NfcReader(NfcSettings("usb:001:099"), stuck)
        with pytest.raises(Unreachable, match=r"did not open|hangs in its driver.*replug.*restart"):
            await reader.start_thread()
        await reader.stop_thread()
    assert len(opened) == 1
    other = NfcReader(NfcSettings("usb:001:098"), stuck)
    with pytest.raises(Unreachable, match="did not open"):
        await other.start_thread()
    release.set()
    patience = Deadline(5)
    while any(t.name == "reader_nfc" and t.is_alive() for t in threading.enumerate()):
        assert not patience.over
        await asyncio.sleep(0.01)
    monkeypatch.setattr(reader_module, "OPEN_S", stretched(10.0))
    last = NfcReader(NfcSettings("usb:001:099"), stuck)
    with pytest.raises(Unreachable, match="gone"):
        await last.start_thread()
    assert opened.count("usb:001:099") == 2


def test_foreign_exceptions_become_ours() -> None:
    assert isinstance(to_device_error(IndexError("x"), "tty:S0:pn532"), Unreachable)
    assert isinstance(to_device_error(FileNotFoundError(2, "libusb-1.0.so"), "usb"), Broken)
    assert "udev" in str(to_device_error(PermissionError(13, "Permission denied"), "usb:072f:2200"))
    assert "pn533_usb" in str(to_device_error(OSError(16, "Device or resource busy"), "usb"))


def test_the_package_costs_nothing_to_import() -> None:
    code = "import sys, drivers.reader_nfc, drivers.reader_serial, drivers.display_framebuffer, drivers.buttons_evdev;"
    code += "print(sorted({'nfc', 'serial', 'PIL', 'qrcode', 'usb1', 'asyncio.events'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_tapping_every_second_is_heard_after_the_holdoff() -> None:
    """A presence that was not reported used to restart the wait: an impatient driver was never heard again."""
    debounce, tap = Debounce(1.5), Tap(Token("04A1B2C3D4E5F6"))
    heard = []
    for second in range(6):
        if debounce.is_new_tap(tap, float(second)):
            heard.append(second)
        debounce.note_presence(tap, second + 0.3)
    assert heard == [0, 2, 4]

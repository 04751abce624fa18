"""The contactless reader over nfcpy's real PN532 serial driver: a chip written here by the PN532 user manual
(UM0701-02), on a pseudo terminal. It hears only what is sent at its own baud rate."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agent.domain.events import CardPresented, Event, FaultCleared, FaultRaised
from agent.model.types import Fault, Token, TokenType
from agent.ports import Unreachable
from agent.ports.driver import Where
from agent.ports.reader import ReaderPort, Tap
from agent.services.devices import supervisor
from drivers.reader_nfc import DRIVER, reader
from drivers.reader_nfc.secure_settings import SecureSettings
from drivers.reader_nfc.settings import NfcSettings
from drivers.sim.card import Card
from drivers.sim.desfire_card import Application, Chip, File
from drivers.testkit.reader import check_reader
from tests.support.busy_machine import Deadline, deadline, patience_factor, stretched
from tests.support.simulated_station import CAMPAIGN

WHERE = Where(1, "reader", lambda: (1, 0.0), ())
ACK = bytes.fromhex("0000FF00FF00")
SPEEDS = {4: 115200, 5: 230400, 6: 460800, 7: 921600}
DESFIRE = bytes.fromhex("04A1B2C3D4E5F6")


class Pn532:
    """Chip, antenna and at most one DESFire card."""

    def __init__(self, baud: int = 115200) -> None:
        self.baud = baud
        self.mute = False
        self.lag_s = 0.0
        self.card = b""
        self.commands: list[int] = []
        self._next_baud = 0
        self._active = False
        self._data = b""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = f"tty:{os.ttyname(self._slave)}:pn532"
        threading.Thread(target=self._serve, daemon=True).start()

    def unplug(self) -> None:
        """The slave side stays open: the number of the line is not given to another test's line meanwhile."""
        if self._master >= 0:
            os.close(self._master)
        self._master = -1

    def __del__(self) -> None:
        self.unplug()
        os.close(self._slave)

    def _serve(self) -> None:
        while self._master >= 0:
            try:
                chunk = os.read(self._master, 1024)
                speed = termios.tcgetattr(self._master)[5]
            except (OSError, ValueError, termios.error):
                return
            # the line's speed may have changed since the host wrote the ACK that makes the chip change, too
            if self.mute or speed not in [getattr(termios, f"B{b}") for b in (self.baud, self._next_baud) if b]:
                self._data = b""  # noise to a chip that listens at another rate
                continue
            self._data += chunk
            try:
                while self._frame():
                    pass
            except OSError:
                return  # unplugged in the middle of an answer

    def _frame(self) -> bool:
        """Takes one whole frame off the received bytes."""
        m = re.search(rb"\x00\xff(.)(.)", self._data, re.DOTALL)
        if not m:
            return False
        length, check = m[1][0], m[2][0]
        if (length, check) == (0, 0xFF):
            self._data = self._data[m.end() + 1 :]
            if self._next_baud:
                self.baud, self._next_baud = self._next_baud, 0  # the chip changes after the host's ACK
            return True
        start, rest = m.end(), self._data[m.end() :]
        if (length, check) == (0xFF, 0xFF):  # an extended frame: 16 bits of length and their check byte
            if len(rest) < 3:
                return False
            length, check, start = (
                rest[0] << 8 | rest[1],
                rest[2] + rest[0] + rest[1] - (rest[0] << 8 | rest[1]),
                start + 3,
            )
        assert (length + check) & 0xFF == 0, "the host's length check is wrong"
        if len(self._data) < start + length + 2:
            return False
        body = self._data[start : start + length]
        assert (sum(body) + self._data[start + length]) & 0xFF == 0, "the host's check sum is wrong"
        self._data = self._data[start + length + 2 :]
        self._answer(body[1], body[2:])
        return True

    def _answer(self, command: int, data: bytes) -> None:
        self.commands.append(command)
        time.sleep(self.lag_s)
        body = bytes((0xD5, command + 1)) + self._said(command, data)
        n = len(body)
        head = bytes((n, -n & 0xFF)) if n < 256 else bytes((0xFF, 0xFF, n >> 8, n & 0xFF, -((n >> 8) + n) & 0xFF))
        os.write(self._master, ACK + b"\x00\x00\xff" + head + body + bytes((-sum(body) & 0xFF, 0)))

    def _said(self, command: int, data: bytes) -> bytes:
        if command == 0x00:  # Diagnose: the line test echoes
            return data if data[0] == 0 else b"\x00"
        if command == 0x02:  # GetFirmwareVersion
            return b"\x32\x01\x06\x07"
        if command == 0x10:  # SetSerialBaudRate
            self._next_baud = SPEEDS[data[0]]
        if command == 0x06:  # ReadRegister; the FIFO still holds SENS_REQ when no card answered
            return bytes(0x26 if data[i : i + 2] == b"\x63\x39" else 0 for i in range(0, len(data), 2))
        if command == 0x32 and data[:1] == b"\x01" and not data[1] & 1:  # RFConfiguration: field off
            self._active = False
        if command == 0x4A:  # InListPassiveTarget
            return b"\x01\x01\x03\x44\x20" + bytes((len(self.card),)) + self.card if self.card else b"\x00"
        if command == 0x42:  # InCommunicateThru
            return self._thru(data) if self.card else b"\x01"
        return b"\x00" if command == 0x16 else b""

    def _thru(self, data: bytes) -> bytes:
        if data[0] == 0xE0:
            self._active = True
            return b"\x00" + bytes.fromhex("067577810280")
        return b"\x00\xa3" if self._active and data == b"\xb2" else b"\x01"


SHORT_MS = 100
"""Waits of nfcpy that a thread of a busy machine may miss, the one for an acknowledgement among them."""


@pytest.fixture(autouse=True)
def _patient_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real chip answers whatever its host does, and the line keeps the answer. This one is a thread of the process
    that waits for it, and may not have had its turn on a busy machine: there its host waits longer."""
    from nfc.clf.transport import TTY

    def read_patiently(line: TTY, timeout_ms: float) -> bytearray | None:
        return read_in_time(line, timeout_ms * (patience_factor() if timeout_ms <= SHORT_MS else 1.0))

    read_in_time = TTY.read
    monkeypatch.setattr(TTY, "read", read_patiently)
    for name in ("OPEN_S", "SILENCE_S", "STOP_S", "TALK_S"):
        monkeypatch.setattr(reader, name, stretched(getattr(reader, name)))


@pytest.fixture
def chip() -> Iterator[Pn532]:
    chip = Pn532()
    yield chip
    chip.unplug()


def opened(chip: Pn532) -> AbstractAsyncContextManager[ReaderPort]:
    settings = NfcSettings(chip.path, poll_ms=5, presence_ms=10, same_card_holdoff_ms=50)
    return DRIVER.open(settings, WHERE)


async def next_tap(port: ReaderPort) -> Tap:
    return await asyncio.wait_for(anext(port.taps()), stretched(20))


async def test_contract(chip: Pn532) -> None:
    async def tap(value: str) -> None:
        talked = chip.commands.count(0x42)
        chip.card = bytes.fromhex(value)
        patience = Deadline(20)
        while chip.commands.count(0x42) == talked:
            assert not patience.over, "the driver does not talk to the card"
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.5)  # one presence, looked at many times
        chip.card = b""

    def open_port() -> AbstractAsyncContextManager[ReaderPort]:
        return opened(chip)

    values = ["04A1B2C3D4E5F6", "04112233445566"]
    await check_reader(open_port, tap, values, timeout_s=stretched(5.0), lag_s=stretched(0.05), close_s=stretched(1.5))
    assert 0x16 in chip.commands, "closed in order: the chip was sent to sleep"
    assert chip.baud == 115200, "and can be opened again at its first rate"


async def test_presence_is_asked_without_a_power_cycle(chip: Pn532) -> None:
    async with opened(chip) as port:
        chip.card = DESFIRE
        assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
        patience = Deadline(20)
        while chip.commands.count(0x42) < 5:
            assert not patience.over
            await asyncio.sleep(0.01)
        listed = chip.commands.count(0x4A)
        await asyncio.sleep(0.1)
        assert chip.commands.count(0x4A) == listed


async def test_a_pulled_reader_is_reported_and_opens_again() -> None:
    chip = Pn532()
    async with opened(chip) as port:
        chip.card = DESFIRE
        await next_tap(port)
        chip.unplug()
        with pytest.raises(Unreachable, match=r"tried again|check cable"):
            await next_tap(port)
    with pytest.raises(Unreachable):
        async with opened(chip):
            pass


async def test_a_chip_that_falls_silent_is_reported(chip: Pn532) -> None:
    async with opened(chip) as port:
        chip.mute = True
        with pytest.raises(Unreachable, match="check cable"):
            await next_tap(port)


async def test_a_host_that_is_busy_for_a_moment_has_lost_no_reader(chip: Pn532) -> None:
    """Longer than the 100 ms that nfcpy waits for an acknowledgement."""
    async with opened(chip) as port:
        chip.lag_s = 0.2
        chip.card = DESFIRE
        assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
        chip.lag_s = 0


@pytest.mark.parametrize("baud", [921600, 460800, 230400])
async def test_a_chip_left_at_a_high_rate_by_a_killed_host_is_called_back(baud: int) -> None:
    chip = Pn532(baud)
    async with opened(chip) as port:
        chip.card = DESFIRE
        assert (await next_tap(port)).token == Token("04A1B2C3D4E5F6")
    chip.unplug()


# --- badges that prove themselves --------------------------------------------------------------------------------

KEY = bytes(range(16))
COMMAND_S = 0.0186
"""What one command to a DESFire EV1 has taken on a real PN532 (measured by others: 92.8 ms for five)."""


class BadgeAtPn532(Pn532):
    """The chip with a real talk: it does the anticollision by itself and passes blocks on."""

    def __init__(self, baud: int = 115200) -> None:
        self.badge = Card(DESFIRE, chip=Chip(DESFIRE, {1: Application([KEY], {1: File(b"LU*CHG*1", key=0)})}))
        self.torn_at = -1
        super().__init__(baud)

    def _said(self, command: int, data: bytes) -> bytes:
        if command == 0x4A and self.card:
            self.badge.answer_frame(b"\x26")
            for code, level in zip(b"\x93\x95\x97", self.badge.cascade_levels, strict=False):
                self.badge.answer_frame(bytes((code, 0x70)) + level)
        return super()._said(command, data)

    def _thru(self, data: bytes) -> bytes:
        if self.torn_at == 0:
            self.card = b""
            return b"\x01"
        self.torn_at -= 1
        if data[:1] in (b"\x02", b"\x03"):
            time.sleep(COMMAND_S)
        answer = self.badge.answer_frame(data)
        return b"\x01" if answer is None else b"\x00" + answer


def secure(chip: Pn532, folder: Path, **keys: int) -> AbstractAsyncContextManager[ReaderPort]:
    key = folder / "key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    table = SecureSettings("000001", key, diversify="none", file=1)
    return DRIVER.open(NfcSettings(chip.path, "secure", secure=table, same_card_holdoff_ms=0, **keys), WHERE)


async def away(chip: Pn532, port: ReaderPort) -> None:
    """Taken away until the driver looks for cards again; a reader that does not says why."""
    chip.card = b""
    looked = chip.commands.count(0x4A)
    patience = Deadline(20)
    while chip.commands.count(0x4A) < looked + 1:
        assert not patience.over, await next_tap(port)
        await asyncio.sleep(0.005)


@pytest.mark.campaign
async def test_tap_to_token_on_real_timing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Detection at the default pace, four commands of 18.6 ms, the reader's own serial line: 350 ms for 95 of 100."""
    chip, took_s = BadgeAtPn532(), []
    async with secure(chip, tmp_path) as port:
        for n in range(100 if CAMPAIGN else 8):
            await asyncio.sleep(0.017 * (n % 8))  # at another moment between two looks each time
            began_s = time.monotonic()
            chip.card = DESFIRE
            assert (await next_tap(port)).token == Token("LU*CHG*1", TokenType.LOCAL)
            took_s.append(time.monotonic() - began_s)
            await away(chip, port)
    chip.unplug()
    took_s.sort()
    record_property("median_ms", round(took_s[len(took_s) // 2] * 1000))
    record_property("p95_ms", round(took_s[int(len(took_s) * 0.95)] * 1000))
    assert took_s[0] > 4 * COMMAND_S, "the talk did not take place"
    assert took_s[len(took_s) // 2] < stretched(0.35)  # of a loaded machine, the outliers say nothing
    assert not CAMPAIGN or took_s[94] < 0.35


async def test_a_badge_at_a_chip_whose_host_was_killed(tmp_path: Path) -> None:
    chip = BadgeAtPn532(921600)
    async with secure(chip, tmp_path, poll_ms=5) as port:
        chip.card = DESFIRE
        assert (await next_tap(port)).token == Token("LU*CHG*1", TokenType.LOCAL)
    chip.unplug()


async def test_a_badge_torn_away_in_the_authentication(tmp_path: Path) -> None:
    chip = BadgeAtPn532()
    async with secure(chip, tmp_path, poll_ms=5, presence_ms=10) as port:
        for torn_at in (1, 2, 3):
            chip.torn_at = torn_at
            chip.card = DESFIRE
            assert await next_tap(port) == Tap(None, "unreadable")
            chip.torn_at = -1
            chip.card = DESFIRE
            assert (await next_tap(port)).token == Token("LU*CHG*1", TokenType.LOCAL)
            await away(chip, port)
    chip.unplug()


async def test_a_reader_pulled_in_the_middle_of_a_talk(tmp_path: Path) -> None:
    chip = BadgeAtPn532()
    async with secure(chip, tmp_path, poll_ms=5) as port:
        chip.card = DESFIRE
        while 0x42 not in chip.commands:
            await asyncio.sleep(0.001)
        chip.unplug()
        with pytest.raises(Unreachable, match=r"tried again|check cable"):
            while True:
                await next_tap(port)


async def test_a_reader_pulled_and_put_back_raises_the_fault_and_clears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keeper and the driver as they are on a board, over a name as of udev; badges are read before and after."""
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.05,))
    chip, name = BadgeAtPn532(), tmp_path / "rfid0"
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    table = SecureSettings("000001", tmp_path / "key", diversify="none", file=1)
    settings = NfcSettings(f"tty:{name}:pn532", "secure", secure=table, poll_ms=5, presence_ms=10)
    events: list[Event] = []
    keeper = supervisor.ReaderSupervisor(1, "reader", lambda: DRIVER.open(settings, WHERE), events.append)

    async def until(event: Event) -> None:
        async with deadline(30):
            while event not in events:
                await asyncio.sleep(0.01)
        events.clear()

    def plugged(new: BadgeAtPn532) -> None:
        name.unlink(missing_ok=True)
        name.symlink_to(new.path.split(":")[1])

    plugged(chip)
    badge = CardPresented(1, Token("LU*CHG*1", TokenType.LOCAL))
    running = asyncio.create_task(keeper.run())
    chip.card = DESFIRE
    await until(badge)
    name.unlink()
    chip.unplug()
    await until(FaultRaised(1, Fault.READER_SILENT))
    chip = BadgeAtPn532()
    plugged(chip)
    await until(FaultCleared(1, Fault.READER_SILENT))
    chip.card = DESFIRE
    await until(badge)
    keeper.prepare_to_stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    chip.unplug()

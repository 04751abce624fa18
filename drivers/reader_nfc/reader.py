"""The reader's thread, and the port that the agent sees.

Thread: open, then sense, report, hold (until the card is taken away), again. Loop side: a queue, and a watch on the
thread's heartbeat, because a thread that is stuck in a USB or serial driver cannot be ended, only given up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from agent.ports import DeviceError, Unreachable
from agent.ports.reader import Tap
from drivers.reader_nfc.cards import UNREADABLE, Card, Debounce, tap_of
from drivers.reader_nfc.desfire import Gone
from drivers.reader_nfc.field import RfField, to_device_error
from drivers.reader_nfc.settings import EV1_4K, NfcSettings

if TYPE_CHECKING:
    from drivers.reader_nfc.secure import CardTalk

OPEN_S = 15.0
"""Longest opening: a PN532 behind a slow USB bridge (1.5 s), its self-test, and three baud rates tried in vain."""
SILENCE_S = 5.0
STOP_S = 1.4
_WATCH_S = 1.0
_POWER_CYCLE_MS = 150
"""Presence of a card without ISO/IEC 14443-4 costs a power cycle of the field: ask less often."""
_UNREAD_TAPS = 8
TALK_S = 1.5
"""Longest talk with a card; an honest one needs a tenth of it."""
_hanging: dict[str, threading.Thread] = {}
"""By path: threads that did not come back from their driver."""
_TRIES = 3
"""Talks with a card that moves in the field: it was hardly there yet, or is being taken away."""


class NfcReader:
    """``ReaderPort`` over nfcpy. ``start`` raises ``Unreachable``, ``Broken``; so does ``taps`` later on."""

    def __init__(self, settings: NfcSettings, open_field: Callable[[str], RfField] = RfField.open_reader) -> None:
        self._settings = settings
        self._open_field = open_field
        self._talk = _open_talk(settings)
        self._reports: asyncio.Queue[Tap | DeviceError] = asyncio.Queue()
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._stop = threading.Event()
        self._beat_s = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run_thread, name="reader_nfc", daemon=True)
        self.about = ""
        """What the reader reports that it is."""

    async def start_thread(self) -> None:
        path = self._settings.path
        if path in _hanging and _hanging[path].is_alive():
            raise Unreachable(
                f"reader {path}: an earlier attempt hangs in its driver; replug the reader, or restart the agent"
            )
        self._thread.start()
        try:
            async with asyncio.timeout(OPEN_S):
                await self._up.wait()
        except TimeoutError:
            raise Unreachable(
                f"reader {self._settings.path}: did not open within {OPEN_S:.0f} s; check cable and power"
            ) from None
        if (
            self._ended.is_set()
            and not self._reports.empty()
            and isinstance(first := self._reports.get_nowait(), DeviceError)
        ):
            raise first

    async def stop_thread(self) -> None:
        """Stop the thread, which closes its reader. A thread that does not come back is abandoned (it is a daemon)."""
        self._stop.set()
        if not self._thread.is_alive():
            return
        try:
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        except TimeoutError:
            _hanging[self._settings.path] = self._thread  # stuck in a driver: nothing more can be done from here

    async def taps(self) -> AsyncIterator[Tap]:
        while True:
            report = await self._next_report()
            if isinstance(report, DeviceError):
                raise report
            yield report

    async def _next_report(self) -> Tap | DeviceError:
        while True:
            try:
                async with asyncio.timeout(_WATCH_S):
                    return await self._reports.get()
            except TimeoutError:
                if time.monotonic() - self._beat_s > SILENCE_S:
                    return Unreachable(
                        f"reader {self._settings.path}: no sign of life for {SILENCE_S:.0f} s; check or replug it"
                    )

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        path, field = self._settings.path, None
        try:
            field = self._open_field(path)
            self.about = field.reader_description
            if self._talk is not None:
                field.preload_protocol()
                self._talk.preload_ciphers()
            self._call_in_loop(self._up.set)
            self._watch_field(field)
        except Exception as e:  # noqa: BLE001  (nfcpy lets IndexError, termios.error and others through)
            self._report_from_thread(to_device_error(e, path))
        finally:
            if field is not None:
                field.close_reader()
            self._call_in_loop(self._ended.set)
            self._call_in_loop(self._up.set)

    def _watch_field(self, field: RfField) -> None:
        debounce = Debounce(self._settings.same_card_holdoff_ms / 1000)
        card: Card | None = None
        while not self._stop.is_set():
            card = card or self._find_card(field)
            if card is None:
                self._stop.wait(self._settings.poll_ms / 1000)
                continue
            card, tap, awake = self._identify_card(field, card)
            if debounce.is_new_tap(tap, time.monotonic()):
                self._report_from_thread(tap)
            if card is not None:
                card = self._wait_for_removal(field, card, awake, partial(_note_presence, debounce, tap))

    def _identify_card(self, field: RfField, card: Card) -> tuple[Card | None, Tap, bool | None]:
        """Return the card (None: it is gone again), its tap, and whether it was activated (None: not tried)."""
        if self._talk is None:
            return card, tap_of(card, self._settings), None
        for _ in range(_TRIES):
            if not card.speaks_iso_dep:
                return card, self._talk.identify_without_talk(card), False
            try:
                if field.activate_card():
                    return card, self._talk.identify_card(field.exchange_with_card(TALK_S), card), True
            except Gone:
                pass
            again = self._find_card(field)
            if again is None:
                return None, Tap(None, UNREADABLE), None
            card = again
        return card, Tap(None, UNREADABLE), None

    def _find_card(self, field: RfField) -> Card | None:
        self._beat_s = time.monotonic()
        return field.find_card()

    def _wait_for_removal(
        self, field: RfField, card: Card, awake: bool | None, present: Callable[[], None]
    ) -> Card | None:
        """Wait until ``card`` is taken away. Return another card that has taken its place, if one was seen."""
        if awake is None:
            awake = card.speaks_iso_dep and field.activate_card()
        pause_s = (self._settings.presence_ms if awake else max(self._settings.presence_ms, _POWER_CYCLE_MS)) / 1000
        misses = 0
        while misses < self._settings.removal_misses and not self._stop.wait(pause_s):
            self._beat_s = time.monotonic()
            seen = card if awake and field.card_is_present() else None if awake else field.find_card()
            if seen == card:
                misses = 0
                present()
            elif seen is not None:
                return seen
            else:
                misses += 1
        return None

    def _report_from_thread(self, what: Tap | DeviceError) -> None:
        self._call_in_loop(lambda: self._queue_report(what))

    def _queue_report(self, what: Tap | DeviceError) -> None:
        if isinstance(what, DeviceError) or self._reports.qsize() < _UNREAD_TAPS:
            self._reports.put_nowait(what)

    def _call_in_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            pass  # the loop is closed: there is no receiver any more


def _open_talk(settings: NfcSettings) -> CardTalk | None:
    """Return None if anticollision alone gives what is asked for. Raises ``Broken``."""
    if settings.mode != "secure" and settings.accept != EV1_4K:
        return None
    from drivers.reader_nfc.secure import CardTalk

    return CardTalk(settings)


def _note_presence(debounce: Debounce, tap: Tap) -> None:
    debounce.note_presence(tap, time.monotonic())

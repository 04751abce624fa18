"""The reader's thread, and the port that the agent sees.

Thread: open, then sense, tell, hold (until the card is taken away), again. Loop side: a queue, and a watch on the
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
from drivers.reader_nfc import EV1_4K, NfcSettings
from drivers.reader_nfc.cards import UNREADABLE, Card, Debounce, tap_of
from drivers.reader_nfc.desfire import Gone
from drivers.reader_nfc.field import Field, translate

if TYPE_CHECKING:
    from drivers.reader_nfc.secure import Talk

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

    def __init__(self, settings: NfcSettings, open_field: Callable[[str], Field] = Field.open) -> None:
        self._settings = settings
        self._open_field = open_field
        self._talk = _talk(settings)
        self._told: asyncio.Queue[Tap | DeviceError] = asyncio.Queue()
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._stop = threading.Event()
        self._beat_s = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="reader_nfc", daemon=True)
        self.about = ""
        """What the reader says that it is."""

    async def start(self) -> None:
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
            and not self._told.empty()
            and isinstance(first := self._told.get_nowait(), DeviceError)
        ):
            raise first

    async def stop(self) -> None:
        """The thread closes its reader itself; one that does not come back is left behind (it is a daemon)."""
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
            told = await self._next()
            if isinstance(told, DeviceError):
                raise told
            yield told

    async def _next(self) -> Tap | DeviceError:
        while True:
            try:
                async with asyncio.timeout(_WATCH_S):
                    return await self._told.get()
            except TimeoutError:
                if time.monotonic() - self._beat_s > SILENCE_S:
                    return Unreachable(
                        f"reader {self._settings.path}: no sign of life for {SILENCE_S:.0f} s; check or replug it"
                    )

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        path, field = self._settings.path, None
        try:
            field = self._open_field(path)
            self.about = field.about
            if self._talk is not None:
                field.warm_up()
                self._talk.warm_up()
            self._post(self._up.set)
            self._watch(field)
        except Exception as e:  # noqa: BLE001  (nfcpy lets IndexError, termios.error and others through)
            self._tell(translate(e, path))
        finally:
            if field is not None:
                field.close()
            self._post(self._ended.set)
            self._post(self._up.set)

    def _watch(self, field: Field) -> None:
        debounce = Debounce(self._settings.same_card_holdoff_ms / 1000)
        card: Card | None = None
        while not self._stop.is_set():
            card = card or self._sense(field)
            if card is None:
                self._stop.wait(self._settings.poll_ms / 1000)
                continue
            card, tap, awake = self._read(field, card)
            if debounce.counts(tap, time.monotonic()):
                self._tell(tap)
            if card is not None:
                card = self._hold(field, card, awake, partial(_present, debounce, tap))

    def _read(self, field: Field, card: Card) -> tuple[Card | None, Tap, bool | None]:
        """The card (None: it is gone again), what it is worth, and whether it was activated (None: not tried)."""
        if self._talk is None:
            return card, tap_of(card, self._settings), None
        for _ in range(_TRIES):
            if not card.iso_dep:
                return card, self._talk.without(card), False
            try:
                if field.activate():
                    return card, self._talk.with_card(field.talk(TALK_S), card), True
            except Gone:
                pass
            again = self._sense(field)
            if again is None:
                return None, Tap(None, UNREADABLE), None
            card = again
        return card, Tap(None, UNREADABLE), None

    def _sense(self, field: Field) -> Card | None:
        self._beat_s = time.monotonic()
        return field.sense()

    def _hold(self, field: Field, card: Card, awake: bool | None, present: Callable[[], None]) -> Card | None:
        """Until ``card`` is taken away. Returns another card that has taken its place, if one was seen."""
        if awake is None:
            awake = card.iso_dep and field.activate()
        pause_s = (self._settings.presence_ms if awake else max(self._settings.presence_ms, _POWER_CYCLE_MS)) / 1000
        misses = 0
        while misses < self._settings.removal_misses and not self._stop.wait(pause_s):
            self._beat_s = time.monotonic()
            seen = card if awake and field.answers() else None if awake else field.sense()
            if seen == card:
                misses = 0
                present()
            elif seen is not None:
                return seen
            else:
                misses += 1
        return None

    def _tell(self, what: Tap | DeviceError) -> None:
        self._post(lambda: self._put(what))

    def _put(self, what: Tap | DeviceError) -> None:
        if isinstance(what, DeviceError) or self._told.qsize() < _UNREAD_TAPS:
            self._told.put_nowait(what)

    def _post(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told


def _talk(settings: NfcSettings) -> Talk | None:
    """None: anticollision alone tells what is asked for. Raises ``Broken``."""
    if settings.mode != "secure" and settings.accept != EV1_4K:
        return None
    from drivers.reader_nfc.secure import Talk

    return Talk(settings)


def _present(debounce: Debounce, tap: Tap) -> None:
    debounce.present(tap, time.monotonic())

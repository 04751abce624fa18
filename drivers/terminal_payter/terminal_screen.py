"""The terminal's own screen, where its payment does not need it: UI Request (0x28) of an Apollo."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from agent.model.types import Screen, ScreenName
from agent.ports import Broken
from agent.ports.driver import StationFacts, Where
from drivers.panel.texts import Texts, load_texts
from drivers.terminal_payter import commands, messages
from drivers.terminal_payter.dialogue import Dialogue, result_text
from drivers.terminal_payter.frames import LONGEST_PLAIN
from drivers.terminal_payter.link import NoAnswer
from drivers.terminal_payter.screen_words import (
    CARD_MESSAGE_BYTES,
    RESULTS,
    card_message_of,
    cut_utf8,
    fit_info_screen,
    info_screen_of,
)

if TYPE_CHECKING:
    from drivers.terminal_payter.settings import PayterSettings

log = logging.getLogger(__name__)

REFUSALS = 3
"""Screens in a row that were refused or not answered, before none is sent any more."""
HIDDEN_EVERY_S = 10.0
"""How often figures are sent to a screen that is hidden by the request for a card."""
_ROOM = LONGEST_PLAIN - 2 - len(messages.UI_INFO) - 1
_Words = TypeVar("_Words")
_LATER = (commands.WRONG_STATE, commands.NOT_READY)


class TerminalScreen:
    """Its owner holds the lock of the line during ``send_screens``. A station without texts shows nothing here: that
    costs no payment."""

    def __init__(self, settings: PayterSettings, where: Where, dialogue: Dialogue) -> None:
        self._settings, self._where, self._dialogue = settings, where, dialogue
        self._texts: dict[str, Texts] = {}
        self._has_texts = True
        self._sells = where.facts.hold_hours > 0
        self._screens: Sequence[Screen] = ()
        self._sent, self._sent_s = b"", 0.0
        self._sent_name: ScreenName | None = None
        self._refusals = 0
        self._has_logged_wording = False
        self._result: tuple[object, ...] = ()
        self._held_until_s = 0.0

    async def prepare_texts(self, language: str) -> None:
        """Read the texts of a language once, in a thread: a board takes a while for it."""
        if language in self._texts or not self._has_texts:
            return
        try:
            self._texts[language] = await asyncio.to_thread(load_texts, language, self._where.config_dirs)
        except Broken as e:
            log.error("terminal %s: it shows no screens of ours: %s", self._dialogue.link.name, e)
            self._has_texts = False

    @property
    def is_used(self) -> bool:
        """True if screens are sent: a card can pay here, the settings want it, and the terminal takes them."""
        is_wanted = self._sells and self._settings.ui_request > 0
        return is_wanted and self._has_texts and self._refusals < REFUSALS

    @property
    def hold_s(self) -> float:
        """How long the next request for a card waits, so that this screen is seen."""
        return max(0.0, self._held_until_s - _loop_time()) if self.is_used else 0.0

    def note_screens(self, screens: Sequence[Screen]) -> bool:
        """Keep what the outlets show. Return True if it is a result that a driver has to see at once."""
        self._screens = screens
        first = screens[0]
        result = (first.values.get("evse"), first.name, first.detail, first.acts, first.values.get("qr_url"))
        is_new = first.name in RESULTS and result != self._result
        self._result = result
        return is_new and self._settings.screen_hold_s > 0 and self.is_used

    def hold_for_reading(self) -> None:
        """Give the driver time to read what is shown, from now on."""
        self._held_until_s = _loop_time() + self._settings.screen_hold_s

    def hold_between_offers(self) -> None:
        """Show the figures of a session that runs for a moment, before the terminal waits for a card again."""
        if self._settings.screen_hold_s and not self.hold_s and self.card_message(CARD_MESSAGE_BYTES):
            self.hold_for_reading()

    def forget_sent_screen(self) -> None:
        """Send the next screen even if it says the same: the terminal has lost it."""
        self._sent, self._sent_name = b"", None

    def card_message(self, room: int) -> str:
        """Return the sentence for the terminal's request for a card, in ``room`` bytes; "": there is nothing to say."""
        return cut_utf8(self._words_of_screens(card_message_of) or "", min(room, CARD_MESSAGE_BYTES))

    async def send_screens(self, is_hidden: bool) -> None:
        """Send what the outlets show, unless the terminal has it. ``is_hidden``: it waits for a card, its own screen
        is in front. A terminal that refuses or does not answer is asked less and less, then no more."""
        payload = self._payload_of_screens()
        if not self.is_used or payload in (b"", self._sent):
            return
        name = self._screens[0].name
        if is_hidden and name is self._sent_name and _loop_time() - self._sent_s < HIDDEN_EVERY_S:
            return
        code = await self._request_screen(payload)
        if code == commands.OK:
            self._sent, self._sent_s, self._sent_name, self._refusals = payload, _loop_time(), name, 0
        elif code not in _LATER:
            self._count_refusal(code)

    async def _request_screen(self, payload: bytes) -> int:
        if self._dialogue.link.unsure:
            await self._dialogue.request_status()
        try:
            frame = await self._dialogue.link.request_answer(
                self._settings.ui_request, payload, self._settings.reply_s, judge=messages.is_result
            )
        except NoAnswer:
            return 0
        return commands.OK if frame is None else messages.parse_result(frame.payload)

    def _count_refusal(self, code: int) -> None:
        self._refusals += 1
        if not self.is_used:
            why = result_text(code) if code else "it does not answer"
            log.warning("terminal %s: it shows no screens of ours: %s", self._dialogue.link.name, why)

    def _payload_of_screens(self) -> bytes:
        info = self._words_of_screens(info_screen_of)
        return b"" if info is None else messages.ui_request_payload(messages.UI_INFO, fit_info_screen(info, _ROOM))

    def _words_of_screens(self, words_of: Callable[[Sequence[Screen], Texts, StationFacts], _Words]) -> _Words | None:
        """Return what is said of the screens; None: nothing. A value that no text has a form for is an error in the
        log. It costs neither an offer nor the process."""
        texts = self._texts_of_screens()
        if texts is None:
            return None
        try:
            return words_of(self._screens, texts, self._where.facts)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            if not self._has_logged_wording:
                log.exception("terminal %s: a screen cannot be put into words", self._dialogue.link.name)
            self._has_logged_wording = True
            return None

    def _texts_of_screens(self) -> Texts | None:
        """Return the texts in the language of the newest screen; None: there is no screen, or there are no texts."""
        return self._texts.get(self._screens[0].language) if self._screens else None


def _loop_time() -> float:
    return asyncio.get_running_loop().time()

"""What an Apollo does beside payments: its own screen, badges, its uplink, its receipts (decision 74). Nothing here may
cost a payment: all of it waits for the line, and a refusal ends the attempt alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from agent.model.bank_card import AcquirerRecord
from agent.model.types import Screen
from agent.ports import DeviceError
from agent.ports.terminal import AcquirerReported, BadgeRead, Restarted, TerminalNews
from drivers.terminal_payter import commands, messages
from drivers.terminal_payter.badges import BadgeHoldOff, badge_hold_off_s, tap_of_badge
from drivers.terminal_payter.card import acquirer_record_of_words
from drivers.terminal_payter.commands import From, State
from drivers.terminal_payter.dialogue import Dialogue, result_text
from drivers.terminal_payter.link import GRACE_S
from drivers.terminal_payter.messages import Status, uint32_bytes
from drivers.terminal_payter.terminal import STARTED, PayterTerminal
from drivers.terminal_payter.terminal_screen import TerminalScreen

if TYPE_CHECKING:
    from agent.ports.driver import Where
    from drivers.terminal_payter.frames import Frame
    from drivers.terminal_payter.link import TerminalLink
    from drivers.terminal_payter.settings import PayterSettings

log = logging.getLogger(__name__)

REST_S = 2.0
"""After the end of an offer or of a badge: time for the next offer, which comes first."""
LONGEST_REST_S = 300.0
"""Between two requests to read badges alone, to a terminal that is not ready for it. One that ignores the request costs
the line its patience each time."""
MISSES = 3
"""How often in a row it may not be ready for that before the log says so, and may give no receipt before it is asked
for none any more."""
UPLINK_EVERY_S = 600.0
"""Between two questions about the uplink."""
_Job: TypeAlias = Callable[[], Awaitable[None]]


class ApolloTerminal(PayterTerminal):
    """``uplink``: what the terminal says of its own connection; "": nothing."""

    def __init__(
        self, settings: PayterSettings, salt: bytes, link: TerminalLink, dialogue: Dialogue, where: Where
    ) -> None:
        super().__init__(settings, salt, link, dialogue)
        self.uplink = ""
        self._uplink_due_s = 0.0
        self._screen = TerminalScreen(settings, where, dialogue)
        self._hold_off = BadgeHoldOff(badge_hold_off_s(settings, REST_S))
        self._reads_badges = settings.badges and settings.read_card > 0
        self._reading = False
        """It waits for a badge while nothing is offered."""
        self._reading_ended = asyncio.Event()
        self._offering = False
        """An offer is being made."""
        self._misses_of_badges = 0
        self._misses_of_words: dict[int, int] = {}
        """By header: how often in a row nothing was said of a payment."""
        self._badge_numbers = itertools.count(0x4000_0000)
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._working: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    async def start_watching(self) -> None:
        await self._ask_uplink()
        await super().start_watching()
        self._working = asyncio.create_task(self._work_off_jobs(), name=f"terminal {self._link.name}: badges")
        self._read_badges_later()

    async def close_terminal(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
        await super().close_terminal()

    # --- what is asked of it -----------------------------------------------------------------------------------------

    async def offer(self, amount_cents: int, reference: str = "", language: str = "") -> None:
        """Ask for a card once the driver has had time to read what is on the screen."""
        self._offering = True
        try:
            self._screen.hold_between_offers()
            await asyncio.sleep(self._screen.hold_s)
            if self._reading:
                async with self._exclusive_request():
                    await self._end_reading()
            await super().offer(amount_cents, reference, language)
            self._misses_of_badges = 0
        finally:
            self._offering = False
            if not self._offered:
                self._read_badges_later()

    async def show_screens(self, first: Screen, /, *others: Screen) -> None:
        """Show what the outlets show. A result takes the screen from an offer that waits for a card, if the settings
        want that; a card that was read is never sent away for it."""
        await self._screen.prepare_texts(first.language)
        takes_screen = self._screen.note_screens((first, *others))
        if not self._screen.is_used:
            return
        async with self._exclusive_request():
            if takes_screen and self._offered and self._read is None:
                await self._cancel_session()
            if takes_screen and self._reading:
                await self._end_reading()
                self._read_badges_later()
            await self._screen.send_screens(is_hidden=self._offered or self._reading)
            if takes_screen:
                self._screen.hold_for_reading()

    # --- what a request says -----------------------------------------------------------------------------------------

    def _start_extras(self, reference: str) -> bytes:
        methods = commands.ALL_CARDS if self._settings.badges else self._settings.payment_methods
        room = messages.CARD_MESSAGE_ROOM - len(self._card_tags())
        said = self._screen.card_message(room) if self._settings.card_message else ""
        return messages.apollo_extras(methods, reference, said)

    def _card_tags(self) -> bytes:
        return super()._card_tags() + (bytes.fromhex(self._settings.badge_tags) if self._settings.badges else b"")

    # --- jobs between payments ---------------------------------------------------------------------------------------

    async def _work_off_jobs(self) -> None:
        try:
            while True:
                job = await self._jobs.get()
                async with self._exclusive_request():
                    await job()
        except DeviceError as e:
            self._link.fail_link(e)

    def _read_badges_later(self) -> None:
        """Read badges again after a rest, unless something is offered by then."""
        if not self._reads_badges:
            return
        if self._later is not None:
            self._later.cancel()
        rest_s = badge_pause_s(self._misses_of_badges) + self._screen.hold_s
        self._later = asyncio.get_running_loop().call_later(rest_s, self._jobs.put_nowait, self._begin_reading)

    async def _begin_reading(self) -> None:
        if self._offered or self._offering or self._reading or not self._reads_badges:
            return
        payload = messages.read_card_payload(next(self._badge_numbers), self._card_tags(), commands.ALL_BUT_EMV)
        self._reading = True
        code = await self._send_order(self._settings.read_card, payload, STARTED, State.WAIT_CARD)
        if code == commands.OK:
            self._misses_of_badges = 0
            return
        self._reading = False
        self._misses_of_badges += 1
        is_for_now = code in (commands.WRONG_STATE, commands.NOT_READY)
        if self._misses_of_badges == MISSES or not is_for_now:
            log.warning("terminal %s: it reads badges only while it waits for a bank card: %s",
                        self._link.name, result_text(code))  # fmt: skip
        if is_for_now:
            await self._restore_after_restart()
            self._read_badges_later()
        else:
            self._reads_badges = False

    async def _end_reading(self) -> None:
        """Let the terminal read no badges, so that it can be asked for something else. Session Cancelled may come after
        the result: the next offer must not be there by then, since it would end with it."""
        if not self._reading:
            return
        self._reading_ended.clear()
        await self._cancel_session()
        if self._reading:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await self._reading_ended.wait()
        self._reading = False

    async def _send_badge_away(self) -> None:
        """Cancel the session that has read a badge. An offer ends by that, and its end is reported."""
        if self._offered and self._read is not None:
            return  # meanwhile a bank card was read
        if self._offered or not self._reading:
            await self._cancel_session()
        else:
            await self._end_reading()
            self._read_badges_later()

    async def _ask_uplink(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._settings.connection_info or now_s < self._uplink_due_s:
            return
        self._uplink_due_s = now_s + UPLINK_EVERY_S
        answer = await self._dialogue.request_words(self._settings.connection_info)
        self.uplink = "" if answer is None else messages.parse_words(answer)

    async def _fetch_receipt(self, reservation: int) -> None:
        """Ask for the terminal's receipt and for its record of the transaction, as far as the settings name them."""
        found = AcquirerRecord()
        for header in (self._settings.transaction_record, self._settings.get_receipt):
            answer = await self._request_words_of_payment(header, reservation) if header else None
            if answer is not None:
                found = found.completed_by(acquirer_record_of_words(answer))
        if found != AcquirerRecord():
            self._report_news(AcquirerReported(reservation, found))

    async def _request_words_of_payment(self, header: int, reservation: int) -> bytes | None:
        """Ask for words of the acquirer. A terminal that gives none, ``MISSES`` times in a row, is not asked any more:
        each question without an answer keeps the line busy while the next card waits."""
        misses = self._misses_of_words.get(header, 0)
        if misses >= MISSES:
            return None
        answer = await self._dialogue.request_words(header, uint32_bytes(reservation))
        self._misses_of_words[header] = 0 if answer is not None else misses + 1
        if self._misses_of_words[header] == MISSES:
            log.warning("terminal %s: it gives no answer to message %02X: receipts are ours alone",
                        self._link.name, header)  # fmt: skip
        return answer

    # --- what it reports ---------------------------------------------------------------------------------------------

    def receive_event(self, frame: Frame) -> None:
        match frame.header:
            case From.BADGE_READ:
                self._receive_badge(frame)
            case From.CANCELLED | From.DECLINED if self._reading and not self._offered:
                self._reading = False
                self._reading_ended.set()
                self._read_badges_later()
            case From.CARD_READ if self._reading and not self._offered:
                self._jobs.put_nowait(self._send_badge_away)
            case _:
                super().receive_event(frame)
                has_receipt = self._settings.get_receipt or self._settings.transaction_record
                if has_receipt and frame.header in (From.APPROVED, From.PARTIAL) and len(frame.payload) >= 4:
                    self._jobs.put_nowait(partial(self._fetch_receipt, int.from_bytes(frame.payload[:4], "big")))

    def _receive_badge(self, frame: Frame) -> None:
        if self._settings.badges:
            tap = tap_of_badge(messages.card_data(frame, 0), self._settings)
            if self._hold_off.is_new_tap(tap, asyncio.get_running_loop().time()):
                self._report_news(BadgeRead(tap))
        self._jobs.put_nowait(self._send_badge_away)

    def _end_offer(self, news: TerminalNews) -> None:
        if isinstance(news, Restarted):
            self._reading, self._misses_of_badges = False, 0
            self._screen.forget_sent_screen()
        super()._end_offer(news)
        self._read_badges_later()

    async def _check_status(self, status: Status) -> None:
        await super()._check_status(status)
        if self._reading and status.state == State.ENABLED:
            self._reading = False
            self._read_badges_later()
        await self._ask_uplink()


def badge_pause_s(misses: int) -> float:
    """Return how long badges are not read after the end of an offer or of a badge, or after so many answers in a row
    that the terminal is not ready for it."""
    return min(LONGEST_REST_S, REST_S * 2.0 ** min(misses, 20))

"""``TerminalPort`` over PSP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agent.model.bank_card import BankCard, Settlement, TerminalIdentity
from agent.ports import DeviceError, Refused, Unreachable
from agent.ports.terminal import Approved, Cancelled, CardRead, Declined, Restarted, TerminalNews
from drivers.terminal_payter import card, commands, messages
from drivers.terminal_payter.commands import From, State, To
from drivers.terminal_payter.dialogue import Dialogue, garbled_error, result_text
from drivers.terminal_payter.frames import Frame
from drivers.terminal_payter.link import GRACE_S, NoAnswer, TerminalLink
from drivers.terminal_payter.messages import Status, uint32_bytes

if TYPE_CHECKING:
    from drivers.terminal_payter.settings import PayterSettings

log = logging.getLogger(__name__)

STARTED = frozenset({From.TRANSACTION, From.CARD_READ, From.CANCELLED})
_ENDED = frozenset({From.APPROVED, From.PARTIAL, From.DECLINED, From.CANCELLED})
_MAY_BE_RESTARTED = (0, commands.WRONG_STATE, commands.NOT_READY)
"""A terminal that has lost its state has also lost the option to give details."""
LOOK_S = 1.0
"""Between two looks at a bank that is being asked."""
_MISSES = 2
"""Looks in a row at a terminal that is idle although an offer is open, before the offer is given up."""


class PayterTerminal:
    """Opened by ``connection.open_terminal``. Card numbers are neither kept nor logged."""

    def __init__(self, settings: PayterSettings, salt: bytes, link: TerminalLink, dialogue: Dialogue) -> None:
        self.identity = TerminalIdentity("Payter")
        self._settings, self._salt, self._link, self._dialogue = settings, salt, link, dialogue
        self._lock = asyncio.Lock()
        self._reports: asyncio.Queue[TerminalNews] = asyncio.Queue()
        self._news = asyncio.Event()
        link.failed.add_done_callback(lambda _: self._news.set())
        self._numbers = itertools.count(1)
        self._offered = False
        self._read: BankCard | None = None
        self._amount_cents = 0
        self._misses = 0
        self._open: set[int] = set()
        self._updates: dict[int, asyncio.Future[messages.HoldUpdate]] = {}
        """Answers of banks that were asked to hold more, by the session."""
        self._silent_start = settings.orders_answer == "none"
        self._watching: asyncio.Task[None] | None = None

    async def start_watching(self) -> None:
        """Read the identity of the synchronised terminal and keep the connection alive."""
        self.identity = await self._dialogue.request_identity()
        self._watching = asyncio.create_task(self._keep_alive(), name=f"terminal {self._link.name}")

    async def wait_for_earlier_session(self) -> None:
        """End what an earlier process has begun (it died, its line did not): a card that was read is sent away.
        A bank that is being asked cannot be stopped. Wait for its answer and report it, since its hold would be lost
        once the terminal is prepared again."""
        status = await self._dialogue.probe_status()
        if status is None or status.state != State.WAIT_AUTH:
            return
        if await self._dialogue.request_result(To.CANCEL, b"", signs=_ENDED) == commands.OK:
            return
        log.warning("terminal %s: a bank is being asked there; its answer is waited for", self._link.name)
        end_s = asyncio.get_running_loop().time() + self._settings.bank_s
        while asyncio.get_running_loop().time() < end_s and status.state == State.WAIT_AUTH:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._settings.keep_alive_s, LOOK_S)):
                    await self._news.wait()
            status = await self._dialogue.request_status()

    async def close_terminal(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self._link.close_line()

    async def news(self) -> AsyncIterator[TerminalNews]:
        while True:
            while not self._reports.empty():  # also what came before the line went
                yield self._reports.get_nowait()
            self._link.raise_if_failed()
            self._news.clear()
            await self._news.wait()

    # --- what is asked of it -----------------------------------------------------------------------------------------

    async def offer(self, amount_cents: int, reference: str = "", language: str = "") -> None:
        async with self._exclusive_request():
            if self._offered:
                raise Refused(f"terminal {self._link.name}: an offer is open; cancel it first")
            number = next(self._numbers)
            await self._select_language(language)
            code = await self._start_transaction(amount_cents, number, reference)
            if code == commands.DUPLICATE:
                code = await self._start_transaction(amount_cents, next(self._numbers), reference)
            if code != commands.OK:
                self._offered = False
                await self._restore_after_restart()
                raise Refused(f"terminal {self._link.name}: it does not take an offer: {result_text(code)}")

    async def authorize(self) -> None:
        async with self._exclusive_request():
            code = await self._send_order(To.AUTH, bytes.fromhex(self._settings.auth_payload), _ENDED, State.WAIT_AUTH)
            if code != commands.OK:
                await self._restore_after_restart()
                raise Refused(f"terminal {self._link.name}: there is no card to authorise: {result_text(code)}")

    async def cancel(self) -> None:
        async with self._exclusive_request():
            await self._cancel_session()

    async def commit(self, reservation: int, amount_cents: int) -> Settlement:
        payload = (
            uint32_bytes(reservation)
            + uint32_bytes(self._minor_units(amount_cents))
            + bytes.fromhex(self._settings.commit_extra)
        )
        return await self._settle_session(To.COMMIT, reservation, payload)

    async def void(self, reservation: int) -> Settlement:
        return await self._settle_session(To.VOID, reservation, uint32_bytes(reservation))

    async def raise_hold(self, reservation: int, total_cents: int) -> int | None:
        """Ask the bank to hold so much in all. Its answer is a message of its own, which may come after minutes: the
        line is not kept busy until then."""
        payload = uint32_bytes(reservation) + uint32_bytes(self._minor_units(total_cents))
        answer: asyncio.Future[messages.HoldUpdate] = asyncio.get_running_loop().create_future()
        self._updates[reservation] = answer
        try:
            async with self._exclusive_request():
                if self._link.unsure:
                    await self._dialogue.request_status()
                code = await self._request_optional_result(To.UPDATE, payload, frozenset({From.UPDATED}))
            if code not in (None, commands.OK) and not answer.done():
                log.warning("terminal %s: it does not raise a hold: %s", self._link.name, result_text(code or 0))
                return None
            held = await _await_update(answer, self._link, self._settings.raise_s)
            return None if held is None else held // self._settings.amount_scale
        finally:
            del self._updates[reservation]

    def _receive_update(self, frame: Frame) -> None:
        """Take the answer of a bank that was asked to hold more. One that is not waited for any more changes nothing:
        the same total is asked for again."""
        update = messages.parse_update(frame.payload)
        waiting = self._updates.get(update.session) if update is not None else None
        if update is not None and waiting is not None and not waiting.done():
            waiting.set_result(update)

    # --- how ---------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _exclusive_request(self) -> AsyncIterator[None]:
        """Make one request at a time. Close the connection after a silence: only a new one cannot bring a late
        answer."""
        async with self._lock:
            self._link.raise_if_failed()
            try:
                yield
            except Unreachable as e:
                self._link.fail_link(e)
                raise

    async def _select_language(self, language: str) -> None:
        """Select the language of the terminal. The layout is unproven: the language, NUL-terminated, under the header
        that the settings name (0: never sent)."""
        if self._settings.select_language and language:
            await self._dialogue.request_result(self._settings.select_language, messages.text_field(language, 10))

    async def _cancel_session(self) -> None:
        """Cancel what waits for a card or has read one."""
        code = await self._send_order(To.CANCEL, b"", _ENDED, State.ENABLED)
        if code == commands.OK or not self._offered:
            return  # the end of the offer is reported, or will be
        status = await self._dialogue.request_status()
        if status.state in commands.UNPREPARED:
            await self._restore_after_restart(status)
        elif status.state == State.ENABLED and self._offered:
            self._end_offer(Cancelled())
        else:
            log.info("terminal %s: cannot cancel now: %s", self._link.name, result_text(code))

    async def _start_transaction(self, amount_cents: int, number: int, reference: str) -> int:
        extras = self._start_extras(reference) if self._settings.start_extras else b""
        payload = messages.start_payload(self._minor_units(amount_cents), number, self._card_tags(), extras)
        self._offered, self._amount_cents, self._misses, self._read = True, amount_cents, 0, None
        return await self._send_order(To.START, payload, STARTED, State.WAIT_CARD, State.WAIT_AUTH)

    def _start_extras(self, reference: str) -> bytes:
        return messages.apollo_extras(self._settings.payment_methods, reference)

    def _card_tags(self) -> bytes:
        return bytes.fromhex(self._settings.dol_tags)

    async def _send_order(self, header: int, payload: bytes, signs: frozenset[int], *states: State) -> int:
        """Send a request that has a result of its own, or only an effect: then the state shows it."""
        if self._settings.orders_answer == "result" and header != To.CANCEL:
            return await self._dialogue.request_result(header, payload)
        if self._link.unsure:
            await self._dialogue.request_status()
        code = await self._request_optional_result(header, payload, signs)
        if code is not None:
            return code
        status = await self._dialogue.request_status()
        if header == To.START:
            self._silent_start = True
        if header == To.AUTH and self._offered and status.state == State.ENABLED:
            raise Unreachable(f"terminal {self._link.name}: the answer of the bank was not received")
        done = status.state in states or (header == To.AUTH and not self._offered)
        return (
            commands.OK if done else commands.NOT_READY if status.state in commands.UNPREPARED else commands.WRONG_STATE
        )

    async def _request_optional_result(self, header: int, payload: bytes, signs: frozenset[int]) -> int | None:
        wait_s = min(GRACE_S, self._settings.reply_s) if self._silent_start else self._settings.reply_s
        try:
            frame = await self._link.request_answer(header, payload, wait_s, signs=signs, judge=messages.is_result)
        except NoAnswer:
            return None
        return commands.OK if frame is None else messages.parse_result(frame.payload)

    async def _settle_session(self, header: int, reservation: int, payload: bytes) -> Settlement:
        async with self._exclusive_request():
            code = await self._dialogue.request_result(header, payload, self._settings.settle_s)
            if code in _MAY_BE_RESTARTED and await self._restore_after_restart():
                code = await self._dialogue.request_result(header, payload, self._settings.settle_s)
        if code == commands.OK or code == commands.NOT_FOUND:
            self._open.discard(reservation)
            return Settlement.DONE if code == commands.OK else Settlement.CLOSED
        log.warning("terminal %s: session %d is not settled: %s", self._link.name, reservation, result_text(code))
        return Settlement.REFUSED

    async def _restore_after_restart(self, status: Status | None = None) -> bool:
        """Prepare the terminal again if it has lost its state, and report it. Return False if its state is right."""
        status = status or await self._dialogue.request_status()
        if status.state not in commands.UNPREPARED:
            return False
        log.warning("terminal %s: it was restarted", self._link.name)
        await self._dialogue.synchronize_terminal(self._settings.sync_s)
        if await self._dialogue.request_identity() != self.identity:
            raise Unreachable(
                f"terminal {self._link.name}: another one is there"
            )  # opened again, it reports its identity
        self._end_offer(Restarted())
        return True

    async def _keep_alive(self) -> None:
        """Keep the connection open, and notice a restart and an end of the offer that was not reported."""
        try:
            while True:
                await asyncio.sleep(self._settings.keep_alive_s)
                async with self._lock:
                    self._link.raise_if_failed()
                    await self._check_status(await self._dialogue.request_status())
        except DeviceError as e:
            self._link.fail_link(e)

    async def _check_status(self, status: Status) -> None:
        if await self._restore_after_restart(status):
            return
        lost = self._offered and status.state == State.ENABLED and not status.running
        self._misses = self._misses + 1 if lost else 0
        if self._misses >= _MISSES:
            log.warning("terminal %s: its offer has ended and it did not report how", self._link.name)
            self._end_offer(Restarted())

    def _minor_units(self, amount_cents: int) -> int:
        return amount_cents * self._settings.amount_scale

    # --- what it reports ---------------------------------------------------------------------------------------------

    def receive_event(self, frame: Frame) -> None:
        """Take a message that is no answer."""
        match frame.header:
            case From.CARD_READ if self._offered:
                self._read = self._bank_card(frame, 0)
                self._report_news(CardRead(self._read))
            case From.APPROVED | From.PARTIAL:
                self._receive_approval(frame)
            case From.UPDATED:
                self._receive_update(frame)
            case From.DECLINED if self._offered:
                code = frame.payload[0] if frame.payload else 0
                reason = commands.REASONS.get(code, f"code {code:02X}")
                self._end_offer(Declined(reason, bank_reached=code not in commands.BANK_NOT_REACHED))
            case From.CANCELLED if self._offered:
                self._end_offer(Cancelled())
            case _:
                log.debug("terminal %s: message %02X has nothing new", self._link.name, frame.header)

    def _receive_approval(self, frame: Frame) -> None:
        """Report every approval: one without an offer has to be voided. But one with the number of an open hold is
        reported once, if no card was read since: the bank was not asked again, and a driver may charge on that hold."""
        partial = frame.header == From.PARTIAL
        at = 8 if partial else 4
        if len(frame.payload) < at:
            self._link.fail_link(garbled_error(self._link.name, "an approval without its number"))
            return
        number = int.from_bytes(frame.payload[:4], "big")
        if number in self._open and self._read is None:
            log.warning("terminal %s: it has reported the hold of session %d again", self._link.name, number)
            return
        if number in self._open and self._settings.session_ids_unique:
            log.error("terminal %s: it has given session %d a second time; one of the two stays open there",
                      self._link.name, number)  # fmt: skip
        self._open.add(number)
        held = int.from_bytes(frame.payload[4:8], "big") // self._settings.amount_scale
        whole = _complete_card(self._bank_card(frame, at), self._read, self._settings.approval_hash)
        acquirer = card.acquirer_record_of_tags(messages.card_data(frame, at), whole.last4)
        late = self._offered and whole.is_another(self._read or BankCard(""))
        (self._report_news if late else self._end_offer)(
            Approved(number, held if partial else self._amount_cents, partial, whole, acquirer)
        )

    def _bank_card(self, frame: Frame, at: int) -> BankCard:
        return card.bank_card_of_tags(messages.card_data(frame, at), self._settings.hash_tag.upper(), self._salt)

    def _end_offer(self, news: TerminalNews) -> None:
        """End the offer, if there is one."""
        self._offered, self._misses = False, 0
        self._report_news(news)

    def _report_news(self, news: TerminalNews) -> None:
        self._reports.put_nowait(news)
        self._news.set()


def _complete_card(approved: BankCard, read: BankCard | None, has_hash: bool) -> BankCard:
    """Return the approved card with what the approval does not repeat of the card that was read."""
    read, mark = read or BankCard(""), approved.mark if has_hash else ""
    return BankCard(mark or read.mark, approved.last4 or read.last4, approved.brand or read.brand)


async def _await_update(answer: asyncio.Future[messages.HoldUpdate], link: TerminalLink, wait_s: float) -> int | None:
    """Wait for the answer of a bank that shall hold more, as long as the line stands. Return what it holds now, in
    minor units; None: it refuses."""
    either: set[asyncio.Future[Any]] = {answer, link.failed}
    await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        link.raise_if_failed()
        raise Unreachable(f"terminal {link.name}: the bank has not answered a raise; it is asked again")
    update = answer.result()
    if update.held is None:
        reason = commands.REASONS.get(update.reason, f"code {update.reason:02X}")
        log.info("terminal %s: the bank holds no more: %s", link.name, reason)
    return update.held

"""Keeper and driver against a terminal that loses replies, connections and power, and an agent that is killed: whatever
happens, the bank charges each hold at most once, with the amount that was decided, and nothing stays held.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import Event
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    PaymentSettled,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.model.bank_card import Settlement
from agent.services.devices import supervisor
from agent.services.devices.terminal import TerminalSupervisor
from tests.support.busy_machine import Deadline, deadline
from tests.support.terminal_process import Apollo, running

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
PAYMENTS = 1000 if FULL else 8
CODES = (0x24, 0x13, 0x23, 0x12, 0x26, 0x27, 0x34, 0x36, 0x37, 0x35, 0x33)
WHATS = ("lose_reply", "delay_reply", "refuse", "event_first", "hang_up", "garbage", "split", "merge", "bad_checksum")
DETAILS = (0x00, 0x03, 0x04, 0x05, 0x0E, 0x11)
CARDS = ("approve",) * 6 + ("partial", "insufficient_funds", "timeout", "cross")
QUICK: dict[str, Any] = {
    "reply_s": 0.6, "settle_s": 0.8, "keep_alive_s": 0.3, "sync_every_s": 0.05, "gap_ms": 50, "sync_s": 3.0,
}  # fmt: skip
OFFER_S = 6.0
SETTLE_S = 60.0


class Cashier:
    """As careful as decision 21 asks: what is to be charged is decided once, one order is under way, what is not
    answered is asked again unchanged. Its memory outlives every keeper."""

    def __init__(self, apollo: Apollo, draw: random.Random) -> None:
        self.apollo, self.draw = apollo, draw
        self.decided: dict[int, int] = {}
        """Reservation to cents that are to be charged; 0: released."""
        self.outcomes: dict[int, Settlement] = {}
        self.seen: Counter[str] = Counter()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._keeper = self._task = None
        self._strangers: list[int] = []

    async def __aenter__(self) -> Cashier:
        self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    def begin(self) -> None:
        self._events = asyncio.Queue()
        self._keeper = TerminalSupervisor(0, "terminal", lambda: self.apollo.opened(**QUICK), self._events.put_nowait)
        self._task = asyncio.create_task(self._keeper.run())

    async def end(self) -> None:
        """As by SIGKILL: without a farewell, and what was not read yet is lost."""
        self._keeper.prepare_to_stop()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def next(self, until: Callable[[Event], Any], timeout_s: float) -> Event | None:
        """The next event that is waited for; None when it does not come. Approvals are never overlooked."""
        with contextlib.suppress(TimeoutError):
            async with deadline(timeout_s):
                while True:
                    event = await self._events.get()
                    self.seen[type(event).__name__] += 1
                    if until(event):
                        return event
                    if isinstance(event, PaymentApproved):
                        self._strangers.append(event.reservation)
        return None

    async def pay(self, number: int) -> None:
        payment = f"p{number}"
        if not self._keeper._serving:
            await self.next(lambda e: isinstance(e, TerminalOpened), SETTLE_S)
        self._keeper.accept_order(OfferPayment(0, payment, 5000))
        await self.apollo_does(lambda: self.apollo.tap(self.draw.choice(CARDS), bank_s=self.draw.choice((0.02, 0.2))))
        ends = (PaymentApproved, PaymentDeclined, PaymentCancelled, TerminalLost, TerminalOpened)
        event = await self.next(lambda e: isinstance(e, (BankCardRead, *ends)), OFFER_S)
        if isinstance(event, BankCardRead):
            self._keeper.accept_order(AuthorizePayment(0, payment))
            if self.draw.random() < 0.15:
                self._keeper.accept_order(CancelPayment(0, payment))
            event = await self.next(lambda e: isinstance(e, ends), OFFER_S)
        if event is None:
            self._keeper.accept_order(CancelPayment(0, payment))
            event = await self.next(lambda e: isinstance(e, ends), 2.0)
        if isinstance(event, PaymentApproved):
            await self.settle(event.reservation, self.draw.choice((0, 1, event.amount_cents)))
        while self._strangers:
            await self.settle(self._strangers.pop(), 0)

    async def settle(self, reservation: int, cents: int) -> None:
        cents = self.decided.setdefault(reservation, cents)
        if reservation in self.outcomes:
            return  # the same approval, reported twice
        reports: Counter[str] = Counter()
        patience = Deadline(SETTLE_S)
        while reservation not in self.outcomes:
            assert not patience.over, f"{reservation}: {cents} cents not settled; {reports}"
            order = CommitPayment(0, "s", reservation, cents) if cents else VoidPayment(0, "s", reservation)
            self._keeper.accept_order(order)
            event = await self.next(lambda e: isinstance(e, PaymentSettled), 5.0)
            outcome = event.outcome if isinstance(event, PaymentSettled) else None
            reports[str(outcome) if event else "no event"] += 1
            if outcome in (Settlement.DONE, Settlement.CLOSED):
                self.outcomes[reservation] = outcome
            else:
                await asyncio.sleep(0.1)

    async def apollo_does(self, what: Callable[[], Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has no power at the moment
            await what()

    def judge(self, books: Any, elapsed: bool) -> None:
        charged = Counter(n for n, _ in books.captures)
        assert all(times == 1 for times in charged.values()), f"charged twice: {charged}"
        for n, cents in books.captures:
            assert self.decided.get(n) == cents, f"{n}: {cents} charged, {self.decided.get(n)} decided"
        for n, outcome in self.outcomes.items():
            assert n not in books.holds, f"{n} was settled ({outcome}) and is still held"
            assert (n in charged) == bool(self.decided[n]), f"{n}: {self.decided[n]} decided, charged: {charged[n]}"
        if elapsed:
            assert books.holds == {}


@asynccontextmanager
async def weather(cashier: Cashier) -> AsyncIterator[None]:
    """One thing that goes wrong beside a payment: a mischief, a power cut, a kill."""
    draw, apollo = cashier.draw, cashier.apollo
    what, after_s = draw.random(), draw.random() * 0.6
    cut: asyncio.Task[None] | None = None
    if what < 0.7:
        item = {"code": draw.choice(CODES), "s": 0.3, "detail": draw.choice(DETAILS)}
        await cashier.apollo_does(lambda: apollo.spoil(draw.choice(WHATS), **item))
    elif what < 0.85:
        cut = asyncio.create_task(_cut(apollo, after_s))
    elif what < 0.95:
        await cashier.end()
        cashier.begin()
    try:
        yield
    finally:
        if cut is not None:
            await cut
        # what did not come about is over with its payment: hundreds of them would meet in the next start of the line
        await cashier.apollo_does(lambda: apollo.do("calm"))


async def _cut(apollo: Apollo, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await apollo.power_cycle()


@pytest.mark.campaign
@pytest.mark.parametrize("line", ["tcp", "serial"])
async def test_each_hold_is_charged_once_or_released(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, Any], None]
) -> None:
    """Payments at a terminal beside lost, late and spoilt replies, hang-ups, power cuts and kills of the agent; over
    TCP and over a serial line. The bank's books say whether each hold was charged once, as decided, or released."""
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.02, 0.1))
    draw = random.Random(f"{SEED} {line}")
    async with running(tmp_path, line) as apollo, Cashier(apollo, draw) as cashier:
        for number in range(PAYMENTS // 2):
            async with weather(cashier):
                await cashier.pay(number)
            cashier.judge(await apollo.books(), elapsed=False)
        await apollo.do("elapse", s=300_000)
        books = await apollo.books()
        cashier.judge(books, elapsed=True)
    record_property("payments", PAYMENTS // 2)
    record_property("charged", len(books.captures))
    record_property("released", len(books.voids))
    record_property("terminal lost", cashier.seen["TerminalLost"])
    if FULL:
        assert len(books.captures) > PAYMENTS // 10

"""The contract of every payment terminal driver: ``check_terminal`` for any ``TerminalPort``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from agent.model.bank_card import Settlement
from agent.ports import DeviceError, Refused
from agent.ports.terminal import (
    AcquirerReported,
    Approved,
    Cancelled,
    CardRead,
    Declined,
    TerminalNews,
    TerminalPort,
)
from drivers.testkit.display import loop_lag

N = TypeVar("N")
Opening = Callable[[], AbstractAsyncContextManager[TerminalPort]]


@dataclass
class BankRecords:
    """The records of the bank: what is held, by reservation; what was charged and released, in order."""

    holds: dict[int, int] = field(default_factory=dict)
    captures: list[tuple[int, int]] = field(default_factory=list)
    voids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TerminalWorld:
    """Hooks of a far end. A check without its hook is skipped.

    ``tap``: a card whose bank will "approve", "decline" or hold only a part ("partial"). ``power_cycle`` returns when
    the terminal is up again.
    """

    tap: Callable[[str], Awaitable[None]]
    books: Callable[[], Awaitable[BankRecords]] | None = None
    power_cycle: Callable[[], Awaitable[None]] | None = None


async def check_terminal(
    open_port: Opening, world: TerminalWorld, *, amount_cents: int = 5000, timeout_s: float = 10.0, lag_s: float = 0.05
) -> None:
    """Raise ``AssertionError`` with the broken clause of ``TerminalPort``. Charges the card a few cents, once."""
    check = _TerminalCheck(world, amount_cents, timeout_s)
    async with open_port() as port:
        async with loop_lag() as lag:
            first = await check.check_approval(port)
            await check.check_decline(port)
            await check.check_cancel(port)
            await check.check_partial_hold(port)
        assert lag.worst_s < lag_s, f"the terminal blocked the event loop for {lag.worst_s * 1000:.1f} ms"
        closing_s = time.monotonic()
    assert time.monotonic() - closing_s < 1.5, "closing took longer than 1.5 s"
    if world.power_cycle is not None:
        await world.power_cycle()
    async with open_port() as port:
        await check.check_commit(port, first)
        await check.check_void(port)
        await check.check_raised_hold(port)


class _TerminalCheck:
    def __init__(self, world: TerminalWorld, amount_cents: int, timeout_s: float) -> None:
        self._world, self._amount, self._timeout_s = world, amount_cents, timeout_s

    async def check_approval(self, port: TerminalPort) -> Approved:
        news = port.news()
        await port.offer(self._amount)
        try:
            await port.offer(self._amount)
        except Refused:
            pass
        else:
            raise AssertionError("a second offer was taken while the first one was open")
        await self._world.tap("approve")
        read = await self._next_news(news, CardRead)
        await port.authorize()
        reported = await self._next_news(news, Approved)
        assert not reported.partial, "all was held, it was reported as partial"
        assert reported.amount_cents == self._amount, (
            f"{self._amount} cents were requested, {reported.amount_cents} reported"
        )
        await self._same_card(port, news, read)
        await self._check_books(held={reported.reservation: self._amount})
        return reported

    async def _same_card(self, port: TerminalPort, news: AsyncIterator[TerminalNews], before: CardRead) -> None:
        """Read the card once more, for its mark only."""
        assert before.card.mark not in repr(before) or not before.card.mark, "the mark of a card is in a repr"
        assert not before.card.last4 or (before.card.last4.isdigit() and len(before.card.last4) == 4), "more than 4"
        await port.offer(self._amount)
        await self._world.tap("approve")
        again = await self._next_news(news, CardRead)
        assert again.card == before.card, "the same card has another mark"
        await port.cancel()
        await self._next_news(news, Cancelled)

    async def check_decline(self, port: TerminalPort) -> None:
        news = port.news()
        await port.offer(self._amount)
        await self._world.tap("decline")
        await self._next_news(news, CardRead)
        await port.authorize()
        await self._next_news(news, Declined)

    async def check_cancel(self, port: TerminalPort) -> None:
        news = port.news()
        await port.offer(self._amount)
        await port.cancel()
        await self._next_news(news, Cancelled)
        await port.cancel()  # nothing is open any more: no harm, and no news
        try:
            await port.authorize()
        except Refused:
            return
        raise AssertionError("authorize was taken without an offer")

    async def check_partial_hold(self, port: TerminalPort) -> None:
        news = port.news()
        await port.offer(self._amount)
        await self._world.tap("partial")
        await self._next_news(news, CardRead)
        await port.authorize()
        reported = await self._next_news(news, Approved)
        assert reported.partial, "a part was held, it was reported as all"
        assert 0 < reported.amount_cents < self._amount, (
            f"a part of {self._amount} cents was reported as {reported.amount_cents}"
        )
        await self._expect_settlement(
            port.commit(reported.reservation, reported.amount_cents + 1), Settlement.REFUSED, "more than is held"
        )
        await self._expect_settlement(port.void(reported.reservation), Settlement.DONE, "void")

    async def check_commit(self, port: TerminalPort, first: Approved) -> None:
        await self._expect_settlement(
            port.commit(first.reservation, 7), Settlement.DONE, "the commit of an older connection's hold"
        )
        await self._expect_settlement(port.commit(first.reservation, 7), Settlement.CLOSED, "a second commit")
        await self._expect_settlement(port.void(first.reservation), Settlement.CLOSED, "a void after a commit")
        await self._check_books(held={}, charged=(first.reservation, 7))

    async def check_void(self, port: TerminalPort) -> None:
        news = port.news()
        await port.offer(self._amount)
        await self._world.tap("approve")
        await self._next_news(news, CardRead)
        await port.authorize()
        reported = await self._next_news(news, Approved)
        await self._expect_settlement(port.void(reported.reservation), Settlement.DONE, "void")
        await self._expect_settlement(port.void(reported.reservation), Settlement.CLOSED, "a second void")
        await self._check_books(held={})

    async def check_raised_hold(self, port: TerminalPort) -> None:
        """Raise a hold, if the terminal can: to a total, and asked twice it is the same total."""
        raise_hold = getattr(port, "raise_hold", None)
        if raise_hold is None:
            return
        news = port.news()
        await port.offer(self._amount)
        await self._world.tap("approve")
        await self._next_news(news, CardRead)
        await port.authorize()
        reported = await self._next_news(news, Approved)
        for _ in range(2):
            held_cents = await raise_hold(reported.reservation, self._amount + 100)
            assert held_cents is None or held_cents <= self._amount + 100, f"{held_cents}: more than was asked for"
            await self._check_books(held={reported.reservation: held_cents or self._amount})
        above = (held_cents or self._amount) + 1
        await self._expect_settlement(port.commit(reported.reservation, above), Settlement.REFUSED, "more than is held")
        await self._expect_settlement(port.void(reported.reservation), Settlement.DONE, "void")
        assert await raise_hold(reported.reservation, self._amount + 100) is None, "a hold that is gone was raised"

    async def _expect_settlement(self, asked: Awaitable[Settlement], wanted: Settlement, what: str) -> None:
        try:
            got = await asked
        except DeviceError as e:
            raise AssertionError(f"{what}: {wanted.name} expected, {type(e).__name__} came: {e}") from e
        assert got is wanted, f"{what}: {wanted.name} expected, {got.name} came"

    async def _next_news(self, news: AsyncIterator[TerminalNews], wanted: type[N]) -> N:
        try:
            async with asyncio.timeout(self._timeout_s):
                while isinstance(reported := await anext(news), AcquirerReported):
                    pass  # it may come at any time behind its approval
        except TimeoutError:
            raise AssertionError(
                f"{wanted.__name__} was expected, nothing was reported in {self._timeout_s} s"
            ) from None
        assert isinstance(reported, wanted), f"{wanted.__name__} was expected, {reported} was reported"
        return reported

    async def _check_books(self, held: dict[int, int], charged: tuple[int, int] | None = None) -> None:
        if self._world.books is None:
            return
        books = await self._world.books()
        assert books.holds == held, f"the bank holds {books.holds}, it should be {held}"
        if charged is not None:
            assert books.captures.count(charged) == 1, f"charged: {books.captures}, {charged} should be there once"
            assert sum(n == charged[0] for n, _ in books.captures) == 1, "one reservation was charged twice"

"""What holds between a payment master and a satellite, whatever is cut, killed or late (decision 73): energy flows only
in a session that the journal has, each hold is captured or released once, and what is captured is what the meter
says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from agent.domain.orders import Order
from agent.domain.payment import PayState
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentSettled,
    VoidPayment,
)
from agent.model.bank_card import BankCard, Settlement
from tests.domain.shared_terminal import AMOUNT_CENTS, SharedTerminal

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
WALKS = 500 if FULL else 20
STEPS = 25
CENTS_PER_KWH = 50
_ENERGIZED = (PayState.ACTIVE.value,)


class Walk:
    """Random deeds of people, devices and the network. ``books``: of the bank, by the number of the hold."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        self.pair = SharedTerminal()
        self.books: dict[int, dict[str, Any]] = {}
        self.asked: list[CommitPayment | VoidPayment] = []
        self.used_wh: dict[str, int] = {}
        self.plugged = False
        self.cards = 0
        self._read = 0

    def go(self) -> None:
        for _ in range(STEPS):
            self.do(self.random.choice((
                self.plug, self.unplug, self.tap, self.deliver_some, self.deliver_all, self.meter, self.draw, self.draw,
                self.pass_time, self.cut, self.join, self.join, self.kill_master, self.kill_satellite, self.answer_bank,
                self.begin_session, self.begin_session,
            )))  # fmt: skip
        self.finish()

    def do(self, deed: Callable[[], None]) -> None:
        deed()
        self.serve_terminal()
        self.check_release()

    def begin_session(self) -> None:
        """All that a session takes, in order; now and then something happens in between."""
        if self.pair.satellite.evse().session is not None:
            return
        for deed in (self.join, self.plug, self.pass_time, self.tap, self.deliver_all, self.meter, self.deliver_all):
            if self.random.random() < 0.12:
                self.do(self.random.choice((self.cut, self.kill_master, self.kill_satellite, self.unplug)))
            self.do(deed)
        self.do(self.draw)

    # --- deeds -------------------------------------------------------------------------------------------------------

    def plug(self) -> None:
        if not self.plugged:
            self.plugged = True
            self.pair.plug()

    def unplug(self) -> None:
        if self.plugged and self.random.random() < 0.5:
            self.plugged = False
            self.pair.unplug()

    def tap(self) -> None:
        offers = [o for o in self.pair.master.log if isinstance(o, OfferPayment)]
        if offers:
            self.cards += 1
            self.pair.feed_master(BankCardRead(0, offers[-1].payment, BankCard(f"m{self.cards}", "1234", "VISA")))

    def deliver_some(self) -> None:
        self.pair.deliver(self.random.randint(1, 2))

    def deliver_all(self) -> None:
        self.pair.deliver()

    def meter(self) -> None:
        self.pair.answer_readings()

    def draw(self) -> None:
        session = self.pair.satellite.evse().session
        if self.pair.released() and session is not None:
            more_wh = self.random.randint(1, 900)
            self.used_wh[session.token.value] = self.used_wh.get(session.token.value, 0) + more_wh
            self.pair.draw(more_wh)

    def pass_time(self) -> None:
        self.pair.wait(self.random.choice((2, 15, 61, 130)))

    def cut(self) -> None:
        if not self.pair.is_cut and self.random.random() < 0.5:
            self.pair.cut()

    def join(self) -> None:
        if self.pair.is_cut:
            self.pair.join()

    def kill_master(self) -> None:
        if self.random.random() < 0.3:
            self.pair.restart_master()
            self.asked.clear()

    def kill_satellite(self) -> None:
        if self.random.random() < 0.3:
            self.pair.restart_satellite(self.plugged)

    # --- terminal and bank -------------------------------------------------------------------------------------------

    def serve_terminal(self) -> None:
        """The terminal does what it was ordered, and its bank approves."""
        while self._read < len(self.pair.master.log):
            order: Order = self.pair.master.log[self._read]
            self._read += 1
            if isinstance(order, CancelPayment):
                self.pair.feed_master(PaymentCancelled(0, order.payment))
            elif isinstance(order, AuthorizePayment):
                number = len(self.books) + 1
                self.books[number] = {"payment": order.payment, "state": "held"}
                self.pair.feed_master(PaymentApproved(0, order.payment, number, AMOUNT_CENTS))
            elif isinstance(order, CommitPayment | VoidPayment):
                self.asked.append(order)

    def answer_bank(self) -> None:
        for order in self.asked[:1]:
            self.asked.remove(order)
            book = self.books[order.reservation]
            is_open = book["state"] == "held"
            if is_open and isinstance(order, CommitPayment):
                assert order.amount_cents <= AMOUNT_CENTS
                book.update(state="captured", cents=order.amount_cents)
            elif is_open:
                book["state"] = "released"
            outcome = Settlement.DONE if is_open else Settlement.CLOSED
            self.pair.feed_master(PaymentSettled(0, order.payment, outcome))

    # --- promises ----------------------------------------------------------------------------------------------------

    def check_release(self) -> None:
        """Energy may flow only in a session that the journal has."""
        session = self.pair.satellite.evse().session
        if self.pair.released():
            assert session is not None
            records = self.pair.master.store.get("payment", {}).values()
            assert [r for r in records if r["session"] == session.id and r["state"] in _ENERGIZED]

    def finish(self) -> None:
        """Everyone comes back, the car leaves: all is settled, once, as the meter says."""
        if self.pair.is_cut:
            self.pair.join()
        for _ in range(12):
            self.pair.deliver()
            self.meter()
            if self.plugged:
                self.plugged = False
                self.pair.unplug()
            self.pair.wait(70)
            self.serve_terminal()
            while self.asked:
                self.answer_bank()
                self.serve_terminal()
        assert self.pair.grants() == {}
        by_token = {r["token"]["value"]: r for r in self.pair.master.store.get("payment", {}).values()}
        cents_of = {r["reservation"]: self._due_cents(token) for token, r in by_token.items()}
        for number, book in self.books.items():
            due_cents = cents_of.get(number, 0)
            wanted = {"state": "captured", "cents": due_cents} if due_cents else {"state": "released"}
            assert book == {"payment": book["payment"], **wanted}
        assert set(self.used_wh) <= set(by_token)

    def _due_cents(self, token: str) -> int:
        milli = self.used_wh.get(token, 0) * CENTS_PER_KWH
        return min(AMOUNT_CENTS, (milli + 500) // 1000)


@pytest.mark.campaign
def test_two_stations_share_a_terminal_whatever_is_cut_or_killed(
    record_property: Callable[[str, object], None],
) -> None:
    """People, devices and the network do something at random between a payment master and a satellite, both of which
    are killed now and then: energy flows only in a session of the journal, each hold is captured or released once, and
    captured is what the meter says."""
    states: Counter[str] = Counter()
    for n in range(WALKS):
        walk = Walk(SEED * 100_000 + n)
        try:
            walk.go()
        except AssertionError as e:
            raise AssertionError(f"walk {walk.seed}: {e}") from e
        states.update(book["state"] for book in walk.books.values())
    record_property("walks", WALKS)
    record_property("holds", dict(states))
    assert states["captured"] > WALKS // 2
    assert states["released"]

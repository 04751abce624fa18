"""Whatever happens in whatever order, also to money: what a card is charged is what its session cost, once, or nothing
and it is reported (decision 21). The promises of the session (``test_session_properties.py``) hold beside it.

A walk is a list of deeds drawn from a seed, on a street with a payment terminal and a bank that keeps books of its own.
The process may end before the disk has what an event remembers, after that, and between any two of its orders. A hold
whose approval never came to the disk is the terminal's own to release; the journal says that there may be one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import ButtonPressed, ButtonsKnown, SettingChanged, TokenAuthorized
from agent.domain.messages import TransactionEnded, TransactionStarted
from agent.domain.orders import AuthorizeToken, Order, Show
from agent.domain.payment import (
    FINISHED,
    PaymentTerms,
    PayState,
)
from agent.domain.payment_receipt import ReceiptTerms
from agent.domain.settlement_orders import (
    PaymentRetryOrdered,
    PaymentVoidOrdered,
    PaymentWriteOffOrdered,
    SettlementOrdered,
)
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    PaymentRaised,
    PaymentSettled,
    RaisePayment,
    TerminalLost,
    TerminalOpened,
    TerminalOrder,
    VoidPayment,
)
from agent.model.bank_card import BankCard, Settlement, TerminalIdentity
from tests.domain.rig import BAD, GOOD, STRANGER, VERDICTS, Config, Crash, Rig
from tests.domain.test_session_properties import DEEDS, PICK, WHEN_GONE, YES_NO, Street
from tests.domain.walks import Deeds, Walks
from tests.support.domain_state import configure

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
WALKS, STEPS = (40_000, 90) if FULL else (130, 70)

TARIFF, DEARER = Tariff(kwh=Decimal("0.50")), Tariff(kwh=Decimal("0.80"))
MILLICENTS_PER_WH = {TARIFF.kwh: 50, DEARER.kwh: 80}
Hold: TypeAlias = tuple[str, int]
CARDS = (BankCard("m1", "1111"), BankCard("m2", "2222"), BankCard(""))
HELD_CENTS, PART_CENTS, LITTLE_CENTS = 60, 40, 20
RAISE_CENTS, MOST_CENTS = 50, 180


def _hold(record: dict[str, Any]) -> Hold:
    return record["serial"], record["reservation"]


@dataclass
class Terminal:
    """What is true of terminal and bank, even if the agent is away. A hold is known by the terminal that made it and by
    its number there: another terminal counts from 1 as well."""

    here: bool = True
    serial: int = 1
    payment: str = ""
    phase: str = ""
    queue: list[TerminalOrder] = field(default_factory=list)
    holds: dict[Hold, int] = field(default_factory=dict)
    captures: list[tuple[Hold, int]] = field(default_factory=list)
    count: int = 0

    @property
    def identity(self) -> TerminalIdentity:
        return TerminalIdentity("Fake", "T1", str(self.serial))

    def hold(self, cents: int) -> int:
        self.count += 1
        self.holds[self.identity.serial, self.count] = cents
        return self.count

    def settle(self, order: CommitPayment | VoidPayment) -> Settlement:
        hold = (self.identity.serial, order.reservation)
        held = self.holds.get(hold)
        if held is None:
            return Settlement.CLOSED
        if isinstance(order, CommitPayment):
            assert order.amount_cents <= held, "more than is held"
            self.captures.append((hold, order.amount_cents))
        del self.holds[hold]
        return Settlement.DONE


class PayRig(Rig):
    """A street with a terminal; the engine's rules for money are those of ``services/engine.py``."""

    def __init__(self, config: Config) -> None:
        self.terminal, self.chance = Terminal(), random.Random(1)
        self.promised: list[TerminalOrder] = []
        self.raised = 0
        self.amounts: dict[Hold, int] = {}
        self.expired: set[Hold] = set()
        self.totals: dict[str, set[int]] = {}
        """By session: what a screen has said that it cost, in millionths."""
        self.crash_after: int | None = None
        self.presented: dict[str, Tariff] = {}
        """By payment: the price when its card was read."""
        super().__init__(config)

    def start(self) -> None:
        self.promised.clear()
        super().start()
        if self.config.settings["offline_payments"]:  # as good a way as any to have buttons at half of the stations
            self.post(ButtonsKnown(tuple(f"outlet-{n}" for n in self.outlets)))
        if self.terminal.here:
            self.post(TerminalOpened(0, self.terminal.identity))

    def down(self) -> None:
        """What was on its way may have arrived."""
        super().down()
        self._undelivered()
        self.crash_after = None

    def _undelivered(self) -> None:
        t = self.terminal
        for order in t.queue:
            if isinstance(order, CommitPayment | VoidPayment) and self.chance.random() < 0.5:
                t.settle(order)
            elif isinstance(order, RaisePayment) and self.chance.random() < 0.5:
                self._raised(order, "well")
        t.queue.clear()
        if t.phase != "auth":
            t.phase, t.payment = "", ""

    # --- the engine --------------------------------------------------------------------------------------------------

    def _save(self, orders: Iterable[Order]) -> bool:
        saved = super()._save(orders)
        if saved:
            kept, self.promised = self.promised, []
            for order in kept:
                self._hand(order)
        return saved

    def _carry_out(self, order: Order, saved: bool) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise Crash
        if isinstance(order, AuthorizePayment | RaisePayment | CommitPayment | VoidPayment) and not saved:
            self.promised.append(order)
        elif isinstance(order, TerminalOrder):
            self._hand(order)
        else:
            self._read(order)
            super()._carry_out(order, saved)

    def _read(self, order: Order) -> None:
        """A driver reads the total off the screen."""
        if isinstance(order, Show) and order.screen.values.get("cost_final"):
            bill = self.site.evses[order.evse].pricing.bill
            assert bill is not None
            self.totals.setdefault(bill.session, set()).add(int(order.screen.values["cost_micro"] or 0))

    def _hand(self, order: TerminalOrder) -> None:
        t = self.terminal
        if isinstance(order, CommitPayment | VoidPayment):
            self._check_written(order)
            if t.here and order.serial != t.identity.serial:  # it was promised to the one before
                self.queue.append(PaymentSettled(0, order.payment, None))
                return
            others = [o for o in t.queue if isinstance(o, CommitPayment | VoidPayment) and o.payment == order.payment]
            assert not others, "two under way"
        if isinstance(order, RaisePayment):
            record = self.store["payment"][order.payment]
            assert record["raising_cents"] == order.total_cents <= MOST_CENTS, "on disk, and no more than was seen"
            assert record["state"] == PayState.ACTIVE or self.site is None
        if t.here:
            t.queue.append(order)
        elif isinstance(order, CommitPayment | VoidPayment):
            self.queue.append(PaymentSettled(0, order.payment, None))
        elif isinstance(order, RaisePayment):
            self.queue.append(PaymentRaised(0, order.payment, answered=False))
        elif not isinstance(order, CancelPayment):
            self.queue.append(PaymentCancelled(0, order.payment))

    def _check_written(self, order: CommitPayment | VoidPayment) -> None:
        """On disk before it is sent, meant for the terminal that holds it, and always the same amount."""
        record = self.store["payment"][order.payment]
        assert order.serial == record["serial"] != "", "the one that is there is asked"
        if isinstance(order, VoidPayment):
            assert record["state"] == "VoidPending"
            return
        assert (record["state"], record["cents"]) == ("CommitPending", order.amount_cents), record["state"]
        known = self.amounts.setdefault(_hold(record), order.amount_cents)
        assert known == order.amount_cents, "another amount"

    def _give_release(self, n: int) -> None:
        """For a card of a bank: only with a hold that is on disk."""
        session = self.site.evses[n].session
        assert session is not None
        for record in self.store.get("payment", {}).values():
            if record["token"]["value"] == session.token.value:
                assert (record["state"], record["session"]) == ("Active", session.id)
                assert record["reservation"] is not None
                self.allowed.add(session.token)
        super()._give_release(n)

    def answer(self, index: int, well: bool) -> None:
        if self.alive and self.devices:
            order = self.devices[index % len(self.devices)]
            if isinstance(order, AuthorizeToken) and order.request.startswith("payment:"):
                self.devices.remove(order)
                verdict = self.chance.choice((VERDICTS[STRANGER], VERDICTS[STRANGER], VERDICTS[BAD])) if well else None
                self.post(TokenAuthorized(order.request, order.token, verdict))
                return
        super().answer(index, well)

    # --- the terminal ------------------------------------------------------------------------------------------------

    def serve(self, how: str) -> None:
        """The terminal carries out its next order, and its keeper says so."""
        t = self.terminal
        if not (self.alive and t.here and t.queue):
            return
        order = t.queue.pop(0)
        match order:
            case CommitPayment() | VoidPayment():
                self.post(PaymentSettled(0, order.payment, self._settled(order, how)))
            case RaisePayment():
                self.post(self._raised(order, how))
            case OfferPayment() if not t.phase:
                t.payment, t.phase = order.payment, "wait"
            case AuthorizePayment() if t.phase == "read" and order.payment == t.payment:
                t.phase = "auth"
            case CancelPayment() if t.phase == "auth" and order.payment == t.payment:
                pass  # too late
            case _:
                if order.payment == t.payment:
                    t.phase, t.payment = "", ""
                self.post(PaymentCancelled(0, order.payment))

    def _settled(self, order: CommitPayment | VoidPayment, how: str) -> Settlement | None:
        if how in ("deaf", "refuse"):
            return None if how == "deaf" else Settlement.REFUSED
        outcome = self.terminal.settle(order)
        return None if how == "mute" else outcome

    def _raised(self, order: RaisePayment, how: str) -> PaymentRaised:
        """What becomes of a raise: the bank has its word, whether or not it arrives."""
        hold = (self.terminal.identity.serial, order.reservation)
        before = self.terminal.holds.get(hold)
        if how in ("deaf", "refuse") or before is None or order.serial != self.terminal.identity.serial:
            return PaymentRaised(0, order.payment, answered=how != "deaf")
        held_cents = order.total_cents if self.chance.random() < 0.7 else (before + order.total_cents) // 2
        self.terminal.holds[hold] = held_cents
        self.raised += held_cents > before
        return PaymentRaised(0, order.payment, held_cents, answered=how != "mute")

    def tap(self, card: BankCard) -> None:
        t = self.terminal
        if self.alive and t.here and t.phase == "wait":
            t.phase = "read"
            self.presented[t.payment] = self.config.offer.tariff
            self.post(BankCardRead(0, t.payment, card))

    def bank(self, how: str) -> None:
        """The bank's word; the terminal passes it on if the agent listens."""
        t = self.terminal
        if t.phase != "auth":
            return
        payment, t.phase, t.payment = t.payment, "", ""
        if how == "decline":
            self._say_if_heard(PaymentDeclined(0, payment, "no"))
            return
        cents = {"approve": HELD_CENTS, "part": PART_CENTS, "little": LITTLE_CENTS}[how]
        number = t.hold(cents)
        self._say_if_heard(PaymentApproved(0, payment, number, cents, how != "approve"))

    def _say_if_heard(self, event: Any) -> None:
        if self.alive and self.terminal.here:
            self.post(event)

    def cut(self, power: bool) -> None:
        t = self.terminal
        if not t.here:
            return
        pending = list(t.queue)
        self._undelivered()
        if power:
            t.phase, t.payment = "", ""
        t.here = False
        for order in pending if self.alive else ():
            self.post(_unserved(order))
        self.post(TerminalLost(0))

    def restarted(self) -> None:
        """It was without power for a moment, and its line was not."""
        t = self.terminal
        if self.alive and t.here:
            t.phase, t.payment = "", ""
            self.post(TerminalOpened(0, t.identity, restarted=True))

    def exchange(self) -> None:
        """Another one is put in its place; what the old one holds it gives back by itself, somewhere."""
        self.cut(True)
        t = self.terminal
        t.serial, t.count = t.serial + 1, 0
        self.expired |= t.holds.keys()
        t.holds.clear()

    def expire(self) -> None:
        """The terminal's own time-out gives back what it holds longest."""
        for number in list(self.terminal.holds)[:1]:
            del self.terminal.holds[number]
            self.expired.add(number)

    def back(self) -> None:
        if not self.terminal.here:
            self.terminal.here = True
            self.post(TerminalOpened(0, self.terminal.identity, restarted=True))


def _unserved(order: TerminalOrder) -> Any:
    """What the keeper of a terminal says of an order that it could not carry out."""
    if isinstance(order, CommitPayment | VoidPayment):
        return PaymentSettled(0, order.payment, None)
    if isinstance(order, RaisePayment):
        return PaymentRaised(0, order.payment, answered=False)
    return PaymentCancelled(0, order.payment)


class PayStreet(Street):
    """Deeds of people with bank cards, of the terminal and the bank."""

    rig: PayRig

    @staticmethod
    def _terms_of(config: Config) -> PaymentTerms:
        served = {0: tuple(range(1, config.evses + 1))}
        raising = {"raise_cents": RAISE_CENTS, "most_cents": MOST_CENTS} if config.settings.pop("raises") else {}
        return PaymentTerms(HELD_CENTS, served, least_cents=30, receipts=ReceiptTerms({}, "CHY"), **raising)

    def _rig(self, config: Config) -> Rig:
        config.terms = self._terms_of(config)
        config.offer = AdhocTariff(TARIFF)
        return PayRig(config)

    def tap(self, card: BankCard) -> None:
        self.rig.tap(card)

    def bank(self, how: str) -> None:
        self.rig.bank(how)

    def serve(self, how: str) -> None:
        self.rig.serve(how)

    def paid(self, pick: int, card: BankCard, how: str, tariff: Tariff = TARIFF) -> None:
        """Most of what can go wrong goes wrong during a payment; the price changes while the bank thinks."""
        self.plug(pick, True)
        self.served()
        self.tap(card)
        self.choose(pick)
        self.served()
        self.reprice(tariff)
        self.bank(how)
        self.answers()

    def charged(self, pick: int, card: BankCard, how: str) -> None:
        """Up to the ceiling, and then away; the answer to the bill is on its way."""
        self.paid(pick, card, how)
        for _ in range(2):
            self.wait(310.0)
            super().answers()
        self.unplug(pick, True)
        self.wait(11.0)
        super().answers()

    def served(self) -> None:
        for _ in range(6):
            self.rig.serve("well")

    def answers(self) -> None:
        super().answers()
        self.served()
        super().answers()

    def cut(self, power: bool) -> None:
        self.rig.cut(power)

    def back(self) -> None:
        self.rig.back()

    def restarted(self) -> None:
        self.rig.restarted()

    def exchange(self) -> None:
        self.rig.exchange()

    def expire(self) -> None:
        self.rig.expire()

    def order(self, pick: int, kind: type[SettlementOrdered]) -> None:
        """A person decides about a payment, one that is not settled if there is any."""
        records = self.rig.store.get("payment", {})
        unsettled = (PayState.FINAL_KNOWN, PayState.COMMIT_PENDING, PayState.UNCERTAIN)
        known = sorted(k for k, r in records.items() if r["state"] in unsettled) or sorted(records)
        if self.rig.alive and known:
            self.rig.post(kind(known[pick % len(known)], "a person's word"))

    def decided(self, pick: int, card: BankCard, kind: type[SettlementOrdered]) -> None:
        """A bill that the terminal was not there to be asked about, and what a person decides about it."""
        self.paid(pick, card, "approve")
        self.wait(310.0)
        super().answers()
        self.cut(True)
        self.unplug(pick, True)
        self.wait(11.0)
        super().answers()
        self.order(pick, kind)

    def choose(self, pick: int) -> None:
        if self.rig.alive:
            self.rig.post(ButtonPressed(f"outlet-{1 + pick % len(self.rig.outlets)}"))

    def reprice(self, tariff: Tariff) -> None:
        """Another price is set: for who comes, not for who has shown a card."""
        self.rig.config.offer = AdhocTariff(tariff)
        for evse in self.rig.site.evses.values():
            configure(evse, offer=self.rig.config.offer)
        if self.rig.alive:
            self.rig.post(SettingChanged("offline_kwh_price"))

    def crash_between(self, orders: int) -> None:
        self.rig.crash_after = orders if self.rig.alive else None

    # --- the end -----------------------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        rig = self.rig
        rig.crash_after = None
        rig.back()
        rig.bank("approve")
        super().calm_down()
        rig.pass_time(200.0)
        for _ in range(3):  # the terminal is there again: asked at once
            rig.cut(False)
            rig.back()
            self.answers()
        self.check_money()

    def check_money(self) -> None:
        rig, records = self.rig, self.rig.store.get("payment", {})
        assert {r["state"] for r in records.values()} <= set(FINISHED), "unfinished"
        captured = Counter(number for number, _ in rig.terminal.captures)
        assert set(captured.values()) <= {1}, "charged twice"
        by_number = {_hold(r): (k, r) for k, r in records.items() if r["reservation"] is not None}
        unknown = [r for r in records.values() if r["reservation"] is None]
        given_up = {_hold(r) for r in records.values() if r.get("later_state") == PayState.WRITTEN_OFF}
        assert not set(rig.terminal.holds) & set(by_number) - given_up, "still held"
        assert len(set(rig.terminal.holds) - given_up) <= len(unknown), "held, and in no record"
        assert set(captured) <= set(by_number), "charged without a record"
        assert all(r["state"] == PayState.UNCERTAIN for r in unknown)
        for number, (key, record) in by_number.items():
            self._check_one(key, record, dict(rig.terminal.captures).get(number))
        self._check_receipts(records)

    def _check_receipts(self, records: dict[str, Any]) -> None:
        """Each bill has one receipt, with its amount, and no number is missing or there twice."""
        if self.rig.config.terms.receipts is None:
            return
        store = self.rig.store
        receipts = {r["number"]: r for r in store.get("receipt", {}).values()}
        billed = {r["receipt"]: min(r["owed_cents"], r["held_cents"]) for r in records.values() if r["owed_cents"]}
        assert {number: r["cents"] for number, r in receipts.items()} == billed
        made = store.get("receipts", {}).get("made", {}).get("number", 0)
        assert sorted(int(number.rpartition("-")[2]) for number in receipts) == list(range(1, made + 1))

    def _check_one(self, key: str, record: dict[str, Any], captured: int | None) -> None:
        due = self._due_cents(record["session"], key)
        if record["state"] == PayState.COMMITTED:
            assert captured == record["cents"] == due, f"due {due}, captured {captured}"
            assert self.rig.totals.get(record["session"], {due * 10_000}) == {due * 10_000}, "another total was shown"
        elif record["state"] == PayState.VOIDED and "voided by a person" in record["why"]:
            assert captured is None
            assert (record["cents"], record["owed_cents"]) == (0, due)
        elif record.get("later_state") == PayState.WRITTEN_OFF:
            assert captured in (None, due)
            assert record["cents"] in (None, 0, due)
        elif record["state"] == PayState.VOIDED:
            assert captured is None
            assert due == 0, "energy for nothing"
            assert self.rig.totals.get(record["session"], {0}) == {0}, "a total that is not paid"
        else:
            gone = _hold(record) in self.rig.expired
            assert record["state"] == PayState.UNCERTAIN
            given_up = "voided by a person" in record["why"]
            assert captured == (None if gone or given_up else due or None)
            assert record["cents"] in ((0,) if given_up else (None, due))
        assert record["owed_cents"] in (None, due), "the ceiling was passed"

    def _due_cents(self, session: str, key: str) -> int:
        """By what the backend has got, at the price that its driver has seen, half up."""
        sent = [m for _, m in self.rig.sent_messages if getattr(m, "session", None) == session]
        begun = [m.meter_wh for m in sent if isinstance(m, TransactionStarted)]
        ended = [m.meter_wh for m in sent if isinstance(m, TransactionEnded)]
        used_wh = ended[0] - begun[0] if begun else 0
        if not used_wh:
            return 0
        return (used_wh * MILLICENTS_PER_WH[self.rig.presented[key].kwh] + 500) // 1000


HOW = ("well", "well", "well", "mute", "deaf", "refuse")
ORDERS = (PaymentRetryOrdered, PaymentVoidOrdered, PaymentWriteOffOrdered)
BANK = ("approve", "approve", "approve", "part", "little", "decline")
_TAKEN = (
    "plug", "unplug", "sated", "car", "wait", "board_fault", "board_lost", "board_opened", "answer", "answers", "disk",
    "link", "ask_stop", "ask_availability", "ask_reset", "crash_soon", "crash", "sigterm",
)  # fmt: skip
PAY_DEEDS: Deeds = {
    **{name: DEEDS[name] for name in _TAKEN},
    "session": (2, {"pick": PICK, "token": (GOOD, STRANGER)}),
    "paid": (10, {"pick": PICK, "card": CARDS, "how": BANK, "tariff": (TARIFF, TARIFF, DEARER)}),
    "charged": (4, {"pick": PICK, "card": CARDS, "how": ("approve", "approve", "part")}),
    "tap": (8, {"card": CARDS}),
    "bank": (8, {"how": BANK}),
    "serve": (16, {"how": HOW}),
    "cut": (3, {"power": YES_NO}),
    "back": (6, {}),
    "restarted": (2, {}),
    "expire": (1, {}),
    "exchange": (2, {}),
    "choose": (3, {"pick": PICK}),
    "order": (3, {"pick": PICK, "kind": ORDERS}),
    "decided": (3, {"pick": PICK, "card": CARDS, "kind": ORDERS}),
    "reprice": (3, {"tariff": (TARIFF, DEARER)}),
    "crash_between": (6, {"orders": tuple(range(12))}),
}
PAY_GONE = {**WHEN_GONE, "bank": PAY_DEEDS["bank"], "cut": PAY_DEEDS["cut"], "back": PAY_DEEDS["back"]}


KINDS: tuple[dict[str, Any], ...] = ({}, {}, {"tethered": True, "kinds": ("DC",)})


def shape_of(draw: random.Random) -> dict[str, Any]:
    settings = {
        "stop_on_ev_disconnect": draw.choice(YES_NO),
        "offline_payments": draw.choice(YES_NO),
        "payment_authorize_first": draw.choice(YES_NO),
        "payment_start": draw.choice(("tap", "tap", "plug")),
        "payment_at_ceiling": draw.choice(("end", "suspend")),
        "payment_connect_timeout_s": draw.choice((30, 300)),
        "connection_timeout_s": 60,
        "raises": draw.choice(YES_NO),
    }
    return {"settings": settings, "evses": draw.choice((1, 2)), "counts": draw.choice(YES_NO), **draw.choice(KINDS)}


WALK = Walks(PayStreet, PAY_DEEDS, PAY_GONE)


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_what_is_captured_is_what_was_owed(record_property: Callable[[str, object], None]) -> None:
    """Agent, terminal, line, disk and bank fail at random, the process at every order: each card is charged what its
    session cost, once, or nothing and it is reported; no hold that the terminal has reported stays."""
    ends: Counter[str] = Counter()
    raised = 0
    for street in WALK.all(SEED, WALKS, STEPS, shape_of):
        ends.update(r["state"] for r in street.rig.store.get("payment", {}).values())
        raised += street.rig.raised
    record_property("walks", WALKS)
    record_property("raised", raised)
    record_property("payments", dict(ends))
    for state in (PayState.COMMITTED, PayState.VOIDED, PayState.UNCERTAIN):
        assert ends[state] >= 10, f"these walks hardly ever end a payment so: {ends}"
    assert raised >= 10, f"these walks hardly ever raise a hold: {raised}"

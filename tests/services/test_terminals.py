"""The keeper of a payment terminal: real driver, real terminal process, orders in and facts out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import CardPresented, Event, FaultCleared, FaultRaised
from agent.domain.orders import Show
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    PaymentDocumented,
    PaymentRaised,
    PaymentSettled,
    RaisePayment,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.model.bank_card import Settlement, TerminalIdentity
from agent.model.types import Fault, Screen, ScreenName, Token
from agent.ports import Unreachable
from agent.ports.terminal import Approved, TerminalNews
from agent.services.devices import supervisor
from agent.services.devices.configured import compose_devices
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.terminal import REFUSALS, TerminalSupervisor
from agent.station_file.settings import SettingsError, parse_station_file
from tests.support.busy_machine import deadline, stretched
from tests.support.terminal_process import Apollo, running

OFFER = OfferPayment(0, "p1", 5000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.05,))


class Kept:
    """A running keeper and what it has said so far."""

    def __init__(self, opening: Any) -> None:
        self.events: list[Event] = []
        self.keeper = TerminalSupervisor(0, "terminal", opening, self.events.append)
        self._read = 0

    async def next(self, wanted: type[Event]) -> Any:
        """The next event, which must be of this kind."""
        async with deadline(15):
            while len(self.events) <= self._read:
                await asyncio.sleep(0.005)
        self._read += 1
        event = self.events[self._read - 1]
        assert isinstance(event, wanted), f"{wanted.__name__} expected, {event} came"
        return event

    async def held(self, apollo: Apollo, **card: Any) -> PaymentApproved:
        self.keeper.accept_order(OFFER)
        await apollo.tap(**card)
        assert (await self.next(BankCardRead)).payment == "p1"
        self.keeper.accept_order(AuthorizePayment(0, "p1"))
        approved: PaymentApproved = await self.next(PaymentApproved)
        assert (approved.payment, approved.amount_cents) == ("p1", 5000)
        return approved


@asynccontextmanager
async def kept(opening: Any) -> AsyncIterator[Kept]:
    it = Kept(opening)
    task = asyncio.create_task(it.keeper.run())
    try:
        yield it
    finally:
        it.keeper.prepare_to_stop()
        task.cancel()
        await asyncio.wait([task])


async def test_from_the_offer_to_the_charge(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        opened = await it.next(TerminalOpened)
        assert (opened.identity.model, opened.restarted) == ("APOLLO", False)
        approved = await it.held(apollo)
        it.keeper.accept_order(CommitPayment(0, "p1", approved.reservation, 1234))
        assert (await it.next(PaymentSettled)).outcome is Settlement.DONE
        it.keeper.accept_order(VoidPayment(0, "p1", approved.reservation))
        assert (await it.next(PaymentSettled)).outcome is Settlement.CLOSED
        it.keeper.accept_order(OfferPayment(0, "p2", 100))
        await apollo.tap("insufficient_funds")
        await it.next(BankCardRead)
        it.keeper.accept_order(AuthorizePayment(0, "p2"))
        assert await it.next(PaymentDeclined) == PaymentDeclined(0, "p2", "insufficient funds")
        it.keeper.accept_order(OfferPayment(0, "p3", 100))
        it.keeper.accept_order(CancelPayment(0, "p3"))
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p3")
        books = await apollo.books()
        assert (books.captures, books.holds) == ([(approved.reservation, 1234)], {})


async def test_a_commit_without_an_answer_is_reported_as_that(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        await apollo.spoil("lose_reply", code=0x35)
        commit = CommitPayment(0, "p1", approved.reservation, 1234)
        it.keeper.accept_order(commit)
        assert (await it.next(PaymentSettled)).outcome is None
        await it.next(TerminalLost)
        assert (await it.next(TerminalOpened)).restarted
        it.keeper.accept_order(commit)
        assert (await it.next(PaymentSettled)).outcome is Settlement.CLOSED
        assert (await apollo.books()).captures == [(approved.reservation, 1234)]


async def test_another_terminal_is_not_asked(tmp_path: Path) -> None:
    """The order had waited for the disk, and the terminal was exchanged meanwhile."""
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        for serial, outcome in (("APO0041SIM", None), ("APO0042SIM", Settlement.DONE)):
            it.keeper.accept_order(CommitPayment(0, "p1", approved.reservation, 1234, serial))
            assert (await it.next(PaymentSettled)).outcome is outcome
        assert (await apollo.books()).captures == [(approved.reservation, 1234)]


async def test_a_hold_is_raised_and_other_orders_do_not_wait_for_its_bank(tmp_path: Path) -> None:
    bank_s = str(stretched(2.0))  # of the raise: the other orders go before it also if each of them waits for its turn
    async with running(tmp_path, "tcp", "--bank-s", bank_s) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo, bank_s=0.05)
        it.keeper.accept_order(RaisePayment(0, "p1", approved.reservation, 7000))
        it.keeper.accept_order(OfferPayment(0, "p2", 100))
        it.keeper.accept_order(CancelPayment(0, "p2"))
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p2")
        assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", 7000)
        it.keeper.accept_order(CommitPayment(0, "p1", approved.reservation, 6543))
        assert (await it.next(PaymentSettled)).outcome is Settlement.DONE
        assert (await apollo.books()).captures == [(approved.reservation, 6543)]


async def test_a_raise_of_a_terminal_that_goes_away_is_answered_as_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (60.0,))  # the second try, which would raise a fault, comes too late
    async with running(tmp_path, "tcp", "--bank-s", "20") as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        it.keeper.accept_order(RaisePayment(0, "p1", 1, 7000, "APO0041SIM"))
        assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", answered=False), "of another terminal"
        it.keeper.accept_order(RaisePayment(0, "p1", 1, 7000))
        assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", None), "there is no such session"
        await apollo.down()
        await it.next(TerminalLost)
        it.keeper.accept_order(RaisePayment(0, "p1", 1, 7000))
        assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", answered=False)


async def test_a_raise_without_an_answer_harms_no_other_payment(tmp_path: Path) -> None:
    """The line is healthy: the driver has only waited long enough. Another card is being authorized meanwhile."""
    bank_s = str(stretched(2.5))
    async with running(tmp_path, "tcp", "--bank-s", bank_s) as apollo, kept(lambda: apollo.opened(raise_s=0.5)) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo, bank_s=0.05)
        it.keeper.accept_order(OfferPayment(0, "p2", 3000))
        await apollo.tap(last4="9999")
        assert (await it.next(BankCardRead)).payment == "p2"
        it.keeper.accept_order(RaisePayment(0, "p1", approved.reservation, 7000))
        it.keeper.accept_order(AuthorizePayment(0, "p2"))
        assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", answered=False)
        assert (await it.next(PaymentApproved)).payment == "p2"


class DyingLine:
    """A terminal whose line ends when it is said."""

    identity = TerminalIdentity()

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def news(self) -> AsyncIterator[TerminalNews]:
        await self.ended.wait()
        raise Unreachable("the line is gone")
        yield

    async def raise_hold(self, reservation: int, total_cents: int) -> int | None:
        return total_cents


@pytest.mark.parametrize("turns", range(5))
async def test_a_raise_is_answered_once_whenever_the_line_ends(turns: int) -> None:
    """Also one whose task has not taken its first step."""
    ports: list[DyingLine] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        ports.append(DyingLine())
        yield ports[-1]

    async with kept(opened) as it:
        await it.next(TerminalOpened)
        ports[-1].ended.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        it.keeper.accept_order(RaisePayment(0, "p1", 7, 7000))
        async with deadline(15):
            while sum(isinstance(e, TerminalOpened) for e in it.events) < 2:
                await asyncio.sleep(0.005)
        raised = [e for e in it.events if isinstance(e, PaymentRaised)]
        assert len(raised) == 1


async def test_a_badge_at_the_terminal_is_a_card_at_a_reader(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(lambda: apollo.opened(badges=True)) as it:
        await it.next(TerminalOpened)
        it.keeper.accept_order(OFFER)
        await apollo.do("badge", uid="04A1B2C3D4E5F6")
        assert await it.next(CardPresented) == CardPresented(0, Token("04A1B2C3D4E5F6"))
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p1")
        await it.held(apollo)


async def test_what_the_acquirer_says_later_names_the_hold(tmp_path: Path) -> None:
    bare = running(tmp_path, "tcp", "--bare")
    async with bare as apollo, kept(lambda: apollo.opened(transaction_record=0x46)) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        documented = await it.next(PaymentDocumented)
        assert documented.reservation == approved.reservation
        assert documented.acquirer.reference == f"HTR{approved.reservation:08}"


async def test_the_status_says_whether_the_bank_was_reached(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(lambda: apollo.opened(connection_info=0x44)) as it:
        await it.next(TerminalOpened)
        assert it.keeper.status_fields()["uplink"] == "ethernet, 192.0.2.7, online"
        assert it.keeper.status_fields()["bank"] == ""
        for behaviour, bank in (
            ("timeout", ""), ("host_error", "silent"), ("insufficient_funds", "answers"), ("host_timeout", "silent"),
        ):  # fmt: skip
            it.keeper.accept_order(OFFER)
            await apollo.tap(behaviour)
            if behaviour != "timeout":
                await it.next(BankCardRead)
                it.keeper.accept_order(AuthorizePayment(0, "p1"))
            await it.next(PaymentDeclined)
            assert it.keeper.status_fields()["bank"] == bank, behaviour
        await it.held(apollo)
        assert it.keeper.status_fields()["bank"] == "answers"


class ShowingTerminal:
    """A terminal with a screen. The first screens that it is given end its line."""

    identity = TerminalIdentity()

    def __init__(self, lines: list[list[Screen]]) -> None:
        self.lines = lines

    async def news(self) -> AsyncIterator[TerminalNews]:
        await asyncio.Event().wait()
        yield

    async def show_screens(self, first: Screen, /, *others: Screen) -> None:
        self.lines.append([first, *others])
        if len(self.lines) == 1:
            raise Unreachable("the line is gone")


async def test_a_terminal_gets_the_screens_of_its_outlets_and_again_when_it_comes_back() -> None:
    lines: list[list[Screen]] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield ShowingTerminal(lines)

    idle, refused = Screen(ScreenName.IDLE), Screen(ScreenName.REFUSED, acts=1)
    async with kept(opened) as it:
        for order in (Show(1, idle), Show(2, idle), Show(2, refused)):
            it.keeper.accept_order(order)
        async with deadline(15):
            while len(lines) < 2:
                await asyncio.sleep(0.005)
    assert lines == [[refused, idle], [refused, idle]]


async def test_screens_come_from_the_outlets_and_money_from_the_terminal_alone() -> None:
    """An offer for the terminal of an outlet that has none is answered; it never reaches the station's."""
    events: list[Event] = []
    dispatch = OrderDispatch(events.append)
    terminal = TerminalSupervisor(0, "terminal", ShowingTerminal, events.append)
    dispatch.add_supervisor(terminal, [1, 2])
    screens = {n: Screen(ScreenName.IDLE, values={"evse": n}) for n in (1, 2)}
    for number, screen in screens.items():
        dispatch.dispatch_order(Show(number, screen))
    assert terminal._screens.screens_in_order() == [*screens.values()]
    dispatch.dispatch_order(OfferPayment(1, "p1", 5000))
    assert events == [PaymentCancelled(1, "p1")]


class NeverRaising:
    """A terminal that has no such method."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        if name == "raise_hold":
            raise AttributeError(name)
        return getattr(self._port, name)


async def test_a_terminal_that_cannot_raise_a_hold_refuses(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:

        @asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            async with apollo.opened() as port:
                yield NeverRaising(port)

        async with kept(opened) as it:
            await it.next(TerminalOpened)
            approved = await it.held(apollo)
            it.keeper.accept_order(RaisePayment(0, "p1", approved.reservation, 7000))
            assert await it.next(PaymentRaised) == PaymentRaised(0, "p1", None)
            assert (await apollo.books()).holds == {approved.reservation: 5000}


async def test_every_settlement_is_answered_while_the_terminal_is_away(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        await apollo.down()
        for order in (CommitPayment(0, "p1", 1, 1), VoidPayment(0, "p1", 1)):
            it.keeper.accept_order(order)
        kinds = Counter([type(await it.next(Event)) for _ in range(4)])  # the loss may be noticed before the orders
        assert kinds == {PaymentSettled: 2, TerminalLost: 1, FaultRaised: 1}
        it.keeper.accept_order(CommitPayment(0, "p1", 1, 1))
        assert await it.next(PaymentSettled) == PaymentSettled(0, "p1", None)
        it.keeper.accept_order(OfferPayment(0, "p2", 1))
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p2")
        await apollo.up()
        assert (await it.next(TerminalOpened)).restarted
        assert await it.next(FaultCleared) == FaultCleared(0, Fault.TERMINAL_SILENT)
        it.keeper.accept_order(VoidPayment(0, "p1", approved.reservation))
        assert (await it.next(PaymentSettled)).outcome is Settlement.DONE


async def test_whether_an_authorisation_was_taken_back_is_not_said_when_no_one_knows(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        it.keeper.accept_order(OFFER)
        await apollo.tap(bank_s=30)
        await it.next(BankCardRead)
        it.keeper.accept_order(AuthorizePayment(0, "p1"))
        async with deadline(30):
            while not it.keeper._asked:
                await asyncio.sleep(0.005)
        await apollo.down()
        await it.next(TerminalLost)
        it.keeper.accept_order(CancelPayment(0, "p1"))
        assert isinstance(await it.next(FaultRaised), FaultRaised)


async def test_what_is_refused_is_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        await apollo.spoil("refuse", code=0x34, detail=0x11)
        it.keeper.accept_order(OFFER)
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p1")
        it.keeper.accept_order(OFFER)
        it.keeper.accept_order(AuthorizePayment(0, "p1"))  # no card was read
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p1")
        it.keeper.accept_order(AuthorizePayment(0, "another"))
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "another")


async def test_a_terminal_that_takes_no_offer_is_reported_of(tmp_path: Path) -> None:
    """It answers, and sells nothing: its payment application is not ready, or its configuration does not allow it."""
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        for n in range(REFUSALS):
            await apollo.spoil("refuse", code=0x34, detail=0x0E)
            it.keeper.accept_order(OFFER)
            if n == REFUSALS - 1:
                assert await it.next(FaultRaised) == FaultRaised(0, Fault.TERMINAL_SILENT)
            await it.next(PaymentCancelled)
        it.keeper.accept_order(OFFER)
        assert await it.next(FaultCleared) == FaultCleared(0, Fault.TERMINAL_SILENT)
        await apollo.tap()
        await it.next(BankCardRead)


async def test_a_restart_that_the_line_does_not_notice(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo, kept(lambda: apollo.opened(keep_alive_s=0.1)) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        await apollo.do("restart")
        assert (await it.next(TerminalOpened)).restarted
        it.keeper.accept_order(VoidPayment(0, "p1", approved.reservation))
        assert (await it.next(PaymentSettled)).outcome is Settlement.DONE


async def test_a_card_whose_bank_was_never_asked_is_reported_as_that(tmp_path: Path) -> None:
    """The terminal lost its state between the card and the order to ask: no call waits for an answer."""
    async with running(tmp_path, "serial") as apollo, kept(lambda: apollo.opened(keep_alive_s=15)) as it:
        await it.next(TerminalOpened)
        it.keeper.accept_order(OFFER)
        await apollo.tap()
        await it.next(BankCardRead)
        await apollo.do("restart")
        it.keeper.accept_order(AuthorizePayment(0, "p1"))
        assert (await it.next(TerminalOpened)).restarted
        assert await it.next(PaymentCancelled) == PaymentCancelled(0, "p1")


class Port:
    """A terminal that holds what was not offered, and one that goes while it reports."""

    identity = TerminalIdentity()

    def __init__(self, *news: TerminalNews) -> None:
        self.waiting_news, self.gone, self._moved = list(news), False, asyncio.Event()

    async def news(self) -> AsyncIterator[TerminalNews]:
        while True:
            while self.waiting_news:
                yield self.waiting_news.pop(0)
            if self.gone:
                raise Unreachable("gone")
            await self._moved.wait()

    async def void(self, reservation: int) -> Settlement:
        self.waiting_news.append(Approved(7, 5000))
        self.gone = True
        raise Unreachable("gone")


def opening_of(port: Port) -> Any:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Port]:
        yield port

    return opening


async def test_what_no_one_asked_for_is_reported_as_that() -> None:
    async with kept(opening_of(Port(Approved(7, 5000)))) as it:
        await it.next(TerminalOpened)
        assert await it.next(PaymentApproved) == PaymentApproved(0, "", 7, 5000)


async def test_an_approval_that_came_before_the_line_went_is_reported() -> None:
    async with kept(opening_of(Port())) as it:
        await it.next(TerminalOpened)
        it.keeper.accept_order(VoidPayment(0, "p", 1))
        assert (await it.next(PaymentSettled)).outcome is None
        assert await it.next(PaymentApproved) == PaymentApproved(0, "", 7, 5000)
        await it.next(TerminalLost)


def test_a_station_without_a_terminal_answers() -> None:
    events: list[Event] = []
    hands = OrderDispatch(events.append)
    for order in (CommitPayment(0, "p", 1, 1), VoidPayment(0, "p", 1), OFFER):
        hands.dispatch_order(order)
    assert events == [PaymentSettled(0, "p", None), PaymentSettled(0, "p", None), PaymentCancelled(0, "p1")]


def test_terminals_of_a_station_file(tmp_path: Path) -> None:
    table = {"driver": "terminal_payter", "host": "192.168.5.10"}
    raw = {"terminal": table, "evse": [{"number": 1}, {"number": 2, "terminal": {**table, "port": 4000}}]}
    found = compose_devices(parse_station_file(raw, tmp_path / "s.toml"), lambda: (0, 0.0))
    assert [(d.evse, d.role, d.complaints) for d in found] == [(2, "terminal", []), (0, "terminal", [])]
    wrong = parse_station_file({**raw, "terminal": {"driver": "reader_serial", "device": "x"}}, tmp_path / "s")
    with pytest.raises(SettingsError, match=r"terminal\.driver: 'reader_serial' drives a reader"):
        compose_devices(wrong, lambda: (0, 0.0))


async def test_an_agent_that_ends_waits_for_what_was_reported_of_money(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, kept(apollo.opened) as it:
        await it.next(TerminalOpened)
        approved = await it.held(apollo)
        hands = OrderDispatch(it.events.append)
        hands.add_supervisor(it.keeper)
        await apollo.spoil("delay_reply", s=0.3)
        hands.dispatch_order(CommitPayment(0, "p1", approved.reservation, 1234))
        await hands.wait_until_settled(10.0)
        assert (await it.next(PaymentSettled)).outcome is Settlement.DONE
        assert not it.keeper.has_pending_orders

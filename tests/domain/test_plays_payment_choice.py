"""Which outlet a bank card pays for, and at which price: what its driver has said before the bank is asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.blocks.card_payment import PRICE_READ_S
from agent.domain.blocks.outlet_selection import PAYER_S
from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    CardPresented,
    ContactorOpened,
    FaultRaised,
    MeterRead,
    RequestReceived,
    SettingChanged,
    StopRequested,
    StopWanted,
    TimeCame,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, Persist
from agent.domain.payment import payment_reference
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import RemoteStartRequest
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Fault, ScreenName, Token
from tests.domain.playbook import LINK, A, Playbook, kept, wh
from tests.domain.test_plays_payment import (
    AMOUNT,
    CARD,
    OPENED,
    OTHER,
    SELF,
    TARIFF,
    energised,
    offer,
    record,
    tapped,
    till,
    unplugged,
)
from tests.support.domain_state import configure

BUTTONS = ButtonsKnown(("outlet-1", "outlet-2", "outlet-3"))
DEAR = Tariff(kwh=Decimal("9.00"))


def two(*plugged: int, buttons: bool = True, **options: Any) -> Playbook:
    play = till(2, **options)
    if buttons:
        play.feed(BUTTONS)
    for number in plugged:
        (play.wait(1) >> (CablePlugged(number), VehicleConnected(number))).skip()
    return play


def charged(play: Playbook, end_wh: int = 3000) -> Playbook:
    """A card has paid for a session at outlet 1 that is over. The vehicle is still plugged in."""
    tapped(play)
    energised(play, 1)
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.skip().feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(play.evse(1).progress.end_try), wh(end_wh)))
    assert play.state(1) is SessionState.ENDED
    return play.skip()


def read(play: Playbook, card: Any = CARD) -> str:
    payment = offer(play)
    play.feed(BankCardRead(0, payment, card))
    return payment


def asked(play: Playbook, why: str) -> set[int]:
    names = (ScreenName.REFUSED, ScreenName.CHOOSE_OUTLET)
    return {n for n, s in play.screens.items() if s.name in names and s.detail == why}


def no_bank(play: Playbook) -> bool:
    return not [o for o in play.log if isinstance(o, AuthorizePayment)]


def at(play: Playbook, payment: str) -> int:
    return int(record(play, payment)["evse"])


# --- which outlet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_two_cars_wait_and_the_driver_is_asked_before_the_bank(number: int) -> None:
    play = two(1, 2)
    payment = read(play)
    assert play, "nothing is ordered yet"
    assert asked(play, "choose_outlet") == {1, 2}
    play = play >> ButtonPressed(f"outlet-{number}") << kept("payment", payment, state="AuthPending", evse=number)
    assert play << AuthorizePayment(0, payment)
    assert not asked(play, "choose_outlet")
    assert play.screens[number].name is ScreenName.CHECKING
    (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    assert play.state(number) is SessionState.BEGINNING


@pytest.mark.parametrize("number", [1, 2])
def test_a_bank_that_declines_is_shown_at_the_outlet_that_was_chosen(number: int) -> None:
    play = two(1, 2)
    payment = read(play)
    play.feed(ButtonPressed(f"outlet-{number}"))
    play.skip().feed(PaymentDeclined(0, payment, "not enough money"))
    play.skip()
    assert asked(play, "declined") == {number}


def test_the_button_may_come_before_the_card() -> None:
    play = two(1, 2)
    play.feed(ButtonPressed("outlet-1"))
    payment = tapped(play)
    assert (at(play, payment), play.state(1)) == (1, SessionState.BEGINNING)


def test_who_says_nothing_pays_nothing() -> None:
    play = two(1, 2)
    payment = read(play)
    play.wait(PAYER_S - 0.1)
    assert play
    play = play.wait(0.2) << CancelPayment(0, payment)
    assert play
    assert asked(play, "not_chosen") == {1, 2}
    play.feed(TimeCame(Timer(TimerKind.DRIVER_NOTICE, 1)))  # that of the question, which was due in the same moment
    assert asked(play, "not_chosen") == {1, 2}
    assert no_bank(play)
    assert not play.store.get("payment")


def test_without_buttons_the_cable_says_it() -> None:
    """Unplugged and plugged in again after the question; the cable that came last before it says nothing."""
    play = two(1, 2, buttons=False)
    payment = read(play)
    assert asked(play, "choose_cable") == {1, 2}
    (play >> VehicleLeft(1)).skip()
    assert no_bank(play), "the one that is left over is perhaps that of another"
    (play.wait(3) >> VehicleConnected(1)).skip()
    assert at(play, payment) == 1


def test_another_car_that_comes_meanwhile_is_no_answer() -> None:
    play = till(3)
    play.feed(BUTTONS)
    for number in (1, 2):
        (play.wait(1) >> VehicleConnected(number)).skip()
    read(play)
    (play >> VehicleConnected(3)).skip()
    assert no_bank(play)
    assert asked(play, "choose_outlet") == {1, 2}


def test_a_car_that_has_charged_already_is_not_meant() -> None:
    play = charged(two(1))
    (play >> VehicleConnected(2)).skip()
    assert at(play, tapped(play, OTHER, number=8)) == 2


@pytest.mark.parametrize("answer", ["cable", "button", "none"])
def test_a_car_that_has_charged_is_asked_about_where_another_outlet_is_free(answer: str) -> None:
    """The next driver may hold the card up before plugging in."""
    play = charged(two(1))
    payment = read(play, OTHER)
    assert asked(play, "choose_plug") == {1, 2}
    if answer == "none":
        play.wait(PAYER_S + 0.1)
        assert CancelPayment(0, payment) in play.log
        return
    (play >> (VehicleConnected(2) if answer == "cable" else ButtonPressed("outlet-1"))).skip()
    (play >> PaymentApproved(0, payment, 8, AMOUNT)).skip()
    assert at(play, payment) == (2 if answer == "cable" else 1)


def test_a_car_that_has_had_no_energy_is_meant_by_the_next_card() -> None:
    """Its driver holds up another one."""
    play = charged(two(1), end_wh=1000)
    assert at(play, tapped(play, OTHER, number=8)) == 1
    play = charged(two(1), end_wh=1000)
    (play >> VehicleConnected(2)).skip()
    read(play, OTHER)
    assert asked(play, "choose_outlet") == {1, 2}, "both wait for a driver"


def test_an_outlet_that_was_chosen_and_has_broken_meanwhile() -> None:
    play = two(1, 2)
    payment = read(play)
    (play >> FaultRaised(1, Fault.DOOR_OPEN)).skip()
    assert play >> ButtonPressed("outlet-1") << CancelPayment(0, payment)
    assert no_bank(play)


@pytest.mark.parametrize("how", ["cancelled", "lost", "restarted"])
def test_a_card_that_is_gone_is_not_asked_about(how: str) -> None:
    play = two(1, 2)
    payment = read(play)
    gone = {
        "cancelled": PaymentCancelled(0, payment),
        "lost": TerminalLost(0),
        "restarted": TerminalOpened(0, SELF, restarted=True),
    }
    (play >> gone[how]).skip()
    assert not asked(play, "choose_outlet")
    (play >> ButtonPressed("outlet-1")).skip()
    assert no_bank(play)


def test_one_card_at_a_time_is_asked_about() -> None:
    """The button that is pressed next is for the card that was first."""
    play = two(1, 2)
    payment = read(play)
    play.feed(CardPresented(0, A))
    assert not [o for o in play.log if isinstance(o, AuthorizeToken)]
    assert asked(play, "choose_outlet") == {1, 2}
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    assert at(play, payment) == 2
    play = two(1, 2)
    (play >> CardPresented(0, A)).skip()
    payment = read(play)
    assert play << CancelPayment(0, payment)
    assert play >> ButtonPressed("outlet-2") << AuthorizeToken
    assert no_bank(play)


def test_a_button_for_a_free_outlet_is_not_overruled_by_a_car_that_was_there() -> None:
    play = two(1).wait(1)
    play.feed(ButtonPressed("outlet-2"))
    payment = tapped(play)
    assert (play.state(1), play.state(2)) == (SessionState.OCCUPIED, SessionState.AUTHORIZED)
    (play >> (CablePlugged(2), VehicleConnected(2))).skip()
    energised(play, 2)
    assert at(play, payment) == 2


def test_a_button_for_a_closed_outlet_pays_for_no_car_at_another() -> None:
    play = two(1)
    (play >> FaultRaised(2, Fault.DOOR_OPEN)).skip()
    play.feed(ButtonPressed("outlet-2"))
    payment = read(play.skip())
    assert CancelPayment(0, payment) in play.log
    assert no_bank(play)
    assert asked(play.skip(), "unavailable") <= {2}


def test_no_outlet_is_asked_about_where_it_is_clear() -> None:
    for plugged in ((), (1,)):
        play = two(*plugged)
        payment = read(play)
        assert play << kept("payment", payment, evse=1) << AuthorizePayment(0, payment)


# --- a second card of the same driver --------------------------------------------------------------------------------


def test_a_second_card_beside_a_running_session_is_asked_about_before_anything_is_held() -> None:
    """Telephone to start, plastic to stop."""
    play = two(1)
    tapped(play)
    energised(play, 1)
    play.skip()
    before = len([o for o in play.log if isinstance(o, AuthorizePayment)])
    payment = read(play, OTHER)
    assert play
    assert asked(play, "new_charge") == {2}
    play = play.wait(PAYER_S + 0.1)
    assert CancelPayment(0, payment) in play.log
    assert len([o for o in play.log if isinstance(o, AuthorizePayment)]) == before
    assert asked(play.skip(), "not_chosen") == {2}


@pytest.mark.parametrize("answer", ["cable", "button"])
def test_the_next_driver_says_that_it_is_a_new_charge(answer: str) -> None:
    play = two(1)
    first = tapped(play)
    energised(play, 1)
    play.skip()
    second = read(play, OTHER)
    (play >> (VehicleConnected(2) if answer == "cable" else ButtonPressed("outlet-2"))).skip()
    (play >> PaymentApproved(0, second, 8, AMOUNT)).skip()
    assert (at(play, first), at(play, second)) == (1, 2)
    assert play.state(2) is (SessionState.BEGINNING if answer == "cable" else SessionState.AUTHORIZED)


def test_a_car_that_is_plugged_in_beside_a_running_session_is_a_new_charge() -> None:
    play = two(1)
    tapped(play)
    energised(play, 1)
    (play.skip() >> VehicleConnected(2)).skip()
    assert at(play, tapped(play, OTHER, number=8)) == 2


# --- which price -----------------------------------------------------------------------------------------------------


def priced(play: Playbook, tariff: Tariff, *evses: int) -> None:
    """A backend or the hour has set another price. A terminal that waits for a card waits at that price then."""
    waiting = offer(play)
    for number in evses or play.site.evses:
        configure(play.evse(number), offer=AdhocTariff(tariff))
    orders = play.skip().feed(SettingChanged("offline_kwh_price"))
    if CancelPayment(0, waiting) in orders:
        play.skip().feed(PaymentCancelled(0, waiting))
        play.skip().wait(PRICE_READ_S)
    play.skip()


def cents(play: Playbook, payment: str, meter_wh: int = 3000) -> Any:
    unplugged(play, meter_wh).skip()
    commits = [o.amount_cents for o in play.log if isinstance(o, CommitPayment) and o.payment == payment]
    return commits[-1] if commits else None


def test_the_price_that_counts_is_the_one_when_the_card_was_read() -> None:
    """Raised while the bank thinks."""
    play = two(1)
    payment = read(play)
    agreed = [o.value for o in play.log if isinstance(o, Persist) and o.kind == "payment"][-1]
    assert agreed is not None
    assert agreed["tariff"] == TARIFF.to_record(), "on disk before the bank is asked"
    priced(play, DEAR)
    (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    assert play.state(1) is SessionState.BEGINNING
    assert play.screens[1].values["tariff_kwh_micro"] == 500_000
    energised(play, 1)
    assert cents(play, payment) == 100


def test_it_counts_until_the_cable_comes() -> None:
    play = two()
    payment = tapped(play)
    priced(play, DEAR)
    (play >> (CablePlugged(1), VehicleConnected(1))).skip()
    energised(play, 1)
    assert cents(play, payment) == 100


def test_a_price_that_changes_during_the_question_is_asked_for_again() -> None:
    play = two(1, 2)
    payment = read(play)
    priced(play, DEAR)
    assert play >> ButtonPressed("outlet-1") << CancelPayment(0, payment)
    assert asked(play, "other_price") == {1}
    assert no_bank(play)


@pytest.mark.parametrize("buttons", [True, False])
def test_free_outlets_with_different_prices_are_asked_about(buttons: bool) -> None:
    play = two(buttons=buttons)
    priced(play, DEAR, 2)
    payment = read(play)
    assert asked(play, "choose_plug") == {1, 2}
    (play >> (CablePlugged(2), VehicleConnected(2))).skip()
    assert record(play, payment)["tariff"] == DEAR.to_record()
    (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    energised(play, 2)
    assert play.session(2)


@pytest.mark.parametrize("dearer", [True, False])
@pytest.mark.parametrize("said", ["before", "asked"])
@pytest.mark.parametrize("while_the_bank_thinks", [True, False])
def test_a_cable_of_another_driver_does_not_take_what_is_paid_for_a_named_outlet(
    while_the_bank_thinks: bool, said: str, dearer: bool
) -> None:
    """Whatever it costs there: the hold is neither used at that outlet nor given back."""
    play = two()
    if dearer or said == "asked":
        priced(play, DEAR, 2)
    if said == "before":
        play.feed(ButtonPressed("outlet-1"))
    payment = read(play)
    play.skip()
    if said == "asked":
        play.feed(ButtonPressed("outlet-1"))
    if not while_the_bank_thinks:
        (play.skip() >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    (play.skip() >> (CablePlugged(2), VehicleConnected(2))).skip()
    if while_the_bank_thinks:
        (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    assert (play.state(1), play.state(2)) == (SessionState.AUTHORIZED, SessionState.OCCUPIED)
    (play >> (CablePlugged(1), VehicleConnected(1))).skip()
    energised(play, 1)
    assert (record(play, payment)["state"], record(play, payment)["session"]) == ("Active", play.session(1).id)
    assert not play.evse(2).authorization


def test_a_remote_start_does_not_move_a_right_to_an_outlet_with_another_price() -> None:
    play = two()
    priced(play, DEAR, 2)
    play.feed(ButtonPressed("outlet-1"))
    payment = tapped(play)
    (play >> RequestReceived(LINK, "q1", RemoteStartRequest(2, Token(payment_reference("PY", payment))))).skip()
    assert VoidPayment(0, payment, 7) in play.log
    assert 2 in asked(play, "other_price")
    assert [e.authorization for e in play.site.evses.values()] == [None, None]


def test_a_station_that_is_stopped_during_the_question_asks_no_bank() -> None:
    """The new process would have to give the hold back."""
    play = two(1, 2)
    payment = read(play)
    (play >> StopRequested()).skip()
    assert play >> ButtonPressed("outlet-1") << CancelPayment(0, payment)
    assert no_bank(play)
    assert not play.store.get("payment")


def test_the_time_of_the_question_before_does_not_end_this_one() -> None:
    """It came due in the moment in which the button was pressed."""
    play = two(1, 2)
    first = read(play)
    play.feed(ButtonPressed("outlet-1"))
    (play.skip() >> PaymentDeclined(0, first, "no")).skip().wait(2).skip()
    read(play, OTHER)
    play.feed(TimeCame(Timer(TimerKind.OUTLET_CHOICE)))
    assert asked(play, "choose_outlet") == {1, 2}


def test_it_moves_to_one_with_the_same_price_and_keeps_it() -> None:
    play = two()
    payment = tapped(play)
    priced(play, DEAR)
    (play >> (CablePlugged(2), VehicleConnected(2))).skip()
    assert play.screens[2].values["tariff_kwh_micro"] == 500_000
    energised(play, 2)
    assert record(play, payment)["tariff"] == TARIFF.to_record()


def test_a_record_of_an_older_program_without_a_price_is_let_go() -> None:
    """The price was agreed later, at the bank's answer."""
    play = two(1)
    payment = read(play)
    play.skip()
    play.store["payment"][payment]["tariff"] = None
    play.restart().skip()
    (play >> OPENED).skip()
    (play >> PaymentApproved(0, "", 7, AMOUNT)).skip()
    assert VoidPayment(0, payment, 7) in play.log


def test_who_pays_here_is_not_asked_twice() -> None:
    """The card of a running session stops it, whatever waits beside it."""
    play = two(1)
    paid_for = tapped(play)
    energised(play, 1)
    (play.skip() >> VehicleConnected(2)).skip().wait(12).skip()
    again = read(play)
    assert CancelPayment(0, again) in play.log
    assert play.session(1).stop is not None
    assert [k for k, r in play.store["payment"].items() if r["state"] == "Active"] == [paid_for]

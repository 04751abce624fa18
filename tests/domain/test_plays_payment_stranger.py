"""Ways in which money could get lost that a stranger to the code looked for (decision 21)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from agent.domain.events import (
    CablePlugged,
    CableRemoved,
    ContactorOpened,
    MeterFailed,
    MeterRead,
    OutletChosen,
    RequestReceived,
    StopWanted,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import Response
from agent.domain.payment import PaymentTerms, PayState, payment_reference
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import RemoteStartRequest
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    CommitPayment,
    OfferPayment,
    PaymentCancelled,
    PaymentReviewed,
    PaymentSettled,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.model.bank_card import Settlement, TerminalIdentity
from agent.model.types import Fault, Token
from tests.domain.playbook import EMPTY, LINK, Playbook, kept, wh
from tests.domain.test_plays_payment import (
    OTHER,
    PLUG,
    TARIFF,
    EvseAt,
    charge,
    energised,
    offer,
    paid,
    record,
    sold,
    tapped,
    till,
    unplugged,
)
from tests.support.reading_purposes import READING_TIMERS


def test_a_right_that_waits_again_is_paid_for_as_long_as_it_lives() -> None:
    """Plugged and pulled before the register was read: the right waits for another time-out, and so does its hold."""
    play = till()
    payment = tapped(play)
    play.skip().wait(290).skip()
    (play >> PLUG).skip()
    play >> VehicleLeft(1) >> CableRemoved(1)
    play.skip().wait(100).skip()
    assert play.state() is SessionState.AUTHORIZED
    (play >> PLUG).skip()
    energised(play)
    assert record(play, payment)["state"] == PayState.ACTIVE


def test_a_right_that_moves_late_takes_its_hold_along() -> None:
    play = till(evses=2)
    payment = tapped(play)
    play.skip().wait(290).skip()
    (play >> OutletChosen(2)).skip()
    play.wait(100).skip()
    assert play.state(2) is SessionState.AUTHORIZED
    play >> CablePlugged(2) >> VehicleConnected(2)
    play.skip()
    energised(play, 2)
    assert record(play, payment)["state"] == PayState.ACTIVE


def test_a_session_ends_before_the_terminal_lets_go_of_its_money() -> None:
    """Who parks for days: what is not settled in time the terminal gives back by itself."""
    play = till(hold_s=48 * 3600.0)
    payment = paid(play)
    charge(play, 3000, 3600)
    charge(play, 3000, 46 * 3600)
    assert play.state() is SessionState.ACTIVE
    charge(play, 3000, 3600)
    assert play.state() is SessionState.ENDING
    play.skip().feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(3000)))
    assert CommitPayment(0, payment, 7, 100) in play.log


def test_a_payment_that_the_store_could_not_read_is_reported() -> None:
    play = till()
    play.store["poisoned"] = {"payment/s9": {"record": '{"state": "Acti', "why": "no JSON"}}
    for _ in range(2):
        play.skip().restart(state=EMPTY).skip()
        assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,), "until a person has looked"
    assert play >> PaymentReviewed("s9") << kept("poisoned", "payment/s9", reviewed=True)
    assert play.statuses[1].faults == ()
    play.restart(state=EMPTY).skip()
    assert play.statuses[1].faults == ()


# --- another terminal ------------------------------------------------------------------------------------------------

FIRST_ONE, SECOND_ONE = (TerminalOpened(0, TerminalIdentity("Fake", "T1", serial)) for serial in ("A1", "B2"))


def known_terminal() -> Playbook:
    """The terminal says its serial number."""
    play = till()
    play.skip() >> TerminalLost(0)
    play.skip().wait(2).skip() >> FIRST_ONE
    return play.skip()


def settlements(play: Playbook) -> list[Any]:
    return [o for o in play.log if isinstance(o, CommitPayment | VoidPayment)]


def test_another_terminal_is_never_asked_for_money_that_it_does_not_hold() -> None:
    """Its number 7 belongs to another payment."""
    play = known_terminal()
    payment = paid(play)
    play.skip() >> TerminalLost(0)
    play.skip() >> SECOND_ONE
    unplugged(play.skip(), 3000).skip()
    assert settlements(play) == []
    assert record(play, payment)["state"] == PayState.UNCERTAIN
    assert (record(play, payment)["cents"], record(play, payment)["serial"]) == (100, "A1")
    assert Fault.PAYMENT_UNCERTAIN in play.statuses[1].faults


def test_nor_after_a_restart() -> None:
    play = known_terminal()
    payment = paid(play)
    play.skip() >> TerminalLost(0)
    unplugged(play.skip(), 3000).skip()
    play.restart(state=EMPTY).skip() >> SECOND_ONE
    assert settlements(play) == []
    assert record(play, payment)["state"] == PayState.UNCERTAIN


def test_nor_is_it_asked_to_let_go() -> None:
    play = known_terminal()
    payment = tapped(play)
    play.skip() >> TerminalLost(0)
    play.skip() >> SECOND_ONE
    play.skip().wait(301).skip()
    assert settlements(play) == []
    assert record(play, payment)["state"] == PayState.UNCERTAIN


def test_the_same_terminal_and_one_that_says_no_serial_number_are_asked() -> None:
    for opened in (FIRST_ONE, TerminalOpened(0, TerminalIdentity("Fake", "T1"))):
        play = known_terminal()
        payment = paid(play)
        play.skip() >> TerminalLost(0)
        play.skip() >> opened
        unplugged(play.skip(), 3000).skip()
        assert settlements(play) == [CommitPayment(0, payment, 7, 100, "A1")]


def test_a_number_that_the_terminal_has_given_again_is_the_newer_ones() -> None:
    """A charge was not answered, the terminal starts its numbers again, and the next card's hold has the same one."""
    play = till()
    payment = paid(play)
    unplugged(play.skip(), 3000).skip()
    (play >> PaymentSettled(0, payment, None)).skip()
    (play >> VehicleConnected(1) >> PaymentCancelled(0, offer(play))).skip().wait(2).skip()
    newer = tapped(play, OTHER)
    energised(play, meter_wh=3000)
    play.wait(61).skip()
    assert settlements(play) == [CommitPayment(0, payment, 7, 100)]
    assert record(play, payment)["state"] == PayState.UNCERTAIN
    unplugged(play, 5000).skip()
    assert settlements(play)[1:] == [CommitPayment(0, newer, 7, 100)]


def test_card_and_backend_get_the_same_register_when_the_meter_is_dead() -> None:
    """The payment is on disk each minute, the session less often."""
    play = till()
    payment = paid(play)
    charge(play, 3000, 61).skip()
    play.skip().restart(new_boot=True, state=EMPTY).skip()
    for n in (1, 2, 3):
        (play >> MeterFailed(1, end_reading(n))).skip()
        play.wait(6).skip()
    assert (play.ended()[0].meter_wh, record(play, payment)["cents"]) == (3000, 100)


# --- the token of a card ---------------------------------------------------------------------------------------------


def remote(play: Playbook, evse: int, payment: str, answer: str = "Accepted") -> Playbook:
    token = Token(payment_reference("PY", payment))
    orders = play.skip().feed(RequestReceived(LINK, "q1", RemoteStartRequest(evse, token)))
    assert [o.status for o in orders if isinstance(o, Response)] == [answer]
    return play.skip()


def test_a_remote_start_with_a_waiting_cards_token_takes_its_right_along() -> None:
    """Otherwise the right that stays behind would be a second session, which is not paid."""
    play = till(evses=2)
    payment = tapped(play)
    assert play.state(1) is SessionState.AUTHORIZED
    remote(play, 2, payment)
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.AUTHORIZED)
    (play >> CablePlugged(2) >> VehicleConnected(2)).skip()
    energised(play, 2)
    assert (record(play, payment)["state"], record(play, payment)["evse"]) == (PayState.ACTIVE, 2)
    assert not play.evse(1).authorization


def test_a_card_that_pays_already_pays_for_nothing_else() -> None:
    play = till(evses=2)
    payment = paid(play)
    remote(play, 2, payment, "Rejected")
    assert (play.state(1), play.state(2)) == (SessionState.ACTIVE, SessionState.FREE)
    unplugged(play.skip(), 3000).skip()
    remote(play, 2, payment, "Rejected")
    assert play.state(2) is SessionState.FREE
    play.skip() >> PaymentSettled(0, payment, Settlement.DONE)
    remote(play, 2, payment, "Rejected")
    play.restart(state=EMPTY)
    remote(play, 2, payment, "Rejected")
    assert play.state(2) is SessionState.FREE


def test_nor_one_whose_hold_was_given_back() -> None:
    play = till(evses=2)
    payment = tapped(play)
    play.skip().wait(301).skip()
    remote(play, 2, payment, "Rejected")
    assert play.state(2) is SessionState.FREE


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["store", "session"])
def test_no_session_runs_on_a_payment_that_cannot_be_read(damage: str) -> None:
    """Whether the store could not read it, or what it says of its session is damaged."""
    play = till()
    payment = paid(play)
    state = EvseAt(play)
    if damage == "store":
        del play.store["payment"][payment]
        play.store["poisoned"] = {f"payment/{payment}": {"record": '{"state": "Acti', "why": "no JSON"}}
    else:
        play.store["payment"][payment] |= {"held_cents": "much", "session": 3}
    play.skip().restart(20, state=state).skip()
    assert play.state() is SessionState.ENDING
    assert not play.evse().release_order.given
    assert Fault.PAYMENT_UNCERTAIN in play.statuses[1].faults


@pytest.mark.parametrize("state", ["Voided", "Uncertain", "CommitPending"])
def test_no_session_runs_on_a_payment_that_is_over(state: str) -> None:
    """The two records are written together and cannot differ; if they do, it is not energy that is given away."""
    play = till()
    payment = paid(play)
    play.store["payment"][payment] |= {"state": state, "cents": 100}
    play.skip().restart(20, state=EvseAt(play)).skip()
    assert play.state() is SessionState.ENDING
    assert not play.evse().release_order.given


# --- the ceiling -----------------------------------------------------------------------------------------------------


def test_the_ceiling_is_kept_by_a_meter_that_is_silent_after_a_restart() -> None:
    """What flowed after the last record counts as well: up to a minute of full power, which no meter shows now."""
    play = till()
    paid(play, amount_cents=200)
    charge(play, 3000, 61)  # on disk; 1 EUR is left
    charge(play, 3355, 58)
    state = EvseAt(play)
    play.skip().restart(1, state=state).skip()
    assert play.state() is SessionState.ACTIVE
    for key in [k for k in play.timers if k.kind in READING_TIMERS]:
        del play.timers[key]
    begun_s, most_s = play.t_s, (2000 - 355) * 3600 / (3 * 32 * 230)
    play.wait(most_s + 1).skip()
    assert play.session().stop is not None
    assert play.session().stop.reason is StopReason.LOCAL_OUT_OF_CREDIT  # type: ignore[union-attr]
    assert play.session().stop.at.t_s - begun_s > most_s - 30  # type: ignore[union-attr]


def test_after_a_restart_a_meter_may_speak_before_the_ceiling_is_believed() -> None:
    play = till()
    paid(play, amount_cents=200)
    charge(play, 4700, 61)  # 15 ct are left: 49 s of full power
    state = EvseAt(play)
    play.skip().restart(24, state=state).skip()
    assert play.state() is SessionState.ACTIVE
    charge(play, 4700, 2)
    play.skip().wait(20)
    assert play.state() is SessionState.ACTIVE


def test_wanted_twice_ended_once() -> None:
    play = till()
    payment = paid(play)
    for _ in range(2):
        play.skip().feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(3000))
    play.skip().feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    assert (len(play.ended()), settlements(play)) == (1, [CommitPayment(0, payment, 7, 100)])


# --- a terminal that is taken out of the station file ----------------------------------------------------------------


def without_terminal(play: Playbook, terminals: dict[int, tuple[int, ...]], **options: Any) -> Playbook:
    """The station starts with another file."""
    play._site_of = lambda: sold(TARIFF, payment_terms=PaymentTerms(0, terminals))
    play.skip().restart(20, **options)
    return play.skip()


def test_money_of_a_terminal_that_is_no_more_in_the_file_is_reported_and_waits_for_it() -> None:
    play = till()
    payment = paid(play)
    play.skip() >> TerminalLost(0)
    unplugged(play.skip(), 3000)
    before = play._site_of
    without_terminal(play, {}, state=EMPTY)
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    assert record(play, payment)["state"] == PayState.FINAL_KNOWN
    play._site_of = before
    play.restart(20, state=EMPTY).skip() >> TerminalOpened(0, TerminalIdentity("Fake", "T1"))
    play.skip() >> PaymentSettled(0, payment, Settlement.DONE)
    assert settlements(play) == [CommitPayment(0, payment, 7, 100)]
    assert record(play, payment)["state"] == PayState.COMMITTED
    assert play.statuses[1].faults == ()


def test_a_session_whose_terminal_is_no_more_in_the_file_is_counted_to_its_end() -> None:
    play = till()
    payment = paid(play)
    without_terminal(play, {}, state=EvseAt(play))
    assert play.state() is SessionState.ACTIVE
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    unplugged(play, 3000).skip()
    assert (record(play, payment)["state"], record(play, payment)["cents"]) == (PayState.FINAL_KNOWN, 100)


def test_a_terminal_that_sells_nothing_any_more_still_settles() -> None:
    """``[payment]`` is gone and ``[terminal]`` is not."""
    play = till()
    payment = paid(play)
    play.skip() >> TerminalLost(0)
    unplugged(play.skip(), 3000)
    without_terminal(play, {0: (1,)}, state=EMPTY)
    before = len([o for o in play.log if isinstance(o, OfferPayment)])
    play.skip() >> TerminalOpened(0, TerminalIdentity("Fake", "T1"))
    assert settlements(play) == [CommitPayment(0, payment, 7, 100)]
    assert len([o for o in play.log if isinstance(o, OfferPayment)]) == before


# --- a clock that is set ---------------------------------------------------------------------------------------------

BY_THE_MINUTE = Tariff(kwh=Decimal("0.10"), minute=Decimal("1.00"))


def minutes(play: Playbook, payment: str) -> float:
    [counted] = record(play, payment)["usage"]["sums"]
    return float(counted[1]) / 60_000


@pytest.mark.parametrize("step_s", [240.0, -240.0, 4000.0, -4000.0])
def test_minutes_are_not_billed_by_a_clock_that_is_set(step_s: float) -> None:
    play = till(tariff=BY_THE_MINUTE)
    payment = paid(play)
    for n in range(1, 5):
        charge(play, 1000 + n, 60)
        play.clock_off_s += step_s if n == 2 else 0.0
    unplugged(play, 1010).skip()
    assert minutes(play, payment) == 3.0  # from the first reading on


def test_nor_by_a_clock_that_is_known_only_later() -> None:
    play = till(tariff=BY_THE_MINUTE)
    play.trusted = False
    payment = paid(play)
    for n in range(1, 5):
        charge(play, 1000 + n, 60)
        play.trusted = n >= 2
    unplugged(play, 1010).skip()
    assert minutes(play, payment) == 3.0


def test_minutes_end_with_the_stop_however_late_the_register_is_read() -> None:
    """Stopped, and the mains fails before the register could be read."""
    play = till(tariff=BY_THE_MINUTE)
    payment = paid(play)
    charge(play, 1100, 61)
    play.skip().feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    utc_s = play.now.utc_s
    play.skip().restart(new_boot=True, state=EMPTY).skip()
    assert utc_s is not None
    assert play.now.utc_s is not None
    play.clock_off_s += utc_s + 200 - play.now.utc_s
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1100)))
    assert record(play, payment)["state"] == PayState.FINAL_KNOWN
    assert minutes(play, payment) < 1.1


def test_minutes_without_mains_belong_to_no_one() -> None:
    play = till(tariff=BY_THE_MINUTE)
    payment = paid(play)
    charge(play, 1100, 61)
    utc_s = play.now.utc_s
    play.skip().restart(new_boot=True, state=EMPTY).skip()
    assert utc_s is not None
    assert play.now.utc_s is not None
    play.clock_off_s += utc_s + 200 - play.now.utc_s
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1100)))
    assert record(play, payment)["state"] == PayState.FINAL_KNOWN
    assert minutes(play, payment) < 1.1


def test_minutes_without_an_agent_belong_to_no_one() -> None:
    """The board's watchdog had withdrawn release; only what may have gone by before that counts."""
    play = till(tariff=BY_THE_MINUTE)
    payment = paid(play)
    charge(play, 1001, 10)
    charge(play, 1100, 60)
    state = replace(EvseAt(play), plugged_s=600.0)
    play.skip().restart(240, state=state).skip()
    assert play.state() is SessionState.ACTIVE
    charge(play, 1101, 2)
    unplugged(play, 1101).skip()
    assert 1.0 <= minutes(play, payment) <= 2.0


def test_a_session_is_as_old_as_time_says_not_the_clock() -> None:
    play = till(hold_s=48 * 3600.0)
    paid(play)
    play.clock_off_s += 50 * 3600
    charge(play, 1100, 60)
    assert play.state() is SessionState.ACTIVE

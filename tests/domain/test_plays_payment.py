"""Paying with a bank card: from the card to the bank's last word (decision 21)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    ClockTrusted,
    ContactorClosed,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    MeterFailed,
    MeterRead,
    OfferChanged,
    StopRequested,
    StoreFailed,
    StoreRecovered,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
)
from agent.domain.evse import SessionState, StationState
from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, SetLimit, SetRelease, Unlock
from agent.domain.payment import Payment, PaymentTerms, PayState, payment_reference
from agent.domain.payment_journal import ANSWER_S, AUTH_S, PaymentBook
from agent.domain.payment_table import EVENTS, TABLE
from agent.domain.reading_purposes import begin_reading, end_reading
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
    PaymentReviewed,
    PaymentSettled,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.domain.timers import TimerKind
from agent.model.bank_card import BankCard, Settlement, TerminalIdentity
from agent.model.board import EvseTraits, Pilot
from agent.model.types import AuthorizationStatus, Fault, Limit, ScreenName, Stamp, Token, TokenType, Verdict
from tests.domain.playbook import (
    ACCEPTED,
    EMPTY,
    LINK,
    PLUGGED,
    REFUSED,
    Like,
    Playbook,
    forgotten,
    kept,
    make_site,
    sent_message,
    wh,
)
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE, READING_TIMERS, payment_reading

CARD, OTHER = BankCard("m1", "1234", "VISA"), BankCard("m2", "9876", "Maestro")
AMOUNT = 5000
TERMS = (
    "least_cents", "schedule_s", "reserve_s", "hold_s", "keep_s", "receipts", "raise_cents", "most_cents",
    "vat_numbers", "vat_prefix",
)  # fmt: skip
TARIFF = Tariff(kwh=Decimal("0.50"))
SELF = TerminalIdentity("Fake", "T1")
PLUG = [CablePlugged(1), VehicleConnected(1)]
OPENED = TerminalOpened(0, SELF)


def terms(evses: int = 1, **more: Any) -> PaymentTerms:
    return PaymentTerms(AMOUNT, {0: tuple(range(1, evses + 1))}, prefix="PY", **more)


def sold(tariff: Tariff, *args: Any, **options: Any) -> StationState:
    site = make_site(*args, **options)
    for evse in site.evses.values():
        configure(evse, offer=AdhocTariff(tariff))
    return site


def till(evses: int = 1, tariff: Tariff = TARIFF, settings: dict[str, Any] | None = None, **options: Any) -> Playbook:
    """A station with a terminal that waits for a card."""
    ids = itertools.count(1)  # also over a restart: no two of the real ones are the same
    options["new_id"] = lambda: f"s{next(ids)}"
    of_terms = {k: options.pop(k) for k in TERMS if k in options}
    options["payment_terms"] = terms(evses, **of_terms)
    signs, store = options.pop("signs", None), options.pop("store", None)
    traits = EvseTraits(counts_plugged=True)
    play = Playbook(lambda: sold(tariff, evses, settings, **options), traits=traits, signs=signs, store=store)
    return play >> OPENED << Like(OfferPayment, terminal=0, amount_cents=AMOUNT)


def offer(play: Playbook) -> str:
    """The id of the payment that the terminal got last."""
    return [o for o in play.log if isinstance(o, OfferPayment)][-1].payment


def record(play: Playbook, payment: str) -> dict[str, Any]:
    return dict(play.store["payment"][payment])


def tapped(play: Playbook, card: BankCard = CARD, amount_cents: int = AMOUNT, number: int = 7) -> str:
    """A card is read and its bank has said yes. Nothing of it is claimed."""
    payment = offer(play)
    play.feed(BankCardRead(0, payment, card))
    play.feed(PaymentApproved(0, payment, number, amount_cents))
    play.skip()
    return payment


def energised(play: Playbook, evse: int = 1, meter_wh: int = 1000) -> Playbook:
    play.feed(MeterRead(evse, begin_reading(play.evse(evse).progress.begin_try), wh(meter_wh)))
    for event in (OfferChanged(evse, True), VehicleReady(evse), ContactorClosed(evse)):
        play.feed(event)
    assert play.state(evse) is SessionState.ACTIVE
    return play.skip()


def paid(play: Playbook, amount_cents: int = AMOUNT) -> str:
    """Plug, tap, charge."""
    (play >> PLUG).skip()
    payment = tapped(play, amount_cents=amount_cents)
    energised(play)
    return payment


def charge(play: Playbook, meter_wh: int, seconds: float = 0.0) -> Playbook:
    """The register moves, watched every two seconds or so."""
    play.skip()
    play.t_s += seconds
    play.feed(MeterRead(1, LIVE, wh(meter_wh)))
    return play


def unplugged(play: Playbook, meter_wh: int) -> Playbook:
    """The driver ends it; nothing of it is claimed but what the last register brings."""
    play.skip() >> VehicleLeft(1)
    play.skip() >> ContactorOpened(1)
    play.skip().wait(11).skip()
    return play >> MeterRead(1, end_reading(play.evse().progress.end_try), wh(meter_wh))


# --- the whole of it -------------------------------------------------------------------------------------------------


def test_tap_plug_charge_and_one_capture_of_what_it_cost() -> None:
    play = till()
    payment = offer(play)
    assert (
        play
        >> BankCardRead(0, payment, CARD)
        << kept("payment", payment, state="AuthPending")
        << (AuthorizePayment(0, payment))
    )
    assert play.screens[1].name is ScreenName.CHECKING
    play >> PaymentApproved(0, payment, 7, AMOUNT) << kept("payment", payment, state="Authorised", reservation=7)
    assert play
    assert play.screens[1].name is ScreenName.PLUG_IN
    assert play.screens[1].values["remaining_s"] == 300
    play >> PLUG << ReadMeter(1, begin_reading(1), True)
    (
        play
        >> MeterRead(1, begin_reading(1), wh(1000))
        << kept("session", "s2")
        << sent_message(TransactionStarted, session="s2", meter_wh=1000)
    )
    play << SetLimit << SetRelease(1, True) << kept("payment", payment, state="Active", session="s2")
    assert play.session().token.value == payment_reference("PY", payment)
    for event in (OfferChanged(1, True), VehicleReady(1), ContactorClosed(1)):
        play.feed(event)
    charge(play, 5000, 100)
    assert play.screens[1].values["cost_micro"] == 2_000_000
    unplugged(play, 6001)
    assert (
        play
        << forgotten("session")
        << sent_message(TransactionEnded, meter_wh=6001)
        << Unlock
        << kept("payment", payment, state="CommitPending", cents=250, owed_cents=250)
        << CommitPayment(0, payment, 7, 250)
    )
    finished = play.screens[1]
    assert (finished.name, finished.values["cost_micro"], finished.values["cost_final"]) == (
        ScreenName.FINISHED,
        2_500_000,
        True,
    )
    assert play >> PaymentSettled(0, payment, Settlement.DONE) << kept("payment", payment, state="Committed")


def test_the_amount_is_on_disk_before_it_is_sent_and_the_hold_before_the_right() -> None:
    play = till()
    payment = paid(play)
    unplugged(play, 2000)
    orders = [type(o) for o in play.log if isinstance(o, Persist | CommitPayment)]
    assert orders[-2:] == [Persist, CommitPayment]
    records = [o for o in play.log if isinstance(o, Persist) and o.kind == "payment" and o.value]
    assert [o.value["state"] for o in records if o.value] == ["AuthPending", "Authorised", "Active", "CommitPending"]
    release = next(n for n, o in enumerate(play.log) if isinstance(o, SetRelease) and o.on)
    assert play.log.index(records[1]) < release
    assert payment


def test_tap_at_a_plugged_car_starts_at_once() -> None:
    play = till()
    (play >> PLUG).skip()
    tapped(play)
    assert play.state() is SessionState.BEGINNING


def test_no_energy_no_money() -> None:
    play = till()
    payment = paid(play)
    unplugged(play, 1000)
    play.skip()
    assert record(play, payment)["state"] == "VoidPending"
    assert VoidPayment(0, payment, 7) in play.log
    assert not [o for o in play.log if isinstance(o, CommitPayment)]
    assert play.screens[1].values["qr_url"] == ""
    assert play >> PaymentSettled(0, payment, Settlement.DONE) << kept("payment", payment, state="Voided")


def test_the_receipt_is_found_by_its_reference() -> None:
    play = till(settings={"receipt_url": "https://pay.example/r/{reference}?s={session}"})
    payment = paid(play)
    unplugged(play, 3000).skip()
    token = payment_reference("PY", payment)
    assert play.screens[1].values["qr_url"] == f"https://pay.example/r/{token}?s=s2"


@pytest.mark.parametrize("prefix", ["", "PY", "A" * 8])
def test_a_token_fits_into_the_oldest_version(prefix: str) -> None:
    made = {payment_reference(prefix, f"id-{n}") for n in range(100)}
    assert len(made) == 100
    assert all(len(t) == len(prefix) + 12 <= 20 and t.startswith(prefix) for t in made)


def test_the_token_is_that_of_a_payment_whatever_older_versions_call_it() -> None:
    play = till(settings={"payment_token_type": "Central"})
    paid(play)
    assert play.session().token.type is TokenType.DIRECT_PAYMENT


# --- when a card is waited for ---------------------------------------------------------------------------------------


def test_off_line_no_card_is_taken_unless_it_may_be() -> None:
    play = till()
    payment = offer(play)
    assert play >> LinkChanged(LINK, False) << CancelPayment(0, payment)
    assert play >> PaymentCancelled(0, payment) >> LinkChanged(LINK, True) << OfferPayment
    assert till(settings={"offline_payments": True}) >> LinkChanged(LINK, False)


@pytest.mark.parametrize("fault", [Fault.DOOR_OPEN, Fault.METER_SILENT])
def test_no_one_pays_for_an_outlet_that_is_out_of_service(fault: Fault) -> None:
    play = till()
    payment = offer(play)
    assert play >> FaultRaised(1, fault) << CancelPayment(0, payment)
    assert play >> PaymentCancelled(0, payment) >> FaultCleared(1, fault) << OfferPayment


def test_a_disk_that_takes_nothing_and_a_station_that_ends() -> None:
    play = till()
    assert play >> StoreFailed("full") << CancelPayment
    assert play >> PaymentCancelled(0, offer(play)) >> StoreRecovered() << OfferPayment
    assert play >> StopRequested() << CancelPayment


def test_with_plug_to_start_the_terminal_waits_for_the_plug() -> None:
    play = Playbook(lambda: sold(TARIFF, 1, {"payment_start": "plug"}, payment_terms=terms()))
    assert play >> OPENED
    assert play >> PLUG << OfferPayment
    assert play >> VehicleLeft(1) << CancelPayment


def test_a_price_that_asks_the_clock_waits_for_the_clock() -> None:
    from agent.domain.tariff import Rates, Window

    night = Window(tuple(range(7)), 0, 1440, Rates(kwh=Decimal("0.30")))
    play = Playbook(lambda: sold(Tariff(windows=(night,)), payment_terms=terms()))
    play.trusted = False
    assert play >> OPENED
    play.trusted = True
    assert play >> OPENED << OfferPayment


def test_another_language_is_another_offer() -> None:
    from agent.domain.events import ButtonPressed

    play = till()
    first = offer(play)
    assert [o for o in play.log if isinstance(o, OfferPayment)][-1].language == "fr"
    assert play >> ButtonPressed("language") << kept("screen") << CancelPayment(0, first)
    assert play >> PaymentCancelled(0, first) << Like(OfferPayment, language="de")


def test_an_offer_that_ends_by_itself_is_made_again_a_moment_later() -> None:
    play = till()
    assert play >> PaymentCancelled(0, offer(play))
    play.wait(1.0)
    assert play << OfferPayment


def test_a_terminal_that_was_lost_is_offered_again() -> None:
    play = till()
    first = offer(play)
    assert play >> TerminalLost(0)
    play.wait(2.0)
    assert play >> OPENED << OfferPayment
    assert offer(play) != first


# --- which outlet ----------------------------------------------------------------------------------------------------


def test_before_the_plug_the_first_cable_decides() -> None:
    play = till(2)
    payment = tapped(play)
    assert play.state(1) is SessionState.AUTHORIZED
    (play >> VehicleConnected(2)).skip()
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.BEGINNING)
    energised(play, 2)
    assert record(play, payment)["evse"] == 2
    assert not [o for o in play.log if isinstance(o, VoidPayment)]


def test_a_cable_that_comes_while_the_bank_thinks_decides() -> None:
    play = till(2)
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    (play.skip() >> VehicleConnected(2)).skip()
    play.feed(PaymentApproved(0, payment, 7, AMOUNT))
    assert play.state(2) is SessionState.BEGINNING
    assert play.skip()


def test_two_cards_two_outlets() -> None:
    play = till(2)
    (play >> VehicleConnected(1)).skip()
    first = tapped(play)
    energised(play, 1)
    (play >> VehicleConnected(2)).skip()
    second = tapped(play, OTHER, number=8)
    assert first != second
    energised(play, 2)
    assert (record(play, first)["evse"], record(play, second)["evse"]) == (1, 2)


def test_a_card_at_a_station_that_is_full() -> None:
    """The terminal waits for the cards that may stop; any other driver is shown that there is no room."""
    play = till()
    paid(play)
    payment = offer(play)
    assert play >> BankCardRead(0, payment, OTHER) << CancelPayment(0, payment)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "unavailable")


# --- the same card again ---------------------------------------------------------------------------------------------


def test_the_same_card_stops() -> None:
    play = till()
    paid(play)
    play.wait(10).skip()
    again = offer(play)
    assert play >> BankCardRead(0, again, CARD) << CancelPayment(0, again) << SetRelease(1, False) << kept("session")
    assert play.session().stop is not None
    assert play.session().stop.reason is StopReason.LOCAL  # type: ignore[union-attr]


def test_a_card_without_a_mark_stops_nothing() -> None:
    play = till()
    (play >> PLUG).skip()
    tapped(play, BankCard(""))
    energised(play)
    again = offer(play)
    assert play >> BankCardRead(0, again, BankCard("")) << CancelPayment(0, again)
    assert play.state() is SessionState.ACTIVE


def test_a_second_tap_to_be_sure_holds_nothing_more() -> None:
    play = till(2)
    tapped(play)
    again = offer(play)
    assert play >> BankCardRead(0, again, CARD) << CancelPayment(0, again)
    assert play.state(1) is SessionState.AUTHORIZED


# --- no --------------------------------------------------------------------------------------------------------------


def test_a_declined_card_leaves_nothing() -> None:
    play = till()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.skip() >> PaymentDeclined(0, payment, "insufficient funds") << forgotten("payment")
    assert play
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "declined")
    assert play.store["payment"] == {}
    play.wait(5.0)
    assert play << OfferPayment


def test_no_one_plugs_in() -> None:
    play = till()
    payment = tapped(play)
    play.wait(301)
    assert play << kept("payment", payment, state="VoidPending") << VoidPayment(0, payment, 7) << OfferPayment
    assert play.state() is SessionState.FREE


def test_without_a_register_the_hold_goes() -> None:
    play = till()
    (play >> PLUG).skip()
    payment = tapped(play)
    assert (
        play
        >> MeterFailed(1, begin_reading(1))
        << kept("payment", payment, state="VoidPending")
        << VoidPayment
        << (OfferPayment)
    )


def test_an_outlet_that_breaks_while_the_bank_thinks() -> None:
    play = till()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.feed(FaultRaised(1, Fault.DOOR_OPEN))
    assert (
        play.skip()
        >> PaymentApproved(0, payment, 7, AMOUNT)
        << kept("payment", state="Authorised")
        << kept("payment", state="VoidPending")
        << VoidPayment(0, payment, 7)
    )


def test_another_person_is_faster() -> None:
    """A badge takes the outlet while the bank thinks."""
    from agent.domain.events import CardPresented
    from tests.domain.playbook import A

    play = till()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.feed(CardPresented(1, A))
    play.feed(TokenAuthorized("token:1", A, ACCEPTED))
    play.skip() >> PaymentApproved(0, payment, 7, AMOUNT)
    play.skip()
    assert VoidPayment(0, payment, 7) in play.log
    assert play.evse().authorization is not None
    assert play.evse().authorization.token == A  # type: ignore[union-attr]


def test_too_little_is_let_go_and_less_is_the_ceiling() -> None:
    play = till(least_cents=1000)
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.skip() >> PaymentApproved(0, payment, 7, 999, partial=True)
    assert play << kept("payment", state="VoidPending") << VoidPayment(0, payment, 7) << OfferPayment
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "declined")
    play = till(least_cents=1000)
    (play >> PLUG).skip()
    paid_for = tapped(play, amount_cents=1000)
    energised(play)
    assert record(play, paid_for)["held_cents"] == 1000


@pytest.mark.parametrize(
    ("once", "held_cents", "enough"),
    [
        ({"session": Decimal("30")}, 3000, False),
        ({"session": Decimal("30")}, 3001, True),
        ({"session": Decimal("20"), "other": Decimal("15"), "other_name": "Parking"}, 3500, False),
        ({"min_cents": 3100}, 3000, False),
        ({"min_cents": 3000}, 3000, True),
        ({"session": Decimal("30"), "max_cents": 2900}, 2900, True),
    ],
)
def test_a_hold_below_what_is_due_in_any_case_is_let_go(once: dict[str, Any], held_cents: int, enough: bool) -> None:
    """Otherwise the card is taken and the session ends at once."""
    play = till(tariff=Tariff(Decimal("0.5"), **once))
    (play >> PLUG).skip()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.skip().feed(PaymentApproved(0, payment, 7, held_cents, partial=True))
    assert record(play, payment)["state"] == ("Authorised" if enough else "VoidPending")


# --- the backend -----------------------------------------------------------------------------------------------------

FIRST = {"payment_authorize_first": True}


def asked(play: Playbook) -> str:
    (play >> PLUG).skip()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    (
        play.skip()
        >> PaymentApproved(0, payment, 7, AMOUNT)
        << kept("payment", state="Authorised")
        << Like(AuthorizeToken, request=f"payment:{payment}")
    )
    assert play
    assert play.screens[1].name is ScreenName.CHECKING
    return payment


def token(play: Playbook) -> Any:
    return [o for o in play.log if isinstance(o, AuthorizeToken)][-1].token


def test_the_backend_may_refuse_before_any_energy() -> None:
    play = till(settings=FIRST)
    payment = asked(play)
    (
        play
        >> TokenAuthorized(f"payment:{payment}", token(play), REFUSED)
        << kept("payment", state="VoidPending")
        << (VoidPayment(0, payment, 7))
    )
    play.skip()
    assert not [o for o in play.log if isinstance(o, SetRelease) and o.on]


def test_the_backend_agrees() -> None:
    play = till(settings=FIRST)
    payment = asked(play)
    assert (
        play
        >> TokenAuthorized(f"payment:{payment}", token(play), ACCEPTED)
        << kept("payment", payment, csms_authorized=True)
        << ReadMeter(1, begin_reading(1), True)
    )


@pytest.mark.parametrize("anyway", [True, False])
def test_the_backend_does_not_answer(anyway: bool) -> None:
    play = till(settings={**FIRST, "offline_payments": anyway})
    payment = asked(play)
    play >> TokenAuthorized(f"payment:{payment}", token(play), None)
    assert bool([o for o in play.unclaimed if isinstance(o, VoidPayment)]) is not anyway
    assert play.state() is (SessionState.BEGINNING if anyway else SessionState.OCCUPIED)


def test_a_backend_that_refuses_the_start_ends_the_session_and_it_is_paid() -> None:
    from agent.domain.events import TransactionAcknowledged

    play = till()
    payment = paid(play)
    refused = Verdict(AuthorizationStatus.BLOCKED)
    charge(play, 3000, 60).skip() >> TransactionAcknowledged(LINK, "s2", "42", refused)
    play.skip().wait(11).skip() >> MeterRead(1, end_reading(1), wh(3000))
    play.skip()
    assert CommitPayment(0, payment, 7, 100) in play.log
    assert "cache" not in play.store, "a token that never comes again takes no place of another"


# --- the ceiling -----------------------------------------------------------------------------------------------------


def test_energy_ends_before_more_is_due_than_is_held() -> None:
    play = till(reserve_s=10.0)
    payment = paid(play, amount_cents=200)
    charge(play, 4900, 30)
    play.skip()
    assert play.session().stop is None
    charge(play, 4995, 2)
    assert play << SetRelease(1, False) << kept("session") << CancelPayment
    assert play.session().stop is not None
    assert play.session().stop.reason is StopReason.LOCAL_OUT_OF_CREDIT  # type: ignore[union-attr]
    play.wait(11).skip() >> MeterRead(1, end_reading(1), wh(5010))
    play.skip()
    assert CommitPayment(0, payment, 7, 200) in play.log
    assert record(play, payment)["owed_cents"] == 201


def test_or_it_pauses_until_the_driver_comes() -> None:
    play = till(settings={"payment_at_ceiling": "suspend"})
    paid(play, amount_cents=200)
    charge(play, 4999, 60)
    play.skip()
    assert play.session().held
    assert not play.evse().release_order.given
    assert play.state() is SessionState.ACTIVE


def test_a_silent_meter_ends_it_in_time_as_well() -> None:
    """22 kW for 50 ct/kWh: 4 Wh are 0.2 ct; the last 99 ct last 324 s at the most."""
    play = till(reserve_s=15.0)
    paid(play, amount_cents=200)
    charge(play, 3020, 60).skip()
    for key in [k for k in play.timers if k.kind in READING_TIMERS]:
        del play.timers[key]
    most_s = 99 * 20 * 3600 / (3 * 32 * 230)
    play.wait(most_s - 15.0 - 1.0)
    assert play.session().stop is None
    play.t_s += 2.0
    play.wait(0.1)
    assert play.session().stop is not None
    assert play.skip()


# --- the answers -----------------------------------------------------------------------------------------------------


def committing(**options: Any) -> tuple[Playbook, str]:
    play = till(**options)
    payment = paid(play)
    unplugged(play, 3000).skip()
    play >> PaymentCancelled(0, offer(play))
    play.skip()
    return play, payment


def commits(play: Playbook) -> list[CommitPayment]:
    return [o for o in play.log if isinstance(o, CommitPayment)]


def test_no_answer_is_asked_again_by_the_schedule_with_the_same_amount() -> None:
    play, payment = committing()
    for n, wait_s in enumerate((60,) * 5 + (3600,) * 24 + (86400,) * 7):
        assert len(commits(play)) == n + 1
        (play >> PaymentSettled(0, payment, None)).skip()
        _pass(play, wait_s - 1)
        assert len(commits(play)) == n + 1, "too early"
        _pass(play, 1.5)
    assert set(commits(play)) == {CommitPayment(0, payment, 7, 100)}
    (play >> PaymentSettled(0, payment, None)).skip()
    assert record(play, payment)["state"] == "Uncertain"
    _pass(play, 10 * 86400)
    assert len(commits(play)) == 37
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_bill_that_is_not_charged_is_reported_before_the_terminal_lets_go(restarted: bool) -> None:
    play, payment = committing()
    (play >> PaymentSettled(0, payment, Settlement.REFUSED)).skip()
    play >> TerminalLost(0)
    _pass(play, 35 * 3600)
    assert play.statuses[1].faults == ()
    if restarted:
        play.skip().restart(state=EMPTY).skip()
        _pass(play, 60)
        assert play.statuses[1].faults == ()
    _pass(play, 3600)
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    (play.skip() >> OPENED).skip()
    (play >> PaymentSettled(0, payment, Settlement.DONE)).skip()
    assert play.statuses[1].faults == ()


def test_the_time_of_that_report_outlasts_a_power_cut_without_a_clock() -> None:
    play, _ = committing()
    play >> TerminalLost(0)
    _pass(play, 35 * 3600)
    utc_s = play.now.utc_s
    assert utc_s is not None
    play.trusted = False
    play.skip().restart(new_boot=True, state=EMPTY).skip()
    play.trusted = True
    play.clock_off_s += utc_s - (play.now.utc_s or 0.0)
    (play >> ClockTrusted()).skip()
    assert play.statuses[1].faults == ()
    _pass(play, 3700)
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)


def test_a_terminal_that_falls_silent_at_each_commit_is_asked_by_the_schedule_and_reported_in_the_end() -> None:
    """Its connection is made again after each; asked at once each time it would do nothing else, for ever."""
    play, payment = committing()
    began_s = play.t_s
    while record(play, payment)["state"] != "Uncertain" and play.t_s < began_s + 20 * 86400:
        assert len(commits(play)) <= 2 * 37
        before = len(commits(play))
        for event in (PaymentSettled(0, payment, None), TerminalLost(0), OPENED):
            play.feed(event)
        play.skip()
        while len(commits(play)) == before and record(play, payment)["state"] != "Uncertain":
            _pass(play, 60.0 if play.t_s < began_s + 3600 else 3600.0)
        _pass(play, 15.0)
    assert record(play, payment)["state"] == "Uncertain"


def _pass(play: Playbook, seconds: float) -> None:
    """Only the timers of the settlement: a week of screens says nothing here."""
    for key in [k for k in play.timers if k.kind not in (TimerKind.PAYMENT_SETTLEMENT, TimerKind.PAYMENT_ALARM)]:
        del play.timers[key]
    play.wait(seconds).skip()


def test_one_commit_is_under_way_whatever_happens_meanwhile() -> None:
    play, payment = committing()
    for event in (TerminalLost(0), OPENED, TerminalOpened(0, SELF, restarted=True)):
        play.feed(event)
    _pass(play, 100.0)
    assert len(commits(play)) == 1
    (play >> PaymentSettled(0, payment, None)).skip()
    play.feed(TerminalLost(0))
    play.feed(OPENED)
    assert len(commits(play)) == 2


def test_a_commit_that_finds_nothing_is_reported_and_never_charged() -> None:
    play, payment = committing()
    assert (
        play
        >> PaymentSettled(0, payment, Settlement.CLOSED)
        << kept("payment", payment, state="Uncertain", why="the hold was gone")
    )
    play.feed(OPENED)
    _pass(play.skip(), 86400)
    assert len(commits(play)) == 1


def test_one_that_was_perhaps_heard_before() -> None:
    play, payment = committing()
    (play >> PaymentSettled(0, payment, None)).skip()
    _pass(play, 61)
    assert (
        play
        >> PaymentSettled(0, payment, Settlement.CLOSED)
        << kept("payment", payment, state="Uncertain", why="settled before")
    )


def test_a_refused_commit_is_tried_again() -> None:
    play, payment = committing()
    (play >> PaymentSettled(0, payment, Settlement.REFUSED)).skip()
    _pass(play, 61)
    assert len(commits(play)) == 2
    assert play >> PaymentSettled(0, payment, Settlement.CLOSED) << kept("payment", why="the hold was gone")


def test_a_person_looks_at_what_is_uncertain() -> None:
    play, payment = committing()
    (play >> PaymentSettled(0, payment, Settlement.CLOSED)).skip()
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    assert play >> PaymentReviewed(payment) << kept("payment", payment, reviewed=True)
    assert play.statuses[1].faults == ()


def test_a_void_that_finds_nothing_is_done() -> None:
    play = till()
    payment = tapped(play)
    play.wait(301).skip()
    (play >> PaymentSettled(0, payment, None)).skip()
    play.wait(61)
    assert [o for o in play.unclaimed if isinstance(o, VoidPayment)]
    play.skip() >> PaymentSettled(0, payment, Settlement.CLOSED) << kept("payment", payment, state="Voided")
    assert play


def test_a_bill_for_a_terminal_that_is_away_waits_for_it() -> None:
    play = till()
    payment = paid(play)
    play.skip() >> TerminalLost(0)
    unplugged(play, 3000).skip()
    assert record(play, payment)["state"] == "FinalKnown"
    assert commits(play) == []
    assert (
        play
        >> OPENED
        << kept("payment", payment, state="CommitPending")
        << CommitPayment(0, payment, 7, 100)
        << (OfferPayment)
    )


# --- answers that no one waits for -----------------------------------------------------------------------------------


def test_an_approval_after_the_line_was_lost_for_a_moment_is_as_good() -> None:
    play = till()
    payment = offer(play)
    for event in (BankCardRead(0, payment, CARD), TerminalLost(0), OPENED):
        play.feed(event)
    assert play.skip() >> PaymentApproved(0, payment, 7, AMOUNT) << kept("payment", payment, state="Authorised")


def test_an_approval_that_crosses_a_cancel_is_let_go() -> None:
    play = till()
    payment = offer(play)
    (play >> LinkChanged(LINK, False)).skip()
    assert (
        play
        >> PaymentApproved(0, payment, 9, AMOUNT)
        << kept("payment", payment, state="VoidPending")
        << (VoidPayment(0, payment, 9))
    )


def test_an_approval_after_the_cancel_was_confirmed() -> None:
    play = till()
    payment = offer(play)
    (play >> LinkChanged(LINK, False)).skip()
    (play >> PaymentCancelled(0, payment)).skip()
    play >> PaymentApproved(0, payment, 9, AMOUNT)
    assert play << Like(Persist, kind="payment") << Like(VoidPayment, reservation=9)


def test_money_that_no_one_knows_of_is_let_go() -> None:
    play = till()
    assert (
        play
        >> PaymentApproved(0, "", 99, 100)
        << kept("payment", state="VoidPending")
        << Like(VoidPayment, reservation=99)
    )


def test_a_second_hold_for_the_same_payment_is_let_go() -> None:
    play = till()
    tapped(play, number=7)
    payment = offer(play)
    first = next(k for k, r in play.store["payment"].items() if r["state"] == "Authorised")
    assert (
        play
        >> PaymentApproved(0, first, 8, AMOUNT)
        << kept("payment", reservation=8, state="VoidPending")
        << Like(VoidPayment, reservation=8)
    )
    assert record(play, first)["reservation"] == 7
    assert payment


def test_a_card_for_no_offer_is_sent_away() -> None:
    play = till()
    assert play >> BankCardRead(0, "of yesterday", CARD) << CancelPayment(0, "of yesterday")


def test_a_bank_that_never_answers() -> None:
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    play.wait(AUTH_S + 1)
    assert play << kept("payment", payment, state="Uncertain") << OfferPayment
    assert (
        play
        >> PaymentApproved(0, payment, 7, AMOUNT)
        << kept("payment", payment, state="VoidPending")
        << (VoidPayment(0, payment, 7))
    )


@pytest.mark.parametrize("blinked", [False, True])
def test_a_terminal_that_was_prepared_again_asks_no_bank_and_takes_the_next_card(blinked: bool) -> None:
    """It lost power, or its line: it reports at once what it had got, or nothing any more."""
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    for event in (TerminalOpened(0, SELF, restarted=True),) if blinked else (TerminalLost(0), OPENED):
        play.feed(event)
    assert offer(play.skip()) == payment
    play.wait(ANSWER_S + 1)
    assert play << kept("payment", payment, state="Uncertain") << OfferPayment


def test_another_card_than_the_one_that_was_read_pays_for_no_one() -> None:
    """The late answer for an earlier driver: his hold is let go, and the bank of this one is waited for."""
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    assert (
        play
        >> PaymentApproved(0, payment, 7, AMOUNT, card=OTHER)
        << kept("payment", state="VoidPending")
        << Like(VoidPayment, reservation=7)
    )
    assert record(play.skip(), payment)["state"] == "AuthPending"
    assert play >> PaymentApproved(0, payment, 8, AMOUNT, card=CARD) << kept("payment", payment, state="Authorised")


# --- restarts --------------------------------------------------------------------------------------------------------


def test_after_a_restart_the_next_card_waits_only_for_what_the_terminal_still_tells() -> None:
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    play.restart(state=EMPTY).skip()
    (play >> OPENED).skip()
    play.wait(ANSWER_S + 1)
    assert play << kept("payment", payment, state="Uncertain") << OfferPayment
    play >> PaymentApproved(0, "", 7, AMOUNT)
    assert play << kept("payment", payment, state="VoidPending") << VoidPayment(0, payment, 7)


def unheard(play: Playbook, known: int = 7, broken: bool = False, opened: TerminalOpened = OPENED) -> str:
    """A payment that is over with this number, and a card whose bank was being asked when the agent was killed."""
    tapped(play, number=known)
    (play >> LinkChanged(LINK, True)).skip().wait(301).skip()
    voided = next(p for p, r in play.store["payment"].items() if r["reservation"] == known)
    (play >> PaymentSettled(0, voided, Settlement.DONE)).skip()
    play.wait(2).skip()
    payment = offer(play)
    (play >> BankCardRead(0, payment, OTHER)).skip()
    if broken:
        play.store["payment"]["broken"] = {"token": None}
    play.restart(state=EMPTY).skip()
    (play >> opened).skip()
    return payment


def test_a_hold_that_no_one_heard_of_is_let_go_by_the_number_that_it_must_have() -> None:
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1)
    play << kept("payment", payment, state="Uncertain")
    play << kept("payment", payment, state="VoidPending", reservation=8) << VoidPayment(0, payment, 8)
    assert play << OfferPayment
    assert play >> PaymentSettled(0, payment, Settlement.DONE) << kept("payment", payment, state="Voided")


@pytest.mark.parametrize("outcome", [Settlement.CLOSED, Settlement.REFUSED, None])
def test_if_it_is_not_there_no_one_knows_and_the_next_number_tells(outcome: Settlement | None) -> None:
    """Its bank took longer than the restart: the hold of the next card has a number too many."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    play >> PaymentSettled(0, payment, outcome)
    assert play << kept("payment", payment, state="Uncertain", reservation=None)
    second = offer(play.skip())
    (play >> BankCardRead(0, second, CARD)).skip()
    play >> PaymentApproved(0, second, 9, AMOUNT)
    play.skip()
    assert [o for o in play.log if isinstance(o, VoidPayment)][-1] == VoidPayment(0, payment, 8)
    assert play >> PaymentSettled(0, payment, Settlement.DONE) << kept("payment", payment, state="Voided")
    assert record(play, second)["state"] == "Authorised"


def test_a_number_is_not_guessed_where_no_one_knows_one_or_not_all_are_known() -> None:
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    play.restart(state=EMPTY).skip()
    (play >> OPENED).skip().wait(ANSWER_S + 1).skip()
    assert not any(isinstance(o, VoidPayment) for o in play.log)
    play = till()
    payment = unheard(play, broken=True)
    play.wait(ANSWER_S + 1).skip()
    assert not any(isinstance(o, VoidPayment) and o.payment == payment for o in play.log)
    assert record(play, payment)["state"] == "Uncertain"


@pytest.mark.parametrize(("terminal", "serial"), [(0, "X"), (0, ""), (1, "X"), (1, "S"), (1, "")])
@pytest.mark.parametrize("now", ["", "S"])
def test_the_number_of_an_open_hold_is_never_guessed(terminal: int, serial: str, now: str) -> None:
    """Nor where the station file has moved the terminal, or it says who it is only since or no longer."""
    book = PaymentBook(terms(), 1.0)
    book.open = {0: now}
    token = Token("T", TokenType.LOCAL)
    book.add_payment(Payment("old", 0, token, 1, Stamp(1, 1.0), PayState.VOIDED, reservation=7, serial=now))
    book.add_payment(Payment("open", terminal, token, 1, Stamp(1, 0.5), PayState.ACTIVE, reservation=8, serial=serial))
    assert list(itertools.islice(book.unreported_hold_numbers(0), 1)) == []


def test_a_hold_is_not_sought_at_another_terminal_than_its_bank_was_asked_at() -> None:
    """The terminal broke in between; the one in its place was at another station, which has sessions on it."""
    play = till()
    first, other = (TerminalOpened(0, TerminalIdentity("Fake", serial=n)) for n in ("S1", "S2"))
    (play >> TerminalLost(0) >> first).skip()
    payment = unheard(play, opened=first)
    play.wait(ANSWER_S + 1).skip()
    (play >> PaymentSettled(0, payment, Settlement.CLOSED)).skip()
    (play >> TerminalLost(0) >> other).skip().wait(2).skip()
    second = offer(play)
    (play >> BankCardRead(0, second, CARD)).skip()
    play >> PaymentApproved(0, second, 99, AMOUNT)
    play.skip()
    assert not [o for o in play.log if isinstance(o, VoidPayment) and o.reservation == 98]
    assert record(play, second)["state"] == "Authorised"


def test_a_hold_that_is_reported_of_while_a_guess_is_under_way_is_let_go_all_the_same() -> None:
    """The guess came before the hold was there; its answer is heard after the hold was reported."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    (play >> PaymentApproved(0, payment, 8, AMOUNT)).skip()
    play >> PaymentSettled(0, payment, Settlement.CLOSED)
    assert play << kept("payment", payment, state="VoidPending") << VoidPayment(0, payment, 8)
    assert play.skip() >> PaymentSettled(0, payment, Settlement.CLOSED) << kept("payment", payment, state="Voided")


def test_what_is_sought_again_is_uncertain_until_it_is_found() -> None:
    """It is not reported that all is well, and the contrary a moment later, each time that the terminal is opened."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    faulty = []
    for outcome in (Settlement.CLOSED, Settlement.CLOSED, Settlement.DONE):
        assert record(play, payment)["state"] == "VoidPending"
        faulty.append(bool(play.statuses[1].faults))
        (play >> PaymentSettled(0, payment, outcome)).skip()
        faulty.append(bool(play.statuses[1].faults))
        (play >> TerminalLost(0)).skip()
        (play >> OPENED).skip()
    assert faulty == [False, True, True, True, True, False]
    assert record(play, payment)["state"] == "Voided"


def test_a_terminal_that_falls_silent_at_a_guess_is_not_asked_again_at_each_opening() -> None:
    """It would do nothing else, and sell nothing: once more when the bank must have answered, and then each hour."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    guesses = [VoidPayment(0, payment, 8)] * 2
    for _ in range(5):
        (play >> PaymentSettled(0, payment, None)).skip()
        (play >> TerminalLost(0)).skip().wait(60).skip()
        (play >> OPENED).skip().wait(60).skip()
    assert [o for o in play.log if isinstance(o, VoidPayment) and o.payment == payment] == guesses
    (play >> TerminalLost(0)).skip().wait(3600).skip()
    assert play >> OPENED << kept("payment", payment, reservation=8) << VoidPayment(0, payment, 8) << OfferPayment


def test_a_guess_under_way_is_forgotten_with_the_process() -> None:
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    assert record(play, payment)["guessed"]
    play.restart(state=EMPTY).skip()
    assert record(play, payment)["state"] == "Uncertain"
    assert play >> OPENED << kept("payment", payment, reservation=8) << VoidPayment(0, payment, 8) << OfferPayment
    play >> PaymentApproved(0, payment, 8, AMOUNT)  # the terminal reports it after all: no guess any more
    assert play << kept("payment", payment, guessed=False)
    play >> PaymentSettled(0, payment, None)
    assert play << kept("payment", payment, state="VoidPending", reservation=8)


def test_a_right_that_no_one_used_is_let_go_after_a_restart() -> None:
    play = till()
    payment = tapped(play)
    play.restart(state=EMPTY).skip()
    assert record(play, payment)["state"] == "VoidPending"
    assert play >> OPENED << kept("payment") << VoidPayment(0, payment, 7) << OfferPayment


def test_a_session_goes_on_and_is_paid() -> None:
    play = till()
    payment = paid(play)
    charge(play, 2000, 50)
    state = EvseAt(play)
    play.skip().restart(20, state=state).skip()
    assert play.state() is SessionState.ACTIVE
    assert record(play, payment)["state"] == "Active"
    (play >> OPENED).skip()
    charge(play, 3000, 60)
    assert play.screens[1].values["cost_micro"] == 1_000_000
    unplugged(play, 4000).skip()
    assert CommitPayment(0, payment, 7, 150) in play.log


def test_a_place_that_is_still_taken_is_still_paid_but_at_most_a_minute_of_the_time_away() -> None:
    """The vehicle is full by itself; the agent is away for 200 s, and the board's count proves the plug."""
    play = till(tariff=Tariff(kwh=Decimal("0.50"), occupancy=Decimal("0.60")), settings={})
    payment = paid(play)
    charge(play, 2000, 50)
    full = BoardChanged(1, replace(PLUGGED, plugged_s=60, spent=True))
    play.skip() >> full
    for _ in range(2):
        charge(play, 2000, 30)  # 1 min: 0.60
    plugged_at = play.evse().board.plugged_at
    assert plugged_at is not None
    state = replace(PLUGGED, plugged_s=play.t_s + 200 - plugged_at.t_s, spent=True)
    play.skip().restart(200, state=state).skip()
    (play >> OPENED).skip()
    assert play.state() is SessionState.ACTIVE
    charge(play, 2000, 0)
    for _ in range(2):
        charge(play, 2000, 60)  # 2 min: 1.20
    unplugged(play, 2000).skip()
    spent = record(play, payment)["cents"]
    assert 50 + 60 + 120 <= spent <= 50 + 60 + 60 + 120
    assert CommitPayment(0, payment, 7, spent) in play.log


def test_a_board_that_was_reopened_has_the_limit_of_the_next_vehicle_before_its_energy() -> None:
    """Its vehicle was full by itself when the board was lost. The session outlives the plug, and the limit stays."""
    tariff = Tariff(kwh=Decimal("0.50"), occupancy=Decimal("0.60"))
    play = till(tariff=tariff, settings={"stop_on_ev_disconnect": False})
    paid(play)
    play.feed(BoardChanged(1, replace(PLUGGED, cable_a=10)))
    full = replace(PLUGGED, plugged_s=60, spent=True, cable_a=10)
    play.feed(BoardChanged(1, full))
    begin = len(play.skip().log)
    play.feed(BoardOpened(1, replace(full, plugged_s=play.t_s), replace(play.traits, counts_plugged=True)))
    for state in (replace(full, cable=True, pilot=Pilot.A, spent=False), replace(PLUGGED, cable_a=10)):
        play.feed(BoardChanged(1, state))
    orders = [o for o in play.skip().log[begin:] if isinstance(o, SetLimit | SetRelease)]
    assert (orders[0], orders[-1]) == (SetLimit(1, Limit(10.0, 3)), SetRelease(1, True)), orders


def EvseAt(play: Playbook) -> Any:
    """The car is still there, and the board has counted."""
    plugged_at = play.evse().board.plugged_at
    assert plugged_at is not None
    return replace(PLUGGED, plugged_s=play.t_s + 25 - plugged_at.t_s)


def test_a_session_without_proof_is_closed_with_the_register_of_now() -> None:
    play = till()
    payment = paid(play)
    play.restart(new_boot=True, state=EMPTY).skip()
    assert (
        play
        >> MeterRead(1, end_reading(1), wh(4321))
        << forgotten("session")
        << sent_message(TransactionEnded, meter_wh=4321)
        << (kept("payment", payment, state="FinalKnown", cents=166))
    )
    assert play >> OPENED << kept("payment", state="CommitPending") << CommitPayment(0, payment, 7, 166) << OfferPayment


def test_the_last_known_register_if_the_meter_is_dead() -> None:
    play = till()
    payment = paid(play)
    charge(play, 3000, 61).skip()
    for key in [k for k in play.timers if k.kind is TimerKind.REGISTER_SNAPSHOT]:
        play.timers[key] = play.t_s
    play.wait(0.1).skip()
    play.restart(new_boot=True, state=EMPTY).skip()
    for n in (1, 2, 3):
        (play >> MeterFailed(1, end_reading(n))).skip()
        play.wait(6).skip()
    assert record(play, payment)["cents"] == 100


def test_a_commit_under_way_is_asked_again_once() -> None:
    play, payment = committing()
    play.restart(state=EMPTY).skip()
    assert play >> OPENED << kept("payment", asked=True) << CommitPayment(0, payment, 7, 100) << OfferPayment
    assert (
        play
        >> PaymentSettled(0, payment, Settlement.CLOSED)
        << kept("payment", state="Uncertain", why="settled before")
    )


def test_an_answer_of_the_bank_that_was_lost_with_the_process() -> None:
    play = till()
    payment = offer(play)
    (play >> BankCardRead(0, payment, CARD)).skip()
    play.restart(state=EMPTY).skip()
    (play >> OPENED).skip()
    assert (
        play
        >> PaymentApproved(0, "", 7, AMOUNT)
        << kept("payment", payment, state="VoidPending")
        << VoidPayment(0, payment, 7)
        << OfferPayment
    )


@pytest.mark.parametrize("lost", [False, True])
def test_minutes_in_which_the_agent_was_away_belong_to_no_one(lost: bool) -> None:
    """The vehicle is gone when the board is there again: of the time between no more than a minute was watched."""
    play = till(tariff=Tariff(kwh=Decimal("0.50"), minute=Decimal("0.10")))
    payment = paid(play)
    charge(play, 2000, 61).skip()
    if lost:
        play.store["session"] = {}
    play.restart(200, state=EMPTY).skip()
    (play >> MeterRead(1, payment_reading(payment) if lost else end_reading(1), wh(2000))).skip()
    assert record(play, payment)["cents"] == 50 + 10


def test_minutes_end_with_the_stop_that_was_on_disk() -> None:
    play = till(tariff=Tariff(kwh=Decimal("0.50"), minute=Decimal("0.10")))
    payment = paid(play)
    charge(play, 2000, 61).skip()
    play.t_s += 18
    play >> VehicleLeft(1)
    play.skip().restart(50, state=EMPTY).skip()
    (play >> MeterRead(1, end_reading(1), wh(2000))).skip()
    assert record(play, payment)["cents"] == 50 + 3


def lost_session(play: Playbook) -> str:
    payment = paid(play)
    play.skip()
    play.t_s += 61
    play.feed(MeterRead(1, LIVE, wh(2500)))
    play.store["session"] = {}
    play.skip().restart(state=EMPTY).skip()
    return payment


def test_a_session_that_is_lost_costs_what_the_register_says() -> None:
    play = till()
    payment = lost_session(play)
    assert [o for o in play.log if isinstance(o, ReadMeter)][-1] == ReadMeter(1, payment_reading(payment), True)
    assert play >> MeterRead(1, payment_reading(payment), wh(3000)) << kept("payment", state="FinalKnown", cents=100)


def test_or_what_was_on_disk_last() -> None:
    play = till()
    payment = lost_session(play)
    for _ in range(3):
        (play >> MeterFailed(1, payment_reading(payment))).skip()
        play.wait(6).skip()
    assert record(play, payment)["cents"] == 75


def test_a_record_that_cannot_be_read_is_set_aside_and_reported() -> None:
    play = till()
    payment = tapped(play)
    play.store["payment"][payment]["state"] = "Nonsense"
    play.restart(state=EMPTY).skip()
    assert play.store["payment"] == {}
    assert f"payment/{payment}" in play.store["poisoned"]
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    assert play >> PaymentReviewed(payment) << kept("poisoned", f"payment/{payment}", reviewed=True)
    assert play.statuses[1].faults == ()


def test_a_session_whose_payment_cannot_be_read_gets_no_more_energy() -> None:
    play = till()
    payment = paid(play)
    state = EvseAt(play)
    play.store["payment"][payment]["held_cents"] = "much"
    play.skip().restart(20, state=state).skip()
    assert play.state() is SessionState.ENDING
    assert not play.evse().release_order.given
    assert [o for o in play.log if isinstance(o, SetRelease)][-1] == SetRelease(1, False)


def test_what_is_finished_is_forgotten_in_the_end() -> None:
    play, payment = committing()
    (play >> PaymentSettled(0, payment, Settlement.DONE)).skip()
    for key in [k for k in play.timers if k.kind is not TimerKind.PAYMENT_PRUNING]:
        del play.timers[key]
    play.wait(99 * 86400).skip()
    assert payment in play.store["payment"]
    play.wait(2 * 86400 + 1).skip()
    assert payment not in play.store["payment"]


def test_a_record_is_read_back_as_it_was() -> None:
    from agent.domain.payment import Payment

    play = till()
    payment = paid(play)
    charge(play, 2000, 61)
    again = Payment.from_record(payment, record(play, payment))
    assert again.to_record() == record(play, payment)
    assert (again.card, again.held_cents, again.reservation) == (CARD, AMOUNT, 7)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(PayState)
    assert {s for s in TABLE if set(TABLE[s]) != set(EVENTS)} == set()


def test_no_terminal_no_offer() -> None:
    play = Playbook()
    assert play.site.config.payment_terms is None
    assert play >> OPENED


def test_nothing_is_sold_without_a_price() -> None:
    play = Playbook(payment_terms=terms())
    assert play >> OPENED

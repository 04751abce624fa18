"""One terminal for two stations: a payment master and a satellite (decision 73)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.blocks.satellite_sessions import CONFIRM_S
from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    ContactorOpened,
    LinkChanged,
    StopWanted,
    VehicleConnected,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    SettlementReported,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import Persist, Send, SendToMaster, SendToSatellite, SetRelease, WakeMe
from agent.domain.payment_journal import UNUSED_S
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    GrantRefused,
    MasterMessage,
    MasterMessageReceived,
    MeteredReport,
    PaymentOutcome,
    SatelliteMessageReceived,
    SessionConfirmed,
    SupplyReport,
)
from agent.domain.serialization import load_record
from agent.domain.session_usage import Sum, TariffPlan, Usage
from agent.domain.settlement_orders import PaymentRetryOrdered, PaymentWriteOffOrdered
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentApproved,
    PaymentSettled,
    VoidPayment,
)
from agent.domain.timers import TimerKind
from agent.model.bank_card import Settlement
from agent.model.types import DirectPayment, ScreenName, Token
from tests.domain.playbook import LINK, Playbook
from tests.domain.shared_terminal import CARD, NUMBER, SharedTerminal
from tests.support.domain_state import configure


@pytest.mark.parametrize("offline_payments", [True, False])
def test_a_satellite_off_line_promises_no_card(offline_payments: bool) -> None:
    """No message of the master says whether its terminal takes cards now."""
    pair = SharedTerminal(settings={"local_authorize_offline": False, "offline_payments": offline_payments})
    pair.feed_satellite(LinkChanged(LINK, True))
    assert pair.satellite.screens[1].name is ScreenName.IDLE
    pair.lose_backend()
    for _ in range(2):
        shown = pair.satellite.screens[1]
        assert (shown.name, "tariff_kwh_micro" in shown.values) == (ScreenName.OFFLINE, False)
        pair.cut()
        pair.join()


def test_card_at_the_master_charges_at_the_satellite_and_pays_once() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    assert pair.payment(payment)["evse"] == NUMBER
    assert pair.payment(payment)["satellite"] == "east"
    assert pair.payment(payment)["state"] == "Authorised"
    pair.deliver()
    pair.answer_readings()
    assert not pair.released()
    assert isinstance(pair.sent[-1], BegunReport)
    assert pair.payment(payment)["state"] == "Authorised"
    pair.energize()
    assert pair.payment(payment)["state"] == "Active"
    assert pair.released()
    pair.draw(4000)
    assert pair.satellite.screens[1].values["cost_micro"] == 2_000_000
    pair.draw(1000)
    pair.unplug()
    assert pair.payment(payment)["cents"] == 250
    assert [o for o in pair.master.log if isinstance(o, CommitPayment)] == [CommitPayment(0, payment, 7, 250)]
    pair.feed_master(PaymentSettled(0, payment, Settlement.DONE))
    assert list(pair.grants()) == [payment]
    pair.deliver()
    assert pair.payment(payment)["state"] == "Committed"
    assert pair.grants() == {}


def commits(pair: SharedTerminal) -> list[CommitPayment]:
    return [o for o in pair.master.log if isinstance(o, CommitPayment)]


def voids(pair: SharedTerminal) -> list[VoidPayment]:
    return [o for o in pair.master.log if isinstance(o, VoidPayment)]


def test_the_backend_of_the_satellite_sees_the_token_of_the_payment() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    started = pair.backend_messages(TransactionStarted)[0]
    assert started.token == load_record(pair.payment(payment)["token"], Token)
    known = (("CardLast4Digits", "1234"), ("PaymentBrand", "VISA"), ("SessionRef", "7"))
    assert started.payment == DirectPayment(5000, known)
    assert not [o for o in pair.master.log if isinstance(o, Send) and isinstance(o.message, TransactionStarted)]
    pair.draw(100)
    pair.unplug()
    assert [m.meter_wh for m in pair.backend_messages(TransactionEnded)] == [1100]


def test_session_and_grant_are_on_disk_before_the_master_hears_of_them() -> None:
    pair = SharedTerminal()
    pair.plug()
    pair.tap()
    pair.deliver()
    orders = pair.satellite.skip().log
    before = len(orders)
    pair.answer_readings()
    kinds = [o.kind for o in orders[before:] if isinstance(o, Persist)]
    assert kinds.index("session") < kinds.index("grant")
    assert isinstance(next(o for o in orders[before:] if isinstance(o, SendToMaster)).message, BegunReport)
    assert not [o for o in orders[before:] if isinstance(o, SetRelease) and o.on]


def test_the_journal_has_the_session_before_the_satellite_is_answered() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    log = pair.master.log
    active = next(n for n, o in enumerate(log) if isinstance(o, Persist) and (o.value or {}).get("state") == "Active")
    answer = next(n for n, o in enumerate(log) if isinstance(o, SendToSatellite) and _is(o, SessionConfirmed))
    assert active < answer
    assert pair.payment(payment)["session"] == pair.satellite.session().id


def test_a_grant_without_a_vehicle_is_given_back_in_time() -> None:
    pair = SharedTerminal()
    pair.feed_master(ButtonsKnown(("outlet-1", "outlet-3", "outlet-4")))
    pair.feed_master(ButtonPressed("outlet-3"))
    payment = pair.tap()
    pair.deliver()
    assert pair.satellite.screens[1].name is ScreenName.PLUG_IN
    pair.satellite.skip().wait(301)
    pair._collect_messages()
    pair.deliver()
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    assert pair.satellite.evse().authorization is None


def test_the_hold_is_released_when_the_satellite_never_says_a_word() -> None:
    """Its time is over at the master even if the network is there."""
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    pair.master.skip().wait(300 + UNUSED_S + 1)
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    pair._collect_messages()
    pair.deliver()
    pair.energize()
    assert not pair.released()
    assert pair.satellite.evse().session is None
    assert pair.grants() == {}


def test_a_session_that_begins_after_the_hold_was_released_gets_no_energy() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    pair.deliver()
    pair.master.skip().wait(300 + UNUSED_S + 1)
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    pair._to_satellite.clear()
    pair.energize()
    pair.draw(1000)
    pair.unplug()
    assert not [o for o in pair.satellite.log if isinstance(o, SetRelease) and o.on]
    assert commits(pair) == []
    assert pair.grants() == {}


@pytest.mark.parametrize("delivered", range(3))
def test_a_cut_before_the_session_is_in_the_journal_releases_the_hold(delivered: int) -> None:
    """0: the grant is lost; 1: it has arrived; 2: the session has begun, its report is lost."""
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    if delivered:
        pair.deliver()
    if delivered == 2:
        pair.is_cut = True
        pair.answer_readings()
    pair.cut()
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    pair.feed_master(PaymentSettled(0, payment, Settlement.DONE))
    pair.join()
    pair.energize()
    pair.unplug()
    assert not [o for o in pair.satellite.log if isinstance(o, SetRelease) and o.on]
    assert commits(pair) == []
    assert pair.grants() == {}


def test_a_lost_confirmation_is_repeated_after_the_cut() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    pair.deliver()
    pair.answer_readings()
    pair.deliver(1)  # the master has it, its word is on the way
    pair.cut()
    assert pair.payment(payment)["state"] == "Active"
    pair.join()
    pair.energize()
    assert pair.released()


def test_an_unconfirmed_session_ends_after_a_minute_and_costs_nothing() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    pair.deliver()
    pair.answer_readings()
    pair.deliver(1)
    pair.cut()
    pair.satellite.skip().wait(CONFIRM_S + 1)
    pair.answer_readings()
    assert pair.satellite.evse().session is None
    pair.join()
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    assert commits(pair) == []


def test_a_session_goes_on_while_the_network_is_cut_and_is_charged_afterwards() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.cut()
    pair.draw(3000)
    assert pair.released()
    pair.unplug()
    assert pair.payment(payment)["state"] == "Active"
    assert commits(pair) == []
    pair.join()
    assert commits(pair) == [CommitPayment(0, payment, 7, 150)]
    pair.cut()
    pair.join()
    assert len(commits(pair)) == 1


def test_the_satellite_keeps_the_ceiling_while_it_is_alone() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.cut()
    for _ in range(1000):
        if not pair.released():
            break
        pair.draw(100)
        pair.satellite.skip().wait(16)
    pair.answer_readings()
    pair.join()
    cents = pair.payment(payment)["cents"]
    assert 4900 <= cents <= 5000
    assert pair.payment(payment)["owed_cents"] <= 5000


def test_both_sides_restart_while_energy_flows() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.draw(1000)
    pair.restart_master()
    assert pair.payment(payment)["state"] == "Active"
    assert voids(pair) == []
    pair.restart_satellite()
    pair.answer_readings()
    pair.join()
    assert pair.released()
    pair.draw(1000)
    pair.unplug()
    assert commits(pair) == [CommitPayment(0, payment, 7, 100)]


def test_the_end_after_a_power_cut_of_the_satellite_says_its_cost() -> None:
    pair = SharedTerminal()
    pair.begin_charging()
    pair.draw(2000)
    pair.restart_satellite(plugged=False)
    pair.answer_readings()
    ended = pair.backend_messages(TransactionEnded)[-1]
    assert ended.cost is not None
    assert ended.cost.cents == 100


def test_minutes_in_which_the_satellite_was_away_are_not_charged() -> None:
    """The vehicle is gone when the board is there again: of the time between no more than a minute was watched."""
    pair = SharedTerminal(Tariff(kwh=Decimal("0.50"), minute=Decimal("0.10")))
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.satellite.t_s += 195
    pair.restart_satellite(plugged=False)
    pair.answer_readings()
    assert pair.backend_messages(TransactionEnded)[-1].cost.cents == 100 + 10
    pair.join()
    assert commits(pair) == [CommitPayment(0, payment, 7, 100 + 10)]


def test_a_restart_of_the_satellite_before_the_confirmation_gives_no_energy() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    pair.deliver()
    pair.answer_readings()
    pair.restart_satellite()
    assert not pair.released()
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    pair.join()
    pair.answer_readings()
    pair.deliver()
    assert not pair.released()
    assert pair.satellite.evse().session is None
    assert pair.grants() == {}


def test_the_end_is_settled_after_a_restart_of_the_satellite() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.is_cut = True
    pair.unplug()
    pair.restart_satellite(plugged=False)
    assert list(pair.grants()) == [payment]
    pair.join()
    assert commits(pair) == [CommitPayment(0, payment, 7, 100)]


def test_the_same_card_again_ends_the_session_at_the_satellite() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.wait(40)
    pair.renew_offer()
    again = pair.offered
    assert again != payment
    pair.feed_master(BankCardRead(0, again, CARD))
    pair.deliver()
    pair.feed_satellite(ContactorOpened(1))
    pair.answer_readings()
    pair.deliver()
    assert [m.reason for m in pair.backend_messages(TransactionEnded)] == [StopReason.LOCAL]
    assert commits(pair) == [CommitPayment(0, payment, 7, 100)]


def test_the_card_that_has_just_ended_a_session_at_the_satellite_begins_no_other() -> None:
    """It may have been held too long, and the vehicle is still there."""
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.wait(40)
    pair.renew_offer()
    pair.feed_master(BankCardRead(0, pair.offered, CARD))
    pair.deliver()
    pair.feed_satellite(ContactorOpened(1))
    pair.answer_readings()
    pair.deliver()
    pair.renew_offer()
    again = pair.offered
    pair.feed_master(BankCardRead(0, again, CARD))
    assert commits(pair) == [CommitPayment(0, payment, 7, 100)]
    assert again not in pair.master.store["payment"]


def test_another_price_at_the_satellite_refuses_the_grant() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    for evse in pair.satellite.site.evses.values():
        configure(evse, offer=AdhocTariff(Tariff(kwh=Decimal("0.90"))))
    pair.deliver()
    assert pair.satellite.evse().authorization is None
    assert voids(pair) == [VoidPayment(0, payment, 7)]
    assert pair.satellite.screens[1].detail == "other_price"


@pytest.mark.parametrize("energy_wh", [0, 1])
def test_a_vehicle_at_a_satellite_has_charged_where_it_has_had_energy(energy_wh: int) -> None:
    pair = SharedTerminal()
    pair.begin_charging()
    pair.draw(energy_wh)
    pair.feed_satellite(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    pair.feed_satellite(ContactorOpened(1))
    pair.answer_readings()
    pair.deliver()
    assert pair.satellite.state(1) is SessionState.ENDED
    assert pair.master.site.satellite_outlets[NUMBER].record.has_charged == bool(energy_wh)


def test_a_price_in_another_currency_is_not_sold() -> None:
    pair = SharedTerminal()
    pair.plug()
    pair.cut()
    for evse in pair.satellite.site.evses.values():
        configure(evse, offer=AdhocTariff(Tariff(kwh=Decimal("0.50"), currency="CHF")))
    pair.join()
    payment = pair.offered
    pair.feed_master(BankCardRead(0, payment, CARD))
    assert pair.payment(payment)["evse"] == 1, "the master's own outlet"


def test_a_satellite_that_never_comes_back_is_charged_by_its_last_word() -> None:
    pair = SharedTerminal(hold_s=3600.0)
    payment = pair.begin_charging()
    pair.satellite.t_s += 70
    pair.draw(2000)
    pair.deliver()
    pair.cut()
    pair.draw(1000)
    pair.master.skip().wait(4400)
    assert commits(pair) == []
    pair.master.skip().wait(200)
    assert commits(pair) == [CommitPayment(0, payment, 7, 100)]
    pair.unplug()
    pair.join()
    assert len(commits(pair)) == 1


def test_a_message_of_another_satellite_moves_nothing() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    usage = Usage.from_record(pair.payment(payment)["usage"])
    session = pair.payment(payment)["session"]
    ended = EndedReport(payment, session, usage, SupplyReport(0, 0))
    for message in (GrantRefused(payment, "x"), ended, BegunReport(payment, session, 1, usage)):
        pair.feed_master(SatelliteMessageReceived("west", message))
    assert pair.payment(payment)["state"] == "Active"
    assert commits(pair) == voids(pair) == []


def test_a_usage_of_another_tariff_is_not_taken() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    foreign = Usage(TariffPlan(grace_ms=60_000), (Sum(9000, 0, 0),), 0, None, 10_000)
    session = pair.payment(payment)["session"]
    pair.feed_master(SatelliteMessageReceived("east", MeteredReport(payment, session, foreign)))
    pair.feed_master(SatelliteMessageReceived("east", EndedReport(payment, session, foreign, SupplyReport(0, 9000))))
    assert pair.payment(payment)["cents"] == 0


def test_a_second_satellite_vehicle_is_asked_about() -> None:
    pair = SharedTerminal()
    pair.plug(1)
    pair.plug(2)
    pair.feed_master(ButtonsKnown(("outlet-1", "outlet-3", "outlet-4")))
    pair.renew_offer()
    payment = pair.offered
    pair.feed_master(BankCardRead(0, payment, CARD))
    assert pair.master.screens[1].name is ScreenName.CHOOSE_OUTLET
    pair.feed_master(ButtonPressed("outlet-4"))
    assert pair.payment(payment)["evse"] == 4
    pair.feed_master(PaymentApproved(0, payment, 7, 5000))
    pair.deliver()
    pair.answer_readings()
    assert pair.satellite.evse(2).session is not None
    assert pair.satellite.evse(1).session is None


def test_the_outcome_reaches_the_backend_of_the_satellite_once() -> None:
    pair = SharedTerminal(settlement_links=(LINK,))
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.unplug()
    pair.feed_master(PaymentSettled(0, payment, Settlement.DONE))
    pair.deliver()
    pair.cut()
    pair.join()
    reports = settlements(pair.satellite)
    assert [(m.status, m.cents, m.transaction) for m in reports] == [("Settled", 100, pair.payment(payment)["session"])]
    assert settlements(pair.master) == []


def test_an_outcome_in_an_unknown_word_is_reported_as_failed() -> None:
    """A master of a later program may say more; the satellite ended at each report of it."""
    pair = SharedTerminal(settlement_links=(LINK,))
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.unplug()
    outcome = PaymentOutcome(payment, pair.payment(payment)["session"], "PartlySettled", 100)
    pair.feed_satellite(MasterMessageReceived(outcome))
    assert [(m.status, m.cents) for m in settlements(pair.satellite)] == [("Failed", 100)]
    assert pair.grants() == {}


def test_a_repeated_confirmation_does_not_put_the_ceiling_off() -> None:
    """With a silent meter only the timer knows when what is held is used up; each connection began it again."""
    pair = SharedTerminal()
    pair.begin_charging()
    pair.draw(1000)
    due_s = ceiling_s(pair.satellite)
    assert due_s is not None
    pair.wait(1800)
    pair.cut()
    pair.join()
    assert ceiling_s(pair.satellite) == due_s


def test_a_confirmation_after_a_restart_does_not_put_the_ceiling_off() -> None:
    pair = SharedTerminal()
    pair.begin_charging()
    pair.draw(95_000)
    pair.restart_satellite()
    due_s = ceiling_s(pair.satellite)
    assert due_s is not None
    pair.join()
    assert pair.released()
    assert ceiling_s(pair.satellite) == due_s


def ceiling_s(play: Playbook) -> float | None:
    """When energy ends without another reading."""
    wakes = [o for o in play.log if isinstance(o, WakeMe) and o.timer.kind is TimerKind.PAYMENT_CEILING]
    return wakes[-1].at_s


def test_an_outlet_that_comes_and_goes_leaves_the_terminal_in_use() -> None:
    """A satellite whose connection ended every few seconds kept the terminal from taking any card."""
    pair = SharedTerminal()
    pair.plug()
    offer = pair.offered
    for _ in range(5):
        pair.cut()
        pair.join()
        assert pair.offered == offer
    assert CancelPayment(0, offer) not in pair.master.log
    pair.cut()
    pair.feed_master(BankCardRead(0, offer, CARD))
    assert pair.payment(offer)["evse"] == 1, "the master's own outlet"


def test_a_card_is_taken_for_an_outlet_that_came_after_its_offer() -> None:
    pair = SharedTerminal()
    pair.cut()
    offer = pair.offered
    pair.join()
    pair.plug()
    assert pair.offered == offer
    payment = pair.tap()
    assert (payment, pair.payment(payment)["evse"]) == (offer, NUMBER)
    pair.deliver()
    pair.energize()
    assert pair.released()


def test_an_outlet_that_comes_back_with_another_price_ends_the_offer() -> None:
    """Its driver may have read the former price just before."""
    pair = SharedTerminal()
    pair.plug()
    offer = pair.offered
    pair.cut()
    for evse in pair.satellite.site.evses.values():
        configure(evse, offer=AdhocTariff(Tariff(kwh=Decimal("0.90"))))
    pair.join()
    assert CancelPayment(0, offer) in pair.master.log
    assert pair.offered != offer
    payment = pair.tap()
    assert pair.payment(payment)["evse"] == NUMBER
    assert pair.payment(payment)["tariff"] == Tariff(kwh=Decimal("0.90")).to_record()


def doubtful_payment() -> tuple[SharedTerminal, str]:
    """A payment whose commit the terminal has never answered."""
    pair = SharedTerminal(settlement_links=(LINK,), schedule_s=(60.0,))
    payment = pair.begin_charging()
    pair.draw(2000)
    pair.unplug()
    pair.feed_master(PaymentSettled(0, payment, None))
    pair.wait(61)
    pair.feed_master(PaymentSettled(0, payment, None))
    pair.deliver()
    assert pair.payment(payment)["state"] == "Uncertain"
    return pair, payment


def test_a_commit_after_a_doubt_reaches_the_backend_of_the_satellite() -> None:
    """It was reported as failed, and the satellite had forgotten the payment when a person had it asked for again."""
    pair, payment = doubtful_payment()
    for _ in range(2):
        pair.cut()
        pair.join()
    pair.restart_satellite(plugged=False)
    pair.join()
    assert [m.status for m in settlements(pair.satellite)] == ["Failed"], "once, whatever restarts"
    pair.cut()
    pair.feed_master(PaymentRetryOrdered(payment))
    pair.feed_master(PaymentSettled(0, payment, Settlement.DONE))
    assert pair.payment(payment)["state"] == "Committed"
    pair.join()
    assert [(m.status, m.cents) for m in settlements(pair.satellite)] == [("Failed", 100), ("Settled", 100)]
    assert pair.grants() == {}


def test_a_doubt_that_is_written_off_is_reported_once_and_forgotten() -> None:
    pair, payment = doubtful_payment()
    assert list(pair.grants()) == [payment]
    pair.feed_master(PaymentWriteOffOrdered(payment, "the bank has no such hold"))
    pair.deliver()
    assert pair.payment(payment)["why"] == "written off by a person: the bank has no such hold"
    assert [m.status for m in settlements(pair.satellite)] == ["Failed"]
    assert pair.grants() == {}


def test_a_card_of_a_session_at_a_lost_satellite_charges_elsewhere_when_its_driver_says_so() -> None:
    """It was refused for days, until the session was charged. Without an answer nothing is held: the driver may have
    meant to stop."""
    pair = SharedTerminal()
    pair.begin_charging()
    pair.cut()
    pair.wait(40)
    pair.renew_offer()
    payment = pair.offered
    pair.feed_master(BankCardRead(0, payment, CARD))
    assert payment not in pair.master.store["payment"]
    assert pair.master.screens[1].name is ScreenName.CHOOSE_OUTLET
    pair.feed_master(CablePlugged(1))
    pair.feed_master(VehicleConnected(1))
    assert pair.payment(payment)["evse"] == 1
    assert "satellite" not in pair.payment(payment)


def test_a_card_of_a_session_at_a_lost_satellite_does_not_pay_for_the_vehicle_that_waits_elsewhere() -> None:
    """It may be another driver's: the card is perhaps there to stop."""
    pair = SharedTerminal()
    pair.begin_charging()
    pair.cut()
    pair.feed_master(CablePlugged(1))
    pair.feed_master(VehicleConnected(1))
    pair.wait(40)
    pair.renew_offer()
    payment = pair.offered
    pair.feed_master(BankCardRead(0, payment, CARD))
    assert payment not in pair.master.store["payment"]
    assert pair.master.screens[1].name is ScreenName.CHOOSE_OUTLET


def settlements(play: Playbook) -> list[SettlementReported]:
    sent = [o.message for o in play.log if isinstance(o, Send)]
    return [m for m in sent if isinstance(m, SettlementReported)]


def _is(order: SendToSatellite, kind: type[MasterMessage]) -> bool:
    return isinstance(order.message, kind)

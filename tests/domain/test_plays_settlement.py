"""What a backend learns of a card payment in the words of OCPP 2.1 (C18 to C22): the payment behind the token, the
cost at the end, and what has become of the money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.blocks.csms_settlement import UNUSED_SETTINGS
from agent.domain.events import (
    CablePlugged,
    ContactorOpened,
    LinkChanged,
    MeterRead,
    ReceiptReceived,
    RequestReceived,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.messages import (
    SettlementReported,
    SettlementStatus,
    StopReason,
    TransactionCost,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, LogNote, Response, Send, Unlock
from agent.domain.payment import Payment, PayState, payment_reference
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import RemoteStartRequest, SetVariablesRequest
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentCancelled,
    PaymentSettled,
    VoidPayment,
)
from agent.domain.transaction import TxPoint
from agent.model.bank_card import Settlement
from agent.model.types import DirectPayment, ScreenName, Token, TokenType
from tests.domain.playbook import ACCEPTED, EMPTY, LINK, PLUGGED, REFUSED, Playbook, charging, wh
from tests.domain.test_plays_payment import (
    AMOUNT,
    CARD,
    PLUG,
    charge,
    energised,
    offer,
    paid,
    record,
    tapped,
    till,
    unplugged,
)

REPORTED: dict[str, Any] = {"settlement_links": (LINK,)}
FIRST = {"payment_authorize_first": True}
DETAILS = (("CardLast4Digits", "1234"), ("PaymentBrand", "VISA"), ("SessionRef", "7"))


def reports(play: Playbook) -> list[SettlementReported]:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]


def sent(play: Playbook, kind: type[Any]) -> Any:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, kind)][-1]


def unused_setting_notes(play: Playbook) -> list[str]:
    return [o.text for o in play.log if isinstance(o, LogNote) and o.text in UNUSED_SETTINGS.values()]


def finished(play: Playbook, wh: int = 6001) -> str:
    """A whole session. The terminal has been asked to settle it."""
    payment = paid(play)
    charge(play, 5000, 100)
    unplugged(play, wh)
    play.skip()
    return payment


# --- the payment behind the token (C18) ------------------------------------------------------------------------------


def test_the_transaction_names_the_payment_and_what_is_held() -> None:
    """C18.FR.03, C18.FR.06."""
    play = till(**REPORTED)
    paid(play)
    started = sent(play, TransactionStarted)
    assert started.token.type is TokenType.DIRECT_PAYMENT
    assert started.payment == DirectPayment(AMOUNT, DETAILS)


@pytest.mark.parametrize("sign", ["cable", "remote start"])
def test_the_transaction_names_the_payment_whose_right_has_moved(sign: str) -> None:
    """C18.FR.04, C18.FR.06: the card was read where no cable was, and the driver has plugged in at the other outlet."""
    play = till(2, **REPORTED)
    payment = tapped(play)
    if sign == "remote start":
        token = Token(payment_reference("PY", payment), TokenType.DIRECT_PAYMENT)
        (play >> RequestReceived(LINK, "q", RemoteStartRequest(2, token, "7", asks=False))).skip()
    (play >> (CablePlugged(2), VehicleConnected(2))).skip()
    energised(play, 2)
    assert sent(play, TransactionStarted).payment == DirectPayment(AMOUNT, DETAILS)


def test_the_backend_is_asked_with_what_is_known_of_the_card() -> None:
    """C18.FR.04, C18.FR.05."""
    play = till(settings=FIRST, **REPORTED)
    (play >> PLUG).skip()
    payment = tapped(play)
    (order,) = [o for o in play.log if isinstance(o, AuthorizeToken)]
    assert (order.token.value, order.payment) == (payment_reference("PY", payment), DirectPayment(AMOUNT, DETAILS))
    play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    energised(play)
    assert sent(play, TransactionStarted).payment == DirectPayment(AMOUNT, DETAILS)


@pytest.mark.parametrize(
    ("wanted", "details"),
    [((), ()), (("PaymentBrand",), DETAILS[1:2]), (("SessionRef", "CardLast4Digits"), (DETAILS[0], DETAILS[2]))],
)
def test_only_what_the_backend_wants_to_know_is_reported(wanted: tuple[str, ...], details: tuple[Any, ...]) -> None:
    """PaymentCtrlr.PaymentDetails."""
    play = till(settings={"payment_details": wanted}, **REPORTED)
    paid(play)
    assert sent(play, TransactionStarted).payment == DirectPayment(AMOUNT, details)


def test_a_payment_that_the_backend_refuses_is_released() -> None:
    """C18.FR.07."""
    play = till(settings=FIRST, **REPORTED)
    (play >> PLUG).skip()
    payment = tapped(play)
    (order,) = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(order.request, order.token, REFUSED))
    play.skip()
    assert VoidPayment(0, payment, 7) in play.log
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    assert reports(play) == [], "it was never authorized"


def test_the_amount_of_the_variable_is_held() -> None:
    """C18.FR.01, C18.FR.02: PaymentCtrlr.AuthorizationAmount."""
    play = till(**REPORTED)
    (play >> PLUG).skip()
    before = offer(play)
    play.feed(RequestReceived(LINK, "r1", SetVariablesRequest({"payment_amount": "75.5"})))
    assert CancelPayment(0, before) in play.log, "an offer of another amount is taken back"
    play.feed(PaymentCancelled(0, before))
    payment = offer(play)
    assert [o.amount_cents for o in play.log if isinstance(o, OfferPayment)] == [AMOUNT, 7550]
    play.feed(BankCardRead(0, payment, CARD))
    assert play.log.count(AuthorizePayment(0, payment)) == 1
    assert record(play, payment)["asked_cents"] == 7550


@pytest.mark.parametrize("amount", ["0.50", "1000.01", "-5", "7.555", "x"])
def test_an_amount_that_sells_nothing_is_refused(amount: str) -> None:
    play = till(**REPORTED)
    play.feed(RequestReceived(LINK, "r1", SetVariablesRequest({"payment_amount": amount})))
    (answer,) = [o for o in play.log if isinstance(o, Response)]
    assert answer.data["payment_amount"] == "Rejected"
    assert play.site.settings.text_value("payment_amount") == ""


def test_the_cable_of_a_bank_card_is_not_kept() -> None:
    """Its driver has no card that could free it: it was kept for good."""
    play = till(settings={"unlock_on_ev_disconnect": False}, **REPORTED)
    paid(play)
    unplugged(play, 3000).skip()
    assert play.evse().kept is None
    assert [o for o in play.log if isinstance(o, Unlock)]


# --- the cost at the end (C21) ---------------------------------------------------------------------------------------


def test_the_end_says_what_is_settled() -> None:
    """One engine, one rounding: the cost that is sent, the bill and the capture are the same cents."""
    play = till(**REPORTED)
    payment = finished(play)
    cost = sent(play, TransactionEnded).cost
    assert cost == TransactionCost("EUR", 250, (("kwh", 250),), "", 5001, cost.charging_s, 0)
    assert cost.cents == record(play, payment)["cents"] == play.screens[1].values["cost_micro"] // 10**4
    assert CommitPayment(0, payment, 7, cost.cents) in play.log


def test_the_cost_has_its_parts_and_its_vat_and_never_more_than_is_held() -> None:
    tariff = Tariff(kwh=Decimal("0.50"), session=Decimal("1.00"), vat_percent=Decimal(17))
    play = till(tariff=tariff, **REPORTED)
    finished(play, 5000)
    cost = sent(play, TransactionEnded).cost
    assert (cost.cents, cost.parts, cost.vat_percent) == (300, (("kwh", 200), ("session", 100)), "17")


def test_the_cost_waits_for_a_transaction_that_outlives_its_session() -> None:
    """Its stop point is the vehicle's leaving; a restart comes between."""
    play = till(settings={"tx_stop_points": (TxPoint.EV_CONNECTED,)}, **REPORTED)
    paid(play)
    charge(play, 3000).skip().wait(31).skip()
    play.feed(BankCardRead(0, offer(play), CARD))
    play.skip().feed(ContactorOpened(1))
    play.skip().wait(11).skip()
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(6001)))
    assert play.ended() == []
    play.skip().restart(state=PLUGGED).skip()
    play.feed(VehicleLeft(1))
    play.skip()
    assert play.ended()[-1].cost.cents == 250


def test_the_end_after_a_power_cut_says_what_is_settled() -> None:
    """The vehicle is gone: the session ends before it is resumed."""
    play = till(**REPORTED)
    payment = paid(play)
    charge(play, 3000, 100).skip().restart(new_boot=True, state=EMPTY).skip()
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(6001)))
    play.skip()
    assert sent(play, TransactionEnded).cost.cents == record(play, payment)["cents"] == 250


def test_without_a_card_the_station_says_no_cost() -> None:
    play = charging(till(**REPORTED).skip())
    unplugged(play, 6001)
    assert (play.ended()[-1].meter_wh, play.ended()[-1].cost) == (6001, None)


# --- the money (C19 to C22) ------------------------------------------------------------------------------------------


def test_a_settled_payment_is_reported_with_its_receipt() -> None:
    """C21.FR.01, C21.FR.02, C21.FR.04."""
    play = till(settings={"receipt_url": "https://pay.example/r/{reference}"}, **REPORTED)
    payment = finished(play)
    assert reports(play) == []
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    reference = payment_reference("PY", payment)
    (said,) = reports(play)
    assert said == SettlementReported(
        reference, SettlementStatus.SETTLED, 250, said.at, "s2", payment, f"https://pay.example/r/{reference}"
    )


def test_a_receipt_of_the_backend_is_shown_when_it_comes() -> None:
    """C21.FR.03: ReceiptByCSMS. It may lead to allowed addresses alone."""
    settings = {"receipt_url": "https://pay.example/{reference}", "csms_receipts": True}
    play = till(settings=settings, can_csms_settle=lambda: True, **REPORTED)
    payment = finished(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (said,) = reports(play)
    assert (said.receipt_url, said.receipt_id) == ("", "")
    assert play.screens[1].values["qr_url"] == ""
    for url in ("http://elsewhere.example/1", "javascript:alert(1)"):
        play.feed(ReceiptReceived(LINK, "s2", url))
        assert play.screens[1].values["qr_url"] == ""
    play.feed(ReceiptReceived("another", "s2", "https://csms.example/1"))
    assert play.screens[1].values["qr_url"] == ""
    play.feed(ReceiptReceived(LINK, "s2", "https://csms.example/1"))
    assert (play.screens[1].name, play.screens[1].values["qr_url"]) == (ScreenName.FINISHED, "https://csms.example/1")


def test_what_the_backend_settles_is_neither_charged_nor_released() -> None:
    """C21.FR.05, C21.FR.06, C21.FR.07: SettlementByCSMS."""
    settings = {"csms_settles": True, "receipt_url": "https://pay.example/r"}
    play = till(settings=settings, can_csms_settle=lambda: True, **REPORTED)
    payment = finished(play)
    assert play.screens[1].values["qr_url"] == "https://pay.example/r"
    stored = record(play, payment)
    assert (stored["later_state"], stored["cents"]) == ("LeftToCsms", 250)
    assert (stored["state"], stored["reviewed"]) == ("Uncertain", True), "what a program before 2.1 reads"
    assert Payment.from_record(payment, stored).state is PayState.LEFT_TO_CSMS
    assert not [o for o in play.log if isinstance(o, CommitPayment | VoidPayment)]
    assert sent(play, TransactionEnded).cost.cents == 250
    assert reports(play) == []
    play.skip().restart().skip()
    assert not [o for o in play.log if isinstance(o, CommitPayment | VoidPayment)], "nor after a restart"


def test_what_costs_nothing_is_released_even_if_the_backend_settles() -> None:
    play = till(settings={"csms_settles": True}, can_csms_settle=lambda: True, **REPORTED)
    payment = paid(play)
    unplugged(play, 1000)
    play.skip()
    assert VoidPayment(0, payment, 7) in play.log


@pytest.mark.parametrize("links", [(), (LINK,)], ids=["no message", "by DataTransfer"])
def test_the_terminal_charges_where_the_version_does_not_let_the_backend_settle(links: tuple[str, ...]) -> None:
    """A backend of 2.1 has set it; the station speaks 1.6 or 2.0.1 now, in which it cannot be taken back."""
    spoken = ["2.1"]
    store = {"setting": {"csms_settles": {"text": "true"}}}
    play = till(can_csms_settle=lambda: spoken[0] == "2.1", settlement_links=links, store=store)
    assert play.site.settings.bool_value("csms_settles")
    assert unused_setting_notes(play) == []
    spoken[0] = "1.6"
    payment = finished(play.skip())
    assert record(play, payment)["state"] == "CommitPending"
    assert CommitPayment(0, payment, 7, 250) in play.log
    for up in (False, True, False, True):
        play.skip().feed(LinkChanged(LINK, up))
    assert unused_setting_notes(play) == [UNUSED_SETTINGS["csms_settles"]], "once"
    play.skip().restart().skip()
    assert unused_setting_notes(play) == [UNUSED_SETTINGS["csms_settles"]] * 2, "and at the start"


def test_the_station_makes_the_receipt_where_the_version_does_not_bring_one() -> None:
    """ReceiptByCSMS was set in 2.1; the station speaks 1.6 or 2.0.1 now, in which it cannot be taken back."""
    spoken = ["2.1"]
    settings = {"receipt_url": "https://pay.example/{reference}", "csms_receipts": True}
    play = till(settings=settings, can_csms_settle=lambda: spoken[0] == "2.1", **REPORTED)
    spoken[0] = "1.6"
    play.skip().feed(LinkChanged(LINK, True))
    payment = finished(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (said,) = reports(play)
    assert said.receipt_url == f"https://pay.example/{payment_reference('PY', payment)}"
    assert play.screens[1].values["qr_url"] == said.receipt_url
    assert unused_setting_notes(play) == [UNUSED_SETTINGS["csms_receipts"]]


def test_a_driver_who_stops_before_any_energy_pays_nothing() -> None:
    """C20.FR.01, C20.FR.04."""
    play = till(**REPORTED)
    payment = paid(play)
    play.wait(31).skip()
    play.feed(BankCardRead(0, offer(play), CARD))
    play.skip().feed(ContactorOpened(1))
    play.skip().wait(11).skip()
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1000)))
    ended = sent(play, TransactionEnded)
    assert (ended.trigger, ended.cost.cents) == (TriggerReason.STOP_AUTHORIZED, 0)
    assert VoidPayment(0, payment, 7) in play.log


def test_a_cancelled_transaction_is_reported_with_its_id() -> None:
    """C20.FR.04, C20.FR.05."""
    play = till(**REPORTED)
    payment = paid(play)
    unplugged(play, 1000)
    play.skip()
    assert reports(play) == []
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (said,) = reports(play)
    assert said == SettlementReported(
        payment_reference("PY", payment), SettlementStatus.CANCELED, 0, said.at, "s2", info=""
    )


@pytest.mark.parametrize("asks", [True, False])
def test_a_right_that_no_vehicle_came_for_is_reported_if_the_backend_gave_it(asks: bool) -> None:
    """C19.FR.01, C19.FR.02: no transaction, and a backend that was not asked knows nothing of it."""
    play = till(settings={"payment_authorize_first": asks}, **REPORTED)
    payment = tapped(play)
    if asks:
        (order,) = [o for o in play.log if isinstance(o, AuthorizeToken)]
        play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    play.skip().wait(301).skip()
    assert VoidPayment(0, payment, 7) in play.log
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    assert [(r.status, r.transaction) for r in reports(play)] == ([(SettlementStatus.CANCELED, "")] if asks else [])


def test_a_transaction_without_a_vehicle_is_cancelled_by_its_id() -> None:
    """C20.FR.02: TxStartPoint Authorized, EVConnectTimeout."""
    play = till(settings={"tx_start_points": (TxPoint.AUTHORIZED, TxPoint.POWER_PATH)}, evses=2, **REPORTED)
    payment = tapped(play)
    play.skip().wait(301).skip()
    started, ended = sent(play, TransactionStarted), sent(play, TransactionEnded)
    assert (started.session, ended.trigger) == (ended.session, TriggerReason.EV_CONNECT_TIMEOUT)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (said,) = reports(play)
    assert (said.status, said.transaction) == (SettlementStatus.CANCELED, started.session)


def test_a_refused_settlement_is_reported_once_and_a_later_success_too() -> None:
    """C22.FR.01."""
    play = till(settings={"receipt_url": "https://pay.example/r"}, **REPORTED)
    payment = finished(play)
    play.feed(PaymentSettled(0, payment, Settlement.REFUSED))
    play.skip().wait(61).skip()
    play.feed(PaymentSettled(0, payment, Settlement.REFUSED))
    play.skip().wait(61).skip()
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    first, last = reports(play)
    assert (first.status, first.cents, first.receipt_url, first.transaction) == (
        SettlementStatus.REJECTED, 250, "", "s2",
    )  # fmt: skip
    assert (last.status, last.cents, last.receipt_url) == (SettlementStatus.SETTLED, 250, "https://pay.example/r")


def test_a_settlement_that_failed_for_good_is_reported_with_the_reason() -> None:
    """C22.FR.02."""
    play = till(schedule_s=(60.0,), **REPORTED)
    payment = finished(play)
    for _ in range(2):
        play.feed(PaymentSettled(0, payment, None))
        play.skip().wait(61).skip()
    (said,) = reports(play)
    assert said == SettlementReported(
        payment_reference("PY", payment), SettlementStatus.FAILED, 250, said.at, "s2",
        info="no answer within the schedule",
    )  # fmt: skip


def test_a_backend_without_the_message_gets_nothing() -> None:
    play = till()
    payment = finished(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    assert reports(play) == []


def test_the_ceiling_is_a_limit_of_cost() -> None:
    """E16.FR.06."""
    play = till(**REPORTED)
    paid(play, amount_cents=200)
    charge(play, 5000, 100)
    stop = play.session().stop
    assert stop is not None
    assert (stop.reason, stop.trigger) == (StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.COST_LIMIT)

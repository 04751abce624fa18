"""The receipt of a card payment: issued once with the amount that is settled, under consecutive numbers; and what a
person may order about a payment that is not settled (decision 67)."""

from __future__ import annotations

from decimal import Decimal
from math import inf
from typing import Any

import pytest

from agent.domain.blocks.payment_retention import FINISHED_MAX
from agent.domain.messages import SettlementReported, SettlementStatus
from agent.domain.orders import InformSinks, Persist, Send
from agent.domain.payment import (
    DAY_S,
    PayState,
    payment_reference,
)
from agent.domain.payment_receipt import ReceiptTerms, receipt_number
from agent.domain.settlement_orders import (
    PaymentRetryOrdered,
    PaymentVoidOrdered,
    PaymentWriteOffOrdered,
)
from agent.domain.tariff import Rates, Tariff, Window
from agent.domain.terminal_messages import (
    BankCardRead,
    CommitPayment,
    PaymentApproved,
    PaymentDocumented,
    PaymentSettled,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.domain.timers import Timer, TimerKind
from agent.domain.vat_messages import VatNumberJudged
from agent.model.bank_card import AcquirerRecord, Settlement
from agent.model.fastclass import replace
from agent.model.types import Fault
from agent.services.receipts.receipt_document import receipt_document
from tests.domain.playbook import EMPTY, LINK, PLUGGED, Playbook
from tests.domain.test_plays_payment import (
    AMOUNT,
    CARD,
    OPENED,
    PLUG,
    SELF,
    charge,
    energised,
    offer,
    paid,
    record,
    tapped,
    till,
    unplugged,
)
from tests.domain.test_plays_vat_number import COMPANY, entered

SELLER = {"name": "Energy SA", "address": ["1, rue du Test", "L-1000 Luxembourg"], "vat_number": "LU12345678"}
TERMS = ReceiptTerms(SELLER, "CHY42", "42", {1: "LU*CHY*E42*1"})
TARIFF = Tariff(kwh=Decimal("0.50"), session=Decimal("1.00"), vat_percent=Decimal(17))
SETTLES: dict[str, Any] = {"settlement_links": (LINK,)}


def shop(**options: Any) -> Playbook:
    return till(**{"tariff": TARIFF, "receipts": TERMS, **options})


def session(play: Playbook, end_wh: int = 6001) -> str:
    """A whole session of 5.001 kWh. The terminal has been asked to charge it."""
    payment = paid(play)
    charge(play, 5000, 100)
    unplugged(play, end_wh)
    play.skip()
    return payment


def again(play: Playbook, end_wh: int, number: int) -> str:
    """The next driver, whose hold has this number."""
    (play >> PLUG).skip()
    payment = tapped(play, number=number)
    energised(play, meter_wh=6001)
    unplugged(play, end_wh)
    play.skip()
    return payment


def receipts(play: Playbook) -> list[dict[str, Any]]:
    return sorted(play.store.get("receipt", {}).values(), key=lambda r: str(r["number"]))


# --- the receipt -----------------------------------------------------------------------------------------------------


def test_the_receipt_is_stored_with_the_amount_that_is_settled() -> None:
    """In one transaction: number, receipt, amount. The terminal is asked behind it."""
    play = shop()
    payment = paid(play)
    charge(play, 5000, 100)
    mark = len(play.log)
    unplugged(play, 6001)
    closing = [o for o in play.log[mark:] if isinstance(o, Persist | CommitPayment)]
    kinds = [o.kind if isinstance(o, Persist) else "commit" for o in closing]
    assert kinds[-4:] == ["receipts", "receipt", "payment", "commit"]
    assert closing[-1] == CommitPayment(0, payment, 7, 350)
    assert record(play, payment)["receipt"] == receipts(play)[0]["number"]


def test_the_receipt_says_all_of_the_sale() -> None:
    play = shop()
    (play >> PLUG).skip()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.feed(PaymentApproved(0, payment, 7, AMOUNT, acquirer=AcquirerRecord("HTR1", "00", "SIM,123456")))
    play.skip()
    energised(play)
    charge(play, 5000, 100)
    unplugged(play, 6001)
    play.skip()
    (receipt,) = receipts(play)
    ours = play.ended()[-1]
    assert receipt["reference"] == payment_reference("PY", payment)
    assert (receipt["begin_wh"], receipt["end_wh"], receipt["energy_wh"]) == (1000, ours.meter_wh, 5001)
    assert (receipt["cents"], receipt["vat_cents"], receipt["net_cents"]) == (350, 51, 299)
    assert receipt["vat_percent"] == "17"
    assert receipt["components"] == [
        {"kind": "kwh", "cents": 250, "rates": [["0.50", 5001, "Wh"]]},
        {"kind": "session", "cents": 100, "rates": [["1.00", 1, "1"]]},
    ]
    assert receipt["seller"] == SELLER
    assert (receipt["station"], receipt["place"], receipt["outlet"]) == ("42", "LU*CHY*E42*1", 1)
    assert receipt["card"] == {"last4": "1234", "brand": "VISA"}
    assert receipt["acquirer"] == {"reference": "HTR1", "response": "00", "data": "SIM,123456"}
    assert receipt["terminal"] == {"evse": 0, "serial": "", "hold": 7}
    assert receipt["began_utc_s"] < receipt["ended_utc_s"] <= receipt["issued_utc_s"]
    assert record(play, payment)["acquirer"] == receipt["acquirer"]


def test_what_the_acquirer_says_behind_the_approval_is_on_the_receipt_that_comes_later() -> None:
    """Of the hold with that number alone. A receipt that was issued does not change, and a bill neither."""
    play = shop()
    payment = paid(play)
    play.feed(PaymentDocumented(0, 7, AcquirerRecord("HTR1", receipt="SHOP\nAUTH 1")))
    play.feed(PaymentDocumented(0, 8, AcquirerRecord("HTR2")))
    play.feed(PaymentDocumented(0, 7, AcquirerRecord("HTR9", "00")))
    said = {"reference": "HTR1", "response": "00", "receipt": "SHOP\nAUTH 1"}
    assert record(play.skip(), payment)["acquirer"] == said, "what was said first counts"
    play.restart(state=PLUGGED).skip()
    charge(play, 5000, 100)
    unplugged(play, 6001)
    (receipt,) = receipts(play.skip())
    assert receipt["acquirer"] == said
    document = receipt_document(receipt, None, "en", "UTC")
    assert ("Receipt of the terminal", "SHOP / AUTH 1") in document.card
    play.feed(PaymentDocumented(0, 7, AcquirerRecord(data="LATER")))
    assert receipts(play.skip()) == [receipt]
    assert record(play, payment)["acquirer"] == {**said, "data": "LATER"}


def test_numbers_go_on_over_a_restart() -> None:
    play = shop()
    session(play)
    play.feed(PaymentSettled(0, offer_before(play), Settlement.DONE))
    play.skip().restart(state=EMPTY).skip()
    (play >> OPENED).skip()
    again(play, 8001, 8)
    first, second = receipts(play)
    assert first["number"].rpartition("-")[0] == second["number"].rpartition("-")[0]
    assert [r["number"].rpartition("-")[2] for r in (first, second)] == ["000001", "000002"]


def offer_before(play: Playbook) -> str:
    """The payment that the terminal was asked to charge last."""
    return [o for o in play.log if isinstance(o, CommitPayment)][-1].payment


def test_a_session_without_energy_uses_no_number() -> None:
    play = shop()
    session(play, 1000 + 0)
    assert receipts(play)[0]["energy_wh"] == 4000, "the register does not fall"
    play = shop()
    paid(play)
    unplugged(play, 1000)
    play.skip()
    assert receipts(play) == []
    assert play.store["receipts"]["made"]["number"] == 0


def test_a_store_without_a_series_begins_a_new_one() -> None:
    """One that may have lost something forgets it (``tests/services/test_store_witness.py``)."""
    play = shop()
    session(play)
    before = dict(play.store["receipts"]["made"])
    play.feed(PaymentSettled(0, offer_before(play), Settlement.DONE))
    play.skip()
    del play.store["receipts"]
    play.restart(state=EMPTY).skip()
    begun = dict(play.store["receipts"]["made"])
    assert begun["tag"] != before["tag"]
    assert begun["number"] == 0
    play.restart(state=EMPTY).skip()
    assert play.store["receipts"]["made"] == begun, "it begins once"


def test_what_the_backend_makes_or_charges_has_no_receipt_here() -> None:
    for name in ("csms_receipts", "csms_settles"):
        play = shop(settings={name: True}, can_csms_settle=lambda: True, **SETTLES)
        session(play)
        assert receipts(play) == [], name


def test_a_backend_whose_version_brings_no_receipt_leaves_it_to_the_station() -> None:
    """ReceiptByCSMS outlives the version in which it was set."""
    play = shop(settings={"csms_receipts": True}, can_csms_settle=lambda: False, **SETTLES)
    session(play)
    assert len(receipts(play)) == 1


def test_the_backend_gets_the_number_of_the_receipt() -> None:
    """C21.FR.04."""
    play = shop(settings={"receipt_url": "https://pay.example/r/{reference}"}, **SETTLES)
    payment = session(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (said,) = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]
    assert said.receipt_id == receipts(play)[0]["number"] == receipt_number("CHY42", said.receipt_id[6:10], 1)
    assert said.receipt_url == f"https://pay.example/r/{receipts(play)[0]['reference']}"


def test_the_sinks_learn_it_whatever_the_backend_speaks() -> None:
    play = shop(informs_sinks=True)
    payment = session(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    (order,) = [o for o in play.log if isinstance(o, InformSinks)]
    assert isinstance(order.message, SettlementReported)
    assert (order.message.cents, order.message.receipt_id) == (350, receipts(play)[0]["number"])
    assert not [o for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]


@pytest.mark.parametrize("accepted", [True, False, None])
def test_the_receipt_names_the_buyer_who_has_entered_a_vat_number(accepted: bool | None) -> None:
    """One that the backend has rejected is none."""
    play = shop(vat_numbers=True, vat_prefix="LU", **SETTLES)
    payment = paid(play)
    entered(play)
    if accepted is not None:
        play.feed(VatNumberJudged(LINK, payment, "LU12345678", accepted, COMPANY))
    charge(play, 5000, 100)
    unplugged(play, 6001)
    (receipt,) = receipts(play.skip())
    company = dict(COMPANY) if accepted else {}
    wanted = None if accepted is False else {"vat_number": "LU12345678", "company": company}
    assert receipt.get("buyer") == wanted
    shown = dict(receipt_document(receipt, None, "en", "UTC").facts)
    assert shown.get("VAT number of the customer") == (wanted and "LU12345678")
    assert shown.get("Customer") == ("Sàrl Example, 1, rue X, Luxembourg, LU" if accepted else None)


def test_no_more_than_was_held_is_on_the_receipt() -> None:
    play = shop()
    paid(play, 300)
    unplugged(play, 9001)
    play.skip()
    (receipt,) = receipts(play)
    assert receipt["cents"] == 300 == sum(c["cents"] for c in receipt["components"])
    assert receipt["components"][-1]["kind"] == "maximum"


def test_windows_with_one_rate_are_one_line() -> None:
    week = tuple(range(7))
    windows = (
        Window(week, 0, 480, Rates(kwh=Decimal("0.40"))),
        Window(week, 480, 960, Rates(kwh=Decimal("0.60"))),
        Window(week, 960, 1440, Rates(kwh=Decimal("0.40"))),
    )
    tariff = Tariff(kwh=Decimal("0.50"), windows=windows)
    usage = tariff.start_usage().advance_to(0.0, 0, True)
    for hour in range(24):
        for minute in range(1, 61):
            at_s = 3600.0 * hour + 60.0 * minute
            usage = usage.advance_to(at_s, int(at_s) // 60, True)
    rated = tariff.rated_quantities(usage, "kwh")
    assert rated == (("0.40", 960, "Wh"), ("0.60", 480, "Wh"))
    cents = sum(Decimal(rate) * count / 10 for rate, count, _ in rated)
    assert tariff.total_cents(usage) == round(cents)


# --- what a person orders --------------------------------------------------------------------------------------------

SCHEDULE = (60.0, 60.0)


def unanswered(asked: bool = True) -> tuple[Playbook, str]:
    """A bill that is not charged: the terminal was asked and has not answered, or is away."""
    play = shop(schedule_s=SCHEDULE)
    payment = paid(play)
    if not asked:
        play.feed(TerminalLost(0))
    unplugged(play, 6001)
    play.skip()
    if asked:
        play.feed(PaymentSettled(0, payment, None))
        play.skip()
    return play, payment


def commits(play: Playbook) -> int:
    return sum(isinstance(o, CommitPayment) for o in play.log)


def test_a_retry_asks_at_once_with_the_same_number_and_amount() -> None:
    play, payment = unanswered()
    play.feed(PaymentRetryOrdered(payment))
    assert [o for o in play.log if isinstance(o, CommitPayment)] == [CommitPayment(0, payment, 7, 350)] * 2
    play.feed(PaymentRetryOrdered(payment))
    assert commits(play) == 2, "one is under way"
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.feed(PaymentRetryOrdered(payment))
    play.skip()
    assert (commits(play), record(play, payment)["state"]) == (2, "Committed")
    assert record(play, payment)["settled_utc_s"] == play.now.utc_s


def test_a_payment_that_no_one_could_ask_about_is_retried() -> None:
    """After the schedule; the fault goes with the charge."""
    play, payment = unanswered(asked=False)
    play.skip().wait(200).skip()
    assert record(play, payment)["why"] == "the terminal was never there"
    assert Fault.PAYMENT_UNCERTAIN in play.statuses[1].faults
    play.feed(PaymentRetryOrdered(payment))
    assert (record(play, payment)["state"], commits(play)) == (PayState.COMMIT_PENDING, 0), "the terminal is away"
    (play.skip() >> TerminalOpened(0, SELF)).skip()
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    assert record(play, payment)["state"] == "Committed"
    assert Fault.PAYMENT_UNCERTAIN not in play.statuses[1].faults


def test_what_may_be_charged_is_never_released_instead() -> None:
    play, payment = unanswered()
    play.feed(PaymentVoidOrdered(payment, "the meter was wrong"))
    play.skip()
    assert not [o for o in play.log if isinstance(o, VoidPayment)]
    assert record(play, payment)["state"] == "CommitPending"


def test_a_bill_that_was_never_sent_can_be_given_up() -> None:
    play, payment = unanswered(asked=False)
    play.feed(PaymentVoidOrdered(payment, "the meter was wrong"))
    play.skip()
    (play >> TerminalOpened(0, SELF)).skip()
    assert VoidPayment(0, payment, 7) in play.log
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    kept = record(play, payment)
    assert (kept["state"], kept["why"], commits(play)) == ("Voided", "voided by a person: the meter was wrong", 0)
    assert kept["receipt"] == receipts(play)[0]["number"], "the number was used"


def voided_in_vain(schedule_s: tuple[float, ...] = SCHEDULE) -> tuple[Playbook, str]:
    """A bill that a person has given up. The terminal has not answered the release."""
    play = shop(schedule_s=schedule_s)
    payment = session(play)
    play.feed(PaymentSettled(0, payment, Settlement.REFUSED))
    play.feed(PaymentVoidOrdered(payment, "the meter was wrong"))
    for _ in range(len(schedule_s) + 1):
        play.feed(PaymentSettled(0, payment, None))
        play.skip().wait(70).skip()
    return play, payment


@pytest.mark.parametrize("order", [PaymentRetryOrdered, PaymentVoidOrdered])
def test_a_bill_that_was_given_up_is_never_charged(order: Any) -> None:
    """Whatever is ordered after it, and over a restart."""
    play, payment = voided_in_vain()
    left = record(play, payment)
    reason = "no answer within the schedule; voided by a person: the meter was wrong"
    assert (left["state"], left["why"]) == ("Uncertain", reason)
    play.skip().restart(state=EMPTY).skip()
    (play >> OPENED).skip()
    mark = len(play.log)
    play.feed(order(payment, "again"))
    assert [o for o in play.log[mark:] if isinstance(o, CommitPayment | VoidPayment)] == [VoidPayment(0, payment, 7)]
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    kept = record(play, payment)
    assert (kept["state"], kept["cents"], kept["owed_cents"], commits(play)) == ("Voided", 0, 350, 1)


def test_a_bill_that_was_given_up_is_not_reported_as_owed() -> None:
    play, payment = voided_in_vain((60.0, 40 * DAY_S))
    play.wait(3 * DAY_S).skip()
    assert record(play, payment)["state"] == "VoidPending"
    assert Fault.PAYMENT_UNCERTAIN not in play.statuses[1].faults


def test_a_hold_that_is_reported_late_is_released_after_a_write_off() -> None:
    play = shop()
    (play >> PLUG).skip()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.skip().wait(700).skip()
    assert record(play, payment)["state"] == "Uncertain"
    play.feed(PaymentWriteOffOrdered(payment, "gone"))
    play.feed(PaymentApproved(0, payment, 7, AMOUNT))
    assert VoidPayment(0, payment, 7) in play.log
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.feed(PaymentApproved(0, payment, 7, AMOUNT))
    assert sum(isinstance(o, VoidPayment) for o in play.log) == 1


def test_a_payment_that_is_written_off_is_asked_about_no_more() -> None:
    play, payment = unanswered()
    play.feed(PaymentWriteOffOrdered(payment, "paid in cash"))
    play.skip().wait(3600).skip()
    (play >> TerminalOpened(0, SELF)).skip()
    kept = record(play, payment)
    assert (commits(play), kept["later_state"]) == (1, "WrittenOff")
    assert kept["why"] == "written off by a person: paid in cash"
    assert (kept["state"], kept["reviewed"]) == ("Uncertain", True), "what an earlier program makes of it"
    play.restart(state=EMPTY).skip()
    (play >> TerminalOpened(0, SELF)).skip()
    assert commits(play) == 1
    assert Fault.PAYMENT_UNCERTAIN not in play.statuses[1].faults


def test_nothing_is_written_off_while_the_terminal_is_asked() -> None:
    play = shop()
    payment = session(play)
    play.feed(PaymentWriteOffOrdered(payment, "impatient"))
    play.skip()
    assert record(play, payment)["state"] == "CommitPending"
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    assert record(play, payment)["state"] == "Committed"


@pytest.mark.parametrize("order", [PaymentRetryOrdered, PaymentVoidOrdered, PaymentWriteOffOrdered])
def test_a_session_that_runs_is_not_settled_by_hand(order: Any) -> None:
    play = shop()
    payment = paid(play)
    play.feed(order(payment, "why"))
    play.skip()
    assert record(play, payment)["state"] == PayState.ACTIVE


def test_a_backend_hears_once_that_a_payment_has_failed() -> None:
    play = till(receipts=TERMS, tariff=TARIFF, schedule_s=SCHEDULE, **SETTLES)
    payment = paid(play)
    play.feed(TerminalLost(0))
    unplugged(play, 6001)
    play.skip().wait(200).skip()
    play.feed(PaymentWriteOffOrdered(payment, "gone"))
    said = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]
    assert [m.status for m in said] == [SettlementStatus.FAILED]


# --- what is kept ----------------------------------------------------------------------------------------------------


def done_payment(n: int, template: dict[str, Any], at_s: float) -> dict[str, Any]:
    token = {**template["token"], "value": f"PY{n:012}"}
    return {**template, "token": token, "at": {**template["at"], "t_s": at_s}, "reservation": 100 + n}


def test_payments_beyond_the_newest_are_kept_on_disk_only() -> None:
    """None is given up before it is exported."""
    play = shop()
    template = record(play, session_settled(play))
    for n in range(FINISHED_MAX + 30):
        play.store["payment"][f"old{n:04}"] = done_payment(n, template, 10.0 + n)
    play.skip().restart(state=PLUGGED).skip()
    assert len(play.store["payment"]) == FINISHED_MAX
    assert sorted(play.store["payment_archive"]) == [f"old{n:04}" for n in range(31)]
    assert play.store["payment_archive"]["old0000"]["cents"] == template["cents"]


def session_settled(play: Playbook) -> str:
    payment = session(play)
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    play.skip()
    return payment


def test_the_card_is_forgotten_before_the_payment() -> None:
    play = till(tariff=TARIFF, receipts=replace(TERMS, card_s=3 * DAY_S), keep_s=9 * DAY_S)
    payment = session_settled(play)
    assert record(play, payment)["card"] == ["m1", "1234", "VISA"]
    play.wait(5 * DAY_S).skip()
    assert (record(play, payment)["card"], record(play, payment)["cents"]) == (["", "", ""], 350)
    play.wait(5 * DAY_S).skip()
    assert payment not in play.store["payment"]


def test_the_card_is_forgotten_where_no_receipts_are_issued() -> None:
    play = till(tariff=TARIFF, keep_s=inf)
    payment = session_settled(play)
    assert record(play, payment)["card"] == ["m1", "1234", "VISA"]
    del play.timers[Timer(TimerKind.FULL_MINUTE)]  # which draws the screen, here a quarter of a million times
    play.wait(181 * DAY_S).skip()
    assert (record(play, payment)["card"], record(play, payment)["cents"]) == (["", "", ""], 350)

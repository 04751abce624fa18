"""A driver who pays with a bank card enters a VAT number for the receipt (OCPP 2.1 C18.FR.08)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import ButtonPressed
from agent.domain.messages import SettlementReported
from agent.domain.orders import Send
from agent.domain.terminal_messages import CommitPayment, PaymentSettled
from agent.domain.vat_messages import VatNumberGiven, VatNumberJudged
from agent.model.bank_card import Settlement
from agent.model.types import ScreenName
from tests.domain.playbook import LINK, PLUGGED, Playbook
from tests.domain.test_plays_payment import CARD, OTHER, PLUG, charge, energised, paid, record, tapped, till, unplugged

VAT_REPORTED: dict[str, Any] = {"settlement_links": (LINK,), "vat_numbers": True, "vat_prefix": "LU"}
COMPANY = (("name", "Sàrl Example"), ("address1", "1, rue X"), ("city", "Luxembourg"), ("country", "LU"))


def typed(play: Playbook, *names: str) -> Playbook:
    for name in names:
        play.feed(ButtonPressed(name))
    return play.skip()


def entered(play: Playbook, digits: str = "12345678") -> Playbook:
    return typed(play, "vat", *(f"key-{d}" for d in digits), "key-ok")


def questions(play: Playbook) -> list[VatNumberGiven]:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, VatNumberGiven)]


def reports(play: Playbook) -> list[tuple[str, Any]]:
    sent = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]
    return [(m.vat_number, m.vat_company) for m in sent]


def shown(play: Playbook, evse: int = 1) -> tuple[Any, Any]:
    values = play.screens[evse].values
    return values.get("vat_state"), values.get("vat_text")


def settled(play: Playbook, payment: str, wh: int = 6001) -> Playbook:
    charge(play, 5000, 100)
    unplugged(play, wh)
    play.skip().feed(PaymentSettled(0, payment, Settlement.DONE))
    return play.skip()


def test_the_backend_is_asked_and_the_receipt_has_the_number() -> None:
    """C18.FR.08, C21.FR.02."""
    play = till(**VAT_REPORTED)
    payment = paid(play)
    typed(play, "vat")
    assert shown(play) == ("entry", "LU")
    typed(play, "key-1", "key-2", "key-3", "key-delete", "key-9")
    assert shown(play) == ("entry", "LU129")
    typed(play, "key-ok")
    assert questions(play) == [VatNumberGiven(payment, 1, "LU129")]
    assert shown(play) == ("asked", "LU129")
    assert record(play, payment)["vat"] == ["LU129", "", {}], "on disk before it is asked about"
    play.feed(VatNumberJudged(LINK, payment, "LU129", True, COMPANY))
    assert shown(play) == ("accepted", "Sàrl Example")
    assert play.screens[1].name is not ScreenName.REFUSED
    play.skip().wait(21).skip()
    assert shown(play) == (None, None)
    settled(play, payment)
    assert reports(play) == [("LU129", COMPANY)]


def test_it_can_be_entered_before_the_session_begins() -> None:
    """At any time before the settlement."""
    play = till(**VAT_REPORTED)
    payment = tapped(play)
    entered(play)
    assert questions(play) == [VatNumberGiven(payment, 1, "LU12345678")]
    (play >> PLUG).skip()
    energised(play)
    play.feed(VatNumberJudged(LINK, payment, "LU12345678", True))
    settled(play.skip(), payment)
    assert reports(play) == [("LU12345678", ())]


def test_a_number_that_is_rejected_is_none() -> None:
    """C18.FR.09. The driver may correct it."""
    play = till(**VAT_REPORTED)
    payment = paid(play)
    entered(play)
    play.feed(VatNumberJudged(LINK, payment, "LU12345678", False, COMPANY))
    assert shown(play.skip()) == ("rejected", "LU12345678")
    entered(play, "87654321")
    play.feed(VatNumberJudged(LINK, payment, "LU12345678", True, COMPANY))
    assert record(play, payment)["vat"] == ["LU87654321", "", {}], "an answer about the number before"
    play.feed(VatNumberJudged(LINK, payment, "LU87654321", False))
    settled(play.skip(), payment)
    assert reports(play) == [("", ())]


def test_without_an_answer_the_receipt_has_the_number_alone() -> None:
    play = till(**VAT_REPORTED)
    payment = paid(play)
    entered(play)
    settled(play, payment)
    assert reports(play) == [("LU12345678", ())]


@pytest.mark.parametrize("keys", [(), ("key-1",), ("key-delete", "key-delete", *("key-1",) * 9)])
def test_what_is_no_number_is_not_sent(keys: tuple[str, ...]) -> None:
    play = till(**VAT_REPORTED)
    paid(play)
    typed(play, "vat", *keys, "key-ok")
    assert questions(play) == []
    assert shown(play)[0] == "incomplete"
    typed(play, "key-2")
    assert shown(play)[0] == "entry", "it can be corrected"


def test_a_number_of_another_country_and_its_greatest_length() -> None:
    play = till(**VAT_REPORTED)
    payment = paid(play)
    typed(play, "vat", "key-delete", "key-delete", "key-f", "key-R", *("key-1",) * 30, "key-?", "key-ä", "key-ok")
    assert questions(play) == [VatNumberGiven(payment, 1, "FR" + "1" * 18)]


def test_an_entry_is_given_up_by_its_key_or_its_time() -> None:
    play = till(**VAT_REPORTED)
    paid(play)
    typed(play, "vat", "key-1", "vat")
    assert shown(play) == (None, None)
    typed(play, "vat", "key-1")
    play.wait(59).skip()
    typed(play, "key-2")
    play.wait(59).skip()
    assert shown(play) == ("entry", "LU12")
    play.wait(2).skip()
    assert shown(play) == (None, None)
    typed(play, "key-1", "key-ok", "key-delete")
    assert questions(play) == []


def test_without_a_payment_there_is_nothing_to_enter() -> None:
    play = typed(till(**VAT_REPORTED), "vat", "key-1", "key-ok")
    assert shown(play) == (None, None)
    payment = paid(play)
    unplugged(play, 3000)
    play.skip()
    assert CommitPayment(0, payment, 7, 100) in play.log
    entered(play)
    assert questions(play) == [], "the settlement is on its way"


def test_with_several_payments_the_outlet_is_said_first() -> None:
    play = till(2, **VAT_REPORTED)
    first = tapped(play)
    assert first
    second = tapped(play, OTHER, number=8)
    typed(play, "vat", "key-1")
    assert (shown(play, 1), shown(play, 2)) == ((None, None), (None, None))
    assert play.screens[1].name is ScreenName.CHOOSE_OUTLET
    where = record(play, second)["evse"]
    typed(play, f"outlet-{where}", "vat", *("key-1",) * 8, "key-ok")
    assert questions(play) == [VatNumberGiven(second, where, "LU11111111")]


def test_a_number_outlives_the_agent() -> None:
    play = till(**VAT_REPORTED)
    payment = paid(play)
    entered(play)
    play.feed(VatNumberJudged(LINK, payment, "LU12345678", True, COMPANY))
    play.skip().restart(state=PLUGGED).skip()
    assert record(play, payment)["vat"] == ["LU12345678", "accepted", dict(COMPANY)]


def test_another_backend_judges_nothing() -> None:
    play = till(**VAT_REPORTED)
    payment = paid(play)
    entered(play)
    play.feed(VatNumberJudged("another", payment, "LU12345678", False))
    assert record(play, payment)["vat"] == ["LU12345678", "", {}]


def test_it_is_off_unless_the_station_file_says_so() -> None:
    play = till(settlement_links=(LINK,))
    payment = paid(play)
    entered(play)
    assert CARD.last4 == record(play, payment)["card"][1]
    assert "vat" not in record(play, payment)
    assert shown(play) == (None, None)

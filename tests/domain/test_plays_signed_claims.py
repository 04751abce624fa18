"""What a signed record says of who charges: only what has judged this driver, and the price that was agreed."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyocmf import OCMF

from agent.domain.events import (
    CablePlugged,
    CardPresented,
    ContactorOpened,
    LinkChanged,
    MeterKnown,
    MeterRead,
    RequestReceived,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
)
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.ocmf import Holder, identification_fields
from agent.domain.ocmf_tariff_text import ocmf_tariff_text
from agent.domain.orders import AuthorizeToken, ReadMeter
from agent.domain.reading_purposes import ReadingKind, begin_reading, end_reading
from agent.domain.requests import RemoteStartRequest
from agent.domain.session_records import Session
from agent.domain.tariff import Rates, Tariff, Window
from agent.domain.terminal_messages import BankCardRead, PaymentApproved
from agent.model.meter_signing import Signing, named_in, tariff_text
from agent.model.types import Judge, Token, TokenType
from tests.domain.playbook import ACCEPTED, EMPTY, LINK, A, Playbook, make_site, wh
from tests.domain.test_plays_payment import AMOUNT, CARD, offer, till
from tests.domain.test_plays_signing import EM580
from tests.support.record_signer import signing_in

LAW = Tariff(kwh=Decimal("0.59"), occupancy=Decimal("0.15"), grace_min=10, vat_percent=Decimal(17))
LAW_WORDS = "0.59 EUR/kWh, 0.15 EUR/min parked after 10 min, VAT 17% incl."


def claims(play: Playbook) -> Signing:
    """What a meter that signs got of the begin."""
    begun = [o.signing for o in play.log if isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.BEGIN]
    assert begun[-1] is not None
    return begun[-1]


def station(**options: Any) -> Playbook:
    play = Playbook(lambda: make_site(number="LU-1", **options))
    play.feed(MeterKnown(1, EM580))
    (play.skip() >> (CablePlugged(1), VehicleConnected(1))).skip()
    return play


def tapped(play: Playbook, judged: bool = True) -> Signing:
    play.feed(CardPresented(1, A))
    asks = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    assert bool(asks) is judged
    if asks:
        play.feed(TokenAuthorized(asks[-1].request, A, ACCEPTED))
    return claims(play.skip())


def test_a_card_that_the_backend_was_asked_about() -> None:
    said = tapped(station())
    assert (said.assigned, said.level, said.flags, said.id_type) == (
        True, "TRUSTED", ("RFID_PLAIN", "OCPP_AUTH"), "ISO14443",
    )  # fmt: skip
    assert said.price == ""


@pytest.mark.parametrize("online", [True, False])
def test_a_card_that_the_cache_knows(online: bool) -> None:
    """On line as well: no authorization was requested for this session."""
    play = station(settings={"local_pre_authorize": True, "auth_cache_enabled": True, "local_authorize_offline": True})
    tapped(play)
    play = play.restart(state=EMPTY)
    play.feed(MeterKnown(1, EM580))
    (play.skip() >> (CablePlugged(1), VehicleConnected(1))).skip()
    play.feed(LinkChanged(LINK, online))
    said = tapped(play.skip(), judged=False)
    assert (said.level, said.flags) == ("HEARSAY", ("RFID_PLAIN", "OCPP_CACHE"))


def test_a_card_on_the_list() -> None:
    play = station(settings={"local_pre_authorize": True, "local_list_enabled": True})
    play.site.local_list.entries[A.value.casefold()] = ACCEPTED
    said = tapped(play, judged=False)
    assert (said.level, said.flags) == ("HEARSAY", ("RFID_PLAIN", "OCPP_WHITELIST"))


def test_a_card_that_no_one_knows_off_line() -> None:
    play = station(settings={"offline_tx_for_unknown_id": True})
    play.feed(LinkChanged(LINK, False))
    said = tapped(play.skip(), judged=False)
    assert (said.level, said.flags) == ("HEARSAY", ("RFID_PLAIN",))


@pytest.mark.parametrize("asks", [True, False])
def test_a_remote_start(asks: bool) -> None:
    """No card was read here."""
    play = station(settings={"authorize_remote_start": asks})
    token = Token("APP-77", TokenType.CENTRAL)
    play.feed(RequestReceived(LINK, "q", RemoteStartRequest(1, token)))
    for o in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(o.request, token, ACCEPTED))
    said = claims(play.skip())
    flag = "OCPP_AUTH" if asks else "OCPP_RS"
    assert (said.level, said.flags, said.id_type, said.holder) == ("TRUSTED", (flag,), "CENTRAL", "APP-77")


def test_free_vending_assigns_no_one() -> None:
    play = Playbook(lambda: make_site(number="LU-1", free_vending=True))
    play.feed(MeterKnown(1, EM580))
    (play.skip() >> (CablePlugged(1), VehicleConnected(1))).skip()
    said = claims(play)
    assert (said.assigned, said.level, said.flags, said.id_type) == (False, "NONE", (), "NONE")


def bank_card(first: bool = False, key_folder: Path | None = None) -> Playbook:
    settings = {"payment_authorize_first": first, "sign_readings": True}
    signs = None if key_folder is None else signing_in(key_folder)
    play = till(tariff=LAW, settings=settings, number="LU-1", signs=signs)
    play.feed(MeterKnown(1, EM580 if key_folder is None else replace(EM580, signs=False)))
    (play.skip() >> (CablePlugged(1), VehicleConnected(1))).skip()
    payment = offer(play)
    play.feed(BankCardRead(0, payment, CARD))
    play.feed(PaymentApproved(0, payment, 7, AMOUNT))
    for o in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(o.request, o.token, ACCEPTED))
    return play.skip()


@pytest.mark.parametrize("first", [False, True])
def test_a_bank_card(first: bool) -> None:
    said = claims(bank_card(first))
    assert (said.level, said.id_type) == ("TRUSTED", "CARD_TXN_NR")
    assert said.flags == (("OCPP_AUTH",) if first else ())
    assert said.holder.startswith("PY")
    assert said.price == LAW_WORDS


@pytest.mark.parametrize("restarted", [False, True])
def test_the_stations_own_record_says_it_too(tmp_path: Path, restarted: bool) -> None:
    play = bank_card(key_folder=tmp_path)
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    session = play.session().id
    if restarted:
        play.skip().restart(new_boot=True, state=EMPTY).skip()
        play.feed(MeterRead(1, end_reading(1), wh(3000)))
    else:
        play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
        play.feed(ContactorOpened(1))
        play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(3000)))
    signed = play.ended()[-1].signed
    record = OCMF.from_string(signed.data)
    assert record.verify_signature(signed.public_key)
    said = json.loads(signed.data.split("|")[1])
    assert (said["IL"], said["IF"], said["IT"]) == ("TRUSTED", [], "CARD_TXN_NR")
    assert said["TT"] == f"{LAW_WORDS}; {session}"


def test_a_session_of_an_older_program_claims_nothing() -> None:
    """Its record does not say who has judged it."""
    play = station()
    tapped(play)
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    record = dict(play.session().to_record())
    del record["judged_by"], record["price"]
    old = Session.from_record("s9", json.loads(json.dumps(record)))
    said = identification_fields(Holder(old.token, old.judged_by, old.price, old.id))
    assert (said["IL"], said["IF"], old.price) == ("HEARSAY", ["RFID_PLAIN"], "")


def test_every_judge_has_its_claim() -> None:
    for judge in Judge:
        said = identification_fields(Holder(A, judge))
        assert len(said["IF"]) <= 4
        assert said["IL"] in ("HEARSAY", "TRUSTED")
        ours = [flag for flag in said["IF"] if flag.startswith("OCPP")]
        assert len(ours) == (judge not in (Judge.UNJUDGED, Judge.BANK))


# --- the words of the price ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tariff", "words"),
    [
        (LAW, LAW_WORDS),
        (Tariff(kwh=Decimal("0.5")), "0.50 EUR/kWh"),
        (
            Tariff(
                kwh=Decimal("0.4575"), minute=Decimal("0.02"), session=Decimal("1"), other=Decimal("0.3"),
                other_name="Gebühr | x", min_cents=100, max_cents=4500, currency="CHF", vat_percent=Decimal("8.1"),
            ),
            "0.4575 CHF/kWh, 0.02 CHF/min, 1.00 CHF once, 0.30 CHF Geb?hr / x, at least 1.00 CHF, at most 45.00 CHF,"
            " VAT 8.1% incl.",
        ),
        (
            Tariff(kwh=Decimal("0.6"), windows=(
                Window((0, 1), 0, 1440, Rates(kwh=Decimal("0.30"))), Window((2, 3, 4, 5, 6), 0, 1440, Rates()),
            )),
            "0.60 EUR/kWh, MoTu 00:00-24:00: 0.30 EUR/kWh",
        ),
    ],
)  # fmt: skip
def test_a_tariff_in_words(tariff: Tariff, words: str) -> None:
    assert ocmf_tariff_text(tariff) == words


def test_the_name_is_never_cut() -> None:
    name = "0f0e0d0c-0000-4000-8000-000000000001"
    for price in ("", "0.59 EUR/kWh", "x" * 400):
        for most in (119, 250):
            text = tariff_text(price, name, most)
            assert len(text) <= most
            assert named_in(text) == name
            assert text.startswith(price[:60])

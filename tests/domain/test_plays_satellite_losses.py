"""One terminal for two stations: what must not be lost when a satellite's word, outlet or price is not the expected one
(decision 73)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.blocks.payment_master import PaymentMaster
from agent.domain.events import CablePlugged, ClockTrusted, MeterRead, RequestReceived, TokenAccepted, VehicleConnected
from agent.domain.orders import LogNote, ReadMeter, Response, SetRelease
from agent.domain.requests import RemoteStartRequest
from agent.domain.satellite_messages import EndedReport, SatelliteMessageReceived, SupplyReport
from agent.domain.serialization import load_record
from agent.domain.session_usage import Sum, Usage
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import CommitPayment, PaymentSettled
from agent.model.bank_card import BankCard, Settlement
from agent.model.fastclass import replace
from agent.model.types import AuthorizationStatus, Token, Verdict
from tests.domain.playbook import EMPTY, LINK, Playbook, wh
from tests.domain.shared_terminal import NAME, NUMBER, SharedTerminal
from tests.support.domain_state import configure


def report_known_usage(pair: SharedTerminal, more_wh: int) -> None:
    """Energy flows, and a minute later the master has stored it."""
    pair.draw(more_wh)
    pair.wait(61)
    pair.draw(0)
    pair.deliver()


def captures(pair: SharedTerminal) -> list[CommitPayment]:
    return [o for o in pair.master.log if isinstance(o, CommitPayment)]


def log_lines(play: Playbook) -> list[str]:
    return [o.text for o in play.log if isinstance(o, LogNote)]


def test_a_final_usage_below_the_known_one_is_not_taken() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    report_known_usage(pair, 10_000)
    known = Usage.from_record(pair.payment(payment)["usage"])
    session = pair.payment(payment)["session"]
    lower = replace(known, wh=1000, sums=(Sum(),))
    pair.feed_master(SatelliteMessageReceived(NAME, EndedReport(payment, session, lower, SupplyReport(1000, 1000))))
    assert captures(pair) == [CommitPayment(0, payment, 7, 500)]
    assert pair.payment(payment)["usage"] == known.to_record()
    assert [line for line in log_lines(pair.master) if payment in line and "the last usage is charged" in line]


def test_a_final_register_with_less_energy_than_the_known_one_is_not_taken() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    report_known_usage(pair, 10_000)
    known = Usage.from_record(pair.payment(payment)["usage"])
    session = pair.payment(payment)["session"]
    less = replace(known, sums=(Sum(),))
    pair.feed_master(SatelliteMessageReceived(NAME, EndedReport(payment, session, less, SupplyReport(1000, 11_000))))
    assert captures(pair) == [CommitPayment(0, payment, 7, 500)]


def test_an_end_at_an_outlet_that_left_the_station_file_is_still_charged() -> None:
    """The satellite was cut off when the session ended, and comes back with a station file without this outlet."""
    pair = SharedTerminal()
    payment = pair.begin_charging()
    report_known_usage(pair, 1000)
    pair.cut()
    pair.draw(19_000)
    pair.unplug()
    pair.satellite.store["grant"][payment]["evse"] = 9
    pair.restart_satellite(plugged=False)
    pair.join()
    assert captures(pair) == [CommitPayment(0, payment, 7, 1000)]
    pair.feed_master(PaymentSettled(0, payment, Settlement.DONE))
    pair.deliver()
    assert pair.payment(payment)["state"] == "Committed"
    assert pair.grants() == {}
    assert not pair.satellite.store.get("poisoned")


def test_a_session_at_an_outlet_that_left_the_station_file_is_charged_by_its_last_usage() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    report_known_usage(pair, 4000)
    pair.cut()
    pair.satellite.store["grant"][payment]["evse"] = 9
    pair.satellite.store["session"].clear()
    pair.restart_satellite(plugged=False)
    pair.join()
    assert captures(pair) == [CommitPayment(0, payment, 7, 200)]


def test_a_grant_that_cannot_be_read_is_in_the_log() -> None:
    pair = SharedTerminal()
    payment = pair.begin_charging()
    pair.cut()
    pair.satellite.store["grant"][payment]["held_cents"] = "much"
    pair.satellite.skip().restart(state=EMPTY)
    assert list(pair.satellite.store["poisoned"]) == [f"grant/{payment}"]
    assert [line for line in log_lines(pair.satellite) if f"payment {payment} cannot be read" in line]


def boot_master_without_clock(pair: SharedTerminal, away_s: float) -> None:
    """The board of the master is without power for so long. Its clock is known again when ``trust_master_clock`` is
    called."""
    pair.cut()
    before_s = pair.master.now.utc_s
    assert before_s is not None
    pair.master.trusted = False
    pair.master.skip().restart(new_boot=True, state=EMPTY)
    pair.master.trusted = True
    at_s = pair.master.now.utc_s
    assert at_s is not None
    pair.master.clock_off_s += before_s + away_s - at_s
    pair.master.trusted = False


def trust_master_clock(pair: SharedTerminal) -> None:
    pair.master.trusted = True
    pair.feed_master(ClockTrusted())


def test_the_deadline_of_an_abandoned_session_follows_a_clock_that_comes_late() -> None:
    pair = SharedTerminal(hold_s=3600.0)
    payment = pair.begin_charging()
    report_known_usage(pair, 2000)
    boot_master_without_clock(pair, 3000)
    pair.master.skip().wait(60)
    trust_master_clock(pair)
    assert pair.payment(payment)["state"] == "Active"
    pair.master.skip().wait(1300)
    assert pair.payment(payment)["state"] == "Active"
    pair.master.skip().wait(100)
    assert pair.payment(payment)["cents"] == 100


def test_a_session_that_was_abandoned_before_a_clock_came_is_charged_then() -> None:
    pair = SharedTerminal(hold_s=3600.0)
    payment = pair.begin_charging()
    report_known_usage(pair, 2000)
    boot_master_without_clock(pair, 9000)
    assert pair.payment(payment)["state"] == "Active"
    trust_master_clock(pair)
    pair.master.skip().wait(1)
    assert pair.payment(payment)["cents"] == 100


@pytest.mark.parametrize(("currency", "is_sold"), [("EUR", True), ("CHF", False)])
def test_a_master_without_a_price_sells_in_the_currency_of_its_station_file(currency: str, is_sold: bool) -> None:
    pair = SharedTerminal()
    for evse in pair.master.site.evses.values():
        configure(evse, offer=None)
    pair.cut()
    for evse in pair.satellite.site.evses.values():
        configure(evse, offer=AdhocTariff(Tariff(kwh=Decimal("0.50"), currency=currency)))
    pair.join()
    pair.plug()
    outlet = pair.master.site.satellite_outlets[NUMBER]
    assert outlet.is_open is is_sold
    assert (outlet.tariff is not None) is is_sold


def test_a_token_that_is_granted_at_a_satellite_begins_nothing_at_the_master() -> None:
    """A backend starts a session with it, or the station itself does: the satellite may begin with it any moment."""
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    granted = load_record(pair.payment(payment)["token"], Token)
    pair.feed_master(CablePlugged(1))
    pair.feed_master(VehicleConnected(1))
    pair.feed_master(TokenAccepted(1, granted, Verdict(AuthorizationStatus.ACCEPTED)))
    for order in [o for o in pair.master.log if isinstance(o, ReadMeter)][-1:]:
        pair.feed_master(MeterRead(order.evse, order.purpose, wh(500)))
    assert not [o for o in pair.master.log if isinstance(o, SetRelease) and o.on]
    assert pair.payment(payment)["evse"] == NUMBER
    assert pair.payment(payment)["state"] == "Authorised"
    pair.deliver()
    pair.energize()
    assert pair.released()
    assert pair.payment(payment)["session"] == pair.satellite.session().id


def test_a_remote_start_with_a_token_that_is_granted_at_a_satellite_is_rejected() -> None:
    pair = SharedTerminal()
    pair.plug()
    payment = pair.tap()
    granted = load_record(pair.payment(payment)["token"], Token)
    orders = pair.feed_master(RequestReceived(LINK, "q1", RemoteStartRequest(1, granted)))
    assert [o.status for o in orders if isinstance(o, Response)] == ["Rejected"]


def test_a_payment_master_forgets_when_the_sessions_of_finished_payments_began() -> None:
    pair = SharedTerminal()
    payments = []
    for number in (7, 8, 9):
        pair.plug()
        pair.renew_offer()
        payments.append(pair.tap(BankCard(f"m{number}"), number=number))
        pair.deliver()
        pair.energize()
        pair.draw(1000)
        pair.unplug()
        pair.feed_master(PaymentSettled(0, payments[-1], Settlement.DONE))
        pair.deliver()
        pair.wait(60)
    master = next(b for b in pair.master.blocks._blocks if isinstance(b, PaymentMaster))
    assert list(master._begun_s) == payments[-1:]

"""A vehicle that blocks an outlet and takes no energy: it pays for the place where the tariff says so from the grant on
(``occupancy_from``), and nothing anywhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.events import ContactorClosed, MeterRead, OfferChanged, VehicleReady
from agent.domain.messages import ChargingState
from agent.domain.ocmf_tariff_text import ocmf_tariff_text
from agent.domain.reading_purposes import begin_reading
from agent.domain.session_usage import Usage
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import CommitPayment, PaymentSettled, VoidPayment
from agent.model.bank_card import Settlement
from agent.model.fastclass import replace
from agent.model.types import Stamp
from tests.domain.playbook import Playbook, wh
from tests.domain.test_plays_payment import PLUG, record, tapped, till, unplugged
from tests.domain.test_plays_receipt import TERMS
from tests.support.reading_purposes import LIVE

LAW = Tariff(kwh=Decimal("0.59"), occupancy=Decimal("0.15"), grace_min=10, vat_percent=Decimal(17))
GRANT = replace(LAW, from_grant=True)


def idle_for(play: Playbook, minutes: int) -> None:
    """The session begins, and the vehicle draws nothing of what it is offered."""
    play.feed(MeterRead(1, begin_reading(play.evse().progress.begin_try), wh(1000)))
    play.feed(OfferChanged(1, True))
    play.skip().wait(60).skip()
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EV
    for minute in range(minutes + 1):
        play.skip().wait(60 if minute else 0).skip()
        play.feed(MeterRead(1, LIVE, wh(1000)))


def blocked(tariff: Tariff, minutes: int, **options: Any) -> tuple[Playbook, str]:
    """Paid, plugged, offered, and the vehicle draws nothing for so long; then it leaves."""
    play = till(tariff=tariff, receipts=TERMS, **options)
    (play >> PLUG).skip()
    payment = tapped(play)
    idle_for(play, minutes)
    unplugged(play, 1000)
    play.skip()
    return play, payment


def test_who_blocks_and_takes_nothing_pays_for_the_place() -> None:
    """50 minutes, of which 10 are free: 40 x 0.15."""
    play, payment = blocked(GRANT, 50)
    (order,) = [o for o in play.log if isinstance(o, CommitPayment)]
    assert order.amount_cents == 600
    (receipt,) = play.store["receipt"].values()
    ((rate, idle_ms, unit),) = receipt["components"][0]["rates"]
    assert (receipt["cents"], receipt["energy_wh"], len(receipt["components"])) == (600, 0, 1)
    assert (rate, unit, receipt["components"][0]["kind"]) == ("0.15", "ms", "occupancy")
    assert 2_400_000 <= idle_ms <= 2_402_000, "until its vehicle has left"
    play.feed(PaymentSettled(0, payment, Settlement.DONE))
    assert record(play.skip(), payment)["state"] == "Committed"


def test_the_grace_is_free() -> None:
    play, payment = blocked(GRANT, 9)
    assert not [o for o in play.log if isinstance(o, CommitPayment)]
    assert VoidPayment(0, payment, 7) in play.log


def test_unless_the_tariff_says_so_it_costs_nothing() -> None:
    play, payment = blocked(LAW, 50)
    assert not [o for o in play.log if isinstance(o, CommitPayment)]
    assert VoidPayment(0, payment, 7) in play.log
    assert play.store.get("receipt", {}) == {}


def test_fees_and_minimum_wait_for_energy() -> None:
    fees = replace(GRANT, session=Decimal("5.00"), min_cents=1000, grace_min=0, max_cents=550)
    usage = fees.start_usage().advance_to(0.0, 1000, False, Stamp(1, 0.0))
    for minute in range(1, 41):
        usage = usage.advance_to(60.0 * minute, 1000, False, Stamp(1, 60.0 * minute))
    assert fees.parts_in_cents(usage) == (("occupancy", 600), ("maximum", -50))
    drawn = usage.advance_to(2460.0, 1100, False, Stamp(1, 2460.0))
    assert [kind for kind, _ in fees.parts_in_cents(drawn)] == ["kwh", "occupancy", "session", "maximum"]


def test_time_that_the_station_withholds_counts_nowhere() -> None:
    usage = GRANT.start_usage().advance_to(0.0, 1000, None, Stamp(1, 0.0))
    for minute in range(1, 61):
        usage = usage.advance_to(60.0 * minute, 1000, None, Stamp(1, 60.0 * minute))
    assert GRANT.total_cents(usage) == 0


def test_the_rule_outlives_a_restart_and_an_earlier_program() -> None:
    usage = GRANT.start_usage().advance_to(0.0, 1000, False, Stamp(1, 0.0))
    assert Usage.from_record(usage.to_record()) == usage
    assert Tariff.from_record(GRANT.to_record()) == GRANT
    earlier = {k: v for k, v in usage.to_record()["plan"].items() if k != "from_grant"}
    known = {k: v for k, v in GRANT.to_record().items() if k != "from_grant"}
    assert Tariff.from_record(known).total_cents(Usage.from_record({**usage.to_record(), "plan": earlier})) == 0
    with pytest.raises(ValueError, match="another tariff"):
        LAW.total_cents(usage)


def test_the_ceiling_sees_it_coming() -> None:
    usage = GRANT.start_usage().advance_to(0.0, 1000, False, Stamp(1, 0.0))
    assert GRANT.headroom_s(usage, 600, 0.0) == pytest.approx(50 * 60, abs=1)
    assert LAW.headroom_s(LAW.start_usage().advance_to(0.0, 1000, False, Stamp(1, 0.0)), 600, 0.0) == float("inf")


def test_it_is_said_before_and_in_the_signed_record() -> None:
    play = till(tariff=GRANT)
    assert play.screens[1].values["tariff_from_grant"] is True
    assert "tariff_from_grant" not in till(tariff=LAW).screens[1].values
    assert "0.15 EUR/min parked after 10 min from the start on" in ocmf_tariff_text(GRANT)


def test_a_vehicle_that_charges_after_all_pays_both() -> None:
    play = till(tariff=GRANT)
    (play >> PLUG).skip()
    tapped(play)
    idle_for(play, 20)
    for event in (VehicleReady(1), ContactorClosed(1)):
        play.feed(event)
    play.feed(MeterRead(1, LIVE, wh(1000)))
    play.skip()
    play.t_s += 60.0
    play.feed(MeterRead(1, LIVE, wh(2000)))
    unplugged(play, 3000)
    (order,) = [o for o in play.log if isinstance(o, CommitPayment)]
    assert order.amount_cents == 150 + 118

"""The ad-hoc price of an outlet: whose word it is, and where it is shown."""

from __future__ import annotations

from decimal import Decimal
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import (
    CardPresented,
    ContactorOpened,
    LinkChanged,
    MeterRead,
    RequestReceived,
    SituationChanged,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.local_time import LocalOffset
from agent.domain.messages import ChargingState
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import SetVariablesRequest
from agent.domain.tariff import Rates, Tariff, Usage, Window
from agent.domain.terminal_messages import (
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentCancelled,
    TerminalLost,
    VoidPayment,
)
from agent.model.fastclass import replace
from agent.model.types import ScreenName
from tests.domain.playbook import ACCEPTED, LINK, A, Playbook, make_site, wh
from tests.domain.test_plays_cost import ask
from tests.domain.test_plays_payment import CARD, OPENED, PLUG, charge, offer, paid, record, tapped, till, unplugged
from tests.domain.test_tariff_properties import tariffs
from tests.support.domain_state import configure

PRICE = Tariff(Decimal("0.45"), vat_percent=Decimal(17))


def play(tariff: Tariff | None = PRICE, power_w: float = 22_000, backend: bool = False, **more: Any) -> Playbook:
    def site() -> Any:
        made = make_site(settings={"cost_display": True, **more})
        configure(made.evses[1], offer=AdhocTariff(tariff, power_w, backend))
        return made

    return Playbook(site)


# --- a backend that sets the price -----------------------------------------------------------------------------------

DEFAULT = {"tariff_fallback": "0.50 €/kWh", "offline_kwh_price": "0.5", "offline_hour_price": "1.2"}


def test_a_backend_sets_the_price_of_a_weak_outlet() -> None:
    p = play(backend=True)
    assert ask(p, SetVariablesRequest(DEFAULT, whole=True)) == "Accepted"
    assert p.site.settings.text_value("offline_hour_price") == "1.2"
    offer = p.evse().config.offer
    assert offer is not None
    assert offer.tariff_for_new_driver(p.site.settings) == Tariff(
        Decimal("0.5"), Decimal("0.02"), vat_percent=Decimal(17)
    )


def test_a_backends_price_in_another_currency_is_not_sold() -> None:
    """A terminal charges in the currency of the station file, whatever a backend calls its own."""
    p = play(backend=True)
    assert ask(p, SetVariablesRequest(DEFAULT, whole=True)) == "Accepted"
    assert ask(p, SetVariablesRequest({"currency": "CHF"})) == "Accepted"
    offer = p.evse().config.offer
    assert offer is not None
    assert offer.tariff_for_new_driver(p.site.settings) == PRICE


@pytest.mark.parametrize("forbidden", [{"offline_hour_price": "1.2"}, {"offline_flat_price": "0.5"}])
def test_a_backend_cannot_ask_what_the_law_forbids(forbidden: dict[str, str]) -> None:
    """All of a default price or nothing of it: what is shown would not be what is asked."""
    p = play(power_w=50_000, backend=True)
    values = {"tariff_fallback": "cheap", "offline_kwh_price": "0.5", **forbidden}
    refused = p.feed(_asked(values))
    assert [o.data for o in refused if hasattr(o, "data")] == [dict.fromkeys(values, "Rejected")]
    assert [p.site.settings.text_value(n) for n in values] == ["", "", ""]
    assert (
        ask(p.skip(), SetVariablesRequest({"offline_kwh_price": "0.5", "offline_flat_price": "0"}, whole=True))
        == "Accepted"
    )
    assert p.site.settings.text_value("offline_kwh_price") == "0.5"


def test_a_price_that_is_not_exact_by_the_minute_is_refused() -> None:
    p = play(backend=True)
    p.feed(_asked({"offline_hour_price": "1"}))
    assert p.site.settings.text_value("offline_hour_price") == ""


def test_a_default_price_for_others_is_no_matter_of_the_law() -> None:
    p = play(power_w=50_000)
    p.feed(_asked({"offline_hour_price": "1"}))
    assert p.site.settings.text_value("offline_hour_price") == "1"


# --- what the screen says of it --------------------------------------------------------------------------------------


def tag(p: Playbook) -> dict[str, Any]:
    """What the idle screen says of the tariff."""
    assert p.screens[1].name is ScreenName.IDLE
    return {k.removeprefix("tariff_"): v for k, v in p.screens[1].values.items() if k.startswith("tariff_")}


FULL = Tariff(
    D("0.45"), D("0.02"), D("0.1"), 15, D("0.5"), D("0.25"), "Parking", (), 100, 4000, "CHF", D("8.10")
)  # fmt: skip


def test_the_price_is_there_before_any_person_comes_and_when_a_vehicle_has_come() -> None:
    p = play(FULL)
    said = {
        "currency": "CHF", "kwh_micro": 450_000, "minute_micro": 20_000, "occupancy_micro": 100_000, "grace_min": 15,
        "session_micro": 500_000, "other_micro": 250_000, "other_name": "Parking", "minimum_micro": 1_000_000,
        "maximum_micro": 40_000_000, "vat_percent": "8.1",
    }  # fmt: skip
    assert tag(p) == said
    p.skip() >> VehicleConnected(1)
    assert p.screens[1].values["plugged"]
    assert tag(p) == said
    assert p.skip()


def test_what_has_no_price_is_not_said_but_energy_is() -> None:
    assert tag(play(Tariff(D("0"), D("0"), session=D("0")))) == {"currency": "EUR", "kwh_micro": 0}
    assert tag(play(Tariff(minute=D("0.1")))) == {"currency": "EUR", "minute_micro": 100_000}
    assert tag(play(None)) == {}


def test_a_price_by_the_time_of_day_turns_with_the_clock() -> None:
    """08:00 at the start; UTC is the wall clock here."""
    every = tuple(range(7))
    day = Window(every, 6 * 60, 8 * 60 + 2, Rates(D("0.5")))
    noon = Window(every, 8 * 60 + 2, 9 * 60, Rates(D("0.5"), D("0.1")))
    night = Window(every, 9 * 60, 6 * 60, Rates(D("0.3"), None, D("0.2")))
    p = play(Tariff(windows=(day, noon, night), grace_min=5))
    now = {"currency": "EUR", "kwh_micro": 500_000}
    assert tag(p) == {**now, "next_at_utc_s": 1_800_000_120, "next_minute_micro": 100_000}
    p.wait(119)
    assert "minute_micro" not in tag(p)
    p.wait(1)
    assert tag(p) == {
        **now, "minute_micro": 100_000, "next_at_utc_s": 1_800_003_600, "next_kwh_micro": 300_000,
        "next_minute_micro": 0, "next_occupancy_micro": 200_000, "next_grace_min": 5,
    }  # fmt: skip


def test_windows_with_one_price_have_no_turn_and_without_a_clock_there_is_no_price() -> None:
    windows = tuple(Window(tuple(range(7)), a, b, Rates(D("0.5"))) for a, b in ((0, 720), (720, 0)))
    p = play(Tariff(windows=windows))
    assert tag(p) == {"currency": "EUR", "kwh_micro": 500_000}
    p.trusted = False
    p.feed(SituationChanged(1))
    assert tag(p) == {}


def test_a_price_that_a_backend_sets_is_shown_at_once() -> None:
    p = play(backend=True)
    assert (
        ask(p, SetVariablesRequest({"offline_kwh_price": "0.5", "offline_flat_price": "1"}, whole=True)) == "Accepted"
    )
    assert tag(p) == {"currency": "EUR", "kwh_micro": 500_000, "session_micro": 1_000_000, "vat_percent": "17"}


def test_the_wall_clock_is_the_stations() -> None:
    """Ten o'clock in Luxembourg's summer is eight o'clock UTC."""
    windows = tuple(Window(tuple(range(7)), a, b, Rates(D(kwh))) for a, b, kwh in ((0, 600, "0.1"), (600, 0, "0.2")))
    p = play(Tariff(windows=windows))
    assert tag(p)["kwh_micro"] == 100_000
    p.site.collaborators = replace(p.site.collaborators, local_offset=lambda utc_s: LocalOffset(120))
    p.feed(SituationChanged(1))
    assert tag(p)["kwh_micro"] == 200_000
    ask(p, SetVariablesRequest({"time_offset": "+01:00"}))
    p.feed(SituationChanged(1))
    assert tag(p)["kwh_micro"] == 100_000


# --- who pays without a contract -------------------------------------------------------------------------------------

PARKING = Tariff(
    D("0.50"), D("0.05"), D("0.10"), 5, D("1"), D("0.5"), "Parking", vat_percent=D(17), currency="CHF"
)  # fmt: skip


def values(p: Playbook, name: ScreenName) -> dict[str, Any]:
    assert p.screens[1].name is name
    return dict(p.screens[1].values)


def test_before_the_energy_who_pays_sees_what_was_agreed_and_who_has_a_contract_does_not() -> None:
    p = till(tariff=PARKING, settings={"cost_display": True, "tariff_fallback": "0.30 with a contract"})
    tapped(p)
    before = values(p, ScreenName.PLUG_IN)
    assert (before["tariff_kwh_micro"], before["tariff_grace_min"], before["tariff_currency"]) == (500_000, 5, "CHF")
    assert "price_line" not in before
    configure(p.site.evses[1], offer=AdhocTariff(Tariff(D("9"))))  # another price is for those who come later
    (p.skip() >> PLUG).skip()
    assert values(p, ScreenName.PREPARING)["tariff_kwh_micro"] == 500_000
    other = till(tariff=PARKING, settings={"cost_display": True, "tariff_fallback": "0.30 with a contract"})
    other.skip() >> CardPresented(1, A)
    other.skip() >> TokenAuthorized("token:1", A, ACCEPTED)
    before = values(other.skip(), ScreenName.PLUG_IN)
    assert before["price_line"] == "0.30 with a contract"
    assert not [key for key in before if key.startswith("tariff_")]


def test_while_charging_and_at_the_end() -> None:
    p = till(tariff=PARKING)
    payment = paid(p)
    for minute in range(1, 11):
        charge(p, 1000 + 200 * minute, 60)
    shown = values(p, ScreenName.CHARGING)
    assert (shown["cost_micro"], shown["currency"], shown["cost_final"]) == (2_950_000, "CHF", False)
    assert (shown["tariff_kwh_micro"], shown["tariff_other_name"]) == (500_000, "Parking")
    unplugged(p, 3000).skip()
    shown = values(p, ScreenName.FINISHED)
    bill = {k: v for k, v in shown.items() if k.startswith("bill_")}
    assert bill == {
        "bill_kwh_micro": 1_000_000, "bill_minute_micro": 450_000, "bill_session_micro": 1_000_000,
        "bill_other_micro": 500_000, "bill_vat_micro": 430_000,
    }  # fmt: skip
    assert (shown["cost_micro"], shown["billed_vat_percent"], shown["billed_other_name"]) == (
        2_950_000,
        "17",
        "Parking",
    )
    assert CommitPayment(0, payment, 7, 295) in p.log


def ended_plugged(tariff: Tariff) -> Playbook:
    """The same card has stopped the session; the cable is still in."""
    p = till(tariff=tariff)
    paid(p)
    charge(p, 2000, 60)
    again = offer(p)
    for event in (BankCardRead(0, again, CARD), PaymentCancelled(0, again), ContactorOpened(1)):
        p.feed(event)
    p.skip().wait(11).skip()
    (p >> MeterRead(1, end_reading(p.evse().progress.end_try), wh(2000))).skip()
    assert p.state() is SessionState.ENDED
    return p


def is_offered(p: Playbook) -> bool:
    """The terminal waits for a card."""
    return not any(isinstance(o, CancelPayment) and o.payment == offer(p) for o in p.log)


@pytest.mark.parametrize("seconds", [0, 60, 3600])
def test_a_terminal_sells_at_no_price_that_is_not_beside_the_bill(seconds: float) -> None:
    """The driver, or a second card, may pay for another charge while the vehicle is still there."""
    p = ended_plugged(PARKING).wait(seconds).skip()
    shown = values(p, ScreenName.FINISHED)
    assert is_offered(p)
    assert (shown["bill_kwh_micro"], shown["tariff_kwh_micro"], shown["tariff_occupancy_micro"]) == (
        500_000, 500_000, 100_000,
    )  # fmt: skip


def test_the_price_beside_the_bill_is_that_of_now() -> None:
    """The bill keeps the words of the tariff that it was made by."""
    every = tuple(range(7))
    day, night = (Window(every, a, b, Rates(D(kwh))) for a, b, kwh in ((0, 490, "0.5"), (490, 0, "0.3")))
    p = ended_plugged(Tariff(windows=(day, night)))
    assert values(p, ScreenName.FINISHED)["tariff_kwh_micro"] == 500_000
    p.wait(600).skip()
    shown = values(p, ScreenName.FINISHED)
    assert (shown["bill_kwh_micro"], shown["tariff_kwh_micro"]) == (500_000, 300_000)
    p = ended_plugged(PARKING)
    configure(p.site.evses[1], offer=AdhocTariff(Tariff(D("9"), other=D(1), other_name="Service", vat_percent=D(8))))
    p.feed(SituationChanged(1))
    shown = values(p.skip(), ScreenName.FINISHED)
    assert (shown["billed_vat_percent"], shown["billed_other_name"]) == ("17", "Parking")
    assert (shown["tariff_kwh_micro"], shown["tariff_vat_percent"], shown["tariff_other_name"]) == (
        9_000_000, "8", "Service",
    )  # fmt: skip


def test_beside_a_result_is_no_price_where_no_bank_card_begins_a_session() -> None:
    p = ended_plugged(PARKING)
    p >> LinkChanged(LINK, False)
    assert "tariff_kwh_micro" not in values(p.skip(), ScreenName.FINISHED)
    p >> LinkChanged(LINK, True)
    assert "tariff_kwh_micro" in values(p.skip(), ScreenName.FINISHED)
    p >> TerminalLost(0)
    assert "tariff_kwh_micro" not in values(p.skip(), ScreenName.FINISHED)
    p >> OPENED
    assert "tariff_kwh_micro" in values(p.skip(), ScreenName.FINISHED)


def test_no_more_than_was_held_is_a_part_of_its_own() -> None:
    p = till(tariff=PARKING, reserve_s=10.0)
    paid(p, amount_cents=200)
    charge(p, 2010, 2)
    p.skip() >> ContactorOpened(1)
    p.skip().wait(11).skip() >> MeterRead(1, end_reading(1), wh(2010))
    shown = values(p.skip(), ScreenName.FINISHED)
    parts = {k: v for k, v in shown.items() if k.startswith("bill_") and k != "bill_vat_micro"}
    assert parts["bill_maximum_micro"] < 0
    assert sum(parts.values()) == shown["cost_micro"] == 2_000_000


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    tariffs,
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 900), st.sampled_from("CCCBI")), max_size=12),
    st.integers(1000, 3000),
)
def test_one_amount_on_the_screen_in_the_journal_and_at_the_bank(
    tariff: Tariff, legs: list[tuple[int, int, str]], held_cents: int
) -> None:
    """Whatever is sold and however it is used: the screen says at every reading what the journal's usage costs, and at
    the end what is captured."""
    p = till(tariff=tariff, reserve_s=0.0)
    payment = paid(p, amount_cents=held_cents)
    meter_wh = 1000
    for seconds, used_wh, state in legs:
        if p.session().stop is not None:
            break
        charging = ChargingState.CHARGING if state == "C" else ChargingState.SUSPENDED_EV
        p.evse().progress.charging = ChargingState.SUSPENDED_EVSE if state == "I" else charging
        meter_wh += used_wh
        charge(p, meter_wh, seconds)
        bill = p.evse().pricing.bill
        assert bill is not None
        assert p.screens[1].values["cost_micro"] == bill.cents * 10_000
    p.skip() >> VehicleLeft(1)
    p.skip() >> ContactorOpened(1)
    p.skip().wait(11).skip()
    if p.evse().session is not None:
        p >> MeterRead(1, end_reading(p.evse().progress.end_try), wh(meter_wh))
    p.skip()
    journal = record(p, payment)
    cost = Tariff.from_record(journal["tariff"]).total_cents(Usage.from_record(journal["usage"]))
    shown = p.screens[1].values
    assert Tariff.from_record(journal["tariff"]) == tariff
    assert journal["owed_cents"] == cost
    assert shown["cost_micro"] == min(cost, held_cents) * 10_000 == journal["cents"] * 10_000
    parts = [v for k, v in shown.items() if k.startswith("bill_") and k != "bill_vat_micro"]
    assert sum(parts) == shown["cost_micro"]  # type: ignore[arg-type]
    captured = [o.amount_cents for o in p.log if isinstance(o, CommitPayment)]
    assert captured == ([journal["cents"]] if journal["cents"] else [])
    assert [o for o in p.log if isinstance(o, VoidPayment)] == ([] if captured else [VoidPayment(0, payment, 7)])


def _asked(values: dict[str, str]) -> RequestReceived:
    return RequestReceived(LINK, "q", SetVariablesRequest(values, whole=True))

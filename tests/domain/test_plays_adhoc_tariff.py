"""An ad-hoc tariff that is set from afar: whole or not at all, from its time on, and never for a driver who was
presented another price."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.backend_tariff import BackendTariff
from agent.domain.blocks.card_payment import PRICE_READ_S
from agent.domain.events import ClockTrusted, RequestReceived
from agent.domain.local_time import utc_text
from agent.domain.messages import PricesReported
from agent.domain.monitoring.monitoring_messages import MonitorWish, SetMonitors, VariableEvents
from agent.domain.monitoring.monitors import MonitoredVariable, MonitorKind, Part
from agent.domain.orders import LogNote, Persist, Response, Send, Show
from agent.domain.requests import MonitoringRequest, SetVariablesRequest
from agent.domain.tariff import Tariff
from agent.domain.tariff_schedule import LATER_MOST, RefusedTariff, TariffSchedule
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
)
from agent.model.board import EvseTraits
from agent.model.types import ScreenName
from tests.domain.playbook import LINK, UTC0_S, Like, Playbook, energised, make_site
from tests.domain.test_plays_cost import ask
from tests.domain.test_plays_payment import AMOUNT, CARD, OPENED, PLUG, EvseAt, charge, offer, record, terms, unplugged
from tests.support.domain_state import configure

FILE = Tariff(D("0.45"), vat_percent=D(17))
ALL: dict[str, Any] = {
    "id": "2027-A", "kwh": 0.5, "minute": 0.02, "occupancy": "0.1", "grace_min": 15, "session": 1, "other": 0.25,
    "other_name": "Parking", "minimum": 1.5, "maximum": 40, "vat_percent": 16,
}  # fmt: skip
DAY_AND_NIGHT = [
    {"begin": "22:00", "end": "06:00", "kwh": 0.25},
    {"begin": "06:00", "end": "22:00", "days": ["mon", "tue", "wed", "thu", "fri"], "kwh": 0.5},
    {"begin": "06:00", "end": "22:00", "days": ["sat", "sun"], "kwh": 0.35, "minute": 0.01},
]


def shop(evses: int = 1, power_w: float = 22_000, backend: bool = True, sells: bool = True, **more: Any) -> Playbook:
    """A station whose price a backend may set. ``sells``: it has a terminal, which waits for a card."""
    ids = itertools.count(1)

    def site() -> Any:
        made = make_site(evses, more, new_id=lambda: f"s{next(ids)}", payment_terms=terms(evses) if sells else None)
        for evse in made.evses.values():
            configure(evse, offer=AdhocTariff(FILE, power_w, backend))
        return made

    play = Playbook(site, traits=EvseTraits(counts_plugged=True))
    return play >> OPENED << Like(OfferPayment, terminal=0, amount_cents=AMOUNT) if sells else play


def set_price(play: Playbook, document: dict[str, Any] | str) -> str:
    """What is answered; nothing of it is claimed."""
    text = document if isinstance(document, str) else json.dumps(document)
    orders = play.skip().feed(RequestReceived(LINK, "q", SetVariablesRequest({"adhoc_tariff": text})))
    play.skip()
    return next(str(o.data["adhoc_tariff"]) for o in orders if isinstance(o, Response))


def at(seconds: float) -> str:
    return utc_text(UTC0_S + seconds)


def presented(play: Playbook, evse: int = 1) -> Tariff | None:
    return play.site.presented_tariff(play.evse(evse))


def in_force(play: Playbook) -> list[dict[str, Any]]:
    """What a backend reads."""
    return list(json.loads(play.site.settings.text_value("adhoc_tariff_in_force")))


def shown_kwh(play: Playbook, evse: int = 1) -> Any:
    assert play.screens[evse].name is ScreenName.IDLE
    return play.screens[evse].values["tariff_kwh_micro"]


# --- what can be set -------------------------------------------------------------------------------------------------


def test_every_component_is_set_at_once_and_read_back() -> None:
    play = shop(sells=False)
    assert in_force(play) == [{"evses": [1], "currency": "EUR", "kwh": 0.45, "vat_percent": 17}]
    assert set_price(play, ALL) == "Accepted"
    assert presented(play) == Tariff(
        D("0.5"), D("0.02"), D("0.1"), 15, D(1), D("0.25"), "Parking", (), 150, 4000, "EUR", D(16)
    )
    assert in_force(play) == [{**ALL, "evses": [1], "valid_from": at(0), "currency": "EUR", "occupancy": 0.1}]
    shown = play.screens[1].values
    assert (shown["tariff_minute_micro"], shown["tariff_grace_min"], shown["tariff_maximum_micro"]) == (
        20_000,
        15,
        40_000_000,
    )


def test_what_is_read_can_be_set_again_windows_included() -> None:
    play = shop(sells=False)
    assert (
        set_price(play, {"id": "W", "occupancy": 0.1, "occupancy_from": "grant", "window": DAY_AND_NIGHT}) == "Accepted"
    )
    before = presented(play)
    assert before is not None
    assert before.from_grant
    assert [w.rates.kwh for w in before.windows] == [D("0.25"), D("0.5"), D("0.35")]
    [read] = in_force(play)
    again = {k: v for k, v in read.items() if k != "valid_from"} | {"id": "W2"}
    assert set_price(play, again) == "Accepted"
    assert presented(play) == before


def test_a_tariff_of_one_evse() -> None:
    play = shop(2, sells=False)
    assert set_price(play, {"id": "T", "kwh": 0.6, "evses": [2]}) == "Accepted"
    assert (presented(play, 1), presented(play, 2)) == (FILE, Tariff(D("0.6"), vat_percent=D(17)))
    assert [group["evses"] for group in in_force(play)] == [[1], [2]]


def test_an_empty_value_brings_the_price_of_the_station_file_back() -> None:
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6})
    set_price(play, {"id": "T2", "kwh": 0.7, "valid_from": at(1000)})
    assert set_price(play, "") == "Accepted"
    assert presented(play) == FILE
    assert play.store["adhoc_tariffs"] == {}
    play.wait(2000)
    assert presented(play) == FILE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('{"id": "T", "kwh": 0.5', "is no JSON"),
        ('["T"]', "must be a JSON object"),
        ('{"id": "T", "kwh": 0.5, "kwh": 5}', "has a name twice"),
        ('{"id": "T", "kwh": NaN}', "NaN is no number"),
        ({"kwh": 0.5}, "id: must be"),
        ({"id": "T 1", "kwh": 0.5}, "id: must be"),
        ({"id": "T", "kWh": 0.5}, "kWh: unknown; known: id, valid_from"),
        ({"id": "T"}, "names no price"),
        ({"id": "T", "kwh": -0.5}, "kwh: must be 0 or more"),
        ({"id": "T", "kwh": "0.1234567"}, "kwh: has more than 6 decimals"),
        ({"id": "T", "kwh": True}, "kwh: bool is no price"),
        ({"id": "T", "kwh": 0.5, "grace_min": 5}, "grace_min: there is no occupancy fee"),
        ({"id": "T", "occupancy": 0.5, "grace_min": 1441}, "grace_min: must be 0 to 1440"),
        ({"id": "T", "kwh": 0.5, "occupancy_from": "grant"}, "occupancy_from: there is no occupancy fee"),
        ({"id": "T", "occupancy": 0.5, "occupancy_from": "plug"}, "occupancy_from: must be"),
        ({"id": "T", "kwh": 0.5, "other": 1}, "other_name: must say"),
        ({"id": "T", "kwh": 0.5, "minimum": 2, "maximum": 1}, "minimum: is more than the maximum"),
        ({"id": "T", "kwh": 0.5, "maximum": 0.005}, "maximum: must be whole cents"),
        ({"id": "T", "kwh": 0.5, "vat_percent": 101}, "vat_percent: must be 0 to 100"),
        ({"id": "T", "kwh": 0.5, "currency": "CHF"}, "currency: EVSE 1 sells in EUR"),
        ({"id": "T", "kwh": 0.5, "evses": [3]}, "evses: EVSE 3 has no price"),
        ({"id": "T", "kwh": 0.5, "evses": []}, "evses: names none"),
        ({"id": "T", "kwh": 0.5, "evses": [True]}, "evses: must be a list"),
        ({"id": "T", "kwh": 0.5, "valid_from": "2027-02-01T00:00:00"}, "valid_from: must be a time with its zone"),
        ({"id": "T", "kwh": 0.5, "valid_from": "tomorrow"}, "valid_from: must be a time with its zone"),
        ({"id": "T", "window": DAY_AND_NIGHT[:2]}, "no window holds on sat 06:00"),
        ({"id": "T", "window": [*DAY_AND_NIGHT, DAY_AND_NIGHT[0]]}, "window[3]: overlaps window[0]"),
        ({"id": "T", "window": [{"begin": "7", "end": "24:00", "kwh": 1}]}, "window[0].begin: must be a time"),
        ({"id": "T", "window": [{"begin": "00:00", "end": "24:00", "kwh": 1, "days": ["lun"]}]}, "window[0].days"),
        ({"id": "T", "kwh": 0.5, "session": 60}, "what is due once is more than the 5000 cents"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_changes_nothing(wrong: dict[str, Any] | str, said: str) -> None:
    play = shop()
    set_price(play, {"id": "T0", "kwh": 0.6})
    set_price(play, {"id": "T9", "kwh": 0.7, "valid_from": at(9999)})
    store, log = json.dumps(play.store), len(play.log)
    assert set_price(play, wrong) == "Rejected"
    assert json.dumps(play.store) == store
    assert presented(play) == Tariff(D("0.6"), vat_percent=D(17))
    [note] = [o for o in play.log[log:] if isinstance(o, LogNote)]
    assert said in note.text


@pytest.mark.parametrize(
    "more", [{"session": 1}, {"minute": 0.1}, {"minimum": 1}, {"maximum": 9}, {"kwh": None, "occupancy": 0.1}]
)
def test_a_fast_charger_takes_what_the_law_allows(more: dict[str, Any]) -> None:
    play = shop(power_w=50_000, sells=False)
    log = len(play.log)
    assert set_price(play, {"id": "T", "kwh": 0.6, **more}) == "Rejected"
    assert presented(play) == FILE
    [note] = [o for o in play.log[log:] if isinstance(o, LogNote)]
    assert ": from 50 kW on the law" in note.text
    assert set_price(play, {"id": "T", "kwh": 0.6, "occupancy": 0.1, "grace_min": 30}) == "Accepted"


def test_a_backend_sets_no_price_where_the_station_file_does_not_let_it() -> None:
    play = shop(backend=False, sells=False)
    assert set_price(play, {"id": "T", "kwh": 0.1}) == "Rejected"
    assert set_price(play, "") == "Rejected"
    assert presented(play) == FILE
    assert in_force(play)[0]["kwh"] == 0.45, "it is readable all the same"


def test_a_station_that_sells_nothing_does_without_the_block() -> None:
    own = ("agent.domain.blocks.adhoc_tariffs", "agent.domain.tariff_document", "agent.domain.tariff_schedule")
    loaded = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    try:
        assert Playbook()
        assert not [name for name in own if name in sys.modules]
    finally:
        sys.modules.update(loaded)


# --- whole, and from its time on -------------------------------------------------------------------------------------


def test_the_setting_and_the_schedule_are_one_transaction() -> None:
    play = shop(2, sells=False)
    orders = play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"adhoc_tariff": json.dumps(ALL)})))
    stored = [(o.kind, o.key) for o in orders if isinstance(o, Persist)]
    assert stored == [("setting", "adhoc_tariff"), ("adhoc_tariffs", "1"), ("adhoc_tariffs", "2")]
    assert [o.status for o in orders if isinstance(o, Response)] == ["Accepted"]


def test_a_price_is_announced_and_comes_into_force_by_itself() -> None:
    play = shop(sells=False)
    assert set_price(play, {"id": "T1", "kwh": 0.6, "session": 2, "valid_from": at(600)}) == "Accepted"
    before = play.screens[1].values
    assert (shown_kwh(play), before["tariff_next_at_utc_s"]) == (450_000, UTC0_S + 600)
    assert (before["tariff_next_kwh_micro"], before["tariff_next_session_micro"]) == (600_000, 2_000_000)
    assert in_force(play)[0]["next"] == {"id": "T1", "valid_from": at(600)}
    play.wait(599)
    assert shown_kwh(play) == 450_000
    play.skip().wait(1)
    after = play.screens[1].values
    assert (shown_kwh(play), after["tariff_session_micro"]) == (600_000, 2_000_000)
    assert not [name for name in after if name.startswith("tariff_next_")]
    assert (in_force(play)[0]["id"], in_force(play)[0]["valid_from"]) == ("T1", at(600))


def test_a_price_of_another_day_is_not_announced_as_if_it_were_today() -> None:
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6, "valid_from": at(3 * 86_400)})
    assert "tariff_next_at_utc_s" not in play.screens[1].values
    assert in_force(play)[0]["next"]["id"] == "T1"


def test_what_was_in_force_and_what_is_to_come_outlive_the_agent() -> None:
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6})
    set_price(play, {"id": "T2", "kwh": 0.7, "valid_from": at(600)})
    play.skip().restart(100)
    assert presented(play) == Tariff(D("0.6"), vat_percent=D(17))
    play.skip().restart(600)
    assert presented(play) == Tariff(D("0.7"), vat_percent=D(17)), "its time has come meanwhile"


def test_without_a_clock_the_price_that_was_in_force_holds() -> None:
    """A station without a clock of its own does not know the time after a power cut."""
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6, "valid_from": at(600)})
    set_price(play, {"id": "T2", "kwh": 0.7, "valid_from": at(1200)})
    play.skip().wait(700).skip()
    play.trusted = False
    play.restart(new_boot=True)
    assert presented(play) == Tariff(D("0.6"), vat_percent=D(17))
    play.trusted, play.clock_off_s = True, 5000.0
    play.feed(ClockTrusted())
    assert presented(play) == Tariff(D("0.7"), vat_percent=D(17))


def test_a_clock_that_is_set_back_brings_no_price_back() -> None:
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6, "valid_from": at(600)})
    play.skip().wait(700).skip()
    play.clock_off_s = -500.0
    play.feed(ClockTrusted())
    assert presented(play) == Tariff(D("0.6"), vat_percent=D(17))


def test_a_tariff_on_disk_that_the_station_file_no_longer_allows_is_not_sold() -> None:
    play = shop(sells=False)
    set_price(play, {"id": "T1", "kwh": 0.6, "session": 1})
    made = play._site_of

    def stronger() -> Any:
        site = made()
        configure(site.evses[1], offer=AdhocTariff(FILE, 150_000, True))
        return site

    play._site_of = stronger
    play.skip().restart()
    assert presented(play) == FILE
    assert play.store["adhoc_tariffs"] == {}


def test_a_backend_that_monitors_the_price_learns_when_it_comes_into_force() -> None:
    """2.0.1 N07: NotifyEvent, with no message of our own."""
    play = shop(sells=False)
    variable = MonitoredVariable(Part.STATION, "adhoc_tariff_in_force")
    wish = SetMonitors((MonitorWish(variable, MonitorKind.DELTA, 1.0, 3),))
    play.feed(RequestReceived(LINK, "m", MonitoringRequest(wish)))
    set_price(play.skip(), {"id": "T1", "kwh": 0.6, "valid_from": at(600)})
    log = len(play.log)
    play.skip().wait(600).skip()
    sent = [o.message for o in play.log[log:] if isinstance(o, Send) and isinstance(o.message, VariableEvents)]
    [event] = [e for message in sent for e in message.events]
    assert json.loads(event.text)[0]["id"] == "T1"


def test_a_backend_of_1_6_is_sent_the_prices_if_it_wants_them_and_each_once() -> None:
    play = shop(sells=False)

    def sent() -> list[Any]:
        found = [o.message.prices for o in play.log if isinstance(o, Send) and isinstance(o.message, PricesReported)]
        play.log.clear()
        return [json.loads(text)[0].get("id", "the file's") for text in found]

    set_price(play, {"id": "T1", "kwh": 0.6})
    assert sent() == [], "off unless a backend switches it on"
    assert ask(play, SetVariablesRequest({"report_adhoc_tariff": "true"})) == "Accepted"
    assert sent() == ["T1"]
    set_price(play, {"id": "T2", "kwh": 0.7})
    assert sent() == ["T2"]
    play.skip().restart().skip()
    assert sent() == [], "it knows them already"
    set_price(play, "")
    assert sent() == ["the file's"]


# --- the schedule ----------------------------------------------------------------------------------------------------

CHEAP, DEAR = Tariff(D("0.2")), Tariff(D("0.9"))


def scheduled(*tariffs: tuple[str, float | None], utc_s: float | None = 10.0) -> TariffSchedule:
    made = TariffSchedule()
    for id_, since_s in tariffs:
        made = made.add_tariff(BackendTariff(id_, CHEAP, since_s), utc_s)
    return made


@pytest.mark.parametrize(
    ("tariffs", "now", "later"),
    [
        ([("A", None)], "A", []),
        ([("A", 20.0)], None, ["A"]),
        ([("A", 30.0), ("B", 20.0)], None, ["B", "A"]),
        ([("A", 20.0), ("B", 20.0)], None, ["B"]),
        ([("A", 20.0), ("A", 30.0)], None, ["A"]),
        ([("A", 20.0), ("B", None)], "B", ["A"]),
        ([("A", None), ("A", None)], "A", []),
        ([("A", 5.0)], "A", []),
        ([("A", 20.0), ("A", None)], "A", []),
    ],
)
def test_the_order_of_a_schedule(tariffs: list[tuple[str, float | None]], now: str | None, later: list[str]) -> None:
    made = scheduled(*tariffs)
    assert (made.in_force.id if made.in_force else None, [t.id for t in made.later]) == (now, later)
    assert TariffSchedule.from_record(json.loads(json.dumps(made.to_record()))) == made


def test_what_a_schedule_refuses_it_refuses_at_any_time() -> None:
    full = scheduled(*((f"T{n}", 20.0 + n) for n in range(LATER_MOST)))
    running = scheduled(("A", None))
    cases = [
        (full, BackendTariff("X", CHEAP, 99.0)),
        (running, BackendTariff("A", DEAR)),
        (running, BackendTariff("A", CHEAP, 99.0)),
        (running, BackendTariff("B", CHEAP, 9.0)),
    ]
    for schedule, tariff in cases:
        for utc_s in (None, 10.0):
            with pytest.raises(RefusedTariff):
                schedule.add_tariff(tariff, utc_s)


def test_of_two_that_are_due_the_later_one_counts() -> None:
    made = scheduled(("A", 20.0), ("B", 30.0), ("C", 40.0)).advance_to(35.0)
    assert (made.in_force.id if made.in_force else None, [t.id for t in made.later]) == ("B", ["C"])
    assert made.advance_to(None) is made


# --- the presented price is the charged price ------------------------------------------------------------------------

DEARER = {"id": "DEAR", "kwh": 0.9}


def by_the_key(play: Playbook) -> None:
    assert set_price(play, DEARER) == "Accepted"


def by_its_time(play: Playbook) -> None:
    """A tariff that was set before comes into force now."""
    play.skip().wait(UTC0_S + 60 - (play.now.utc_s or 0.0))


def by_the_default_price(play: Playbook) -> None:
    assert ask(play, SetVariablesRequest({"offline_kwh_price": "0.9"})) == "Accepted"


Road = Callable[[Playbook], None]
ROADS = [by_the_key, by_its_time, by_the_default_price]


def ready(road: Road) -> Playbook:
    play = shop()
    if road is by_its_time:
        set_price(play, {**DEARER, "valid_from": at(60)})
    return play.skip()


def captured(play: Playbook) -> list[int]:
    return [o.amount_cents for o in play.log if isinstance(o, CommitPayment)]


def charge_one_kwh(play: Playbook) -> None:
    energised(play)
    charge(play, 2000, 60).skip()
    unplugged(play, 2000).skip()


@pytest.mark.parametrize("road", ROADS)
def test_while_a_terminal_waits_the_new_price_is_shown_before_a_card_is_taken(road: Road) -> None:
    play = ready(road)
    first = offer(play)
    (play >> PLUG).skip()
    road(play)
    assert CancelPayment(0, first) in play.log
    assert shown_kwh(play) == 900_000
    play.skip() >> PaymentCancelled(0, first)
    assert offer(play) == first
    play.skip().wait(PRICE_READ_S)
    again = offer(play)
    assert again != first
    play.skip().feed(BankCardRead(0, again, CARD))
    play.feed(PaymentApproved(0, again, 7, AMOUNT))
    charge_one_kwh(play.skip())
    assert captured(play) == [90]


@pytest.mark.parametrize("road", ROADS)
def test_a_card_that_is_being_read_while_the_price_changes_is_not_charged_at_it(road: Road) -> None:
    """The terminal has the card already when the offer is withdrawn: its driver has read the former price."""
    play = ready(road)
    first = offer(play)
    (play >> PLUG).skip()
    road(play)
    play.skip().feed(BankCardRead(0, first, CARD))
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "other_price")
    assert not [o for o in play.log if isinstance(o, AuthorizePayment)]
    play.skip().feed(PaymentCancelled(0, first))
    play.skip().wait(PRICE_READ_S + 2)
    assert shown_kwh(play.skip().wait(5)) == 900_000
    play.skip().feed(BankCardRead(0, offer(play), CARD))
    play.feed(PaymentApproved(0, offer(play), 7, AMOUNT))
    charge_one_kwh(play.skip())
    assert captured(play) == [90]


def before_the_bank_answers(play: Playbook, change: Road) -> None:
    play.skip().feed(BankCardRead(0, offer(play), CARD))
    change(play)
    play.skip().feed(PaymentApproved(0, offer(play), 7, AMOUNT))
    (play.skip() >> PLUG).skip()
    charge_one_kwh(play)


def before_the_vehicle_comes(play: Playbook, change: Road) -> None:
    play.skip().feed(BankCardRead(0, offer(play), CARD))
    play.feed(PaymentApproved(0, offer(play), 7, AMOUNT))
    change(play.skip())
    (play.skip() >> PLUG).skip()
    charge_one_kwh(play)


def in_mid_session(play: Playbook, change: Road) -> None:
    (play >> PLUG).skip()
    play.feed(BankCardRead(0, offer(play), CARD))
    play.feed(PaymentApproved(0, offer(play), 7, AMOUNT))
    energised(play.skip())
    charge(play, 1500, 10)
    change(play.skip())
    charge(play, 2000, 10).skip()
    unplugged(play, 2000).skip()


def over_a_restart(play: Playbook, change: Road) -> None:
    (play >> PLUG).skip()
    play.feed(BankCardRead(0, offer(play), CARD))
    play.feed(PaymentApproved(0, offer(play), 7, AMOUNT))
    energised(play.skip())
    change(play)
    payment = next(iter(play.store["payment"]))
    assert Tariff.from_record(record(play, payment)["tariff"]) == FILE
    play.skip().restart(20, state=EvseAt(play)).skip()
    (play >> OPENED).skip()
    charge(play, 2000, 10).skip()
    unplugged(play, 2000).skip()


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("instant", [before_the_bank_answers, before_the_vehicle_comes, in_mid_session, over_a_restart])
def test_who_has_begun_to_pay_pays_what_was_presented(instant: Callable[[Playbook, Road], None], road: Road) -> None:
    play = ready(road)
    assert shown_kwh(play) == 450_000
    instant(play, road)
    assert captured(play) == [45]
    assert presented(play) == Tariff(D("0.9"), vat_percent=D(17)), "those who come later pay the new price"


def test_the_screen_has_the_price_before_the_terminal_takes_a_card_for_it() -> None:
    play = ready(by_the_key)
    first = offer(play)
    log = len(play.log)
    by_the_key(play)
    play.skip() >> PaymentCancelled(0, first)
    play.skip().wait(PRICE_READ_S).skip()
    said = [o for o in play.log[log:] if isinstance(o, Show | OfferPayment)]
    dear = next(
        n for n, o in enumerate(said) if isinstance(o, Show) and o.screen.values.get("tariff_kwh_micro") == 900_000
    )
    offered = next(n for n, o in enumerate(said) if isinstance(o, OfferPayment))
    assert dear < offered

"""What charging costs: sent by the backend, carried on in between, kept over a restart; what it asks of the meter."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from agent.domain.csms_cost import Cost, IdlePrice, NextPrice, Price, Triggers, parse_micro_amount, text_in_language
from agent.domain.events import (
    BoardChanged,
    CardPresented,
    ContactorOpened,
    CostReceived,
    DriverMessageReceived,
    LinkChanged,
    MeterRead,
    RequestReceived,
    VehicleLeft,
)
from agent.domain.messages import ChargingState, ConnectorUnplugged
from agent.domain.orders import ReadMeter, Response, Send
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    BackendRequest,
    CostUpdatedRequest,
    DriverMessageRequest,
    RemoteStartRequest,
    SetVariablesRequest,
)
from agent.domain.timers import TimerKind
from agent.model.board import EvseState, Pilot
from agent.model.types import MessageContent, ScreenName
from tests.domain.playbook import CHARGING, EMPTY, LINK, PLUGGED, UTC0_S, A, B, Playbook, charging, wh
from tests.support.reading_purposes import LIVE, TRIGGERED

CENT, EURO = 10_000, 1_000_000
PRICE = Price(kwh_micro=35 * CENT, hour_micro=2 * EURO)
TEXTS = (MessageContent("0.35 €/kWh"), MessageContent("0,35 € la kWh", "fr"), MessageContent("nur 0,35 €", "de-LU"))
LOOK = ReadMeter(1, TRIGGERED)


def play(**settings: Any) -> Playbook:
    return Playbook(settings={"cost_display": True, **settings})


def ask(p: Playbook, what: BackendRequest, link: str = LINK) -> str:
    """Ask, and what was answered; what else was ordered is left unclaimed."""
    (reply,) = [o for o in p.feed(RequestReceived(link, "q", what)) if isinstance(o, Response)]
    p.unclaimed.remove(reply)
    p.unclaimed[:] = [o for o in p.unclaimed if type(o).__name__ != "Persist"]
    return reply.status


def shown(p: Playbook, evse: int = 1) -> dict[str, Any]:
    return dict(p.screens[evse].values)


def running(total: int = EURO, **more: Any) -> Cost:
    return Cost(total, **{"meter_wh": 1000, "utc_s": UTC0_S, "price": PRICE, **more})


def stopped(p: Playbook, end_wh: int = 2000) -> Playbook:
    """The driver's card, the contactor, the register: the vehicle stays."""
    p.skip() >> CardPresented(1, A)
    p.skip() >> BoardChanged(1, replace(CHARGING, pilot=Pilot.B, contactor=False))
    return (p.skip() >> MeterRead(1, end_reading(1), wh(end_wh))).skip()


# --- amounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "millionths"),
    [
        (0.1, 100_000), (3.31, 3_310_000), (0, 0), ("0.15", 150_000), (Decimal("0.1234567"), 123_457), (7, 7_000_000),
        (0.1 + 0.2, 300_000),
    ],
)  # fmt: skip
def test_an_amount_is_whole_millionths(given: Any, millionths: int) -> None:
    assert parse_micro_amount(given) == millionths


@pytest.mark.parametrize("given", [-0.01, float("nan"), float("inf"), "a", "", None, True, [1], 1e30, "1e400"])
def test_what_is_no_amount_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_micro_amount(given)


def test_an_amount_goes_on_with_energy_and_time() -> None:
    assert running().cost_at_register(1000, UTC0_S) == EURO
    assert running().cost_at_register(3000, UTC0_S + 1800) == EURO + 70 * CENT + EURO
    assert running(price=None).cost_at_register(3000, UTC0_S + 1800) == EURO
    assert running(meter_wh=None, utc_s=None).cost_at_register(3000, UTC0_S + 1800) == EURO
    assert running(final=True).cost_at_register(3000, UTC0_S + 1800) == EURO
    idle = running(idle=True, idle_price=IdlePrice(6 * EURO, grace_min=30))
    assert [idle.cost_at_register(3000, UTC0_S + s) for s in (0, 1800, 1860, 5400)] == [
        EURO,
        EURO,
        EURO + 10 * CENT,
        7 * EURO,
    ]
    assert running().cost_at_register(900, UTC0_S - 60) == EURO  # never less than what the backend said


def test_the_text_of_a_language() -> None:
    assert [text_in_language(TEXTS, code) for code in ("fr", "de", "lb")] == [
        "0,35 € la kWh",
        "nur 0,35 €",
        "0.35 €/kWh",
    ]
    assert text_in_language((MessageContent("https://x", "fr", "URI"),), "fr") == ""


# --- what is shown --------------------------------------------------------------------------------------------------


def test_the_price_before_any_person_charges() -> None:
    p = play(tariff_fallback="cheap", tariff_fallback_de="billig", tariff_fallback_offline="off line: dear")
    assert shown(p)["price_line"] == "cheap"
    ask(p, SetVariablesRequest({"language": "de"}))
    assert shown(p.skip())["price_line"] == "billig"
    ask(p, SetVariablesRequest({"tariff_fallback_de": "sehr billig"}))
    assert shown(p.skip())["price_line"] == "sehr billig"
    p.restart(1, state=EMPTY, online=False)
    assert shown(p.skip())["price_line"] == "off line: dear"


def test_nothing_is_shown_or_kept_with_the_display_of_cost_off() -> None:
    p = Playbook(settings={"tariff_fallback": "cheap", "idle_fee_after_stop": True}, price_line="of the file")
    assert shown(p)["price_line"] == "of the file"
    charging(p)
    assert ask(p, CostUpdatedRequest("s1", running())) == "Rejected"
    assert ask(p, DriverMessageRequest(A, TEXTS)) == "Rejected"
    p.feed(CostReceived(LINK, "s1", running()))
    p.feed(DriverMessageReceived(LINK, TEXTS, "s1"))
    p.skip() >> MeterRead(1, LIVE, wh(2000))
    assert not {"cost_micro", "price_line"} & shown(p).keys()
    assert "account" not in p.store
    stopped(p) >> VehicleLeft(1)
    assert not [m for m in p.sent_messages if isinstance(m, ConnectorUnplugged)]
    assert p.skip()


def test_the_price_of_a_driver_who_is_known_by_the_card() -> None:
    p = play(tariff_fallback="cheap")
    p.skip() >> RequestReceived(LINK, "q", RemoteStartRequest(1, A))
    assert shown(p.skip())["price_line"] == "cheap"
    assert ask(p, DriverMessageRequest(B, (MessageContent("for another driver"),))) == "Accepted"
    assert ask(p, DriverMessageRequest(A, TEXTS)) == "Accepted"
    assert shown(p)["price_line"] == "0,35 € la kWh"
    assert p.screens[1].name is ScreenName.PLUG_IN
    charging(p.skip())
    assert (p.screens[1].name, shown(p)["price_line"]) == (ScreenName.CHARGING, "0,35 € la kWh")


def test_a_price_may_come_before_its_driver_and_is_forgotten_in_time() -> None:
    p = play()
    p.feed(DriverMessageReceived(LINK, TEXTS, token=A))
    for n in range(15):
        ask(p, DriverMessageRequest(replace(B, value=f"OTHER{n}"), ()))
    assert shown(charging(p.skip()))["price_line"] == "0,35 € la kWh"
    p = play()
    for n in range(17):
        ask(p, DriverMessageRequest(replace(B, value=f"OTHER{n}") if n else A, TEXTS))
    assert shown(charging(p.skip()))["price_line"] == ""


def test_the_cost_runs_between_two_words_of_the_backend() -> None:
    p = charging(play())
    assert "cost_micro" not in shown(p)
    assert ask(p, CostUpdatedRequest("s1", running())) == "Accepted"
    assert (shown(p)["cost_micro"], shown(p)["cost_final"], shown(p)["kwh_micro"]) == (EURO, False, 35 * CENT)
    p.skip().wait(0)
    p.t_s += 360
    p >> MeterRead(1, LIVE, wh(3000))
    assert shown(p)["cost_micro"] == EURO + 70 * CENT + 20 * CENT
    p.feed(CostReceived(LINK, "s1", running(5 * EURO, meter_wh=3000, utc_s=p.now.utc_s)))
    assert shown(p)["cost_micro"] == 5 * EURO


def test_a_running_cost_may_bring_another_text() -> None:
    p = charging(play())
    ask(p, DriverMessageRequest(A, TEXTS))
    ask(p, CostUpdatedRequest("s1", Cost(EURO, texts=(MessageContent("cheaper now"),))))
    assert shown(p)["price_line"] == "cheaper now"
    assert "cost_text" not in shown(p)


def test_another_price_holds_from_its_time_on() -> None:
    p = charging(play())
    ask(p, CostUpdatedRequest("s1", running(price=Price(EURO), next=NextPrice(UTC0_S + 100, Price(3 * EURO)))))
    assert (shown(p)["kwh_micro"], shown(p)["next_kwh_micro"], shown(p)["next_at_utc_s"]) == (
        EURO, 3 * EURO, UTC0_S + 100,
    )  # fmt: skip
    p.skip() >> MeterRead(1, LIVE, wh(2000))
    p.skip().t_s = 1100.0
    p.skip().wait(0)
    assert (shown(p)["kwh_micro"], shown(p).get("next_kwh_micro"), shown(p)["cost_micro"]) == (3 * EURO, None, 2 * EURO)
    p.skip() >> MeterRead(1, LIVE, wh(3000))
    assert shown(p)["cost_micro"] == 5 * EURO


def test_cost_and_price_survive_a_restart() -> None:
    p = charging(play())
    ask(p, DriverMessageRequest(A, TEXTS))
    cost = running(
        next=NextPrice(UTC0_S + 10_000, PRICE, IdlePrice(EURO, 5)), triggers=Triggers(UTC0_S + 60, 5000, 80.0)
    )
    ask(p, CostUpdatedRequest("s1", cost))
    p.skip().restart(5, state=CHARGING)
    assert p.evse().pricing.account is not None
    assert p.evse().pricing.account.cost == cost
    p.skip() >> MeterRead(1, LIVE, wh(3000))
    assert shown(p)["price_line"] == "0,35 € la kWh"
    assert shown(p)["cost_micro"] > EURO + 70 * CENT
    assert p.skip()


def test_a_record_that_cannot_be_read_costs_a_text_and_nothing_else() -> None:
    p = Playbook(store={"account": {"s0": {"evse": 1, "cost": {"$": "Cost"}}, "s1": {}, "s2": {"evse": 9}}})
    assert p.store["account"] == {}


# --- who may say it -------------------------------------------------------------------------------------------------


def test_only_of_a_session_that_is_here_and_only_by_the_backend_that_authorises() -> None:
    p = charging(Playbook(settings={"cost_display": True}, links=(LINK, "owner")))
    assert ask(p, CostUpdatedRequest("", running())) == "Rejected"
    assert ask(p, CostUpdatedRequest("s9", running())) == "Rejected"
    assert ask(p, CostUpdatedRequest("s1", running()), "owner") == "Rejected"
    assert ask(p, DriverMessageRequest(A, TEXTS), "owner") == "Rejected"
    p.feed(CostReceived("owner", "s1", running()))
    p.feed(DriverMessageReceived("owner", TEXTS, "s1"))
    assert "cost_micro" not in shown(p)
    assert p.skip()


def test_after_the_final_cost_there_is_no_running_one() -> None:
    p = charging(play())
    assert ask(p, CostUpdatedRequest("s1", running(final=True))) == "Accepted"
    assert ask(p, CostUpdatedRequest("s1", running())) == "Rejected"
    assert ask(p, CostUpdatedRequest("s1", running(2 * EURO, final=True))) == "Accepted"
    assert shown(p)["cost_micro"] == 2 * EURO
    assert p.skip()


# --- the end --------------------------------------------------------------------------------------------------------

BILL = Cost(331 * CENT, final=True, texts=(MessageContent("3.31 in all"),), qr="https://example.org/1")


@pytest.mark.parametrize("online", [True, False])
def test_off_line_at_the_end_no_one_says_what_it_costs(online: bool) -> None:
    p = charging(play(cost_fallback="see your app"))
    p.feed(LinkChanged(LINK, online))
    assert shown(stopped(p)).get("cost_text") == (None if online else "see your app")


def test_the_bill_is_shown_as_long_as_a_person_reads_it() -> None:
    p = stopped(charging(play()))
    assert p.screens[1].name is ScreenName.FINISHED
    assert "cost_micro" not in shown(p)
    assert ask(p, CostUpdatedRequest("s1", BILL)) == "Accepted"
    assert {k: shown(p)[k] for k in ("cost_micro", "cost_final", "cost_text", "qr_url")} == {
        "cost_micro": 331 * CENT, "cost_final": True, "cost_text": "3.31 in all", "qr_url": "https://example.org/1",
    }  # fmt: skip
    (p >> BoardChanged(1, EMPTY)).skip()
    assert p.screens[1].name is ScreenName.FINISHED
    assert p.wait(31).screens[1].name is ScreenName.IDLE
    assert p.skip()


@pytest.mark.parametrize(("late_s", "word", "screen"), [(20, "Accepted", "finished"), (121, "Rejected", "idle")])
def test_a_bill_that_comes_after_the_driver_has_gone(late_s: float, word: str, screen: str) -> None:
    p = stopped(charging(play()))
    p >> BoardChanged(1, EMPTY)
    p.skip().wait(late_s)
    assert p.screens[1].name is ScreenName.IDLE
    assert ask(p, CostUpdatedRequest("s1", BILL)) == word
    assert p.screens[1].name == screen
    assert p.skip().wait(31).screens[1].name is ScreenName.IDLE


@pytest.mark.parametrize("gone", [False, True])
def test_a_bill_that_comes_after_a_restart_is_shown_too(gone: bool) -> None:
    p = stopped(charging(play()), 2500)
    p.restart(60, state=PLUGGED)
    if gone:
        p.skip() >> BoardChanged(1, EMPTY)
    p.skip()
    assert p.screens[1].name is ScreenName.IDLE
    assert ask(p, CostUpdatedRequest("s1", BILL)) == "Accepted"
    assert (p.screens[1].name, shown(p)["energy_wh"], shown(p)["since_s"]) == (ScreenName.FINISHED, 1500, None)
    assert shown(p)["cost_micro"] == 331 * CENT
    assert p.wait(31).screens[1].name is ScreenName.IDLE
    assert p.skip()


def test_the_next_driver_is_not_shown_the_bill_of_the_last_one() -> None:
    p = stopped(charging(play()))
    p >> BoardChanged(1, EMPTY)
    p.skip() >> RequestReceived(LINK, "q", RemoteStartRequest(1, B))
    assert ask(p.skip(), CostUpdatedRequest("s1", BILL)) == "Rejected"
    assert p.screens[1].name is ScreenName.PLUG_IN


def test_what_the_place_costs_goes_on_after_the_stop() -> None:
    p = charging(play())
    ask(p, CostUpdatedRequest("s1", running()))
    stopped(p)
    at_stop = shown(p)["cost_micro"]
    p.t_s += 600
    ask(
        p,
        CostUpdatedRequest(
            "s1", Cost(2 * EURO, utc_s=p.now.utc_s, idle=True, idle_price=IdlePrice(6 * EURO, grace_min=1))
        ),
    )
    assert at_stop > EURO
    assert (shown(p)["cost_micro"], shown(p)["idle_in_s"]) == (2 * EURO, 60)
    p.wait(61)
    p.wait(600)
    assert shown(p)["cost_micro"] >= 3 * EURO - 4 * CENT
    assert shown(p)["idle_in_s"] == 0
    assert p.screens[1].name is ScreenName.FINISHED


def unplugged(p: Playbook) -> list[str]:
    return [m.session for m in p.sent_messages if isinstance(m, ConnectorUnplugged)]


def test_the_end_of_the_place_is_reported_once_where_it_is_wanted() -> None:
    p = stopped(charging(play(idle_fee_after_stop=True)))
    assert unplugged(p) == []
    orders = p.feed(BoardChanged(1, EMPTY))
    assert [o for o in orders if isinstance(o, Send) and isinstance(o.message, ConnectorUnplugged)]
    p.skip() >> BoardChanged(1, PLUGGED)
    p.skip() >> BoardChanged(1, EMPTY)
    assert unplugged(p.skip()) == ["s1"]


def test_it_is_reported_of_a_session_that_ends_by_unplugging() -> None:
    p = charging(play(idle_fee_after_stop=True))
    p >> VehicleLeft(1)
    p.skip() >> ContactorOpened(1)
    p.skip() >> MeterRead(1, end_reading(1), wh(1500))
    assert unplugged(p.skip()) == ["s1"]
    assert p.sent_messages.index(p.ended()[0]) < p.sent_messages.index(
        next(m for m in p.sent_messages if isinstance(m, ConnectorUnplugged))
    )


def test_it_is_reported_when_the_vehicle_left_while_the_agent_was_away() -> None:
    p = stopped(charging(play(idle_fee_after_stop=True)))
    p.restart(300, state=EMPTY)
    assert unplugged(p.skip()) == ["s1"]
    assert p.store["account"] == {}
    p = stopped(charging(play(idle_fee_after_stop=True)))
    p.restart(300, state=PLUGGED)
    assert unplugged(p.skip()) == []


def test_it_is_reported_when_the_next_session_begins_without_unplugging() -> None:
    p = stopped(charging(play(idle_fee_after_stop=True)))
    charging(p.skip())
    assert unplugged(p) == ["s1"]
    assert list(p.store["account"]) == ["s2"]


# --- the meter ------------------------------------------------------------------------------------------------------


def wanted(**triggers: Any) -> Playbook:
    p = charging(play())
    assert ask(p, CostUpdatedRequest("s1", running(triggers=Triggers(**triggers)))) == "Accepted"
    return p


def test_a_meter_value_at_a_time_once() -> None:
    p = wanted(at_utc_s=UTC0_S + 50)
    p.timers = {k: at for k, at in p.timers.items() if k.kind is TimerKind.COST_TRIGGER}
    p.wait(49).wait(2)
    p.unclaimed[:] = [o for o in p.unclaimed if isinstance(o, ReadMeter)]
    assert p << LOOK
    assert p.wait(100)


def test_a_meter_value_at_an_energy_once() -> None:
    p = wanted(energy_wh=5000)
    p >> MeterRead(1, LIVE, wh(5999))
    p.feed(MeterRead(1, LIVE, wh(6000)))
    assert p.unclaimed.pop() == LOOK
    assert p.skip() >> MeterRead(1, LIVE, wh(6001))


def test_what_has_been_reached_already_asks_for_nothing() -> None:
    """The backend may repeat it with each answer to a meter value: that would never end."""
    p = charging(play())
    p >> MeterRead(1, LIVE, wh(7000))
    cost = running(triggers=Triggers(at_utc_s=p.now.utc_s, energy_wh=6000))
    ask(p, CostUpdatedRequest("s1", cost))
    assert p >> MeterRead(1, LIVE, wh(7000))
    assert p.evse().pricing.account is not None
    assert p.evse().pricing.account.cost == replace(cost, triggers=Triggers())


def test_a_meter_value_each_time_that_the_power_crosses() -> None:
    p = wanted(power_w=1000.0)
    for power_w, crosses in ((7000, False), (1040, False), (990, False), (940, True), (1020, False), (1100, True)):
        p.feed(MeterRead(1, LIVE, wh(1000, power_w=power_w)))
        assert p.unclaimed == ([LOOK] if crosses else []), power_w
        p.skip()


def test_a_meter_value_when_the_charging_state_becomes_this() -> None:
    p = wanted(states=(ChargingState.SUSPENDED_EV, ChargingState.IDLE))
    p.feed(BoardChanged(1, EvseState(Pilot.B, pwm=True, cable=True, contactor=False)))
    assert LOOK in p.unclaimed
    p.skip().feed(BoardChanged(1, CHARGING))
    assert LOOK not in p.unclaimed
    stopped(p)
    assert LOOK not in p.unclaimed
    p.feed(BoardChanged(1, EMPTY))
    assert LOOK in p.unclaimed


@pytest.mark.parametrize(
    ("settings", "minutes"),
    [
        ({}, None), ({"time_offset": "+01:00"}, 60), ({"time_offset": "-05:30"}, -330), ({"time_offset": "02:00"}, 120),
        ({"time_offset": "+01:00", "time_offset_next": "+02:00", "time_offset_next_at": "2027-03-28T01:00:00Z"}, 60),
        ({"time_offset": "+01:00", "time_offset_next": "+02:00", "time_offset_next_at": "2027-01-15T07:00:00Z"}, 120),
        ({"time_offset": "+01:00", "time_offset_next": "+02:00", "time_offset_next_at": "nonsense"}, 60),
    ],
)  # fmt: skip
def test_the_local_time_that_a_backend_has_set(settings: dict[str, Any], minutes: int | None) -> None:
    assert shown(charging(play(**settings))).get("utc_offset_min") == minutes


# --- off line -------------------------------------------------------------------------------------------------------


def test_a_session_that_begins_off_line_is_counted_with_the_prices_for_that() -> None:
    prices = {"offline_kwh_price": "0.40", "offline_flat_price": "1"}
    p = Playbook(online=False, settings={"cost_display": True, "offline_tx_for_unknown_id": True, **prices})
    charging(p)
    p.skip() >> MeterRead(1, LIVE, wh(2000))
    assert (shown(p)["cost_micro"], shown(p)["cost_estimated"]) == (EURO + 40 * CENT, True)

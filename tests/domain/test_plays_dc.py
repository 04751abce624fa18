"""An outlet for direct current: it goes by watts, begins slowly, and does not pause where its board cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.charging.profiles import Period, Schedule, Unit
from agent.domain.driver_cost import DriverBill
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    CardPresented,
    ContactorClosed,
    ContactorOpened,
    MeterRead,
    StopWanted,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.messages import ChargingState, MeterSampled, StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, Send, SetLimit, SetRelease
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import DeviceReportRequest, RemoteStartRequest
from agent.domain.session.common import SETTLE_S
from agent.domain.tariff import Tariff, parse_rate
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import ScreenName
from tests.domain.playbook import ACCEPTED, LINK, REFUSED, UTC0_S, A, Playbook, charging, wh
from tests.domain.test_plays_charging import DEFAULT, MAX, Play, ask, given, plugged_and_begun, profile, put, schedule
from tests.support.domain_state import configure, evse_record, station_state
from tests.support.reading_purposes import LIVE, SAMPLED

ONE_PHASE = Schedule(Unit.W, (Period(0, 100_000.0, 1),), None, UTC0_S)
MOST_W, LEAST_W, V3 = 150_000.0, 1500.0, 690.0
TRAITS = EvseTraits(
    tethered=True, lockable=False, dc=True, min_w=LEAST_W, max_w=MOST_W, pausable=False, one_release=True,
    tells_pilot=False,
)  # fmt: skip
AT_REST = EvseState(Pilot.A, contactor=False)
PLUGGED = EvseState(Pilot.B, cable=True, contactor=False)
SPENT = replace(PLUGGED, spent=True)
LOOP = EvseState(Pilot.C, pwm=True, cable=True, contactor=True, offered_w=90_000.0, soc_percent=41)


def outlet(number: int = 1) -> EvseRecord:
    return evse_record(number, tethered=True, dc=True, max_a=MOST_W / V3, efficiency=0.9)


def play_of(
    *others: EvseRecord, settings: dict[str, Any] | None = None, traits: EvseTraits = TRAITS, **more: Any
) -> Play:
    """A DC outlet, and AC ones beside it."""
    numbers = iter(range(1, 1000))

    def site() -> StationState:
        evses = {e.number: e for e in (outlet(), *others)}
        return station_state(evses, settings, new_id=lambda: f"s{next(numbers)}", **more)

    beside = {e.number: EvseTraits(tethered=e.traits.tethered) for e in others}
    play = Play(site=site, traits=traits, state=AT_REST)
    for number, its in beside.items():
        play.feed(BoardOpened(number, AT_REST, its))
    play.skip()
    return play


def begun(play: Playbook) -> Playbook:
    """A card and a vehicle; the register is read and the board is released."""
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(1, A)):
        play.feed(event)
    for asked in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(asked.request, A, ACCEPTED))
    play.skip().feed(MeterRead(1, begin_reading(play.evse().progress.begin_try), wh(1000)))
    assert play.state() is SessionState.ACTIVE
    return play.skip()


def running(play: Playbook) -> Playbook:
    begun(play).feed(BoardChanged(1, LOOP))
    assert play.evse().progress.charging is ChargingState.CHARGING
    return play.skip()


def watts(play: Playbook) -> float | None:
    orders = [o for o in play.log if isinstance(o, SetLimit) and o.evse == 1]
    return orders[-1].limit.power_w


def releases(play: Playbook) -> list[bool]:
    return [o.on for o in play.log if isinstance(o, SetRelease) and o.evse == 1]


# --- watts ---------------------------------------------------------------------------------------------------------


def test_it_may_give_what_its_charger_can() -> None:
    play = running(play_of())
    assert watts(play) == pytest.approx(MOST_W)
    assert releases(play) == [True]


def test_less_than_six_amperes_of_the_feed_is_no_pause() -> None:
    play = running(play_of())
    put(play, profile(DEFAULT, (0, 3000.0), unit=Unit.W), 1)
    assert watts(play) == pytest.approx(3000.0)
    assert play.evse().progress.charging is ChargingState.CHARGING


def test_a_vehicle_that_cannot_be_paused_gets_the_least() -> None:
    """0 W would end its session; the backend gets the truth."""
    play = running(play_of())
    put(play, profile(DEFAULT, (0, 0.0), (60, 50_000.0), unit=Unit.W), 1)
    assert watts(play) == pytest.approx(LEAST_W)
    assert (play.evse().progress.charging, releases(play)) == (ChargingState.CHARGING, [True])
    play.skip().wait(61)
    assert watts(play) == pytest.approx(50_000.0)


def test_the_schedule_says_what_such_a_vehicle_takes() -> None:
    """Reported for both versions alike; the station's schedule has the losses in it."""
    play = running(play_of(evse_record(2)))
    put(play, profile(DEFAULT, (0, 0.0), (60, 50_000.0), unit=Unit.W), 1)
    put(play, profile(DEFAULT, (0, 0.0), unit=Unit.W, number=2), 2)
    assert schedule(play, 1, 120, Unit.W) == [(0, LEAST_W), (60, 50_000.0)]
    assert schedule(play, 0, 120, Unit.W)[0] == (0, pytest.approx(LEAST_W / 0.9, abs=0.1))
    put(play, profile(MAX, (0, 500.0), unit=Unit.W, number=3), 0)
    assert schedule(play, 1, 120, Unit.W) == [(0, LEAST_W)]
    assert schedule(play, 0, 120, Unit.W) == [(0, pytest.approx(LEAST_W / 0.9, abs=0.1))]
    assert schedule(play, 2, 120, Unit.W) == [(0, 0.0)]


def test_the_schedule_of_one_that_waits_says_nothing_else_than_the_bound() -> None:
    play = play_of()
    put(play, profile(DEFAULT, (0, 0.0), (60, 50_000.0), unit=Unit.W), 1)
    assert schedule(play, 1, 120, Unit.W) == [(0, 0.0), (60, 50_000.0)]
    begun(play.skip())
    assert schedule(play, 1, 120, Unit.W) == [(0, 0.0), (60, 50_000.0)]


def test_before_it_begins_it_waits_for_enough() -> None:
    play = play_of()
    put(play, profile(DEFAULT, (0, 0.0), (60, 50_000.0), unit=Unit.W), 1)
    begun(play.skip()).wait(6)
    assert (releases(play), play.evse().progress.charging) == ([], ChargingState.SUSPENDED_EVSE)
    play.skip().wait(61)
    assert (releases(play), watts(play)) == ([True], pytest.approx(50_000.0))


def test_a_board_that_pauses_in_its_loop_is_reported_by_the_limit_alone() -> None:
    play = running(play_of(traits=replace(TRAITS, pausable=True)))
    put(play, profile(DEFAULT, (0, 0.0), (60, 50_000.0), unit=Unit.W), 1)
    assert (watts(play), releases(play)) == (0.0, [True])
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EVSE
    play.skip().wait(61)
    assert (watts(play), releases(play)) == (pytest.approx(50_000.0), [True])
    play.feed(BoardChanged(1, LOOP))
    assert play.evse().progress.charging is ChargingState.CHARGING


def test_a_vehicle_that_still_negotiates_is_not_reported_as_suspended() -> None:
    """Set-up, cable check and precharge: the board knows how long that may take beyond what an AC vehicle has."""
    play = begun(play_of())
    play.wait(SETTLE_S + TRAITS.begins_s - 1).skip()
    assert play.evse().progress.charging is ChargingState.EV_CONNECTED
    play.wait(2).skip()
    assert play.evse().progress.charging is not ChargingState.EV_CONNECTED


def test_the_end_withdraws_release() -> None:
    play = running(play_of())
    play.feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    assert releases(play) == [True, False]


# --- beside others -------------------------------------------------------------------------------------------------


def begin_other(play: Play, evse: int = 2) -> None:
    plugged_and_begun(play, evse)
    for event in (VehicleReady(evse), ContactorClosed(evse)):
        play.feed(event)
    play.skip().wait(11)


def test_the_feed_is_shared_with_what_the_charger_draws() -> None:
    """It gives nine tenths of what it draws."""
    play = play_of(evse_record(2), feed_a=100.0)
    running(play)
    assert watts(play) == pytest.approx(100 * 0.9 * V3)
    begin_other(play)
    given_a = given(play)
    assert given_a[1] == 32.0
    assert given_a[0] == pytest.approx(68 * 0.9)


def test_who_cannot_wait_is_served_before_who_asks() -> None:
    play = play_of(evse_record(2), feed_a=7.0)
    charging(play.skip(), evse=2)
    assert play.evse(2).charging_limit.current_a == 7.0
    begun(play)
    assert releases(play) == []  # not yet begun: it waits
    play.feed(StopWanted(2, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    play.feed(ContactorOpened(2))
    play.feed(MeterRead(2, end_reading(1), wh(1100)))
    play.skip().wait(11)
    assert releases(play) == [True]
    play.feed(BoardChanged(1, LOOP))
    plugged_and_begun(play, 2)
    play.skip().wait(11)
    put(play, profile(MAX, (0, 2.0)))
    assert watts(play) == pytest.approx(LEAST_W)
    assert not play.evse(2).release_order.given


@pytest.mark.parametrize(("unit", "limit"), [(Unit.W, 54_000.0), (Unit.A, 54_000.0 / V3)])
def test_a_station_maximum_counts_what_is_drawn(unit: Unit, limit: float) -> None:
    play = running(play_of())
    put(play, profile(MAX, (0, limit), unit=unit))
    assert watts(play) == pytest.approx(0.9 * 54_000)
    ((_, told_w),) = schedule(play, 1, 60, Unit.W)
    assert told_w == pytest.approx(0.9 * 54_000, abs=0.1)
    ((_, station_w),) = schedule(play, 0, 60, Unit.W)
    assert station_w == pytest.approx(54_000, abs=0.1)


def test_a_least_rate_is_no_claim_of_who_cannot_wait() -> None:
    """It says below which it would rather wait; what cannot wait gets the least of its board, and the feed holds."""
    play = running(play_of(evse_record(2)))
    put(play, profile(DEFAULT, (0, 100_000.0), unit=Unit.W, least=50_000.0), 1)
    begin_other(play)
    put(play, profile(MAX, (0, 20_000.0), unit=Unit.W, number=2))
    play.skip().wait(11)
    drawn_w = (watts(play) or 0.0) / 0.9 + given(play)[1] * V3
    assert drawn_w <= 20_000 + 1e-6


@pytest.mark.parametrize("least_w", [1001.0, 1388.0, 1500.0, 2000.0])
def test_the_least_power_is_reported_in_full(least_w: float) -> None:
    """A hair less would be a pause to its board."""
    play = running(play_of(traits=replace(TRAITS, min_w=least_w, pausable=True)))
    put(play, profile(DEFAULT, (0, least_w), unit=Unit.W), 1)
    assert not play.evse().paused_by_limit
    assert (watts(play) or 0.0) >= least_w


def test_a_charger_draws_on_all_its_phases() -> None:
    """Also in a station where AC outlets can do with one."""
    play = running(play_of(settings={"phase_switching": True}))
    put(play, replace(profile(DEFAULT, unit=Unit.W), schedule=ONE_PHASE), 1)
    assert watts(play) == pytest.approx(100_000.0)
    assert play.evse().used_phases == 3


def full(play: Play, evse: int) -> None:
    for event in (VehiclePaused(evse), ContactorOpened(evse)):
        play.feed(event)
    play.skip().wait(11)


def test_who_cannot_say_that_he_asks_is_not_taken_for_full() -> None:
    """Its board sees it only after release: a vehicle that has had enough does not keep it from that."""
    play = play_of(evse_record(2), feed_a=8.0)
    begin_other(play)
    begun(play)
    assert releases(play) == [], "the other one charges"
    full(play, 2)
    assert releases(play) == [True]
    play.feed(BoardChanged(1, LOOP))
    play.skip().wait(11)
    assert watts(play) == pytest.approx(8 * 0.9 * V3)


def test_a_vehicle_that_never_draws_gives_way_in_the_end() -> None:
    play = begun(play_of(evse_record(2), feed_a=8.0, traits=replace(TRAITS, pausable=True)))
    assert releases(play) == [True]
    plugged_and_begun(play, 2)
    play.feed(VehicleReady(2))
    play.skip().wait(100)
    assert not play.evse(2).release_order.given
    play.skip().wait(60)
    assert (play.evse(2).release_order.given, given(play)[1]) == (True, 8.0)


def test_who_was_paused_by_the_limit_still_asks() -> None:
    play = play_of(evse_record(2), feed_a=8.0, traits=replace(TRAITS, pausable=True))
    begin_other(play)
    full(play, 2)
    running(play)
    for event in (VehicleReady(2), ContactorClosed(2), BoardChanged(1, replace(LOOP, pilot=Pilot.B, pwm=False))):
        play.feed(event)
    play.skip().wait(200)
    assert (play.evse().paused_by_limit, play.evse().release_order.given) == (True, True)
    full(play, 2)
    assert not play.evse().paused_by_limit


def test_a_vehicle_that_has_had_its_session_needs_no_share() -> None:
    play = running(play_of(evse_record(2), feed_a=8.0))
    play.evse().pricing.bill = DriverBill(
        "s1", 0, 5000, tariff=Tariff(kwh=parse_rate("0.5"), occupancy=parse_rate("0.1"))
    )
    play.feed(BoardChanged(1, SPENT))
    play.skip().wait(11)
    begin_other(play)
    assert (given(play)[1], play.evse().progress.charging) == (8.0, ChargingState.SUSPENDED_EV)


# --- what is sent --------------------------------------------------------------------------------------------------


def test_cable_check_and_precharge_are_no_suspension() -> None:
    play = begun(play_of())
    play.feed(BoardChanged(1, replace(PLUGGED, contactor=None)))
    play.wait(140)
    assert play.evse().progress.charging is ChargingState.EV_CONNECTED
    assert play.screens[1].name is ScreenName.PREPARING
    play.skip().wait(20)
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EV


def test_the_next_vehicle_of_a_session_takes_as_long() -> None:
    """A session that outlives the cable (StopTransactionOnEVSideDisconnect false)."""
    play = running(play_of(settings={"stop_on_ev_disconnect": False}))
    play.feed(BoardChanged(1, AT_REST))
    play.skip().feed(BoardChanged(1, replace(PLUGGED, contactor=None)))
    play.skip().wait(140)
    assert play.evse().progress.charging is not ChargingState.SUSPENDED_EV
    play.skip().wait(20)
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EV


def test_a_vehicle_that_is_full_is_reported_at_once() -> None:
    play = running(play_of())
    play.feed(BoardChanged(1, PLUGGED))
    play.skip().wait(6)
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EV


def test_battery_and_offer_are_reported_with_the_register() -> None:
    play = running(play_of(settings={"sampled_measurands": ("Power.Offered", "SoC")}))
    play.feed(MeterRead(1, SAMPLED, wh(2000, 88_000.0)))
    (message,) = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, MeterSampled)]
    reading = message.samples[0].reading
    assert (reading.offered_w, reading.soc_percent, reading.offered_a) == (90_000.0, 41, None)
    play.skip().feed(MeterRead(1, LIVE, wh(2100, 88_000.0)))
    assert play.screens[1].values["soc_percent"] == 41
    assert play.screens[1].values["limit_a"] is None


def test_the_battery_is_reported_at_the_end_as_well() -> None:
    play = running(play_of())
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.feed(BoardChanged(1, replace(PLUGGED, soc_percent=80)))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    (ended,) = play.ended()
    assert ended.reading is not None
    assert (ended.reading.soc_percent, ended.reading.offered_w) == (80, 0.0)


def test_the_battery_of_a_vehicle_that_has_left_is_forgotten() -> None:
    play = running(play_of())
    play.feed(BoardChanged(1, AT_REST))
    assert play.evse().board.soc_percent is None


def test_what_it_can_give_is_reported_as_it_was_written() -> None:
    play = play_of()
    configure(play.evse(), max_a=180_000.0 / V3)
    assert ask(play, DeviceReportRequest()).data["evses"][1]["max_power_w"] == 180_000.0


def test_the_connector_is_reported_by_its_name() -> None:
    play = play_of(evse_record(2), evse_record(3, tethered=True))
    assert [play.evse(n).connector_type for n in (1, 2, 3)] == ["cCCS2", "sType2", "cType2"]


# --- a vehicle takes one session -----------------------------------------------------------------------------------


def test_the_end_of_the_vehicle_is_the_end_of_the_transaction() -> None:
    play = running(play_of())
    play.feed(BoardChanged(1, SPENT))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    (ended,) = play.ended()
    assert (ended.reason, ended.meter_wh) == (StopReason.STOPPED_BY_EV, 3000)
    assert play.state() is SessionState.ENDED


def test_a_transaction_that_lasts_as_long_as_the_cable_outlives_its_vehicles_session() -> None:
    """Stop point EVConnected alone (2.x): as after the driver's own end."""
    play = running(play_of(settings={"tx_stop_points": ("EVConnected",)}))
    play.feed(BoardChanged(1, SPENT))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    assert (play.state(), play.ended()) == (SessionState.ENDED, [])
    play.skip().feed(BoardChanged(1, AT_REST))
    (ended,) = play.ended()
    assert (ended.reason, ended.meter_wh) == (StopReason.STOPPED_BY_EV, 3000)


def test_an_end_that_the_board_has_made_is_not_the_vehicles() -> None:
    """Release is gone, and nothing can go on."""
    play = running(play_of())
    play.feed(BoardChanged(1, replace(SPENT, released=False)))
    play.skip().feed(BoardOpened(1, SPENT, TRAITS))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.OTHER]


def test_a_board_that_refuses_release_leaves_no_session_behind() -> None:
    """Its vehicle was spent a moment before that was known: the board is not opened again for that."""
    play = begun(play_of())
    play.feed(BoardChanged(1, replace(SPENT, released=False)))
    play.feed(MeterRead(1, end_reading(1), wh(1000)))
    assert [m.reason for m in play.ended()] == [StopReason.OTHER]


def test_a_session_that_is_held_stays_although_its_vehicle_is_spent_by_that() -> None:
    play = running(play_of(settings={"stop_on_invalid_id": False}))
    play.feed(TransactionAcknowledged(LINK, "s1", "42", REFUSED))
    assert releases(play) == [True, False]
    play.skip().feed(BoardChanged(1, replace(SPENT, released=False)))
    assert (play.state(), play.evse().progress.charging) == (SessionState.ACTIVE, ChargingState.SUSPENDED_EVSE)
    play.skip().feed(BoardChanged(1, AT_REST))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.EV_DISCONNECTED]


def test_after_the_end_by_card_the_outlet_is_as_spent() -> None:
    play = running(play_of())
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    for event in (BoardChanged(1, SPENT), MeterRead(1, end_reading(1), wh(3000))):
        play.feed(event)
    assert [m.reason for m in play.ended()] == [StopReason.LOCAL]


def spent(play: Play) -> Play:
    running(play).feed(BoardChanged(1, SPENT))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    return play.skip()


def test_no_one_begins_with_a_vehicle_that_is_spent() -> None:
    play = spent(play_of())
    play.feed(CardPresented(1, A))
    assert not any(isinstance(o, AuthorizeToken) for o in play.unclaimed)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "spent")
    assert ask(play, RemoteStartRequest(1, A, "r")).status == "Rejected"
    play.skip().feed(BoardChanged(1, AT_REST))
    play.skip().feed(BoardChanged(1, PLUGGED))
    play.feed(CardPresented(1, A))
    assert play.state() is SessionState.BEGINNING or any(isinstance(o, AuthorizeToken) for o in play.unclaimed)


def test_a_right_that_was_given_before_the_board_reported_waits_for_the_next_plug() -> None:
    play = running(play_of())
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    play.skip().feed(CardPresented(1, A))
    (question,) = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(question.request, A, ACCEPTED))
    for event in (BoardChanged(1, replace(SPENT, released=False)), MeterRead(1, begin_reading(2), wh(3000))):
        play.feed(event)
    assert play.state() is SessionState.AUTHORIZED
    assert play.screens[1].name is ScreenName.PLUG_IN
    for event in (BoardChanged(1, AT_REST), BoardChanged(1, PLUGGED), MeterRead(1, begin_reading(3), wh(3000))):
        play.feed(event)
    assert play.state() is SessionState.ACTIVE


def test_a_right_that_waits_for_the_next_plug_waits_no_longer_for_a_board_that_was_away() -> None:
    """And no register is read for it, nor a signed transaction begun in the meter."""
    play = spent(play_of(settings={"connection_timeout_s": 60}))
    play.feed(BoardChanged(1, AT_REST))
    play.skip().feed(CardPresented(1, A))
    for question in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(question.request, A, ACCEPTED))
    assert play.state() is SessionState.AUTHORIZED
    play.skip().wait(40)
    play.feed(BoardOpened(1, SPENT, TRAITS))
    assert play.state() is SessionState.AUTHORIZED
    play.skip().wait(30)
    assert play.state() is SessionState.OCCUPIED


def test_a_card_goes_to_the_outlet_that_is_not_spent() -> None:
    play = spent(play_of(evse_record(2)))
    play.feed(CardPresented(0, A))
    asked = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    for question in asked:
        play.feed(TokenAuthorized(question.request, A, ACCEPTED))
    assert play.state(2) is SessionState.AUTHORIZED


def test_free_vending_begins_once_per_plug() -> None:
    play = play_of(free_vending=True)
    play.feed(VehicleConnected(1))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    for event in (BoardChanged(1, LOOP), BoardChanged(1, SPENT), MeterRead(1, end_reading(1), wh(1500))):
        play.feed(event)
    play.skip().feed(BoardOpened(1, SPENT, TRAITS))
    assert play.state() is SessionState.ENDED


def test_after_a_restart_the_screen_says_what_to_do() -> None:
    play = spent(play_of())
    play.skip().restart(2).feed(BoardOpened(1, SPENT, TRAITS))
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.FINISHED, "spent")
    assert play.statuses[1].ended


def test_a_place_that_costs_is_paid_until_the_cable_leaves() -> None:
    """Other sessions end with their vehicle; this one's tariff asks for the time after it."""
    play = running(play_of())
    play.evse().pricing.bill = DriverBill(
        "s1", 0, 5000, tariff=Tariff(kwh=parse_rate("0.5"), occupancy=parse_rate("0.1"))
    )
    play.feed(BoardChanged(1, SPENT))
    play.skip().wait(6)
    assert (play.state(), play.evse().progress.charging) == (SessionState.ACTIVE, ChargingState.SUSPENDED_EV)


def parked(play: Play) -> Play:
    """Full by itself, and its tariff asks for the place."""
    running(play).evse().pricing.bill = DriverBill(
        "s1", 0, 5000, tariff=Tariff(kwh=parse_rate("0.5"), occupancy=parse_rate("0.1"))
    )
    play.feed(BoardChanged(1, SPENT))
    play.feed(MeterRead(1, LIVE, wh(3000)))
    return play.skip()


def test_such_a_session_outlives_a_board_that_was_away() -> None:
    play = parked(play_of())
    play.t_s += 20
    play.feed(BoardOpened(1, SPENT, TRAITS))
    assert (play.state(), play.evse().progress.charging, play.ended()) == (
        SessionState.ACTIVE,
        ChargingState.SUSPENDED_EV,
        [],
    )
    assert releases(play) == [True]
    play.skip().feed(BoardChanged(1, AT_REST))
    play.feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.EV_DISCONNECTED]


def test_and_a_restart_of_the_agent() -> None:
    play = parked(play_of())
    play.restart(20).feed(BoardOpened(1, SPENT, TRAITS))
    assert (play.state(), play.evse().progress.charging, play.ended()) == (
        SessionState.ACTIVE,
        ChargingState.SUSPENDED_EV,
        [],
    )
    assert releases(play) == [True]


@pytest.mark.parametrize("boot", [False, True])
def test_but_not_a_time_that_no_one_can_prove(boot: bool) -> None:
    play = parked(play_of())
    play.restart(20 if boot else 100, new_boot=boot).feed(BoardOpened(1, SPENT, TRAITS))
    play.skip().feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.POWER_LOSS]


def test_a_vehicle_that_the_restart_has_cut_off_is_not_one_that_was_full() -> None:
    """Its driver pays for no place that he could not charge at."""
    play = running(play_of())
    play.evse().pricing.bill = DriverBill(
        "s1", 0, 5000, tariff=Tariff(kwh=parse_rate("0.5"), occupancy=parse_rate("0.1"))
    )
    play.restart(5).feed(BoardOpened(1, SPENT, TRAITS))
    play.skip().feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.OTHER]


def test_nor_the_next_vehicle_of_a_session_that_outlives_the_cable() -> None:
    play = parked(play_of(settings={"stop_on_ev_disconnect": False}))
    play.feed(BoardChanged(1, AT_REST))
    play.skip().feed(BoardChanged(1, LOOP))
    play.skip().restart(5).feed(BoardOpened(1, SPENT, TRAITS))
    play.skip().feed(MeterRead(1, end_reading(1), wh(3000)))
    assert [m.reason for m in play.ended()] == [StopReason.OTHER]

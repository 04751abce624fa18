"""Smart charging: profiles set, cleared and kept; limits that reach the board; pause and resume; the shared maximum."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.charging.external_limit import ExternalLimitConfig
from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    ClockTrusted,
    ContactorClosed,
    ContactorOpened,
    ExternalLimitReported,
    FaultCleared,
    FaultRaised,
    FaultsAcknowledged,
    LinkChanged,
    MeterRead,
    OfferChanged,
    ReleaseWithdrawn,
    RequestReceived,
    StopWanted,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import LEAST_A, SessionState
from agent.domain.messages import ChargingState, MeterSampled, StopReason, TransactionUpdated, TriggerReason
from agent.domain.orders import Persist, ReadMeter, Response, SetLimit, SetRelease
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import (
    BackendRequest,
    ChargingProfilesRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    RemoteStartRequest,
    ResetRequest,
    SetChargingProfileRequest,
    SetVariablesRequest,
)
from agent.domain.timers import Timer, TimerKind
from agent.model.board import EvseTraits, Pilot
from agent.model.types import Fault, Limit
from tests.domain.playbook import (
    CHARGING,
    LINK,
    PLUGGED,
    REFUSED,
    T0_S,
    UTC0_S,
    A,
    B,
    Playbook,
    charging,
    forgotten,
    kept,
    sent_message,
    wh,
)
from tests.support.domain_state import configure
from tests.support.reading_purposes import POLL, SAMPLED

NUMBERS = itertools.count(1)
MAX, DEFAULT, TX = Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX
PAUSED = sent_message(TransactionUpdated, charging=ChargingState.SUSPENDED_EVSE)
RUNS = sent_message(TransactionUpdated, charging=ChargingState.CHARGING)


class Play(Playbook):
    """Looks at the meter and what they leave on disk are not the point here."""

    QUIET = (*Playbook.QUIET, ReadMeter)

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"resume_within_s": 600.0, **options})


def profile(purpose: Purpose, *steps: tuple[int, float], number: int = 1, level: int = 0, **more: Any) -> Profile:
    """``steps``: second and ampere. Absolute from ``UTC0_S`` on, unless given otherwise."""
    schedule = Schedule(
        more.pop("unit", Unit.A),
        tuple(Period(s, float(a)) for s, a in steps),
        more.pop("lasts_s", None),
        more.pop("start_utc_s", UTC0_S),
        more.pop("least", None),
    )
    kind = more.pop("kind", Kind.ABSOLUTE)
    if kind is Kind.RELATIVE:
        schedule = replace(schedule, start_utc_s=None)
    return Profile(number, level, purpose, kind, schedule, **more)


def ask(play: Play, what: BackendRequest) -> Response:
    orders = play.feed(RequestReceived(LINK, f"q{next(NUMBERS)}", what))
    (reply,) = [o for o in orders if isinstance(o, Response)]
    return reply


def put(play: Play, wanted: Profile, evse: int = 0, replaces: bool = True) -> str:
    return ask(play, SetChargingProfileRequest(evse, wanted, replaces)).status


def schedule(play: Play, evse: int = 1, duration_s: int = 300, unit: Unit | None = None) -> list[tuple[int, float]]:
    return [(s.start_s, s.limit) for s in ask(play, CompositeScheduleRequest(evse, duration_s, unit)).data["spans"]]


def limit(play: Play, evse: int = 1) -> float:
    """What was last ordered of the board."""
    orders = [o for o in play.log if isinstance(o, SetLimit) and o.evse == evse]
    return orders[-1].limit.current_a or 0.0


# --- limits reach the board ----------------------------------------------------------------------------------------


def test_without_profiles_the_hardware_is_the_limit() -> None:
    assert limit(charging(Play())) == 32.0
    assert limit(charging(Play(traits=EvseTraits(max_a=20.0)))) == 20.0
    assert limit(charging(Play(state=replace(PLUGGED, cable_a=13), traits=EvseTraits()))) == 13.0


def test_a_rating_of_the_cable_that_is_read_late_is_obeyed_at_once_and_kept_while_it_is_in() -> None:
    play = charging(Play())
    assert play >> BoardChanged(1, replace(CHARGING, cable_a=13)) << SetLimit(1, Limit(13.0, 3))
    assert play >> BoardChanged(1, replace(CHARGING, cable_a=13, offered_a=13.0))
    play.feed(BoardChanged(1, replace(CHARGING, cable_a=0)))
    play.skip().feed(VehicleReady(1))
    assert limit(play.skip()) == 13.0, "a look that failed does not make it thicker"
    play.feed(BoardChanged(1, replace(PLUGGED, cable=False, pilot=Pilot.A)))
    assert play.evse().board.cable_a is None


def test_a_thin_cable_leaves_its_share_of_the_station_to_the_others() -> None:
    play = Play(evses=2)
    assert put(play, profile(MAX, (0, 40))) == "Accepted"
    charging(charging(play.skip()), token=B, evse=2)
    play.wait(20)
    assert (limit(play), limit(play, 2)) == (20.0, 20.0)
    play.skip().feed(BoardChanged(1, replace(CHARGING, cable_a=13)))
    assert limit(play) == 13.0
    play.skip().wait(20)
    assert (limit(play), limit(play, 2)) == (13.0, 27.0)


def test_a_default_profile_holds_from_the_first_moment_on_and_changes_at_its_edges() -> None:
    """By a timer for the next edge, without polling."""
    play = Play()
    assert put(play, profile(DEFAULT, (0, 16), (60, 10), (90, 8), lasts_s=120)) == "Accepted"
    play.skip()
    charging(play)
    assert limit(play) == 16.0
    assert play.timers[Timer(TimerKind.CHARGING_LIMITS)] == pytest.approx(T0_S + 60, abs=0.01)
    assert play.wait(59)
    assert play.wait(1.1) << SetLimit(1, Limit(10.0, 3))
    assert play.wait(30) << SetLimit(1, Limit(8.0, 3))
    assert play.wait(30) << SetLimit(1, Limit(32.0, 3))
    assert Timer(TimerKind.CHARGING_LIMITS) not in play.timers


def test_set_during_a_session_it_holds_at_once_and_cleared_it_is_gone() -> None:
    play = charging(Play())
    assert (
        play
        >> RequestReceived(LINK, "1", SetChargingProfileRequest(0, profile(DEFAULT, (0, 9))))
        << kept("charging_profile", "1", evse=0)
        << Response(LINK, "1", "Accepted")
        << SetLimit(1, Limit(9.0, 3))
    )
    assert (
        play
        >> RequestReceived(LINK, "2", ClearChargingProfilesRequest())
        << forgotten("charging_profile")
        << Response(LINK, "2", "Accepted")
        << SetLimit(1, Limit(32.0, 3))
    )


def test_watts_become_amperes_by_phases_and_nominal_voltage() -> None:
    play = charging(Play(settings={"nominal_voltage_v": 240}))
    put(play, profile(DEFAULT, (0, 7200), unit=Unit.W))
    assert limit(play.skip()) == 10.0
    assert schedule(play, unit=Unit.A) == [(0, 10.0)]
    assert schedule(play, unit=Unit.W) == [(0, 7200.0)]


def test_a_profile_of_the_transaction_goes_before_the_default_and_dies_with_it() -> None:
    play = charging(Play())
    put(play, profile(DEFAULT, (0, 20)))
    assert put(play, profile(TX, (0, 11), number=2, lasts_s=30), 1) == "Accepted"
    assert limit(play.skip()) == 11.0
    assert play.wait(31) << SetLimit(1, Limit(20.0, 3))
    put(play, profile(TX, (0, 7), number=3), 1)
    assert sorted(play.store["charging_profile"]) == ["1", "3"]
    for event in (
        StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP),
        ContactorOpened(1),
        MeterRead(1, end_reading(1), wh(1500)),
    ):
        play.skip().feed(event)
    assert sorted(play.store["charging_profile"]) == ["1"]
    assert play.evse().session is None


def test_a_relative_profile_begins_with_the_session() -> None:
    play = Play()
    put(play, profile(DEFAULT, (0, 16), (100, 8), kind=Kind.RELATIVE))
    play.skip().wait(500)
    charging(play)
    assert limit(play) == 16.0
    play.wait(40)
    assert schedule(play, duration_s=100) == [(0, 16.0), (60, 8.0)]
    assert play.skip().wait(60.1) << SetLimit(1, Limit(8.0, 3))


def test_a_remote_start_brings_its_profile_along() -> None:
    """It is on disk with the session and holds from the first moment."""
    play = Play()
    wanted = profile(TX, (0, 12), (60, 9), kind=Kind.RELATIVE, number=5)
    assert ask(play, RemoteStartRequest(1, A, "77", wanted)).status == "Accepted"
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    orders = play.skip().feed(MeterRead(1, begin_reading(1), wh(1000)))
    kinds = [o.kind for o in orders if isinstance(o, Persist)]
    assert kinds == ["session", "charging_profile"]
    assert [o for o in orders if isinstance(o, SetLimit | SetRelease)] == [
        SetLimit(1, Limit(12.0, 3)),
        SetRelease(1, True),
    ]
    assert schedule(play, duration_s=90) == [(0, 12.0), (60, 9.0)]


@pytest.mark.parametrize("wanted", [profile(DEFAULT, (0, 12)), profile(TX, (5, 12)), profile(TX, (0, -1))])
def test_a_remote_start_with_an_impossible_profile_is_rejected(wanted: Profile) -> None:
    assert ask(Play(), RemoteStartRequest(1, A, "77", wanted)).status == "Rejected"


# --- pause and resume ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amperes", [0.0, 5.9])
def test_below_six_amperes_the_session_pauses_and_goes_on(amperes: float) -> None:
    play = charging(Play())
    put(play, profile(DEFAULT, (0, 16), (60, amperes), (120, 10)))
    assert play.skip().wait(60.1) << SetLimit(1, Limit(0.0, 3)) << SetRelease(1, False) << PAUSED
    assert play >> [OfferChanged(1, False), VehiclePaused(1), ContactorOpened(1)]
    assert play.state() is SessionState.ACTIVE
    assert play.wait(60) << SetLimit(1, Limit(10.0, 3))
    assert play.wait(4.8)
    assert play.wait(0.2) << SetRelease(1, True)
    assert play >> [OfferChanged(1, True), VehicleReady(1)]
    assert play >> ContactorClosed(1) << RUNS
    assert len([m for m in play.sent_messages if type(m).__name__ == "TransactionStarted"]) == 1
    assert play.ended() == []


def releases(play: Play) -> list[bool]:
    return [o.on for o in play.log if isinstance(o, SetRelease)]


def swinging(seconds: int, *limits_a: float) -> Play:
    """A limit of an energy manager that changes each second."""
    play = charging(Play(external_limit=ExternalLimitConfig()))
    for _, limit_a in zip(range(seconds), itertools.cycle(limits_a), strict=False):
        play.skip().feed(ExternalLimitReported(limit_a))
        if limit_a < LEAST_A and play.evse().board.contactor_closed:
            play.feed(ContactorOpened(1))
        play.skip().wait(1)
    return play


def test_a_limit_that_swings_around_the_least_does_not_switch_the_contactor_each_time() -> None:
    """It pauses at once, and goes on when there has been enough for a while, whatever more there is meanwhile."""
    play = swinging(60, 6.1, 5.9)
    assert releases(play) == [True, False]
    play.skip().wait(60)
    assert releases(play) == [True, False], "5.9 A was the last word"
    for limit_a in (6.1, 6.6, 7.1, 7.6, 8.1):
        play.skip().feed(ExternalLimitReported(limit_a))
        assert releases(play) == [True, False]
        play.skip().wait(1)
    assert releases(play) == [True, False, True]


def test_a_pause_that_is_over_is_forgotten_with_its_session() -> None:
    play = swinging(3, 6.1, 5.9)
    play.skip().feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    play.skip().wait(30)
    assert releases(play)[:2] == [True, False]
    assert True not in releases(play)[2:]


def test_what_withholds_energy_in_a_pause_goes_before_its_end() -> None:
    """The token is not valid any more, and the backend lets its session stay open."""
    play = charging(Play(settings={"stop_on_invalid_id": False}))
    put(play, profile(DEFAULT, (0, 0.0)))
    put(play.skip(), profile(DEFAULT, (0, 10.0)))
    play.skip().wait(2)
    play.skip().feed(TransactionAcknowledged(LINK, play.session().id, "42", REFUSED))
    play.skip().wait(30)
    assert True not in releases(play)[1:]


def test_a_session_that_begins_in_a_pause_waits_without_energy() -> None:
    play = Play()
    put(play, profile(DEFAULT, (0, 0), (60, 16)))
    play.skip()
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    ask(play, RemoteStartRequest(1, A, "r1"))
    play.skip()
    orders = play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert SetRelease(1, True) not in orders
    assert [o for o in orders if isinstance(o, SetLimit)] == [SetLimit(1, Limit(0.0, 3))]
    play.skip().wait(10)
    assert play.evse().progress.charging is ChargingState.SUSPENDED_EVSE
    play.skip().wait(50.1)
    assert play.levels[SetRelease, 1]
    assert limit(play) == 16.0


def test_who_is_held_gets_nothing_when_the_limit_rises() -> None:
    play = charging(Play(settings={"stop_on_invalid_id": False}))
    play.feed(TransactionAcknowledged(LINK, play.session().id, "42", REFUSED))
    play.feed(ContactorOpened(1))
    put(play, profile(DEFAULT, (0, 0), (60, 16)))
    play.skip().wait(61)
    assert limit(play) == 16.0
    assert not play.levels[SetRelease, 1]
    assert play.skip()


def test_a_vehicle_that_comes_back_in_a_pause_waits_for_its_end() -> None:
    play = charging(Play(settings={"stop_on_ev_disconnect": False}))
    put(play, profile(DEFAULT, (0, 0), (60, 16)))
    for event in (VehicleLeft(1), ContactorOpened(1), VehicleConnected(1)):
        play.feed(event)
    assert not play.levels[SetRelease, 1]
    play.skip().wait(61)
    assert play.levels[SetRelease, 1]


def test_an_end_in_a_pause_is_an_end() -> None:
    play = charging(Play())
    put(play, profile(DEFAULT, (0, 0), (60, 16)))
    play.skip().feed(ContactorOpened(1))
    play.feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    play.skip().wait(100)
    assert not play.levels[SetRelease, 1]


def test_without_link_profiles_go_on() -> None:
    play = charging(Play())
    put(play, profile(DEFAULT, (0, 16), (60, 10)))
    play.skip().feed(LinkChanged(LINK, False))
    assert play.skip().wait(61) << SetLimit(1, Limit(10.0, 3))


# --- what is accepted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evse", "wanted", "code"),
    [
        (0, profile(TX, (0, 10)), "InvalidProfile"),
        (1, profile(TX, (0, 10)), "TxNotFound"),
        (1, profile(MAX, (0, 10)), "InvalidProfile"),
        (9, profile(DEFAULT, (0, 10)), "UnknownEvse"),
        (0, profile(DEFAULT, (0, 10), level=-1), "InvalidStackLevel"),
        (0, profile(DEFAULT, (0, 10), level=21), "InvalidStackLevel"),
        (0, profile(DEFAULT), "InvalidSchedule"),
        (0, profile(DEFAULT, (1, 10)), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, 10), (0, 12)), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, 10), (10**400, 12)), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, -0.1)), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, float("nan"))), "InvalidSchedule"),
        (0, profile(DEFAULT, *((n, 10.0) for n in range(101))), "TooManyElements"),
        (0, profile(DEFAULT, (0, 10), lasts_s=0), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, 10), lasts_s=10**400), "InvalidSchedule"),
        (0, profile(DEFAULT, (0, 10), kind=Kind.RECURRING), "InvalidProfile"),
        (
            0,
            profile(DEFAULT, (0, 10), kind=Kind.RECURRING, recurrency=Recurrency.DAILY, start_utc_s=None),
            "InvalidProfile",
        ),
        (0, profile(DEFAULT, (0, 10), valid_from_utc_s=5.0, valid_to_utc_s=5.0), "InvalidProfile"),
    ],
)
def test_impossible_profiles_are_rejected_with_a_reason(evse: int, wanted: Profile, code: str) -> None:
    play = Play()
    reply = ask(play, SetChargingProfileRequest(evse, wanted))
    reason = reply.data["reason"]
    assert (reply.status, reason.code) == ("Rejected", code)
    assert 0 < len(reason.text) < 100
    assert "charging_profile" not in play.store


def of_phases(purpose: Purpose, number_phases: int | None, phase_to_use: int | None = None) -> Profile:
    period = Period(0, 16.0, number_phases, phase_to_use)
    return replace(profile(purpose), schedule=Schedule(Unit.A, (period,), None, UTC0_S, None))


ONE_OF_FEED, THREE_OF_FEED, SWITCHING = {"phases": 1, "rotation": "S"}, {"rotation": "STR"}, True


@pytest.mark.parametrize(
    ("outlet", "switching", "evse", "wanted", "kept"),
    [
        ({}, False, 1, of_phases(DEFAULT, None), True),
        ({}, False, 1, of_phases(DEFAULT, 3), True),
        ({}, False, 1, of_phases(DEFAULT, 2), False),
        ({}, False, 1, of_phases(DEFAULT, 1), False),
        ({}, False, 0, of_phases(DEFAULT, 1), False),
        ({}, False, 0, of_phases(MAX, 1), False),
        ({}, False, 1, of_phases(DEFAULT, 3, 1), False),
        ({}, SWITCHING, 1, of_phases(DEFAULT, 1), True),
        ({}, SWITCHING, 0, of_phases(MAX, 1), False),
        ({}, SWITCHING, 1, of_phases(DEFAULT, 1, 1), False),  # which phase is L1 is not known
        (THREE_OF_FEED, SWITCHING, 1, of_phases(DEFAULT, 1, 2), True),
        (THREE_OF_FEED, SWITCHING, 1, of_phases(DEFAULT, 1, 1), False),
        (ONE_OF_FEED, False, 1, of_phases(DEFAULT, 1, 2), True),
        (ONE_OF_FEED, False, 1, of_phases(DEFAULT, 1, 3), False),
        (ONE_OF_FEED, False, 1, of_phases(DEFAULT, 1, -1), False),
        ({"phases": 1}, False, 1, of_phases(DEFAULT, 1), True),
        ({"phases": 1}, False, 1, of_phases(DEFAULT, 3), True),
        ({"dc": True}, False, 1, of_phases(DEFAULT, 1, 2), True),
    ],
)
def test_phases_that_an_outlet_cannot_keep_to_are_rejected(
    outlet: dict[str, Any], switching: bool, evse: int, wanted: Profile, kept: bool
) -> None:
    """2.x K01.FR.43 to K01.FR.48. 1.x takes them, and the outlet uses all phases that it has."""
    play = Play(settings={"phase_switching": switching})
    configure(play.evse(), **outlet)
    reply = ask(play, SetChargingProfileRequest(evse, wanted, replaces=False, binding_phases=True))
    assert reply.status == ("Accepted" if kept else "Rejected")
    assert kept or reply.data["reason"].code == "InvalidSchedule"
    assert ("charging_profile" in play.store) is kept
    assert put(play, wanted, evse) == "Accepted"


@pytest.mark.parametrize(("binding_phases", "answer"), [(True, "Rejected"), (False, "Accepted")])
def test_a_remote_start_brings_no_phases_that_the_outlet_cannot_keep_to(binding_phases: bool, answer: str) -> None:
    """2.x K05.FR.05."""
    play = Play()
    start = RemoteStartRequest(1, A, "77", of_phases(TX, 1), binding_phases=binding_phases)
    assert ask(play, start).status == answer
    assert ask(Play(), replace(start, profile=of_phases(TX, 3))).status == "Accepted"


def test_a_profile_for_another_transaction_is_rejected() -> None:
    play = charging(Play())
    assert put(play, profile(TX, (0, 10), session="another"), 1) == "Rejected"
    assert put(play, profile(TX, (0, 10), session=play.session().id), 1) == "Accepted"


def test_a_unit_that_is_not_offered_is_rejected() -> None:
    play = Play(settings={"profile_rate_units": ("Current",)})
    assert put(play, profile(DEFAULT, (0, 7000), unit=Unit.W)) == "Rejected"
    assert ask(play, CompositeScheduleRequest(1, 60, Unit.W)).status == "Rejected"
    assert ask(play, CompositeScheduleRequest(1, 60)).data["unit"] is Unit.A


def test_no_more_than_fit_and_what_is_over_makes_room() -> None:
    play = Play(settings={"profiles_max": 2})
    assert put(play, profile(DEFAULT, (0, 10), number=1, level=1)) == "Accepted"
    assert put(play, profile(DEFAULT, (0, 10), number=2, level=2, valid_to_utc_s=UTC0_S + 50)) == "Accepted"
    assert put(play, profile(DEFAULT, (0, 10), number=3, level=3)) == "Rejected"
    assert put(play, profile(DEFAULT, (0, 11), number=2, level=2, valid_to_utc_s=UTC0_S + 50)) == "Accepted"
    play.skip().wait(60)
    assert put(play, profile(DEFAULT, (0, 10), number=3, level=3)) == "Accepted"
    assert sorted(play.store["charging_profile"]) == ["1", "3"]


def test_who_takes_whose_place() -> None:
    """1.x: the same purpose and stack level at the same place. 2.x: the same id; another one at the same time is
    refused, at another time not."""
    play = Play()
    early, late = {"valid_to_utc_s": UTC0_S + 50}, {"valid_from_utc_s": UTC0_S + 50}
    assert put(play, profile(DEFAULT, (0, 10), number=1, **early)) == "Accepted"
    assert put(play, profile(DEFAULT, (0, 10), number=2), replaces=False) == "Rejected"
    assert put(play, profile(DEFAULT, (0, 10), number=2), 1, replaces=False) == "Rejected"
    assert put(play, profile(DEFAULT, (0, 10), number=2, **late), replaces=False) == "Accepted"
    assert put(play, profile(DEFAULT, (0, 11), number=1, **early), replaces=False) == "Accepted"
    assert sorted(play.store["charging_profile"]) == ["1", "2"]
    assert put(play, profile(DEFAULT, (0, 12), number=3)) == "Accepted"
    assert sorted(play.store["charging_profile"]) == ["3"]
    assert put(play, profile(DEFAULT, (0, 12), number=4), 1) == "Accepted"
    assert sorted(play.store["charging_profile"]) == ["3", "4"]


@pytest.mark.parametrize(("trusted", "answer", "left"), [(True, "Accepted", ["102"]), (False, "Rejected", ["101"])])
def test_a_profile_that_is_over_makes_room_for_its_successor(trusted: bool, answer: str, left: list[str]) -> None:
    """2.x K01.FR.06, K01.FR.37. Without the time none is known to be over."""
    play = Play()
    assert put(play, profile(MAX, (0, 16), number=101, valid_to_utc_s=UTC0_S + 50), replaces=False) == "Accepted"
    play.skip().wait(51)
    play.trusted = trusted
    assert put(play, profile(MAX, (0, 10), number=102), replaces=False) == answer
    assert sorted(play.store["charging_profile"]) == left
    assert not trusted or schedule(play, 0) == [(0, 10.0)]


def test_a_profile_that_is_over_goes_with_none_that_is_refused() -> None:
    play = Play()
    assert put(play, profile(MAX, (0, 16), number=101, valid_to_utc_s=UTC0_S + 50), replaces=False) == "Accepted"
    play.skip().wait(51)
    assert put(play, profile(MAX, number=102), replaces=False) == "Rejected"
    assert sorted(play.store["charging_profile"]) == ["101"]


def test_a_station_maximum_without_a_start_begins_when_it_is_set() -> None:
    play = Play(evses=2)
    play.wait(100)
    wanted = profile(MAX, (0, 20), (60, 10), kind=Kind.RELATIVE)
    assert put(play, wanted) == "Accepted"
    assert schedule(play, 0, 100) == [(0, 20.0), (60, 10.0)]
    play.skip().wait(30)
    assert schedule(play, 0, 100) == [(0, 20.0), (30, 10.0)]


# --- cleared, reported -----------------------------------------------------------------------------------------------


def stocked() -> Play:
    play = charging(Play(evses=2))
    put(play, profile(MAX, (0, 40), number=1))
    put(play, profile(DEFAULT, (0, 20), number=2, level=1))
    put(play, profile(DEFAULT, (0, 18), number=3, level=1), 1)
    put(play, profile(DEFAULT, (0, 16), number=4, level=2), 2)
    put(play, profile(TX, (0, 12), number=5), 1)
    return play


@pytest.mark.parametrize(
    ("criteria", "gone"),
    [
        ({}, "12345"),
        ({"id": 3}, "3"),
        ({"id": 3, "evse": 2, "stack_level": 9}, "3"),
        ({"id": 9}, ""),
        ({"evse": 0}, "12"),
        ({"evse": 1}, "35"),
        ({"purpose": DEFAULT}, "234"),
        ({"stack_level": 1}, "23"),
        ({"purpose": DEFAULT, "stack_level": 1, "evse": 1}, "3"),
        ({"purpose": MAX, "stack_level": 1}, ""),
    ],
)
def test_cleared_by_every_filter(criteria: dict[str, Any], gone: str) -> None:
    play = stocked()
    assert ask(play, ClearChargingProfilesRequest(**criteria)).status == ("Accepted" if gone else "Unknown")
    assert "".join(sorted(play.store["charging_profile"])) == "".join(n for n in "12345" if n not in gone)


def test_reported_by_every_filter() -> None:
    play = stocked()
    for criteria, found in (
        ({}, [(0, 1), (0, 2), (1, 3), (1, 5), (2, 4)]),
        ({"ids": (3, 4, 9)}, [(1, 3), (2, 4)]),
        ({"evse": 0}, [(0, 1), (0, 2)]),
        ({"purpose": DEFAULT, "stack_level": 2}, [(2, 4)]),
        ({"ids": (3,), "evse": 2}, []),
    ):
        reply = ask(play, ChargingProfilesRequest(**criteria))
        assert reply.status == ("Accepted" if found else "NoProfiles")
        assert [(i.evse, i.profile.id) for i in reply.data["profiles"]] == found


def test_composite_of_station_and_evses() -> None:
    play = stocked()
    assert schedule(play, 1) == [(0, 12.0)]
    assert schedule(play, 2) == [(0, 16.0)]
    assert schedule(play, 0) == [(0, 28.0)]  # what the EVSEs may take together
    ask(play, ClearChargingProfilesRequest(purpose=TX))
    ask(play, ClearChargingProfilesRequest(evse=1))
    assert schedule(play, 1) == [(0, 20.0)]
    put(play, profile(MAX, (0, 25), (10, 15), number=1))
    assert schedule(play, 0) == [(0, 25.0), (10, 15.0)]
    assert schedule(play, 1) == [(0, 20.0), (10, 15.0)]
    assert schedule(play, 0, unit=Unit.W) == [(0, 17250.0), (10, 10350.0)]


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.4, 0.5, 0.7004, 0.9996])
def test_a_composite_begins_at_the_request_and_never_with_a_limit_of_before(late_s: float) -> None:
    """1.6 errata 3.28, 2.0.1 K08.FR.02."""
    play = Play()
    put(play, profile(DEFAULT, (0, 20), (10, 15), (40, 10)))
    play.skip().wait(10 + late_s)
    found = ask(play, CompositeScheduleRequest(1, 60)).data
    assert 0 <= found["start_utc_s"] - (UTC0_S + 10 + late_s) <= 0.001
    assert [(s.start_s, s.limit) for s in found["spans"]] == [(0, 15.0), (round(30 - late_s), 10.0)]


def test_a_composite_just_before_a_change_has_the_limit_of_then() -> None:
    play = Play()
    put(play, profile(DEFAULT, (0, 20), (10, 15)))
    play.skip().wait(9.2)
    assert schedule(play) == [(0, 20.0), (1, 15.0)]


def test_a_composite_says_whether_it_is_of_direct_current() -> None:
    play = Play(evses=2)
    configure(play.evse(2), dc=True)
    assert [ask(play, CompositeScheduleRequest(n, 60)).data["dc"] for n in (0, 1, 2)] == [False, False, True]
    configure(play.evse(1), dc=True)
    assert ask(play, CompositeScheduleRequest(0, 60)).data["dc"]


def test_composites_know_the_feed() -> None:
    play = Play(evses=2)
    configure(play.site, feed_a=25.0)
    assert schedule(play, 1) == [(0, 25.0)]
    assert schedule(play, 0) == [(0, 25.0)]
    assert schedule(play, 0, unit=Unit.W) == [(0, 17250.0)]


@pytest.mark.parametrize(("evse", "duration_s"), [(3, 60), (1, 0), (1, -5)])
def test_impossible_composites_are_rejected(evse: int, duration_s: int) -> None:
    assert ask(Play(evses=2), CompositeScheduleRequest(evse, duration_s)).status == "Rejected"


# --- a shared maximum ------------------------------------------------------------------------------------------------


def two(amperes: float, **more: Any) -> Play:
    play = Play(evses=2)
    put(play, profile(MAX, (0, amperes), **more))
    return play


def given(play: Play) -> tuple[float, float]:
    return limit(play, 1), limit(play, 2)


def plugged_and_begun(play: Play, evse: int) -> None:
    for event in (CablePlugged(evse), VehicleConnected(evse)):
        play.feed(event)
    ask(play, RemoteStartRequest(evse, B, "r"))
    play.feed(MeterRead(evse, begin_reading(play.evse(evse).progress.begin_try), wh(1000)))
    play.skip()


def test_the_second_waits_until_the_first_has_come_down() -> None:
    """Never above: the first one's car needs a moment to follow."""
    play = two(30.0)
    charging(play.skip())
    assert limit(play) == 30.0
    plugged_and_begun(play, 2)
    assert given(play) == (24.0, 0.0)  # its car does not ask yet: the least is kept for it
    assert not play.levels.get((SetRelease, 2), False)
    play.wait(5.1)
    assert given(play) == (24.0, 6.0)
    assert play.levels[SetRelease, 2]
    for event in (OfferChanged(2, True), VehicleReady(2), ContactorClosed(2)):
        play.skip().feed(event)
    assert given(play) == (15.0, 6.0)
    play.skip().wait(5.1)
    assert given(play) == (15.0, 15.0)


def test_no_one_gets_what_another_vehicle_may_still_draw() -> None:
    """The first one got a lower limit a moment ago; no order in between makes its car no faster."""
    play = two(30.0)
    charging(play.skip())
    plugged_and_begun(play, 2)
    assert given(play) == (24.0, 0.0)
    for event in (VehiclePaused(2), VehicleReady(2), ClockTrusted()):
        play.skip().feed(event)
        assert limit(play, 2) == 0.0
    play.skip().wait(5.1)
    assert given(play) == (15.0, 15.0)


def test_no_one_waits_for_himself() -> None:
    """What an EVSE came down from a moment ago is its own: it goes up to the next step of its schedule at once."""
    play = Play(evses=2)
    put(play, profile(MAX, (0, 60)))
    put(play, profile(DEFAULT, (0, 12), (20, 9), (22, 16), number=2), evse=1)
    charging(play.skip())
    for at_s, offered_a in ((1, 12.0), (20, 9.0), (22, 16.0)):
        play.skip().wait(T0_S + at_s + 0.01 - play.t_s)
        assert (limit(play), schedule(play)[0]) == (offered_a, (0, offered_a))


def test_who_begins_gets_nothing_that_another_vehicle_may_still_draw() -> None:
    play = Play(evses=3)
    put(play, profile(MAX, (0, 30.0)))
    charging(play.skip())
    plugged_and_begun(play, 2)
    plugged_and_begun(play, 3)
    assert (given(play), limit(play, 3)) == ((18.0, 0.0), 0.0)
    assert not play.levels.get((SetRelease, 3), False)
    play.skip().wait(5.1)
    assert (given(play), limit(play, 3)) == ((18.0, 6.0), 6.0)


def test_too_little_for_two_the_first_goes_on_and_the_second_follows() -> None:
    play = two(10.0)
    charging(play.skip())
    plugged_and_begun(play, 2)
    play.wait(60)
    assert given(play) == (10.0, 0.0)
    assert play.evse(2).progress.charging is ChargingState.SUSPENDED_EVSE
    for event in (StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP), MeterRead(1, POLL, wh(1))):
        play.skip().feed(event)
    assert limit(play, 2) == 0.0  # its contactor is still closed
    for event in (ContactorOpened(1), MeterRead(1, end_reading(1), wh(1100))):
        play.skip().feed(event)
    assert limit(play, 2) == 10.0
    assert play.levels[SetRelease, 2]


def test_watts_are_shared_by_the_phases_of_the_outlets() -> None:
    play = two(11040.0, unit=Unit.W)
    configure(play.evse(2), phases=1)
    charging(play.skip())
    assert limit(play) == 16.0
    plugged_and_begun(play, 2)
    for event in (OfferChanged(2, True), VehicleReady(2), ContactorClosed(2)):
        play.feed(event)
    play.skip().wait(6)
    assert given(play) == (12.0, 12.0)
    assert 12.0 * 690 + 12.0 * 230 == 11040.0


def fed(feed_a: float, *rotations: str, **options: Any) -> Play:
    """Two outlets on a feed of so many amperes per phase; no profile."""
    play = Play(evses=2, feed_a=feed_a, **options)
    for number, rotation in enumerate(rotations, 1):
        configure(play.evse(number), phases=len(rotation) or 3, rotation=rotation)
    charging(play.skip())
    plugged_and_begun(play, 2)
    for event in (OfferChanged(2, True), VehicleReady(2), ContactorClosed(2)):
        play.feed(event)
    return play.skip().wait(6)


@pytest.mark.parametrize(
    ("feed_a", "rotations", "shares"),
    [
        (40.0, ("RST", "STR"), (20.0, 20.0)),  # two of three phases share each
        (40.0, ("R", "S"), (32.0, 32.0)),  # different phases: none waits for the other
        (40.0, ("R", "R"), (20.0, 20.0)),
        (40.0, ("R", "STR"), (20.0, 20.0)),
        (10.0, ("RST", "RST"), (10.0, 0.0)),  # not enough for both
        (100.0, ("", ""), (32.0, 32.0)),
    ],
)
def test_the_feed_is_shared_phase_by_phase(feed_a: float, rotations: tuple[str, str], shares: Any) -> None:
    assert given(fed(feed_a, *rotations)) == shares


def phases(play: Play, evse: int = 1) -> int | None:
    orders = [o for o in play.log if isinstance(o, SetLimit) and o.evse == evse]
    return orders[-1].limit.phases


def with_phases(number_of_phases: int, amperes: float = 20.0) -> Profile:
    period = Period(0, amperes, number_of_phases)
    return replace(profile(DEFAULT, number=2), schedule=Schedule(Unit.A, (period,), None, UTC0_S, None))


def fed_switching(feed_a: float, *rotations: str) -> Play:
    """Like ``fed``, with outlets that can charge on fewer phases than they have."""
    play = fed(feed_a, *rotations, settings={"phase_switching": True})
    assert given(play) == (20.0, 20.0)
    return play


def test_fewer_phases_at_the_same_current_are_ordered_and_leave_room_only_later() -> None:
    """The vehicle may draw from all phases until it has followed."""
    play = fed_switching(40.0, "RST", "S")
    put(play.skip(), with_phases(1), 1)
    assert (phases(play), given(play)) == (1, (20.0, 20.0))
    play.skip().wait(4)
    assert given(play) == (20.0, 20.0)
    play.skip().wait(1.5)
    assert (phases(play), given(play)) == (1, (20.0, 32.0))


def test_more_phases_wait_for_who_draws_from_them() -> None:
    play = fed_switching(40.0, "RST", "S")
    put(play.skip(), with_phases(1), 1)
    play.skip().wait(6)
    assert (phases(play), given(play)) == (1, (20.0, 32.0))
    ask(play.skip(), ClearChargingProfilesRequest(2))
    assert (phases(play), given(play)) == (1, (20.0, 20.0))
    play.skip().wait(6)
    assert (phases(play), given(play)) == (3, (20.0, 20.0))


def test_who_begins_gets_nothing_of_a_phase_that_another_vehicle_may_still_draw_from() -> None:
    play = Play(evses=2, feed_a=20.0, settings={"phase_switching": True})
    for number, rotation in ((1, "RST"), (2, "S")):
        configure(play.evse(number), phases=len(rotation), rotation=rotation)
    charging(play.skip())
    put(play.skip(), with_phases(1), 1)
    plugged_and_begun(play, 2)
    assert (phases(play), given(play)) == (1, (20.0, 0.0))
    play.skip().wait(5.1)
    assert given(play) == (20.0, 20.0)


def test_a_vehicle_that_is_about_to_close_its_contactor_counts_as_coming_down() -> None:
    """Release is given and the vehicle asks for energy; the contactor was open when the board was read last."""
    play = Play(evses=2)
    put(play, profile(MAX, (0, 40)))
    charging(play.skip())
    plugged_and_begun(play, 2)
    for event in (OfferChanged(2, True), VehicleReady(2), ContactorClosed(2)):
        play.feed(event)
    play.skip().wait(6)
    put(play.skip(), profile(DEFAULT, (0, 10), number=2), 2)
    play.skip().wait(6)
    assert given(play) == (30.0, 10.0)
    play.feed(ContactorOpened(1))
    play.evse(1).board.requests_energy = True
    put(play.skip(), profile(DEFAULT, (0, 10), number=3), 1)
    ask(play.skip(), ClearChargingProfilesRequest(2))
    assert given(play) == (10.0, 10.0)
    play.skip().wait(6)
    assert given(play) == (10.0, 30.0)


def test_an_outlet_of_one_phase_that_no_one_named_counts_on_all() -> None:
    play = fed(40.0, "R", "S")
    configure(play.evse(2), rotation="")
    play.skip().feed(VehiclePaused(2))
    play.skip().feed(VehicleReady(2))
    play.skip().wait(12)
    assert given(play) == (20.0, 20.0)


def test_a_board_that_was_not_opened_since_the_restart_still_has_its_share() -> None:
    """One without a watchdog went on charging: no other vehicle gets the feed before release is withdrawn there."""
    play = fed(40.0, "RST", "RST")
    assert given(play) == (20.0, 20.0)
    play.skip().restart(2)
    play.skip().feed(BoardOpened(1, CHARGING, play.traits))
    assert play.state() is SessionState.ACTIVE
    assert limit(play, 1) == 20.0
    for event in (
        BoardOpened(2, replace(PLUGGED, cable=False, pilot=Pilot.A), play.traits),
        MeterRead(2, end_reading(1), wh(1100)),
    ):
        play.skip().feed(event)
    assert (play.state(2), limit(play, 1)) == (SessionState.FREE, 32.0)


def test_an_outlet_that_cannot_be_switched_off_keeps_its_share() -> None:
    """Its vehicle goes on drawing although its session is over: no other vehicle gets what it takes."""
    play = fed(40.0, "RST", "RST")
    assert given(play) == (20.0, 20.0)
    play.skip().feed(StopWanted(2, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.skip().feed(ContactorOpened(2))
    play.skip().feed(MeterRead(2, end_reading(1), wh(1100)))
    assert (play.skip().state(2), limit(play, 1)) == (SessionState.ENDED, 32.0)
    play.feed(FaultRaised(2, Fault.CONTACTOR_WELDED))
    play.skip().wait(0.1)
    assert limit(play, 1) == 20.0
    play.skip().feed(VehicleLeft(2))
    assert limit(play, 1) == 32.0
    assert not play.levels.get((SetRelease, 2), False)


def test_a_board_that_never_comes_back_keeps_its_share_until_a_person_has_seen_it() -> None:
    """Giving up the session says nothing of the contactor."""
    play = fed(40.0, "RST", "RST")
    play.skip().restart(2)
    play.skip().feed(BoardOpened(1, CHARGING, play.traits))
    play.skip().wait(301)
    play.feed(MeterRead(2, end_reading(1), wh(1100)))
    assert (play.evse(2).session, limit(play.skip(), 1)) == (None, 20.0)
    play.feed(BoardOpened(2, replace(PLUGGED, cable=False, pilot=Pilot.A), play.traits))
    assert limit(play, 1) == 32.0


def lose_board(play: Play, evse: int = 2) -> Play:
    """Its data cable breaks. No order reaches it, and none is confirmed."""
    play.confirms = False
    play.skip().feed(FaultRaised(evse, Fault.BOARD_SILENT))
    return play.skip().wait(0.1)


def given_up(play: Play) -> Play:
    """The session at the lost board is closed, although its meter still shows a current."""
    play.skip().wait(20)
    for attempt in (1, 2, 3):
        play.skip().feed(MeterRead(2, end_reading(attempt), replace(wh(1100), current_a=(20.0,))))
        play.skip().wait(6)
    return play


def test_a_board_that_is_lost_keeps_its_share_until_it_is_seen_again() -> None:
    """One without a watchdog goes on, one with a fallback too. The session ends after ten seconds all the same."""
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    assert (play.evse(2).session, limit(play.skip(), 1)) == (None, 20.0)
    play.wait(3600).skip().feed(FaultCleared(2, Fault.BOARD_SILENT))
    play.skip().wait(1)
    assert limit(play, 1) == 20.0, "it answers, and nothing is known yet of what it does"
    play.skip().feed(BoardOpened(2, replace(PLUGGED, cable=False, pilot=Pilot.A), play.traits))
    assert (limit(play.skip(), 1), play.evse(2).allowed_a) == (32.0, None)


def test_a_vehicle_that_begins_while_a_board_is_lost_gets_what_is_left() -> None:
    """Another one has left, whose place it takes. The session at the lost board is over as well."""
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    for event in (BoardChanged(1, replace(PLUGGED, cable=False, pilot=Pilot.A)), ReleaseWithdrawn(1)):
        play.skip().feed(event)
    play.skip().feed(MeterRead(1, end_reading(1), wh(1100)))
    play.skip().wait(60)
    plugged_and_begun(play, 1)
    assert (play.state(1), limit(play, 1), play.levels[SetRelease, 1]) == (SessionState.ACTIVE, 20.0, True)


@pytest.mark.parametrize("before_s", [0, 8, 20, 60])
def test_a_lower_limit_of_a_board_that_is_lost_counts_as_not_obeyed(before_s: float) -> None:
    """It was ordered a moment before the board counted as silent: the cable may have been broken already."""
    play = fed(40.0, "RST", "RST")
    put(play.skip(), profile(DEFAULT, (0, 6)), 2)
    play.skip().wait(before_s)
    lose_board(play).skip().wait(9)
    assert limit(play, 1) == 20.0
    put(play.skip(), profile(DEFAULT, (0, 8)), 2)
    play.skip().wait(9)
    assert limit(play, 1) == 20.0


def test_none_of_several_lower_limits_before_a_silence_counts_as_obeyed() -> None:
    """A manager lowers in steps. The cable may have been broken before the first of them."""
    play = fed(40.0, "RST", "RST")
    for amperes in (12, 6):
        put(play.skip(), profile(DEFAULT, (0, amperes)), 2)
        play.skip().wait(8)
    lose_board(play).skip().wait(9)
    assert limit(play, 1) == 20.0


def test_a_board_that_is_lost_after_it_has_switched_off_has_no_share() -> None:
    play = fed(40.0, "RST", "RST")
    put(play.skip(), profile(DEFAULT, (0, 0)), 2)
    for event in (ContactorOpened(2), VehiclePaused(2)):
        play.skip().feed(event)
    lose_board(play).skip().wait(20)
    assert limit(play, 1) == 32.0


def test_a_board_that_was_withheld_when_it_fell_silent_has_no_share() -> None:
    """The end of its session withdraws release once more, which is not confirmed: that says nothing of the vehicle."""
    play = fed(40.0, "RST", "RST", settings={"stop_on_invalid_id": False})
    play.skip().feed(TransactionAcknowledged(LINK, play.session(2).id, "42", REFUSED))
    play.skip().feed(ContactorOpened(2))
    play = given_up(lose_board(play))
    assert (play.evse(2).session, limit(play, 1)) == (None, 32.0)


def test_a_board_that_fell_silent_in_a_pause_has_no_share_when_the_pause_ends() -> None:
    """The release that the end of the pause gives does not reach it."""
    play = fed(40.0, "RST", "RST")
    put(play.skip(), profile(DEFAULT, (0, 0)), 2)
    play.skip().feed(ContactorOpened(2))
    put(play.skip(), profile(DEFAULT, (0, 20)), 2)
    lose_board(play.skip().wait(2)).skip().wait(9)
    assert play.evse(2).release_order.given
    given_up(play)
    assert (play.evse(2).session, limit(play, 1)) == (None, 32.0)


def test_a_board_that_works_again_follows_limits_although_its_fault_is_still_raised() -> None:
    """It flaps: its supervisor clears the fault only some time later. It fails once more before that."""
    play = lose_board(fed(40.0, "RST", "RST"))
    play.confirms = True
    play.skip().feed(BoardOpened(2, CHARGING, play.traits))
    put(play.skip(), profile(DEFAULT, (0, 6)), 2)
    play.skip().wait(6)
    assert (play.state(2), given(play)) == (SessionState.ACTIVE, (32.0, 6.0))
    lose_board(play)
    put(play.skip(), profile(DEFAULT, (0, 16)), 2)
    play.skip().wait(1)
    assert (play.evse(2).board_lost, given(play)) == (True, (20.0, 6.0))


@pytest.mark.parametrize("ends", [ContactorOpened(2), VehicleLeft(2)], ids=lambda e: type(e).__name__)
def test_a_board_that_is_opened_while_its_contactor_is_closed_keeps_its_share_until_it_opens(ends: Any) -> None:
    """Its session is over, so the opening withdraws release. A board may take seconds to open under load."""
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    play.skip().feed(FaultCleared(2, Fault.BOARD_SILENT))
    play.skip().feed(BoardOpened(2, replace(CHARGING, pwm=False), play.traits))
    play.skip().wait(9)
    assert (play.evse(2).session, limit(play, 1)) == (None, 20.0)
    play.skip().feed(ends)
    assert (limit(play.skip(), 1), play.evse(2).allowed_a) == (32.0, None)


def test_a_session_that_goes_on_at_less_yields_before_the_other_vehicle_gets_more() -> None:
    """Its contactor was closed all the time, and its vehicle takes a moment to follow the lower offer."""
    play = lose_board(fed(40.0, "RST", "RST"))
    put(play.skip(), profile(DEFAULT, (0, 6)), 2)
    play.skip().wait(6)
    play.skip().feed(FaultCleared(2, Fault.BOARD_SILENT))
    play.skip().feed(BoardOpened(2, CHARGING, play.traits))
    play.skip().wait(4)
    assert (play.state(2), given(play)) == (SessionState.ACTIVE, (20.0, 6.0))
    play.skip().wait(1.5)
    assert given(play) == (32.0, 6.0)


def test_a_vehicle_that_leaves_while_its_session_stays_open_leaves_its_share_to_the_other_one() -> None:
    play = fed(40.0, "RST", "RST", settings={"stop_on_ev_disconnect": False})
    play.skip().feed(VehicleLeft(2))
    play.skip().wait(6)
    assert (play.state(2), limit(play, 1)) == (SessionState.ACTIVE, 32.0)


def lost_over_restart() -> Play:
    """The session at a lost board is over, and the agent was restarted since. The first board is back."""
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    assert play.store["kept_share"] == {"2": {"amperes": 20.0, "phases": 3}}
    play.skip().restart(2)
    play.skip().feed(BoardOpened(1, CHARGING, play.traits))
    play.skip().wait(6)
    assert limit(play, 1) == 20.0
    return play


def test_a_restart_does_not_forget_the_share_of_a_lost_board() -> None:
    play = lost_over_restart()
    play.skip().feed(BoardOpened(2, replace(CHARGING, pwm=False), play.traits))
    play.skip().wait(6)
    assert limit(play, 1) == 20.0, "its contactor is still closed"
    play.skip().feed(ContactorOpened(2))
    assert (limit(play.skip(), 1), play.store["kept_share"]) == (32.0, {})


def test_a_second_restart_does_not_forget_the_share_of_a_board_that_never_came_back() -> None:
    play = fed(40.0, "RST", "RST")
    for _ in range(2):
        play.skip().restart(2)
        play.skip().feed(BoardOpened(1, CHARGING, play.traits))
        play.skip().wait(301)
        play.skip().feed(MeterRead(2, end_reading(1), wh(1100)))
        assert (play.skip().evse(2).session, limit(play, 1)) == (None, 20.0)
    play.skip().feed(FaultsAcknowledged(2))
    assert (limit(play.skip(), 1), play.store["kept_share"]) == (32.0, {})


def test_a_person_who_has_looked_gives_the_share_of_a_lost_board_away() -> None:
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    play.skip().feed(FaultsAcknowledged(1))
    assert limit(play, 1) == 20.0, "this is the other one"
    play.skip().feed(FaultsAcknowledged(2))
    assert (limit(play.skip(), 1), play.store["kept_share"]) == (32.0, {})
    assert Fault.RESET_FAILURE not in play.skip().wait(30).evse(2).faults


def test_a_hard_reset_of_the_outlet_gives_the_share_of_a_lost_board_away() -> None:
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    ask(play.skip(), ResetRequest(hard=True, evse=2))
    assert (limit(play.skip(), 1), play.store["kept_share"]) == (32.0, {})


@pytest.mark.parametrize("hard", [False, True])
def test_a_hard_reset_of_the_station_gives_the_share_of_a_lost_board_away(hard: bool) -> None:
    play = given_up(lose_board(fed(40.0, "RST", "RST")))
    play.store["restart"] = {"ordered": {"reason": "RemoteReset", "hard": hard}}
    play.skip().restart(2)
    play.skip().feed(BoardOpened(1, CHARGING, play.traits))
    play.skip().wait(6)
    assert limit(play, 1) == (32.0 if hard else 20.0)


def test_a_share_that_cannot_be_read_is_set_aside() -> None:
    play = Play(store={"kept_share": {"1": {"amperes": "many", "phases": 3}}})
    assert (play.store["kept_share"], "kept_share/1" in play.store["poisoned"]) == ({}, True)


def test_a_board_that_is_back_within_its_time_shares_again() -> None:
    play = lose_board(fed(40.0, "RST", "RST"))
    put(play.skip(), profile(DEFAULT, (0, 6)), 2)
    play.skip().wait(6)
    assert given(play) == (20.0, 20.0)
    play.skip().feed(FaultCleared(2, Fault.BOARD_SILENT))
    play.skip().feed(BoardOpened(2, CHARGING, play.traits))
    play.skip().wait(6)
    assert (play.state(2), given(play)) == (SessionState.ACTIVE, (32.0, 6.0))


def test_a_board_that_was_not_seen_since_the_restart_learns_of_no_lower_limit() -> None:
    """No other vehicle gets what a profile takes from it."""
    play = fed(40.0, "RST", "RST")
    play.skip().restart(2)
    play.skip().feed(BoardOpened(1, CHARGING, play.traits))
    play.skip().wait(6)
    put(play.skip(), profile(DEFAULT, (0, 6)), 2)
    play.skip().wait(6)
    assert limit(play, 1) == 20.0
    play.feed(BoardOpened(2, CHARGING, play.traits))
    play.skip().wait(6)
    assert given(play) == (32.0, 6.0)


@pytest.mark.parametrize(("least", "shares"), [(None, (10.0, 6.0)), (12.0, (16.0, 0.0))])
def test_a_least_rate_says_who_waits(least: float | None, shares: tuple[float, float]) -> None:
    """Below it the second car would charge badly: it waits rather."""
    play = two(16.0)
    put(play, profile(DEFAULT, (0, 32), number=2, least=least), 2)
    charging(play.skip())
    plugged_and_begun(play, 2)
    play.skip().wait(10)
    assert given(play) == shares


def test_who_begins_with_too_little_is_not_released_for_a_moment() -> None:
    """There is room for 6 A, and the profile says that 10 A is the least (found by a walk)."""
    play = two(16.0)
    put(play, profile(DEFAULT, (0, 10.0), number=2, least=10.0))
    charging(play.skip())
    plugged_and_begun(play, 2)
    assert given(play) == (10.0, 0.0)
    assert [o.on for o in play.log if isinstance(o, SetRelease) and o.evse == 2] == []


def test_whose_turn_it_is_not_is_not_released_for_a_moment() -> None:
    """Both boards were away; the first one still waits for what the second may draw (found by a walk)."""
    play = Play(evses=2)
    put(play, profile(DEFAULT, (0, 10.0), number=2))
    charging(play.skip())
    plugged_and_begun(play, 2)
    for event in (OfferChanged(2, True), VehicleReady(2), ContactorClosed(2)):
        play.feed(event)
    put(play.skip(), profile(MAX, (0, 10.0)))
    for number in (1, 2):
        before = len(play.log)
        play.skip().feed(BoardOpened(number, CHARGING, play.traits))
        assert [o.on for o in play.log[before:] if isinstance(o, SetRelease)] == [], number
    play.skip().wait(6)
    assert given(play) == (10.0, 0.0)


# --- time, restarts --------------------------------------------------------------------------------------------------


def untrusted() -> Play:
    play = Play(cold=True)
    play.trusted = False
    play.store["charging_profile"] = {}
    return play


@pytest.mark.parametrize(
    ("installed", "cautious", "true"),
    [
        (profile(DEFAULT, (0, 20), (50, 8), (100, 16)), 8.0, 20.0),
        (profile(DEFAULT, (0, 20), kind=Kind.RELATIVE), 20.0, 20.0),
        (profile(DEFAULT, (0, 20), kind=Kind.RELATIVE, valid_to_utc_s=UTC0_S - 1), 20.0, 32.0),
        (profile(MAX, (0, 0), kind=Kind.RECURRING, recurrency=Recurrency.DAILY, lasts_s=60,
                 start_utc_s=UTC0_S - 7200), 0.0, 32.0),
    ],
)  # fmt: skip
def test_without_the_time_the_least_that_may_hold(installed: Profile, cautious: float, true: float) -> None:
    """A session goes on over a restart of the process without a clock; with it the truth holds."""
    play = charging(Play(traits=EvseTraits(counts_plugged=True)))
    put(play, installed)
    play.skip().trusted = False
    state = replace(CHARGING, plugged_s=100.0)
    play.restart(online=False)
    play.feed(BoardOpened(1, state, play.traits))
    assert limit(play) == cautious
    assert play.levels[SetRelease, 1] is (cautious >= 6.0)
    play.trusted = True
    play.t_s = T0_S + 10
    play.skip().feed(ClockTrusted())
    assert limit(play) == true
    assert play.levels[SetRelease, 1]


def test_profiles_survive_and_those_of_a_session_as_long_as_it_does() -> None:
    play = charging(Play(traits=EvseTraits(counts_plugged=True)))
    put(play, profile(DEFAULT, (0, 20)))
    put(play, profile(TX, (0, 10), number=2), 1)
    play.skip().restart(state=replace(CHARGING, plugged_s=100.0))
    assert play.state() is SessionState.ACTIVE
    assert limit(play) == 10.0
    play.skip()
    del play.store["session"]
    play.restart()
    assert sorted(play.store["charging_profile"]) == ["1"]
    assert schedule(play) == [(0, 20.0)]


def test_a_record_that_cannot_be_read_is_set_aside() -> None:
    play = Play(store={"charging_profile": {"1": {"evse": 0, "profile": {"$": "Profile"}}}})
    assert play.store["charging_profile"] == {}
    assert "charging_profile/1" in play.store["poisoned"]


# --- values ----------------------------------------------------------------------------------------------------------


def test_the_limit_in_force_is_reported_as_a_measurand() -> None:
    names = ("Current.Offered", "Power.Offered")
    play = charging(Play(settings={"sampled_measurands": names, "sample_interval_s": 60}))
    put(play, profile(DEFAULT, (0, 10), (60, 0)))
    found = []
    for _ in range(2):
        play.skip().wait(59 if not found else 2)
        if found:
            play.skip().feed(ContactorOpened(1))
            play.skip().wait(59)
        play.feed(MeterRead(1, SAMPLED, wh(1100)))
        (sample,) = [m for m in play.sent_messages if isinstance(m, MeterSampled)][-1].samples
        found.append((sample.reading.offered_a, sample.reading.offered_w))
    assert found == [(10.0, 6900.0), (0.0, 0.0)]
    assert play.skip()


def test_settings_of_smart_charging_are_not_for_a_backend() -> None:
    names = ("profile_stack_level_max", "profile_periods_max", "profile_rate_units", "profiles_max", "phase_switching")
    reply = ask(Play(), SetVariablesRequest(dict.fromkeys(names, "1")))
    assert set(reply.data.values()) == {"Rejected"}


def test_a_dc_outlet_gets_watts() -> None:
    play = charging(Play(settings={"nominal_voltage_v": 240}))
    configure(play.site.evses[1], dc=True, nominal_v=240)
    put(play, profile(DEFAULT, (0, 7200), unit=Unit.W))
    play.skip()
    last = [o.limit for o in play.log if isinstance(o, SetLimit)][-1]
    assert last.power_w == 7200

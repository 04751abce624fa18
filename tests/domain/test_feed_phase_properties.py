"""The feed is never exceeded on any of its phases, whatever profiles come, although a vehicle takes its time to follow
a lower offer (IEC 61851-1, annex A), and begins and ends to draw when it likes."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Schedule, Unit
from agent.domain.requests import ClearChargingProfilesRequest, SetChargingProfileRequest
from tests.domain.feed_watch import EVSES, FeedWatch
from tests.domain.playbook import UTC0_S

STEPS = st.one_of(
    st.tuples(
        st.just("profile"),
        st.sampled_from((0, *EVSES)),
        st.sampled_from((0, 6, 10, 16, 20, 25, 32)),
        st.sampled_from((None, 1, 2, 3)),
        st.sampled_from(tuple(Unit)),
    ),
    st.tuples(st.just("clear"), st.sampled_from((0, *EVSES))),
    st.tuples(st.sampled_from(("pause", "ready", "stop", "begin")), st.sampled_from(EVSES)),
    st.tuples(st.just("report")),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 1.0, 2.0, 4.0, 6.0))),
)
CABLE_STEPS = st.one_of(
    st.tuples(st.just("cut off"), st.sampled_from(EVSES), st.sampled_from((0.0, 1.0, 4.0, 20.0))),
    st.tuples(st.just("reach"), st.sampled_from(EVSES)),
    st.tuples(st.just("wait"), st.just(15.0)),
)
"""Nothing of what is ordered meanwhile reaches a board that is cut off: no new limit of the whole station either."""


def default_profile(evse: int, amperes: float, phases: int | None, unit: Unit) -> SetChargingProfileRequest:
    limit = amperes if unit is Unit.A else amperes * 230.0 * (phases or 3)
    schedule = Schedule(unit, (Period(0, float(limit), phases),), None, UTC0_S, None)
    return SetChargingProfileRequest(
        evse, Profile(10 + evse, 0, Purpose.TX_DEFAULT, Kind.ABSOLUTE, schedule), replaces=True
    )


def take_step(play: FeedWatch, step: str, *rest: Any) -> None:
    match step:
        case "profile":
            play.feed_and_check(play.request(default_profile(*rest)))
        case "clear":
            play.feed_and_check(play.request(ClearChargingProfilesRequest(10 + rest[0])))
        case "pause" | "ready":
            if play.evse(rest[0]).session is not None:
                play.set_asking(rest[0], step == "ready")
        case "stop":
            play.stop_session(rest[0])
        case "begin":
            play.begin_session(rest[0])
        case "cut off":
            play.cut_board_off(*rest)
        case "reach":
            play.reach_board_again(rest[0])
        case "report":
            play.report_contactors()
        case "wait":
            play.wait_and_check(*rest)


A_PHASE_OF_A_RAISE_THAT_IS_HELD_BACK_FALLS_FOR_ANOTHER = [
    ("stop", 2),
    ("wait", 6.0),
    ("begin", 3),
    ("wait", 6.0),
    ("profile", 3, 12, None, Unit.A),
    ("profile", 1, 10, 3, Unit.A),
    ("wait", 6.0),
    ("profile", 1, 20, 1, Unit.A),
    ("wait", 4.0),
    ("profile", 3, 6, None, Unit.A),
    ("profile", 1, 25, 3, Unit.A),
    ("wait", 1.5),
    ("profile", 1, 10, 3, Unit.A),
    ("profile", 3, 30, None, Unit.A),
    ("wait", 4.0),
]


@settings(deadline=None)
@example(A_PHASE_OF_A_RAISE_THAT_IS_HELD_BACK_FALLS_FOR_ANOTHER)
@example([("profile", 1, 20, 1, Unit.A), ("wait", 0.5)])
@example([("profile", 1, 20, 1, Unit.A), ("wait", 6.0), ("clear", 1), ("wait", 6.0)])
@example([("pause", 1), ("report",), ("wait", 1.0), ("begin", 3), ("report",), ("wait", 1.0), ("ready", 1)])
@example([("profile", 2, 6, 3, Unit.A), ("wait", 0.5), ("stop", 2), ("wait", 1.0), ("begin", 2), ("wait", 1.0)])
@example([("cut off", 1, 1.0), ("wait", 6.0), ("wait", 6.0), ("report",), ("wait", 6.0), ("begin", 3), ("wait", 6.0)])
@example([("cut off", 1, 0.0), ("profile", 1, 6, None, Unit.A), ("wait", 6.0), ("reach", 1), ("wait", 6.0)])
@example([("profile", 2, 10, None, Unit.A), ("wait", 6.0), ("cut off", 2, 0.0), ("reach", 2), ("wait", 6.0)])
@example([("cut off", 2, 4.0), ("wait", 15.0), ("wait", 15.0), ("report",), ("reach", 2), ("wait", 6.0)])
@example([("profile", 2, 6, None, Unit.A), ("cut off", 2, 20.0), ("wait", 15.0), ("reach", 2), ("wait", 6.0)])
@given(st.lists(st.one_of(STEPS, CABLE_STEPS), min_size=1, max_size=25))
def test_no_phase_of_the_feed_is_exceeded_by_vehicles_that_follow_late(steps: list[Any]) -> None:
    play = FeedWatch()
    for number in EVSES[:2]:
        play.begin_session(number)
        play.wait_and_check(6.0)
    for step in steps:
        take_step(play, *step)

"""The feed is never exceeded on any of its phases, whatever profiles come, although a vehicle takes its time to follow
a lower offer (IEC 61851-1, annex A)."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Schedule, Unit
from agent.domain.charging.station_limits import YIELD_S
from agent.domain.events import (
    CablePlugged,
    ContactorClosed,
    MeterRead,
    OfferChanged,
    RequestReceived,
    VehicleConnected,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.orders import ReadMeter, SetLimit, SetRelease
from agent.domain.reading_purposes import begin_reading
from agent.domain.requests import ClearChargingProfilesRequest, RemoteStartRequest, SetChargingProfileRequest
from tests.domain.playbook import LINK, UTC0_S, B, Playbook, wh
from tests.support.domain_state import configure

FEED_A = 40.0
ROTATIONS = ("RST", "STR", "S")
EVSES = tuple(range(1, len(ROTATIONS) + 1))


class FeedWatch(Playbook):
    """Three outlets on one feed. Each vehicle draws the most that it was offered in the last ``YIELD_S``."""

    QUIET = (*Playbook.QUIET, ReadMeter)

    def __init__(self) -> None:
        super().__init__(evses=len(EVSES), feed_a=FEED_A, settings={"phase_switching": True}, resume_within_s=600.0)
        self.offers: dict[int, deque[tuple[float, dict[str, float]]]] = {n: deque() for n in EVSES}
        self.looked_at = 0
        for number, rotation in zip(EVSES, ROTATIONS, strict=True):
            configure(self.evse(number), phases=len(rotation), rotation=rotation)

    def begin_session(self, evse: int) -> None:
        self.feed_and_skip(CablePlugged(evse), VehicleConnected(evse), self.request(RemoteStartRequest(evse, B, "r")))
        self.feed_and_skip(MeterRead(evse, begin_reading(self.evse(evse).progress.begin_try), wh(1000)))
        self.feed_and_skip(OfferChanged(evse, True), VehicleReady(evse), ContactorClosed(evse))

    def request(self, asked: Any) -> RequestReceived:
        return RequestReceived(LINK, f"q{next(NUMBERS)}", asked)

    def feed_and_skip(self, *events: Any) -> None:
        for event in events:
            self.feed(event)
            self.skip()
            self.check_feed()

    def check_feed(self) -> None:
        for order in self.log[self.looked_at :]:
            if isinstance(order, SetLimit):
                used = ROTATIONS[order.evse - 1][: order.limit.phases or 3]
                self.offers[order.evse].append((self.t_s, dict.fromkeys(used, order.limit.current_a or 0.0)))
        self.looked_at = len(self.log)
        drawn_a = dict.fromkeys("RST", 0.0)
        for number, offers in self.offers.items():
            if not self.levels.get((SetRelease, number), False):
                continue
            while len(offers) > 1 and offers[1][0] <= self.t_s - YIELD_S:
                offers.popleft()
            for phase in drawn_a:
                drawn_a[phase] += max(currents_a.get(phase, 0.0) for _, currents_a in offers)
        assert all(a <= FEED_A + 1e-6 for a in drawn_a.values()), drawn_a


NUMBERS = itertools.count(1)
PROFILES = st.builds(
    lambda evse, amperes, phases, unit: ("profile", evse, amperes, phases, unit),
    st.sampled_from((0, *EVSES)),
    st.sampled_from((0, 6, 10, 16, 20, 25, 32)),
    st.sampled_from((None, 1, 2, 3)),
    st.sampled_from(Unit),
)
STEPS = st.one_of(
    PROFILES,
    st.tuples(st.just("clear"), st.sampled_from((0, *EVSES))),
    st.tuples(st.just("pause"), st.sampled_from(EVSES)),
    st.tuples(st.just("ready"), st.sampled_from(EVSES)),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 2.0, 4.0, 6.0))),
)


def default_profile(evse: int, amperes: float, phases: int | None, unit: Unit) -> SetChargingProfileRequest:
    limit = amperes if unit is Unit.A else amperes * 230.0 * (phases or 3)
    schedule = Schedule(unit, (Period(0, float(limit), phases),), None, UTC0_S, None)
    return SetChargingProfileRequest(
        evse, Profile(10 + evse, 0, Purpose.TX_DEFAULT, Kind.ABSOLUTE, schedule), replaces=True
    )


@settings(deadline=None)
@example([("profile", 1, 20, 1, Unit.A), ("wait", 0.5)])
@example([("profile", 1, 20, 1, Unit.A), ("wait", 6.0), ("clear", 1), ("wait", 6.0)])
@given(st.lists(STEPS, min_size=1, max_size=25))
def test_no_phase_of_the_feed_is_exceeded_by_vehicles_that_follow_late(steps: list[Any]) -> None:
    play = FeedWatch()
    for number in EVSES:
        play.begin_session(number)
        play.wait(6)
        play.skip()
    for step, *rest in steps:
        match step:
            case "profile":
                play.feed_and_skip(play.request(default_profile(*rest)))
            case "clear":
                play.feed_and_skip(play.request(ClearChargingProfilesRequest(10 + rest[0])))
            case "pause":
                play.feed_and_skip(VehiclePaused(rest[0]))
            case "ready":
                play.feed_and_skip(VehicleReady(rest[0]))
            case "wait":
                for _ in range(int(rest[0] * 10)):
                    play.wait(0.1)
                    play.skip()
                    play.check_feed()

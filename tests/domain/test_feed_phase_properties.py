"""The feed is never exceeded on any of its phases, whatever profiles come, although a vehicle takes its time to follow
a lower offer (IEC 61851-1, annex A), and begins and ends to draw when it likes."""

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
    ContactorOpened,
    MeterRead,
    OfferChanged,
    ReleaseWithdrawn,
    RequestReceived,
    VehicleConnected,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.orders import ReadMeter, SetLimit, SetRelease
from agent.domain.requests import (
    ClearChargingProfilesRequest,
    RemoteStartRequest,
    RemoteStopRequest,
    SetChargingProfileRequest,
)
from tests.domain.playbook import LINK, UTC0_S, B, Playbook, wh
from tests.support.domain_state import configure

FEED_A = 40.0
ROTATIONS = ("RST", "STR", "R")
EVSES = tuple(range(1, len(ROTATIONS) + 1))
NUMBERS = itertools.count(1)


class FeedWatch(Playbook):
    """Three outlets on one feed. A vehicle whose contactor is closed draws the most that it was offered in the last
    ``YIELD_S``, but nothing from before the contactor closed. The domain learns of contactors when reported."""

    QUIET = (*Playbook.QUIET, ReadMeter)

    def __init__(self) -> None:
        super().__init__(evses=len(EVSES), feed_a=FEED_A, settings={"phase_switching": True}, resume_within_s=600.0)
        self.offers: dict[int, deque[tuple[float, dict[str, float]]]] = {n: deque() for n in EVSES}
        self.asks_energy = dict.fromkeys(EVSES, False)
        self.closed = dict.fromkeys(EVSES, False)
        self.looked_at = 0
        for number, rotation in zip(EVSES, ROTATIONS, strict=True):
            configure(self.evse(number), phases=len(rotation), rotation=rotation)

    def begin_session(self, evse: int) -> None:
        if self.evse(evse).session is not None:
            return
        if not self.evse(evse).board.vehicle_connected:
            self.feed_and_check(CablePlugged(evse), VehicleConnected(evse))
        self.feed_and_check(self.request(RemoteStartRequest(evse, B, f"r{next(NUMBERS)}")))
        self.answer_readings()
        self.feed_and_check(OfferChanged(evse, True))
        self.set_asking(evse, True)

    def stop_session(self, evse: int) -> None:
        if (session := self.evse(evse).session) is not None:
            self.feed_and_check(self.request(RemoteStopRequest(session.id)))

    def set_asking(self, evse: int, on: bool) -> None:
        self.asks_energy[evse] = on
        self.feed_and_check((VehicleReady if on else VehiclePaused)(evse))

    def request(self, asked: Any) -> RequestReceived:
        return RequestReceived(LINK, f"q{next(NUMBERS)}", asked)

    def feed_and_check(self, *events: Any) -> None:
        for event in events:
            self.feed(event)
            self.skip()
            self.check_feed()

    def answer_readings(self) -> None:
        """Answer each meter reading that was ordered since the last look."""
        for order in [o for o in self.log[self.answered :] if isinstance(o, ReadMeter)]:
            self.feed_and_check(MeterRead(order.evse, order.purpose, wh(1000)))
        self.answered = len(self.log)

    answered = 0

    def report_contactors(self) -> None:
        for number in EVSES:
            if self.closed[number] != self.evse(number).board.contactor_closed:
                self.feed_and_check((ContactorClosed if self.closed[number] else ContactorOpened)(number))
            if not self.released(number) and not self.closed[number]:
                self.feed_and_check(ReleaseWithdrawn(number))
        self.answer_readings()

    def released(self, evse: int) -> bool:
        return bool(self.levels.get((SetRelease, evse), False))

    def check_feed(self) -> None:
        for order in self.log[self.looked_at :]:
            if isinstance(order, SetLimit):
                used = ROTATIONS[order.evse - 1][: order.limit.phases or 3]
                self.offers[order.evse].append((self.t_s, dict.fromkeys(used, order.limit.current_a or 0.0)))
        self.looked_at = len(self.log)
        drawn_a = dict.fromkeys("RST", 0.0)
        for number, offers in self.offers.items():
            closed = self.released(number) and self.asks_energy[number]
            while len(offers) > 1 and (offers[1][0] <= self.t_s - YIELD_S or not self.closed[number]):
                offers.popleft()
            self.closed[number] = closed
            if closed:
                for phase in drawn_a:
                    drawn_a[phase] += max(currents_a.get(phase, 0.0) for _, currents_a in offers)
        assert all(a <= FEED_A + 1e-6 for a in drawn_a.values()), drawn_a

    def wait_and_check(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.wait(0.1)
            self.skip()
            self.check_feed()
            self.report_contactors()


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
@given(st.lists(STEPS, min_size=1, max_size=25))
def test_no_phase_of_the_feed_is_exceeded_by_vehicles_that_follow_late(steps: list[Any]) -> None:
    play = FeedWatch()
    for number in EVSES[:2]:
        play.begin_session(number)
        play.wait_and_check(6.0)
    for step in steps:
        take_step(play, *step)

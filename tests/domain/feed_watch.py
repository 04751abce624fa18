"""Three outlets on one feed, and vehicles that follow a lower offer late: what a station draws at most."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from agent.domain.charging.station_limits import YIELD_S
from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    ContactorClosed,
    ContactorOpened,
    Event,
    FaultCleared,
    FaultRaised,
    MeterRead,
    OfferChanged,
    ReleaseWithdrawn,
    RequestReceived,
    VehicleConnected,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.orders import Order, ReadMeter, SetLimit, SetRelease
from agent.domain.requests import RemoteStartRequest, RemoteStopRequest
from agent.model.board import Pilot
from agent.model.fastclass import replace
from agent.model.types import Fault
from tests.domain.playbook import LINK, PLUGGED, B, Playbook, wh
from tests.support.domain_state import configure

FEED_A = 40.0
ROTATIONS = ("RST", "STR", "R")
EVSES = tuple(range(1, len(ROTATIONS) + 1))
NUMBERS = itertools.count(1)
OPENING_S = 4.0


class FeedWatch(Playbook):
    """Three outlets on one feed. A vehicle whose contactor is closed draws the most that it was offered in the last
    ``YIELD_S``, but nothing from before the contactor closed. The domain learns of contactors when reported. A board
    whose cable is broken goes on with what it has, until it is opened again with its own maximum. Its contactor opens
    ``OPENING_S`` later: until then its vehicle goes on with what it had."""

    QUIET = (*Playbook.QUIET, ReadMeter)

    def __init__(self, **options: Any) -> None:
        self.cut_off: dict[int, bool] = {}
        """Boards that no order reaches, and whether each has release."""
        self.opening: dict[int, tuple[float, dict[str, float]]] = {}
        """Boards whose contactor opens since they were opened: until when, and what their vehicles draw until then."""
        super().__init__(
            evses=len(EVSES), feed_a=FEED_A, settings={"phase_switching": True}, resume_within_s=600.0, **options
        )
        self.offers: dict[int, deque[tuple[float, dict[str, float]]]] = {n: deque() for n in EVSES}
        self.asks_energy = dict.fromkeys(EVSES, False)
        self.closed = dict.fromkeys(EVSES, False)
        self.confirms = False  # those do that are not cut off
        self.looked_at = 0
        for number, rotation in zip(EVSES, ROTATIONS, strict=True):
            configure(self.evse(number), phases=len(rotation), rotation=rotation)

    def feed(self, event: Event) -> list[Order]:
        orders = super().feed(event)
        for order in orders:
            if isinstance(order, SetRelease) and not order.on and order.evse not in self.cut_off:
                self.feed(ReleaseWithdrawn(order.evse))
        return orders

    def cut_board_off(self, evse: int, noticed_s: float) -> None:
        """Its cable breaks, which is noticed a moment later."""
        if evse not in self.cut_off:
            self.cut_off[evse] = self.released(evse)
            self.wait_and_check(noticed_s)
            self.feed_and_check(FaultRaised(evse, Fault.BOARD_SILENT))

    def reach_board_again(self, evse: int) -> None:
        """It answers, and a moment later it is opened: without release, and at its maximum."""
        if evse not in self.cut_off:
            return
        self.feed_and_check(FaultCleared(evse, Fault.BOARD_SILENT))
        self.wait_and_check(0.2)
        del self.cut_off[evse]
        if self.closed[evse]:
            self.opening[evse] = self.t_s + OPENING_S, self.highest_offer(evse)
        self.levels[SetRelease, evse] = self.closed[evse] = False
        self.offers[evse].append((self.t_s, dict.fromkeys(ROTATIONS[evse - 1], self.evse(evse).config.max_a)))
        pilot = Pilot.C if self.asks_energy[evse] else Pilot.B
        first = replace(PLUGGED, pilot=pilot, contactor=evse in self.opening)
        self.feed_and_check(BoardOpened(evse, first, self.traits))

    def begin_session(self, evse: int) -> None:
        if self.evse(evse).session is not None or evse in self.cut_off:
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
        if evse in self.cut_off:
            return
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
        for number in (n for n in EVSES if n not in self.cut_off):
            closed = self.closed[number] or number in self.opening
            if closed != self.evse(number).board.contactor_closed:
                self.feed_and_check((ContactorClosed if closed else ContactorOpened)(number))
            if not self.released(number) and not closed:
                self.feed_and_check(ReleaseWithdrawn(number))
        self.answer_readings()

    def released(self, evse: int) -> bool:
        return self.cut_off.get(evse, bool(self.levels.get((SetRelease, evse), False)))

    def check_feed(self) -> None:
        drawn_a = self.drawn_currents()
        on_phase_a = {phase: sum(currents_a.get(phase, 0.0) for currents_a in drawn_a) for phase in "RST"}
        assert all(a <= FEED_A + 1e-6 for a in on_phase_a.values()), on_phase_a

    def drawn_currents(self) -> list[dict[str, float]]:
        """What each vehicle draws at most now: amperes by the phases of the feed."""
        for order in self.log[self.looked_at :]:
            if isinstance(order, SetLimit) and order.evse not in self.cut_off:
                used = ROTATIONS[order.evse - 1][: order.limit.phases or 3]
                self.offers[order.evse].append((self.t_s, dict.fromkeys(used, order.limit.current_a or 0.0)))
        self.looked_at = len(self.log)
        drawn_a: list[dict[str, float]] = []
        for number, offers in self.offers.items():
            closed = self.released(number) and self.asks_energy[number]
            while len(offers) > 1 and (offers[1][0] <= self.t_s - YIELD_S or not self.closed[number]):
                offers.popleft()
            self.closed[number] = closed
            until_s, had_a = self.opening.get(number, (0.0, {}))
            if self.t_s >= until_s:
                self.opening.pop(number, None)
                had_a = {}
            offered_a = self.highest_offer(number) if closed else {}
            drawn_a.append({phase: max(a.get(phase, 0.0) for a in (offered_a, had_a)) for phase in "RST"})
        return drawn_a

    def highest_offer(self, evse: int) -> dict[str, float]:
        return {phase: max(a.get(phase, 0.0) for _, a in self.offers[evse]) for phase in "RST"}

    def wait_and_check(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.wait(0.1)
            self.skip()
            self.check_feed()
            self.report_contactors()

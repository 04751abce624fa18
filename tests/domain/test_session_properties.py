"""Whatever happens in whatever order: the promises of ``agent/domain/session/table.py`` hold.

A walk is a list of deeds drawn from a seed: people, boards, the backend, power cuts. A walk that breaks a promise is
reduced to the deeds that it takes and printed as lines that can become a plain test (``Street(...)``, then the deeds).
``make test`` walks a sample, ``make campaign`` far more from a new seed.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Schedule, Unit
from agent.domain.events import (
    CardPresented,
    FaultCleared,
    FaultRaised,
    MeterRead,
    StopRequested,
    SupplyChanged,
    TransactionAcknowledged,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TransactionAuthorized, TransactionEnded, TransactionStarted
from agent.domain.requests import (
    CancelReservationRequest,
    ChangeAvailabilityRequest,
    ClearCacheRequest,
    ClearChargingProfilesRequest,
    MessageTrigger,
    RemoteStartRequest,
    RemoteStopRequest,
    ReserveNowRequest,
    ResetRequest,
    SetChargingProfileRequest,
    SetVariablesRequest,
    TriggerMessageRequest,
    UnlockConnectorRequest,
)
from agent.domain.session.table import EVENTS, TABLE, IllegalEvent, apply_session_event
from agent.domain.session.tx_points import OUTLASTING
from agent.domain.variables import POINTS
from agent.model.types import Fault, Moment, Reading, Stamp, Supply, Token
from tests.domain.playbook import make_site
from tests.domain.rig import BAD, FRIEND, GOOD, STRANGER, VERDICTS, Config, Rig
from tests.domain.walks import Deed, Deeds, Walks
from tests.support.reading_purposes import POLL

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
WALKS, STEPS = (40_000, 90) if FULL else (350, 70)

TOKENS = (GOOD, GOOD, FRIEND, STRANGER, BAD)
YES_NO = (True, False)
FLAGS = (
    "stop_on_ev_disconnect",
    "unlock_on_ev_disconnect",
    "stop_on_invalid_id",
    "authorize_remote_start",
    "local_pre_authorize",
)
NOT_HERE = (
    StopReason.EMERGENCY_STOP,
    StopReason.ENERGY_LIMIT,
    StopReason.LOCAL_OUT_OF_CREDIT,
    StopReason.OVERCURRENT_FAULT,
    StopReason.POWER_QUALITY,
    StopReason.REBOOT,
    StopReason.TIME_LIMIT,
)
BY_THE_WAY = (Fault.METER_SILENT, Fault.READER_SILENT, Fault.METER_IMPLAUSIBLE, Fault.DOOR_OPEN)


class Street:
    """Deeds on a ``Rig``. What is not possible now does nothing, so that any part of a walk is a walk."""

    def __init__(self, settings: dict[str, Any], **shape: Any) -> None:
        self.rig = self._rig(Config(settings={"sample_interval_s": 60, **settings}, **shape))
        self._open_all()

    def _rig(self, config: Config) -> Rig:
        return Rig(config)

    def _open_all(self) -> None:
        for n in self.rig.outlets:
            self.rig.open_board(n)
        self.rig.link(True)

    def _number(self, pick: int) -> int:
        return 1 + (pick - 1) % len(self.rig.outlets)

    # --- people --------------------------------------------------------------------------------------------------

    def plug(self, pick: int, ready: bool) -> None:
        outlet = self.rig.outlets[self._number(pick)]
        if outlet.car is None:
            self.rig.pass_time(3.0)  # no person is faster
            outlet.car, outlet.cable, outlet.ready = next(self.rig.cars), not self.rig.config.tethered, ready
            outlet.since_s, outlet.bay = self.rig.t_s, True
            self.rig.look()

    def unplug(self, pick: int, at_station: bool) -> None:
        outlet = self.rig.outlets[self._number(pick)]
        outlet.car = None
        outlet.cable = outlet.cable and not at_station
        self.rig.look()

    def bounce(self, pick: int) -> None:
        """A plug makes and breaks contact, faster than a person could exchange it."""
        outlet = self.rig.outlets[self._number(pick)]
        car, outlet.car = outlet.car, None
        self.rig.look()
        if car is not None:
            outlet.car, outlet.since_s = car, self.rig.t_s
            self.rig.look()

    def drive(self, pick: int, into: bool) -> None:
        """Into the bay, or out of it."""
        outlet = self.rig.outlets[self._number(pick)]
        outlet.bay = into or outlet.car is not None
        self.rig.look()

    def sensor(self, pick: int, on: bool) -> None:
        """It may say anything."""
        self.rig.outlets[self._number(pick)].bay = on
        self.rig.look()

    def car(self, pick: int, ready: bool, seen: bool) -> None:
        self.rig.outlets[self._number(pick)].ready = ready
        if seen or ready:
            self.rig.look()

    def sated(self, pick: int) -> None:
        """The car takes nothing for a while."""
        self.car(pick, False, True)
        self.wait(11.0)

    def card(self, pick: int, token: Token) -> None:
        self.rig.post(CardPresented(self._number(pick) if pick else 0, token))

    def session(self, pick: int, token: Token) -> None:
        """Most of what can go wrong goes wrong in a session: make one."""
        self.plug(pick, True)
        self.card(self._number(pick), token)
        self.answers()

    def wait(self, seconds: float) -> None:
        self.rig.pass_time(seconds)

    # --- devices -------------------------------------------------------------------------------------------------

    def board_fault(self, pick: int, fault: Fault | None) -> None:
        self.rig.outlets[self._number(pick)].faults = frozenset({fault} if fault else ())
        self.rig.look()

    def other_fault(self, pick: int, fault: Fault, on: bool) -> None:
        self.rig.post((FaultRaised if on else FaultCleared)(self._number(pick) if pick else 0, fault))

    def stuck(self, pick: int, on: bool) -> None:
        number = self._number(pick)
        self.rig.outlets[number].stuck = on
        if on:
            self.rig.meter_failed.add(number)  # what flows after the end was read belongs to no session

    def poll(self, pick: int) -> None:
        number = self._number(pick)
        self.rig.post(MeterRead(number, POLL, Reading(self.rig.now.stamp, self.rig.outlets[number].register_wh)))

    def board_lost(self, pick: int) -> None:
        number = self._number(pick)
        if self.rig.alive and self.rig.outlets[number].here and number in self.rig.opened:
            self.rig.close_board(number)
            self.rig.post(FaultRaised(number, Fault.BOARD_SILENT))

    def board_opened(self, pick: int) -> None:
        if self.rig.alive:
            self.rig.open_board(self._number(pick))

    def answer(self, index: int, well: bool) -> None:
        self.rig.answer(index, well)

    def answers(self) -> None:
        for _ in range(8):
            self.rig.answer(0, True)
        self.rig.look()

    def disk(self, full: bool) -> None:
        self.rig.disk_full = full

    def mains(self, on: bool, backup: bool | None) -> None:
        self.rig.mains = on
        self.rig.post(SupplyChanged(Supply(on, backup)))

    # --- the backend ---------------------------------------------------------------------------------------------

    def link(self, up: bool) -> None:
        self.rig.link(up)

    def ask_start(self, pick: int | None, token: Token) -> None:
        if self.rig.alive and not self.rig.site.settings.bool_value("authorize_remote_start"):
            self.rig.allowed.add(token)
        self.rig.ask(RemoteStartRequest(pick, token, "r1"))

    def ask_stop(self, pick: int, known: bool) -> None:
        session = self.rig.site.evses[self._number(pick)].session
        self.rig.ask(RemoteStopRequest(session.id if session and known else "unknown"))

    def ask_unlock(self, pick: int, stop_first: bool) -> None:
        self.rig.ask(UnlockConnectorRequest(pick, stop_first))

    def ask_reset(self, hard: bool) -> None:
        self.rig.ask(ResetRequest(hard))

    def ask_availability(self, pick: int, operative: bool) -> None:
        self.rig.ask(ChangeAvailabilityRequest(pick, operative))

    def ask_trigger(self, pick: int, what: MessageTrigger) -> None:
        self.rig.ask(TriggerMessageRequest(what, pick))

    def ask_set(self, name: str, value: str) -> None:
        self.rig.ask(SetVariablesRequest({name: value}))

    def ask_points(self, name: str, value: tuple[str, ...]) -> None:
        self.rig.ask(SetVariablesRequest({name: ",".join(value)}))

    def ask_master(self, group: str) -> None:
        self.rig.ask(SetVariablesRequest({"master_group": group}))

    def master(self, pick: int) -> None:
        """The service comes while a vehicle charges."""
        self.session(pick, STRANGER)
        self.ask_master("G")
        self.card(0, FRIEND)
        self.answers()
        self.ask_master("")

    def ask_clear(self) -> None:
        self.rig.ask(ClearCacheRequest())

    def ask_profile(
        self, pick: int, purpose: Purpose, amperes: float, lasts_s: int | None, least_a: float | None = None
    ) -> None:
        evse, duration_s = (0, None) if purpose is Purpose.STATION_MAX else (pick, lasts_s)
        kind = Kind.ABSOLUTE if purpose is Purpose.STATION_MAX else Kind.RELATIVE
        schedule = Schedule(Unit.A, (Period(0, amperes),), duration_s, least_rate=least_a)
        number = 10 * list(Purpose).index(purpose) + evse
        self.rig.ask(SetChargingProfileRequest(evse, Profile(number, 0, purpose, kind, schedule)))

    def ask_clear_profiles(self, pick: int | None) -> None:
        self.rig.ask(ClearChargingProfilesRequest(evse=pick))

    def ask_reserve(self, pick: int, token: Token, lasts_s: float, group: str) -> None:
        self.rig.ask(ReserveNowRequest(pick, pick, token, (self.rig.now.utc_s or 0.0) + lasts_s, group))

    def ask_cancel(self, pick: int) -> None:
        self.rig.ask(CancelReservationRequest(pick))

    def heard(self, index: int, as_judged: bool) -> None:
        """The backend answers some start, this or last year's."""
        kinds = TransactionStarted, TransactionAuthorized
        started = [m for _, m in self.rig.sent_messages if isinstance(m, kinds) and m.token is not None]
        if started:
            m = started[-1 - index % len(started)]
            verdict = VERDICTS[m.token if as_judged else BAD] if m.token in VERDICTS else None
            self.rig.post(TransactionAcknowledged(self.rig.links[0], m.session, "42", verdict))
            if verdict and not verdict.is_accepted and self.rig.alive and not self.rig.unsaved:
                self.rig.refused.add(m.session)

    # --- life ----------------------------------------------------------------------------------------------------

    def crash_soon(self, point: str) -> None:
        self.rig.crash_at = point

    def crash(self) -> None:
        if self.rig.alive:
            self.rig.down()

    def sigterm(self) -> None:
        self.rig.post(StopRequested())
        assert not any(o.release for o in self.rig.outlets.values())
        self.crash()

    def start_again(self, after_s: float, new_boot: bool, opened: bool) -> None:
        if not self.rig.alive:
            self.rig.pass_time(after_s)
            self.rig.boot += new_boot
            self.rig.start()
            if opened:
                self._open_all()

    # --- the end of a walk ---------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """Everything is answered, no vehicle is here any more, and the station is as new."""
        rig = self.rig
        rig.disk_full, rig.crash_at = False, ""
        self.mains(True, None)
        for calm in range(8):
            if not rig.alive:  # or a reset was waiting
                rig.start()
            if calm in (0, 6):
                self._all_is_well()
            for n, outlet in rig.outlets.items():
                outlet.car, outlet.cable = (None, False) if calm > 1 else (outlet.car, outlet.cable)
                outlet.bay = outlet.bay and calm <= 2
                if rig.alive and n not in rig.opened:
                    rig.open_board(n)
            rig.look()
            rig.link(True)
            self.answers()
            rig.pass_time(70.0)
            self.answers()
        rig.check_books()
        assert not rig.open_sessions, "never ended"
        rig.check_everything_billed()
        assert rig.asked == rig.replied, "a request without its one answer"
        assert [e.state for e in rig.site.evses.values()] == [SessionState.FREE] * len(rig.outlets)
        assert not any(o.release for o in rig.outlets.values())

    def _all_is_well(self) -> None:
        rig = self.rig
        for n, outlet in rig.outlets.items():
            outlet.faults, outlet.stuck = frozenset(), False
            rig.open_board(n)
            for fault in BY_THE_WAY:
                rig.post(FaultCleared(n, fault))
        for n in (0, *rig.outlets):
            rig.ask(ChangeAvailabilityRequest(n, True))
        for n in rig.outlets:
            rig.ask(ResetRequest(hard=True, evse=n))  # the latched faults are acknowledged
        rig.ask(ClearChargingProfilesRequest())
        for n in (0, 1, 2):
            rig.ask(CancelReservationRequest(n))

    def somebody_can_charge(self) -> None:
        rig = self.rig
        for n in rig.outlets if not rig.site.stopping else ():
            self.session(n, STRANGER)
            rig.pass_time(1.0 if rig.config.feed_a is None else 6.0)  # whose share others have to give up first
            assert rig.site.evses[n].state is SessionState.ACTIVE, "no driver can charge here any more"
            assert rig.outlets[n].contactor


POINT_SETS = tuple(points for n in range(1, 6) for points in combinations(POINTS, n))
PICK, PICK_0 = (1, 1, 2), (0, 1, 1, 2)

DEEDS: Deeds = {
    "plug": (3, {"pick": PICK, "ready": YES_NO}),
    "unplug": (4, {"pick": PICK, "at_station": YES_NO}),
    "bounce": (2, {"pick": PICK}),
    "sated": (2, {"pick": PICK}),
    "drive": (2, {"pick": PICK, "into": YES_NO}),
    "sensor": (1, {"pick": PICK, "on": YES_NO}),
    "car": (4, {"pick": PICK, "ready": YES_NO, "seen": (True, True, False)}),
    "card": (8, {"pick": PICK_0, "token": TOKENS}),
    "session": (8, {"pick": PICK, "token": TOKENS}),
    "wait": (8, {"seconds": (0.1, 1.0, 4.0, 11.0, 61.0, 310.0)}),
    "board_fault": (3, {"pick": PICK, "fault": (Fault.GROUND_FAILURE, Fault.CABLE_REJECTED, None, None)}),
    "other_fault": (3, {"pick": PICK_0, "fault": BY_THE_WAY, "on": YES_NO}),
    "stuck": (1, {"pick": PICK, "on": (True, False, False)}),
    "poll": (2, {"pick": PICK}),
    "board_lost": (2, {"pick": PICK}),
    "board_opened": (3, {"pick": PICK}),
    "answer": (8, {"index": (0, 0, 1, 2, 3, 9), "well": (True, True, False)}),
    "answers": (8, {}),
    "disk": (2, {"full": (True, False, False)}),
    "mains": (1, {"on": (True, True, False), "backup": (None, None, True, False)}),
    "link": (3, {"up": YES_NO}),
    "ask_start": (3, {"pick": (None, 0, 1, 2), "token": TOKENS}),
    "ask_stop": (2, {"pick": PICK, "known": (True, True, False)}),
    "ask_unlock": (3, {"pick": PICK_0, "stop_first": YES_NO}),
    "ask_reset": (1, {"hard": YES_NO}),
    "ask_availability": (2, {"pick": PICK_0, "operative": (True, True, False)}),
    "ask_trigger": (
        2,
        {"pick": (0, 1, 2, 3), "what": (MessageTrigger.METER_VALUES, MessageTrigger.STATUS, MessageTrigger.HEARTBEAT)},
    ),
    "ask_set": (1, {"name": tuple(f for f in FLAGS if f != "authorize_remote_start"), "value": ("true", "false")}),
    "ask_points": (1, {"name": ("tx_start_points", "tx_stop_points"), "value": POINT_SETS}),
    "ask_master": (1, {"group": ("", "", "G")}),
    "master": (1, {"pick": PICK}),
    "ask_clear": (1, {}),
    "ask_profile": (
        4,
        {
            "pick": PICK_0,
            "purpose": tuple(Purpose),
            "amperes": (0.0, 5.9, 10.0, 16.0),
            "lasts_s": (None, 30, 300),
            "least_a": (None, None, 10.0),
        },
    ),
    "ask_reserve": (
        4,
        {"pick": PICK_0, "token": TOKENS, "lasts_s": (20.0, 300.0, 4000.0), "group": ("", "", "G")},
    ),
    "ask_cancel": (1, {"pick": PICK_0}),
    "ask_clear_profiles": (1, {"pick": (None, 0, 1)}),
    "heard": (5, {"index": (0, 0, 1, 5), "as_judged": (True, True, False)}),
    "crash_soon": (2, {"point": ("unsaved", "saved")}),
    "crash": (2, {}),
    "sigterm": (1, {}),
}
WHEN_GONE: Deeds = {
    "plug": DEEDS["plug"],
    "unplug": DEEDS["unplug"],
    "drive": DEEDS["drive"],
    "start_again": (
        10,
        {"after_s": (0.1, 5.0, 50.0, 70.0, 400.0), "new_boot": (False, False, False, True), "opened": YES_NO},
    ),
}


def points_of(draw: random.Random) -> dict[str, Any]:
    """Those that outlast the right are few among all sets, and are worth more."""
    outlasting = [p for p in POINT_SETS if set(p) <= OUTLASTING]
    stops = draw.choice(outlasting if draw.random() < 0.4 else POINT_SETS)
    return {"tx_start_points": draw.choice(POINT_SETS), "tx_stop_points": stops}


MIXED = (("DC",), ("DC pausable",), ("DC", "AC"), ("AC once", "DC"))


def shape_of(draw: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {f: draw.choice(YES_NO) for f in FLAGS}
    settings |= {
        "offline_tx_for_unknown_id": draw.random() < 0.2,
        "connection_timeout_s": draw.choice((10, 60)),
        "clock_aligned_interval_s": draw.choice((0, 0, 60)),
        "stop_sampled_measurands": draw.choice(((), ("Energy.Active.Import.Register",))),
        **(points_of(draw) if draw.random() < 0.7 else {}),
    }
    return {
        "settings": settings,
        "evses": draw.choice((1, 2)),
        "counts": draw.choice(YES_NO),
        **draw.choice(({}, {}, {}, {"tethered": True}, {"tethered": True, "kinds": draw.choice(MIXED)})),
        "feed_a": draw.choice((None, None, None, 14.0)),
        "bays": draw.random() < 0.7,
        "free_vending": draw.random() < 0.2,
        "links": draw.choice((1, 1, 2)),
    }


def books(street: Street) -> None:
    if not (street.rig.alive and street.rig.unsaved):
        street.rig.check_books()


WALK = Walks(Street, DEEDS, WHEN_GONE, books)


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_the_promises_hold_whatever_happens(record_property: Callable[[str, object], None]) -> None:
    seen: Counter[str] = Counter()
    for street in WALK.all(SEED, WALKS, STEPS, shape_of):
        seen.update(str(m.reason) for _, m in street.rig.sent_messages if isinstance(m, TransactionEnded))
    record_property("walks", WALKS)
    record_property("sessions", sum(seen.values()))
    for reason in (r for r in StopReason if r not in NOT_HERE):
        assert seen[reason] >= 5, f"these walks hardly ever end a session by {reason}: {seen}"


def test_a_broken_promise_is_found_and_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk itself: with a proof that is none, a car that left is resumed."""
    monkeypatch.setattr("agent.domain.session.resume.plug_is_uninterrupted", lambda *any_: True)
    shape = {"settings": {}, "counts": True}
    swap: list[Deed] = [
        ("session", {"pick": 1, "token": GOOD}),
        ("wait", {"seconds": 61.0}),
        ("card", {"pick": 1, "token": BAD}),
        ("crash", {}),
        ("unplug", {"pick": 1, "at_station": True}),
        ("plug", {"pick": 1, "ready": True}),
        ("start_again", {"after_s": 5.0, "new_boot": False, "opened": True}),
    ]
    assert "resumed for another car" in WALK.again(shape, swap)
    assert [name for name, _ in WALK.reduced(shape, swap)][:3] == ["session", "crash", "unplug"]
    monkeypatch.undo()
    assert WALK.again(shape, swap) == ""


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(SessionState)
    for state, row in TABLE.items():
        assert set(row) == set(EVENTS), state


def test_an_event_that_the_table_does_not_know_is_named() -> None:
    site = make_site()
    with pytest.raises(IllegalEvent, match="EVSE 1: StopRequested in state Free"):
        list(apply_session_event(site, site.evses[1], StopRequested(), Moment(Stamp(1, 0.0))))


def test_a_rule_that_leads_elsewhere_than_it_declares_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wild(s: Any, evse: Any, event: Any, now: Any) -> Any:
        evse.state = SessionState.ACTIVE
        yield from ()

    site = make_site()
    monkeypatch.setitem(TABLE[SessionState.FREE], EVENTS[0], wild)
    with pytest.raises(IllegalEvent, match="wild led from Free to Active, undeclared"):
        list(apply_session_event(site, site.evses[1], EVENTS[0](1, None, None), Moment(Stamp(1, 0.0))))  # type: ignore[call-arg]


@pytest.mark.parametrize("state", SessionState)
def test_every_state_can_be_reached(state: SessionState) -> None:
    targets = {t for row in TABLE.values() for r in row.values() for t in getattr(r, "targets", ())}
    assert state in targets | {SessionState.FREE, SessionState.RECOVERING}

"""Whatever happens in whatever order: the promises of ``agent/domain/session.py`` hold.

``make test`` runs a sample, the full count with ``CHARGY_CAMPAIGN=full``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from agent.domain.events import (
    AskAvailability,
    AskReset,
    AskSet,
    AskStart,
    AskStop,
    AskTrigger,
    AskUnlock,
    CardPresented,
    FaultCleared,
    FaultRaised,
    StopRequested,
    TransactionHeard,
    Trigger,
)
from agent.domain.evse import State
from agent.domain.messages import TransactionStarted
from agent.domain.session import EVENTS, TABLE, IllegalEvent, step
from agent.kinds import Fault, Moment, Stamp
from tests.domain.playbook import make_site
from tests.domain.rig import BAD, FRIEND, GOOD, STRANGER, VERDICTS, Config, Rig

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
tokens = st.sampled_from((GOOD, FRIEND, STRANGER, BAD))
flags = st.booleans()
SETTINGS = (
    "stop_on_ev_disconnect",
    "unlock_on_ev_disconnect",
    "stop_on_invalid_id",
    "authorize_remote_start",
    "local_pre_authorize",
)
alive = precondition(lambda self: self.rig.alive)
gone = precondition(lambda self: not self.rig.alive)


class Street(RuleBasedStateMachine):
    rig: Rig

    @initialize(
        evses=st.integers(1, 2),
        counts=flags,
        tethered=st.sampled_from((False, False, True)),
        free_vending=st.sampled_from((False, False, False, True)),
        links=st.sampled_from((1, 1, 2)),
        chosen=st.fixed_dictionaries({name: flags for name in SETTINGS}),
        anybody=st.sampled_from((False, False, True)),
        timeout_s=st.sampled_from((10, 60)),
        busy=st.sampled_from((True, True, False)),
    )
    def build(self, chosen: dict[str, Any], anybody: bool, timeout_s: int, busy: bool, **shape: Any) -> None:
        chosen |= {"offline_tx_for_unknown_id": anybody, "connection_timeout_s": timeout_s, "sample_interval_s": 60}
        self.rig = Rig(Config(settings=chosen, **shape))
        for n in self.rig.outlets:
            self.rig.open_board(n)
        self.rig.link(True)
        if busy:
            self.session_as_usual(0)

    def outlet(self, pick: int) -> int:
        return 1 + pick % len(self.rig.outlets)

    # --- the street ----------------------------------------------------------------------------------------------

    @rule(pick=st.integers(0, 1), ready=flags)
    def plug(self, pick: int, ready: bool) -> None:
        outlet = self.rig.outlets[self.outlet(pick)]
        if outlet.car is None:
            self.rig.t_s += 3.0  # nobody is faster
            outlet.car, outlet.cable, outlet.ready = next(self.rig.cars), not self.rig.config.tethered, ready
            outlet.since_s = self.rig.t_s
            self.rig.look()

    @rule(pick=st.integers(0, 1), at_station=flags)
    def unplug(self, pick: int, at_station: bool) -> None:
        outlet = self.rig.outlets[self.outlet(pick)]
        outlet.car = None
        outlet.cable = outlet.cable and not at_station
        self.rig.look()

    @rule(pick=st.integers(0, 1), ready=flags, seen=flags)
    def car(self, pick: int, ready: bool, seen: bool) -> None:
        self.rig.outlets[self.outlet(pick)].ready = ready
        if seen:
            self.rig.look()

    @alive
    @rule(pick=st.integers(0, 2), token=tokens)
    def card(self, pick: int, token: Any) -> None:
        self.rig.post(CardPresented(self.outlet(pick) if pick else 0, token))

    @alive
    @rule(pick=st.integers(0, 1))
    def session_as_usual(self, pick: int) -> None:
        """Most of what can go wrong goes wrong in a session: make one."""
        self.plug(pick, True)
        self.rig.post(CardPresented(self.outlet(pick), GOOD))
        for _ in range(4):
            self.rig.answer(0, True)
        self.rig.look()

    @rule(seconds=st.sampled_from((0.1, 1.0, 4.0, 11.0, 61.0, 310.0)))
    def wait(self, seconds: float) -> None:
        self.rig.pass_time(seconds)

    @alive
    @rule(pick=st.integers(0, 1), fault=st.sampled_from((Fault.GROUND_FAILURE, Fault.CABLE_REJECTED, None)))
    def board_fault(self, pick: int, fault: Fault | None) -> None:
        self.rig.outlets[self.outlet(pick)].faults = frozenset({fault} if fault else ())
        self.rig.look()

    @alive
    @rule(
        pick=st.integers(-1, 1),
        fault=st.sampled_from((Fault.METER_SILENT, Fault.READER_SILENT, Fault.METER_IMPLAUSIBLE, Fault.DOOR_OPEN)),
        on=flags,
    )
    def other_fault(self, pick: int, fault: Fault, on: bool) -> None:
        number = 0 if pick < 0 else self.outlet(pick)
        self.rig.post(FaultRaised(number, fault) if on else FaultCleared(number, fault))

    @alive
    @rule(pick=st.integers(0, 1))
    def board_lost(self, pick: int) -> None:
        number = self.outlet(pick)
        if number in self.rig.opened:
            self.rig.close_board(number)
            self.rig.post(FaultRaised(number, Fault.BOARD_SILENT))

    @alive
    @rule(pick=st.integers(0, 1))
    def board_opened(self, pick: int) -> None:
        self.rig.open_board(self.outlet(pick))

    # --- devices and backend -------------------------------------------------------------------------------------

    @alive
    @rule(index=st.integers(0, 9), well=st.sampled_from((True, True, True, False)))
    def answer(self, index: int, well: bool) -> None:
        self.rig.answer(index, well)

    @alive
    @rule()
    def answer_all(self) -> None:
        for _ in range(12):
            self.rig.answer(0, True)

    @alive
    @rule(up=flags)
    def link(self, up: bool) -> None:
        self.rig.link(up)

    @alive
    @rule(token=tokens, pick=st.sampled_from((None, 0, 1, 2)))
    def ask_start(self, token: Any, pick: int | None) -> None:
        if not self.rig.site.settings.flag("authorize_remote_start"):
            self.rig.allowed.add(token)
        self.rig.ask(AskStart(pick, token, "r1"))

    @alive
    @rule(pick=st.integers(0, 1), known=flags)
    def ask_stop(self, pick: int, known: bool) -> None:
        session = self.rig.site.evses[self.outlet(pick)].session
        self.rig.ask(AskStop(session.id if session and known else "nobody"))

    @alive
    @rule(pick=st.integers(0, 2), stop_first=flags)
    def ask_unlock(self, pick: int, stop_first: bool) -> None:
        self.rig.ask(AskUnlock(pick, stop_first))

    @alive
    @rule(hard=flags)
    def ask_reset(self, hard: bool) -> None:
        self.rig.ask(AskReset(hard))

    @alive
    @rule(pick=st.integers(0, 2), operative=st.sampled_from((True, True, False)))
    def ask_availability(self, pick: int, operative: bool) -> None:
        self.rig.ask(AskAvailability(pick, operative))

    @alive
    @rule(what=st.sampled_from((Trigger.METER_VALUES, Trigger.STATUS, Trigger.HEARTBEAT)), pick=st.integers(0, 3))
    def ask_trigger(self, what: Trigger, pick: int) -> None:
        self.rig.ask(AskTrigger(what, pick))

    @alive
    @rule(name=st.sampled_from(SETTINGS), on=flags, interval=st.sampled_from(("0", "60", "900")))
    def ask_set(self, name: str, on: bool, interval: str) -> None:
        values = {name: str(on).lower(), "clock_aligned_interval_s": interval}
        if name != "authorize_remote_start":
            self.rig.ask(AskSet(values))

    @alive
    @rule(index=st.integers(0, 20), as_judged=flags)
    def transaction_heard(self, index: int, as_judged: bool) -> None:
        started = [m for _, m in self.rig.told if isinstance(m, TransactionStarted)]
        if started:
            m = started[index % len(started)]
            verdict = VERDICTS[m.token if as_judged else BAD] if m.token in VERDICTS else None
            self.rig.post(TransactionHeard(self.rig.links[0], m.session, "42", verdict))

    # --- life ----------------------------------------------------------------------------------------------------

    @alive
    @rule(point=st.sampled_from(("unsaved", "saved")))
    def crash_soon(self, point: str) -> None:
        self.rig.crash_at = point

    @alive
    @rule()
    def crash(self) -> None:
        self.rig.down()

    @alive
    @rule()
    def sigterm(self) -> None:
        self.rig.post(StopRequested())
        self.rig.down()

    @gone
    @rule(after_s=st.sampled_from((0.1, 5.0, 59.0, 70.0, 400.0)), new_boot=st.sampled_from((False, False, True)))
    def start_again(self, after_s: float, new_boot: bool) -> None:
        rig = self.rig
        rig.pass_time(after_s)
        if new_boot:
            rig.boot += 1
        rig.start()

    @gone
    @rule(pick=st.integers(0, 1))
    def start_at_once_and_open(self, pick: int) -> None:
        self.start_again(1.0, False)
        self.board_opened(pick)

    @alive
    @rule(full=flags)
    def disk(self, full: bool) -> None:
        self.rig.disk_full = full

    # --- the promises --------------------------------------------------------------------------------------------

    @invariant()
    def books(self) -> None:
        if hasattr(self, "rig") and not (self.rig.alive and self.rig.unsaved):
            self.rig.check_books()

    def teardown(self) -> None:
        """The world calms down: everything is answered, nobody is here any more, and the station is as new."""
        if not hasattr(self, "rig") or not self.rig.sound:
            return
        rig = self.rig
        if not rig.alive:
            rig.start()
        rig.disk_full, rig.crash_at = False, ""
        for n, outlet in rig.outlets.items():
            outlet.faults = frozenset()
            rig.open_board(n)
            for fault in (Fault.METER_SILENT, Fault.READER_SILENT, Fault.METER_IMPLAUSIBLE, Fault.DOOR_OPEN):
                rig.post(FaultCleared(n, fault))
        rig.link(True)
        for calm in range(12):
            if calm == 2:
                rig.ask(AskAvailability(0, True))
                for n, outlet in rig.outlets.items():
                    outlet.car, outlet.cable = None, False
            for _ in range(40):
                rig.answer(0, True)
            rig.pass_time(70.0)
            if not rig.alive:  # a reset was waiting
                rig.start()
                for n in rig.outlets:
                    rig.open_board(n)
                rig.link(True)
        rig.check_books()
        assert not rig.open_sessions, "never ended"
        rig.check_everything_billed()
        assert rig.asked == rig.replied, "a request without its one answer"
        assert [e.state for e in rig.site.evses.values()] == [State.FREE] * len(rig.outlets)
        assert not any(o.release for o in rig.outlets.values())
        for n in rig.outlets:
            self._somebody_can_charge(n)

    def _somebody_can_charge(self, n: int) -> None:
        rig, outlet = self.rig, self.rig.outlets[n]
        if rig.site.stopping:
            return
        outlet.car, outlet.cable, outlet.ready, outlet.since_s = next(rig.cars), True, True, rig.t_s
        rig.look()
        rig.post(CardPresented(n, STRANGER))
        for _ in range(6):
            rig.answer(0, True)
        rig.pass_time(10.0)
        assert rig.site.evses[n].state is State.ACTIVE, "nobody can charge here any more"
        assert outlet.contactor


def test_the_promises_hold_whatever_happens() -> None:
    run_state_machine_as_test(
        Street,
        settings=settings(
            max_examples=6000 if FULL else 150,
            stateful_step_count=60 if FULL else 40,
            deadline=None,
            report_multiple_bugs=False,
            derandomize=not FULL,
            suppress_health_check=list(HealthCheck),
        ),
    )


test_the_promises_hold_whatever_happens = pytest.mark.campaign(test_the_promises_hold_whatever_happens)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(State)
    for state, row in TABLE.items():
        assert set(row) == set(EVENTS), state


def test_an_event_that_the_table_does_not_know_is_named() -> None:
    site = make_site()
    with pytest.raises(IllegalEvent, match="EVSE 1: StopRequested in state Free"):
        list(step(site, site.evses[1], StopRequested(), Moment(Stamp(1, 0.0))))


def test_a_rule_that_leads_elsewhere_than_it_declares_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wild(s: Any, evse: Any, event: Any, now: Any) -> Any:
        evse.state = State.ACTIVE
        yield from ()

    site = make_site()
    monkeypatch.setitem(TABLE[State.FREE], EVENTS[0], wild)
    with pytest.raises(IllegalEvent, match="wild led from Free to Active, undeclared"):
        list(step(site, site.evses[1], EVENTS[0](1, None, None), Moment(Stamp(1, 0.0))))  # type: ignore[call-arg]


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached(state: State) -> None:
    targets = {t for row in TABLE.values() for r in row.values() for t in getattr(r, "targets", ())}
    assert state in targets | {State.FREE, State.RECOVERING}

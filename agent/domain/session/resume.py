"""Resume with proof: after a restart, or when a board was away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.domain.events import BoardOpened, SessionOpened, StopWanted, TimeCame
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.faults import GRACE_S, blocks_charging, ends_session
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, StopReason, TriggerReason
from agent.domain.orders import Persist, SetLimit, WakeMe
from agent.domain.session.common import (
    leads_to_states,
    report_charging_state,
    restart_settle_timer,
    set_limit_before_release,
    situation_changed,
)
from agent.domain.session.end import end_condition_met, end_session, read_end_register, read_end_register_when_open
from agent.domain.session.release import set_release
from agent.domain.session_records import Session
from agent.domain.stop_reason import PendingStop
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Moment, Stamp

RECOVER_S = 300.0


ANSWER_WITHIN_S = 5
"""How long a board may take to answer (real seconds): in so short a time no other vehicle is plugged in."""
DRIFT = 200e-6
"""How far the clocks of board and station may differ, as a part of the time: cheap crystals over the range of
temperatures, and a clock that is being corrected."""


class Plugged(Protocol):
    """A session, or a transaction without one: when the vehicle came, and the last sign of life."""

    @property
    def plugged_at(self) -> Stamp | None: ...

    @property
    def alive_at(self) -> Stamp: ...


def plug_is_uninterrupted(s: StationState, evse: EvseRecord, session: Plugged, event: BoardOpened, now: Moment) -> bool:
    """Is the vehicle on the cable the one that the session began with?

    With a board that counts the seconds since the plug: when the board was asked, the count must
    have covered the whole time since we saw the plug (it is floored to a second, and we saw the
    plug after it happened, so one second and the drift of the clocks are all the benefit of the
    doubt). Where the answer took longer than ``ANSWER_WITHIN_S``, the count must have covered all
    but so much of the time until the answer. Without a counter: the time away must be short. A
    rebooted kernel proves nothing."""
    if not evse.board.vehicle_connected or session.plugged_at is None:
        return False
    same_boot = session.plugged_at.boot == now.stamp.boot
    plugged_s, io_s = event.state.plugged_s, s.config.io_s
    if evse.traits.counts_plugged and plugged_s is not None and same_boot:
        asked, answered = event.asked_at or now.stamp, event.answered_at or now.stamp
        counted_s = max(asked.t_s, answered.t_s - ANSWER_WITHIN_S * io_s)
        passed_s = counted_s - session.plugged_at.t_s
        return plugged_s + io_s + _drift_s(session, passed_s, io_s) >= passed_s
    if session.alive_at.boot != now.stamp.boot:
        return False
    return not evse.traits.counts_plugged and now.t_s - session.alive_at.t_s <= s.config.resume_within_s


def _drift_s(session: Plugged, passed_s: float, io_s: float) -> float:
    """Return by how much the clocks may differ after this time. It never lets another vehicle pass, whose count is at
    most the time since the last sign of life: a plug that was seen for a moment only has to be counted exactly."""
    if session.plugged_at is None or session.alive_at.boot != session.plugged_at.boot:
        return 0.0
    seen_s = session.alive_at.t_s - session.plugged_at.t_s
    return max(0.0, min(DRIFT * passed_s, (seen_s - (ANSWER_WITHIN_S + 1) * io_s) / 2))


def await_board(evse: EvseRecord, session: Session) -> None:
    """Take up a session that was open when the agent stopped; it waits for its board."""
    evse.session, evse.state, evse.open_at_start = session, SessionState.RECOVERING, True


@leads_to_states(SessionState.ACTIVE, SessionState.ENDING)
def recover_session(s: StationState, evse: EvseRecord, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """Resume the session when the board is there (again) and the plug is proven uninterrupted;
    otherwise end it with the present register."""
    session = evse.session
    assert session is not None
    yield WakeMe(Timer(TimerKind.SESSION_RECOVERY, evse.number), None)
    if session.stop is not None:
        yield from resume_ending(s, evse, event, now)
    elif event.state.spent and not session.spent:  # cut off: it did not end by itself
        yield from end_session(
            s, evse, StopWanted(evse.number, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION), now
        )
    elif not _has_lasting_fault(evse, event) and plug_is_uninterrupted(s, evse, session, event, now):
        yield from _resume_session(s, evse, now)
    else:
        stop = StopWanted(evse.number, StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION)
        yield from end_session(s, evse, stop, now)


@leads_to_states(SessionState.ENDING)
def resume_ending(s: StationState, evse: EvseRecord, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """Go on with an end that had begun before the board came back. The reason stays, whatever
    vehicle is there. An end that waits already does not wait longer: a board may come and go."""
    if evse.state is SessionState.ENDING:
        yield from end_condition_met(s, evse, event, now)
        return
    evse.state, evse.progress.end_try = SessionState.ENDING, 0
    yield from read_end_register_when_open(s, evse, now)


def _has_lasting_fault(evse: EvseRecord, event: BoardOpened) -> bool:
    """Return whether the new board state has a fault that ends sessions, or a blocking fault
    without grace comes from elsewhere."""
    lasting = {f for f in evse.faults if blocks_charging(f) and f not in GRACE_S}
    return bool(lasting) or any(ends_session(f) for f in event.state.faults)


def _resume_session(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    evse.state, evse.progress.charging, evse.progress.resumed = SessionState.ACTIVE, ChargingState.EV_CONNECTED, True
    session.alive_at, session.spent = now.stamp, evse.board.session_used
    yield Persist("session", session.id, session.to_record())
    if session.spent:  # it has no share now: the limit of its next vehicle replaces this one
        yield SetLimit(evse.number, evse.charging_limit)
    else:  # also where energy is withheld: it may be given again by a release alone
        yield from set_limit_before_release(s, evse, now)
    if not (session.held or session.spent):
        yield from set_release(s, evse, True)
    yield from restart_settle_timer(s, evse, now)
    if session.spent:
        yield from report_charging_state(s, evse, now)
    yield SessionOpened(evse.number, session.id, TriggerReason.TX_RESUMED)
    yield situation_changed(evse)


@leads_to_states(SessionState.ENDING)
def recovery_timed_out(s: StationState, evse: EvseRecord, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.SESSION_RECOVERY:
        yield from _abandon_recovery(s, evse, now)


@leads_to_states(SessionState.ENDING)
def stop_during_recovery(s: StationState, evse: EvseRecord, event: StopWanted, now: Moment) -> Iterator[Yielded]:
    yield from end_session(s, evse, event, now)


def _abandon_recovery(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    if session.stop is None:
        session.stop = PendingStop(StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION, now.stamp)
    evse.state, evse.progress.end_try = SessionState.ENDING, 0
    yield Persist("session", session.id, session.to_record())
    yield from read_end_register(s, evse, now)
    yield situation_changed(evse)

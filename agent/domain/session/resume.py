"""Resume with proof: after a restart, or when a board was away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.domain.events import BoardOpened, SessionOpened, StopWanted, TimeCame
from agent.domain.evse import Evse, Site, State
from agent.domain.faults import GRACE_S, blocks, ends_session
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, StopReason, TriggerReason
from agent.domain.orders import Remember, WakeMe
from agent.domain.session.common import bounded, changed, release, tell_charging, timer, to, unsettle
from agent.domain.session.end import end, end_open, read_end, read_end_when_open
from agent.domain.stop_reason import Stop
from agent.model.types import Moment, Stamp

RECOVER_S = 300.0


class Plugged(Protocol):
    """A session, or a transaction without one: when the vehicle came, and the last sign of life."""

    @property
    def plugged_at(self) -> Stamp | None: ...

    @property
    def alive_at(self) -> Stamp: ...


def uninterrupted(s: Site, evse: Evse, session: Plugged, plugged_s: float | None, now: Moment) -> bool:
    """Is the vehicle on the cable the one that the session began with?

    With a board that counts the seconds since the plug: the count must cover the whole time since we saw the plug (it
    is floored to a second, and we saw the plug after it happened, so one second is all the benefit of the doubt).
    Without a counter: the time away must be short. A kernel that was booted anew proves nothing."""
    if not evse.vehicle or session.plugged_at is None:
        return False
    same_boot = session.plugged_at.boot == now.stamp.boot
    if evse.counts_plugged and plugged_s is not None and same_boot:
        return plugged_s + s.io_s >= now.t_s - session.plugged_at.t_s
    if session.alive_at.boot != now.stamp.boot:
        return False
    return not evse.counts_plugged and now.t_s - session.alive_at.t_s <= s.resume_within_s


@to(State.ACTIVE, State.ENDING)
def recover(s: Site, evse: Evse, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """The board is there (again): go on with proof, otherwise close with the register of now."""
    session = evse.session
    assert session is not None
    yield WakeMe(timer("recover", evse), None)
    if session.stop is not None:
        yield from end_again(s, evse, event, now)
    elif event.state.spent and not session.spent:  # cut off: it did not end by itself
        yield from end(s, evse, StopWanted(evse.number, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION), now)
    elif not _broken(evse, event) and uninterrupted(s, evse, session, event.state.plugged_s, now):
        yield from _resume(s, evse, now)
    else:
        stop = StopWanted(evse.number, StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION)
        yield from end(s, evse, stop, now)


@to(State.ENDING)
def end_again(s: Site, evse: Evse, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """The board is there again and the end was meant already: whatever vehicle is there, the reason stays. An end that
    waits already waits no longer for it: a board may come and go."""
    if evse.state is State.ENDING:
        yield from end_open(s, evse, event, now)
        return
    evse.state, evse.end_try = State.ENDING, 0
    yield from read_end_when_open(s, evse, now)


def _broken(evse: Evse, event: BoardOpened) -> bool:
    """A fault in the new picture that ends sessions, or a blocking one from elsewhere and without grace."""
    lasting = {f for f in evse.faults if blocks(f) and f not in GRACE_S}
    return bool(lasting) or any(ends_session(f) for f in event.state.faults)


def _resume(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    evse.state, evse.charging, evse.resumed = State.ACTIVE, ChargingState.EV_CONNECTED, True
    session.alive_at, session.spent = now.stamp, evse.spent
    yield Remember("session", session.id, session.record())
    if not (session.held or session.spent):
        yield from bounded(s, evse, now)
        yield from release(s, evse, True)
    yield from unsettle(s, evse, now)
    if session.spent:
        yield from tell_charging(s, evse, now)
    yield SessionOpened(evse.number, session.id, TriggerReason.TX_RESUMED)
    yield changed(evse)


@to(State.ENDING)
def recover_timeout(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("recover", evse):
        yield from _give_up(s, evse, now)


@to(State.ENDING)
def recover_stop(s: Site, evse: Evse, event: StopWanted, now: Moment) -> Iterator[Yielded]:
    yield from end(s, evse, event, now)


def _give_up(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    if session.stop is None:
        session.stop = Stop(StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION, now.stamp)
    evse.state, evse.end_try = State.ENDING, 0
    yield Remember("session", session.id, session.record())
    yield from read_end(s, evse, now)
    yield changed(evse)

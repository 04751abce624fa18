"""Release: the permission that energy may flow at an EVSE. No other module writes it."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import GRACE_S, blocks_charging
from agent.domain.functional_block import Yielded
from agent.domain.orders import SetRelease, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Moment

RESUME_S = 5.0
"""After a pause there must be enough current for so long without a break before release is given again. An energy
manager that follows the sun swings around the least current: each swing would switch the contactor twice, and a vehicle
takes seconds to begin in any case."""


def set_release(s: StationState, evse: EvseRecord, on: bool) -> Iterator[Yielded]:
    """Give or withdraw release, which is a level. Withdrawing is ordered whatever the board is
    believed to do; giving is ordered only once, and never on a broken EVSE. In a pause the request
    is kept: ``active.apply_changed_limit`` and its timer give release when there is current again."""
    order = evse.release_order
    if on and (order.given or s.stopping or any(blocks_charging(f) and f not in GRACE_S for f in evse.faults)):
        return
    order.requested, order.paused, order.resumes_at_s = on, False, None
    if on and evse.paused_by_limit:
        return
    order.given, order.withdrawal_confirmed = on, False
    yield SetRelease(evse.number, on)


def pause_release(s: StationState, evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw release and keep the request."""
    yield from set_release(s, evse, False)
    evse.release_order.requested = evse.release_order.paused = True


def await_lasting_current(evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    """Begin the time after which a pause is over, when there is enough current again; forget it when there is not."""
    order, timer = evse.release_order, Timer(TimerKind.PAUSE_END, evse.number)
    if evse.paused_by_limit:
        order.resumes_at_s = None
        yield WakeMe(timer, None)
    elif order.resumes_at_s is None:
        order.resumes_at_s = now.t_s + RESUME_S
        yield WakeMe(timer, order.resumes_at_s)


def withdraw_stray_release(evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw a release that the board reports and that no session has. What a session is given
    stays."""
    if evse.session is None:
        evse.release_order.given = evse.release_order.requested = evse.release_order.paused = False
    yield SetRelease(evse.number, False)


def begin_without_release(evse: EvseRecord, board_released: bool | None) -> None:
    """Begin with a board that was just opened: nothing has been ordered of it yet."""
    order = evse.release_order
    order.given = order.requested = order.paused = False
    order.resumes_at_s, order.withdrawal_confirmed = None, not board_released


def confirm_withdrawal(evse: EvseRecord) -> None:
    """Note that the board has followed a withdrawal, unless release was given again since."""
    evse.release_order.withdrawal_confirmed = not evse.release_order.given

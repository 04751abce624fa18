"""Release: the permission that energy may flow at an EVSE. No other module writes it."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import GRACE_S, blocks_charging
from agent.domain.functional_block import Yielded
from agent.domain.orders import SetRelease


def set_release(s: StationState, evse: EvseRecord, on: bool) -> Iterator[Yielded]:
    """Give or withdraw release, which is a level. Withdrawing is ordered whatever the board is
    believed to do; giving is ordered only once, and never on a broken EVSE. In a pause the request
    is kept: ``active.apply_changed_limit`` gives release when there is current again."""
    order = evse.release_order
    if on and (order.given or s.stopping or any(blocks_charging(f) and f not in GRACE_S for f in evse.faults)):
        return
    order.requested = on
    if on and evse.paused_by_limit:
        return
    order.given, order.withdrawal_confirmed = on, False
    yield SetRelease(evse.number, on)


def pause_release(s: StationState, evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw release and keep the request."""
    yield from set_release(s, evse, False)
    evse.release_order.requested = True


def withdraw_stray_release(evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw a release that the board reports and that no session has. What a session is given
    stays."""
    if evse.session is None:
        evse.release_order.given = evse.release_order.requested = False
    yield SetRelease(evse.number, False)


def begin_without_release(evse: EvseRecord, board_released: bool | None) -> None:
    """Begin with a board that was just opened: nothing has been ordered of it yet."""
    order = evse.release_order
    order.given, order.requested, order.withdrawal_confirmed = False, False, not board_released


def confirm_withdrawal(evse: EvseRecord) -> None:
    """Note that the board has followed a withdrawal, unless release was given again since."""
    evse.release_order.withdrawal_confirmed = not evse.release_order.given

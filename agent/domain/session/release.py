"""Release: the permission that energy may flow at an EVSE. No other module writes it.

``release`` is what is ordered of the board now, ``release_requested`` what the session may have, and ``withdrawn`` the
board's word that it has followed the last withdrawal."""

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
    if on and (evse.release or s.stopping or any(blocks_charging(f) and f not in GRACE_S for f in evse.faults)):
        return
    evse.release_requested = on
    if on and evse.paused_by_limit:
        return
    evse.release, evse.withdrawn = on, False
    yield SetRelease(evse.number, on)


def pause_release(s: StationState, evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw release and keep the request."""
    yield from set_release(s, evse, False)
    evse.release_requested = True


def withdraw_stray_release(evse: EvseRecord) -> Iterator[Yielded]:
    """Withdraw a release that the board reports and that no session has. What a session is given
    stays."""
    if evse.session is None:
        evse.release = evse.release_requested = False
    yield SetRelease(evse.number, False)


def begin_without_release(evse: EvseRecord, board_released: bool | None) -> None:
    """Begin with a board that was just opened: nothing has been ordered of it yet."""
    evse.release, evse.release_requested, evse.withdrawn = False, False, not board_released


def confirm_withdrawal(evse: EvseRecord) -> None:
    """Note that the board has followed a withdrawal, unless release was given again since."""
    evse.withdrawn = not evse.release

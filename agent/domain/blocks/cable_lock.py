"""Lock and unlock the cable in a socket. A cable is unlocked when its session is over. A failed
unlock is tried again until it succeeds. A cable that the backend wants kept after the vehicle has
left stays locked (OCPP 1.6 UnlockConnectorOnEVSideDisconnect; 2.x UnlockOnEVSideDisconnect)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.energized import describe_flow, draws_current
from agent.domain.events import (
    AuthorizationDropped,
    BoardOpened,
    CableRemoved,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterRead,
    SessionClosed,
    SessionOpened,
    SettingChanged,
    SituationChanged,
    Started,
    TimeCame,
    UnlockTried,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.kept_cable import ENDED_BY_DRIVER
from agent.domain.orders import Persist, ReadMeter, SetHold, Unlock, WakeMe
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.timers import Timer, TimerKind
from agent.model.types import EvseId, Fault, Moment

RETRY_S = (5.0, 5.0, 30.0, 60.0)
"""Pauses between the tries. A plug under tension often comes free when the cable is moved. The last
pause repeats: a motor gets hot."""
KEEPING = "unlock_on_ev_disconnect"
_LOOK = ReadingPurpose(ReadingKind.UNLOCK)


class CableLock:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._failed_unlocks: dict[EvseId, int] = {}
        self._owed_unlocks: set[EvseId] = set()
        """EVSEs whose session is over and whose cable is not free. Stored together with the end of
        the session: a driver must not wait in the rain because the agent was killed."""
        self._waiting_requests: dict[EvseId, list[str]] = {}
        """Requests ("": our own) that wait for a meter reading."""

    # --- unlocking after a session ---------------------------------------------------------------------------------

    @handles_events(SessionClosed)
    def free_cable_after_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        """Unlock the cable. A board that was not opened yet may hold one too."""
        evse = self._site.evses[event.evse]
        if evse.can_unlock_plug and (
            not evse.board.known or (evse.board.cable_plugged and not self.waits_for_driver_card(evse, event))
        ):
            yield from self.free_cable_until_unlocked(evse, now)
            if evse.board.contactor_closed:  # the contactor had its time to open: report why the cable stays locked
                yield FaultRaised(evse.number, Fault.UNLOCK_FAILURE)

    def waits_for_driver_card(self, evse: EvseRecord, event: SessionClosed) -> bool:
        """True if the vehicle has left and the cable waits for the card of its driver
        (``kept_cables.py``)."""
        left = (
            evse.can_unlock_plug
            and evse.board.cable_plugged
            and not evse.board.vehicle_connected
            and event.reason not in ENDED_BY_DRIVER
        )
        return left and event.token is not None and not self._site.settings.bool_value(KEEPING)

    def free_cable_until_unlocked(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Unlock the cable, and try until it is free, also after a restart."""
        self._owed_unlocks.add(evse.number)
        yield Persist("unlock", str(evse.number), {})
        yield from self.unlock_if_safe(evse, now)

    @handles_events(Started)
    def restore_owed_unlocks(self, event: Started, now: Moment) -> Iterator[Yielded]:
        known = {str(number): number for number in self._site.evses}
        for key in event.remembered.get("unlock", {}):
            if key in known:
                self._owed_unlocks.add(known[key])
            else:
                yield Persist("unlock", key, None)

    @handles_events(ContactorOpened)
    def retry_unlock_without_power(self, event: ContactorOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.session is None:
            yield from self._retry_unlock(evse, now)

    def unlock_if_safe(self, evse: EvseRecord, now: Moment, request: str = "") -> Iterator[Yielded]:
        """Unlock only without voltage on the plug and without current. The retries make up for
        it."""
        if not evse.board.known or evse.board.contactor_closed:
            yield from _report_unlock_denied(evse, [request] if request else [])
        elif not draws_current(self._site, evse, now):
            yield Unlock(evse.number, request)
        else:
            self._waiting_requests.setdefault(evse.number, []).append(request)
            yield ReadMeter(evse.number, _LOOK)

    @handles_events(MeterRead, MeterFailed)
    def unlock_after_meter_check(self, event: MeterRead | MeterFailed, now: Moment) -> Iterator[Yielded]:
        """Unlock, or report why not. A meter that shows an average is slower than a contactor."""
        requests = self._waiting_requests.pop(event.evse, []) if event.purpose == _LOOK else []
        if not requests:
            return
        evse = self._site.evses[event.evse]
        flowing = isinstance(event, MeterFailed) or bool(describe_flow(event.reading))
        if flowing or evse.board.contactor_closed or evse.session is not None:
            yield from _report_unlock_denied(evse, requests, raises=any(requests) or event.evse in self._failed_unlocks)
            return
        for request in [r for r in requests if r] or [""]:
            yield Unlock(evse.number, request)

    # --- retries of an unlock --------------------------------------------------------------------------------------

    @handles_events(UnlockTried)
    def schedule_unlock_retry(self, event: UnlockTried, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if event.freed or not evse.can_unlock_plug or not evse.board.cable_plugged:
            yield from self._forget_unlock(event.evse)
            return
        tries = self._failed_unlocks[event.evse] = self._failed_unlocks.get(event.evse, 0) + 1
        pause_s = max(RETRY_S[min(tries, len(RETRY_S)) - 1], 4 * self._site.config.io_s)
        yield WakeMe(Timer(TimerKind.UNLOCK_RETRY, event.evse), now.t_s + pause_s)
        yield SituationChanged(event.evse)

    @handles_timer(TimerKind.UNLOCK_RETRY)
    def retry_unlock_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._retry_unlock(self._site.evses[event.timer.evse], now)

    @handles_events(AuthorizationDropped)
    def retry_unlock_without_session(self, event: AuthorizationDropped, now: Moment) -> Iterator[Yielded]:
        yield from self._retry_unlock(self._site.evses[event.evse], now)

    @handles_events(BoardOpened)
    def resume_lock_on_board_open(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Retry at once an unlock that failed while the board was away. Set the hold again: the
        board may have forgotten it, or it may not be wanted any more."""
        evse = self._site.evses[event.evse]
        if evse.board.locked is False and evse.number not in self._failed_unlocks:
            yield from self._forget_unlock(evse.number)
        yield from self._retry_unlock(evse, now)
        if evse.traits.holds and evse.session is None:
            yield SetHold(evse.number, evse.kept is not None)
        elif evse.state is SessionState.ENDING and self._holds_cable(
            evse
        ):  # a session that goes on sets it when it opens
            yield SetHold(evse.number, True)

    def _retry_unlock(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Retry unless a driver has begun again. A driver who only may begin has no session yet
        (``retry_unlock_without_session``)."""
        if (
            evse.number not in self._failed_unlocks and evse.number not in self._owed_unlocks
        ) or evse.authorization is not None:
            return
        if (
            evse.session is None
            and evse.board.cable_plugged
            and evse.can_unlock_plug
            and evse.state in (SessionState.OCCUPIED, SessionState.ENDED)
        ):
            yield from self.unlock_if_safe(evse, now)
        else:
            yield from self._forget_unlock(evse.number)

    def _forget_unlock(self, number: EvseId) -> Iterator[Yielded]:
        if self._failed_unlocks.pop(number, None) is not None:
            yield WakeMe(Timer(TimerKind.UNLOCK_RETRY, number), None)
        if number in self._owed_unlocks:
            self._owed_unlocks.discard(number)
            yield Persist("unlock", str(number), None)

    @handles_events(CableRemoved)
    def forget_unlock_of_removed_cable(self, event: CableRemoved, now: Moment) -> Iterator[Yielded]:
        """Forget the unlock: the cable is out, even if the lock reports otherwise."""
        evse = self._site.evses[event.evse]
        yield from self._forget_unlock(evse.number)
        if Fault.UNLOCK_FAILURE in evse.faults - evse.board.faults:
            yield FaultCleared(evse.number, Fault.UNLOCK_FAILURE)
        if self._holds_cable(evse):
            yield SetHold(evse.number, False)

    # --- holding the cable -----------------------------------------------------------------------------------------

    def _holds_cable(self, evse: EvseRecord) -> bool:
        return evse.traits.holds and not evse.traits.tethered and not self._site.settings.bool_value(KEEPING)

    @handles_events(SessionOpened)
    def hold_cable_for_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        yield from self._forget_unlock(event.evse)
        if self._holds_cable(self._site.evses[event.evse]):
            yield SetHold(event.evse, True)

    @handles_events(SettingChanged)
    def apply_hold_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name == KEEPING:
            for evse in self._site.evses.values():
                if evse.traits.holds and evse.session is not None:
                    yield SetHold(evse.number, self._holds_cable(evse))


def _report_unlock_denied(evse: EvseRecord, requests: list[str], raises: bool = True) -> Iterator[Yielded]:
    """Report that unlocking is denied while there is power on the plug; it is tried again.
    ``raises`` False: raise no fault yet, since a vehicle may take long to stop where the board does
    not see its contactor."""
    for request in requests:
        yield UnlockTried(evse.number, request, False)
    if requests and raises and evse.board.cable_plugged:
        yield FaultRaised(evse.number, Fault.UNLOCK_FAILURE)

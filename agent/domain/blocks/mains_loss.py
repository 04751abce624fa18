"""End all sessions when mains is lost while a back-up supply carries the board. Everything is
stored before the supply is empty (OCPP 1.6 test case 032_1: StopTransaction with PowerLoss is sent
before that)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import AuthorizationDropped, FaultCleared, FaultRaised, SessionClosed, SupplyChanged, TimeCame
from agent.domain.evse import SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import Shutdown, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Fault, Moment


class MainsLoss:
    """A lasting loss is a fault of every EVSE (``POWER_LOSS`` ends sessions by the fault
    catalogue). When no session runs any more the process ends in order; the supervisor starts it
    again.

    If mains comes back before that, the sessions that were ordered to end do end, and everything
    else goes on. If it comes back later, the next process finds mains. A process that finds none at
    its start has nothing to store: it waits for mains out of service, without energy, and does not
    end again and again."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._had_mains = False
        self._is_loss_timed = False

    @handles_events(SupplyChanged)
    def follow_mains_supply(self, event: SupplyChanged, now: Moment) -> Iterator[Yielded]:
        supply = event.supply
        if supply.mains:
            self._had_mains = True
            yield from self._declare_mains_back()
        elif not self._site.dark and (supply.backup is False or not self._had_mains):
            yield from self._declare_mains_lost(now)  # no back-up supply, or nothing to lose: no time for a second look
        elif not self._site.dark and not self._is_loss_timed:
            self._is_loss_timed = True
            yield WakeMe(Timer(TimerKind.MAINS_LOSS), now.t_s + self._site.config.mains_hold_s * self._site.config.io_s)

    @handles_timer(TimerKind.MAINS_LOSS)
    def act_on_lasting_loss(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._is_loss_timed:
            yield from self._declare_mains_lost(now)

    @handles_timer(TimerKind.BACKUP_SUPPLY)
    def shut_down_on_empty_supply(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._site.dark:
            yield from self._order_shutdown()  # sessions still ending are on disk, and are reported later

    def _declare_mains_lost(self, now: Moment) -> Iterator[Yielded]:
        self._site.dark, self._is_loss_timed = True, False
        yield WakeMe(Timer(TimerKind.MAINS_LOSS), None)
        if self._had_mains:
            yield WakeMe(Timer(TimerKind.BACKUP_SUPPLY), now.t_s + self._site.config.backup_s * self._site.config.io_s)
        yield FaultRaised(STATION, Fault.POWER_LOSS)

    def _declare_mains_back(self) -> Iterator[Yielded]:
        was_dark = self._site.dark
        self._site.dark, self._is_loss_timed = False, False
        yield WakeMe(Timer(TimerKind.MAINS_LOSS), None)
        yield WakeMe(Timer(TimerKind.BACKUP_SUPPLY), None)
        for evse in self._site.evses.values() if was_dark else ():
            if Fault.POWER_LOSS not in evse.board.faults:
                yield FaultCleared(evse.number, Fault.POWER_LOSS)

    @handles_events(FaultRaised, SessionClosed, AuthorizationDropped)
    def shut_down_when_idle(
        self, event: FaultRaised | SessionClosed | AuthorizationDropped, now: Moment
    ) -> Iterator[Yielded]:
        if self._site.dark and not self._is_station_in_use():
            yield from self._order_shutdown()

    def _is_station_in_use(self) -> bool:
        waiting = (SessionState.AUTHORIZED, SessionState.BEGINNING)
        return any(e.session is not None or e.state in waiting for e in self._site.evses.values())

    def _order_shutdown(self) -> Iterator[Yielded]:
        if not self._had_mains or self._site.shutdown_ordered:
            return
        self._site.shutdown_ordered = True
        yield WakeMe(Timer(TimerKind.BACKUP_SUPPLY), None)
        yield Shutdown()

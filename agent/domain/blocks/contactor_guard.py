"""Guard against energy without a session, as the board shows it.

A contactor that is closed although nothing is released: it is welded, held by a board that does not
obey, or was never ordered to open since the agent was away. Some boards report a weld themselves. A
current is found by ``unreleased_current.py``.

A board that is released without a session, for whatever reason: this is the last guard, and it
relies on nothing that gives or withdraws release."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    EvseEvent,
    FaultCleared,
    FaultGone,
    FaultRaised,
    SessionOpened,
    TimeCame,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import LogNote, WakeMe
from agent.domain.session.end import CONTACTOR_S
from agent.domain.session.release import withdraw_stray_release
from agent.domain.session.table import EVENTS
from agent.domain.timers import Timer, TimerKind
from agent.model.types import EvseId, Fault, Moment

STUCK = Fault.CONTACTOR_STUCK_CLOSED
_WELDED = {Fault.CONTACTOR_WELDED, Fault.MREC17}
_SEEN = (*(e for e in EVENTS if issubclass(e, EvseEvent)), BoardChanged, FaultCleared)
"""What may close a contactor, give release or take it: all that the session table receives."""
WITHDRAWN_TIMES, AGAIN_S, FORGOTTEN_S = 3, 2.0, 60.0
"""So many times in a row a release without a session is withdrawn before it is a fault, counted so
long apart: board states may be older than a withdrawal. What is older than the last value does not
count."""


class ContactorGuard:
    """Runs after the sessions, which give release."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._stuck_timers: set[EvseId] = set()
        self._reported: set[EvseId] = set()
        self._stray_releases: dict[EvseId, tuple[int, float]] = {}
        """How often the board was released without a session, and when last."""

    @handles_events(*_SEEN)
    def detect_stuck_contactor(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses.get(event.evse)
        if evse is not None:
            yield from self._watch_contactor(evse, now)

    @handles_timer(TimerKind.PAUSE_END)
    def watch_contactor_after_pause(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """Note that release was given: a contactor that is closed now has its time again when that is withdrawn."""
        yield from self._watch_contactor(self._site.evses[event.timer.evse], now)

    def _watch_contactor(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        n, stuck = evse.number, _is_stuck(evse)
        if stuck and n not in self._reported | self._stuck_timers:
            self._stuck_timers.add(n)
            yield WakeMe(
                Timer(TimerKind.CONTACTOR_OPENING, evse.number), now.t_s + max(CONTACTOR_S, 8 * self._site.config.io_s)
            )
        elif not stuck and n in self._stuck_timers:
            self._stuck_timers.discard(n)
            yield WakeMe(Timer(TimerKind.CONTACTOR_OPENING, evse.number), None)
        if not stuck and not _is_released(evse) and n in self._reported and _is_board_present(evse):
            self._reported.discard(n)
            yield FaultGone(n, STUCK)

    @handles_events(BoardOpened, BoardChanged)
    def guard_board_release(self, event: BoardOpened | BoardChanged, now: Moment) -> Iterator[Yielded]:
        yield from self._withdraw_stray_release(self._site.evses[event.evse], now)

    @handles_events(SessionOpened)
    def reset_release_count(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        self._stray_releases.pop(event.evse, None)
        yield from ()

    def _withdraw_stray_release(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        if not _is_released(evse):
            return
        n, again_s = evse.number, AGAIN_S * max(1.0, self._site.config.io_s)
        times, last_s = self._stray_releases.get(n, (0, now.t_s))
        if times == 0 or now.t_s - last_s >= again_s:
            times = times + 1 if now.t_s - last_s <= max(FORGOTTEN_S, 2 * again_s) else 1
            self._stray_releases[n] = times, now.t_s
        yield from withdraw_stray_release(evse)
        yield WakeMe(Timer(TimerKind.STRAY_RELEASE, evse.number), now.t_s + again_s)
        if times >= WITHDRAWN_TIMES and n not in self._reported:
            self._reported.add(n)
            yield LogNote(n, f"the board was released without a session {times} times, and withdrawn each time: does "
                       "something else release it (its release mode, an input, another master)?", "board")  # fmt: skip
            yield FaultRaised(n, STUCK)

    @handles_timer(TimerKind.CONTACTOR_OPENING)
    def check_contactor_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._report_if_still_stuck(self._site.evses[event.timer.evse])

    @handles_timer(TimerKind.STRAY_RELEASE)
    def check_release_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._withdraw_stray_release(self._site.evses[event.timer.evse], now)

    def _report_if_still_stuck(self, evse: EvseRecord) -> Iterator[Yielded]:
        if evse.number not in self._stuck_timers:
            return
        self._stuck_timers.discard(evse.number)
        if _is_stuck(evse):
            self._reported.add(evse.number)
            yield FaultRaised(evse.number, STUCK)


def _is_board_present(evse: EvseRecord) -> bool:
    return evse.board.known and Fault.BOARD_SILENT not in evse.faults


def _is_stuck(evse: EvseRecord) -> bool:
    closed = _is_board_present(evse) and evse.board.contactor_closed
    return closed and not evse.release_order.given and not _WELDED & evse.faults


def _is_released(evse: EvseRecord) -> bool:
    meant = evse.release_order.given and evse.session is not None
    return _is_board_present(evse) and bool(evse.board.released) and not meant

"""Keep the modems connected: dial, and when that fails, recover them step by step with growing pauses.

The steps and pauses are a table. Nothing is tried while the SIM needs a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from agent.domain.bearers import PROVEN_S
from agent.domain.events import BearerReported, BearerSet, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import ResetBearer, SetBearer, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.bearer import BearerKind, BearerState, BearerStatus, Registration, ResetStep, SimState
from agent.model.fastclass import mutable
from agent.model.types import Moment

LADDER = (
    (10.0, ResetStep.REATTACH),
    (20.0, ResetStep.REATTACH),
    (40.0, ResetStep.REATTACH),
    (80.0, ResetStep.RADIO_CYCLE),
    (160.0, ResetStep.RADIO_CYCLE),
    (300.0, ResetStep.MODEM_RESET),
    (600.0, ResetStep.POWER_CYCLE),
)
"""Pause in seconds, and the step after it. A modem without connection is reset after 10 minutes, and its supply is
switched after 20."""
LAST_PAUSE_S = 1800.0
"""From then on its supply is switched once in this time."""
REFUSED_PAUSE_S = 900.0
"""The shortest pause while the network refuses the SIM, or there is none: to hammer makes it worse."""
DIAL_S = 300.0
"""A step and the dialling after it have an outcome after this; otherwise they count as failed."""
NEEDS_PERSON = (SimState.PIN_REQUIRED, SimState.PIN_REFUSED, SimState.PUK_REQUIRED)
"""States of a SIM in which no step of the ladder helps."""


class _Phase(Enum):
    IDLE = auto()
    DIALLING = auto()
    PAUSED = auto()


@mutable
class _Modem:
    """``steps``: how many of the ladder were taken since it last worked for long. ``up_since_s``: None while it is
    down."""

    status: BearerStatus = BearerStatus()
    phase: _Phase = _Phase.IDLE
    steps: int = 0
    up_since_s: float | None = None

    @property
    def is_blocked(self) -> bool:
        """Return whether there is nothing to be done: it is not there, or its SIM waits for a PIN or a person."""
        return self.status.state is BearerState.ABSENT or self.status.sim in NEEDS_PERSON

    @property
    def pause_s(self) -> float:
        pause_s = LADDER[self.steps][0] if self.steps < len(LADDER) else LAST_PAUSE_S
        is_refused = self.status.registration is Registration.DENIED or self.status.sim is SimState.MISSING
        return max(pause_s, REFUSED_PAUSE_S) if is_refused else pause_s

    @property
    def next_step(self) -> ResetStep:
        return LADDER[min(self.steps, len(LADDER) - 1)][1]


class ModemRecovery:
    def __init__(self, site: StationState) -> None:
        self._modems = {c.name: _Modem() for c in site.config.bearers if c.kind is BearerKind.GPRS}

    @handles_events(BearerReported)
    def follow_modem(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        modem = self._modems.get(event.bearer)
        if modem is None:
            return
        was_blocked, modem.status = modem.is_blocked, event.status
        if modem.is_blocked:
            modem.phase, modem.up_since_s = _Phase.IDLE, None
            yield WakeMe(_recovery_timer(event.bearer), None)
        elif was_blocked and not event.status.is_up:
            yield from self._dial(event.bearer, modem, now)
        elif modem.phase is not _Phase.DIALLING:
            yield from self._pursue_connection(event.bearer, modem, now)

    @handles_events(BearerSet)
    def judge_dialling(self, event: BearerSet, now: Moment) -> Iterator[Yielded]:
        modem = self._modems.get(event.bearer)
        if modem is not None and modem.phase is _Phase.DIALLING:
            yield from self._end_dialling(event.bearer, modem, now)

    @handles_timer(TimerKind.MODEM_RECOVERY)
    def continue_recovery(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        name = event.timer.detail
        modem = self._modems[name]
        if modem.phase is _Phase.PAUSED:
            step = modem.next_step
            modem.steps += 1
            yield ResetBearer(name, step)
            yield from self._dial(name, modem, now)
        elif modem.phase is _Phase.DIALLING:
            yield from self._end_dialling(name, modem, now)

    def _pursue_connection(self, name: str, modem: _Modem, now: Moment) -> Iterator[Yielded]:
        """Dial at once after a connection that has lasted. One that breaks soon counts as a failed attempt."""
        if modem.status.is_up:
            modem.phase = _Phase.IDLE
            modem.up_since_s = now.t_s if modem.up_since_s is None else modem.up_since_s
            yield WakeMe(_recovery_timer(name), None)
        elif modem.phase is _Phase.IDLE:
            has_lasted = modem.up_since_s is not None and now.t_s - modem.up_since_s >= PROVEN_S
            modem.up_since_s = None
            if has_lasted:
                modem.steps = 0
            yield from self._dial(name, modem, now) if has_lasted else self._pause(name, modem, now)

    def _dial(self, name: str, modem: _Modem, now: Moment) -> Iterator[Yielded]:
        modem.phase = _Phase.DIALLING
        yield SetBearer(name, True)
        yield WakeMe(_recovery_timer(name), now.t_s + DIAL_S)

    def _end_dialling(self, name: str, modem: _Modem, now: Moment) -> Iterator[Yielded]:
        modem.phase = _Phase.IDLE
        yield from self._pursue_connection(name, modem, now)

    def _pause(self, name: str, modem: _Modem, now: Moment) -> Iterator[Yielded]:
        modem.phase = _Phase.PAUSED
        yield WakeMe(_recovery_timer(name), now.t_s + modem.pause_s)


def _recovery_timer(name: str) -> Timer:
    return Timer(TimerKind.MODEM_RECOVERY, detail=name)

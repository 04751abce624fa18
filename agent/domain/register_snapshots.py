"""When the register of a running session is stored: at an interval, and with a sample that is stored
anyway (decision 54).

After a loss of power the session ends with the register that was stored last. Each time costs a write
to the flash memory, so one that is due soon goes with a sample. One that is due is stored with the
next reading, and so is new; without a reading it is stored when one of the screen should have come."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded
from agent.domain.orders import Persist, WakeMe
from agent.domain.reading_purposes import ReadingKind
from agent.domain.sampling import LIVE_S
from agent.domain.timers import Timer, TimerKind
from agent.model.types import EvseId, Moment


class RegisterSnapshots:
    """``_due_s``: when the register of an EVSE is to be stored next. ``_waiting``: EVSEs whose register is due and
    waits for a reading. ``_sampling``: EVSEs whose sample is being read."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._due_s: dict[EvseId, float] = {}
        self._waiting: set[EvseId] = set()
        self._sampling: set[EvseId] = set()

    def begin_snapshots(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Begin with a session whose record has just been stored, with a register that was read a moment before."""
        yield self._await_next(evse, now)

    def note_sample_ordered(self, evse: EvseRecord) -> None:
        self._sampling.add(evse.number)

    def store_on_timer(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Let the register that is due wait for a reading, and store it where none has come."""
        if evse.number in self._waiting:
            yield from self._store_register(evse, now)
        elif evse.session is not None:
            self._waiting.add(evse.number)
            yield WakeMe(Timer(TimerKind.REGISTER_SNAPSHOT, evse.number), now.t_s + self._live_s)

    def store_after_reading(self, evse: EvseRecord, kind: ReadingKind, now: Moment) -> Iterator[Yielded]:
        """Store the register that is due with this reading, unless a sample is being read too."""
        if kind is ReadingKind.SAMPLED:
            self._sampling.discard(evse.number)
        if evse.number in self._waiting and evse.number not in self._sampling:
            yield from self._store_register(evse, now)

    def store_with_sample(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Store the register in the commit of a sample, if it is due before the next sample, and the one on disk is not
        new."""
        soon_s = min(self._site.settings.int_value("sample_interval_s"), self.interval_s(evse) / 2)
        if self._due_s.get(evse.number, math.inf) <= now.t_s + soon_s:
            yield from self._store_register(evse, now)

    def interval_s(self, evse: EvseRecord) -> float:
        """Return how often the register is stored. Where the board does not count the seconds since
        the plug, a resume relies on the last stored sign of life: it must be fresher than
        ``resume_within_s``."""
        usual_s = float(self._site.settings.int_value("snapshot_interval_s"))
        return usual_s if evse.traits.counts_plugged else min(usual_s, self._site.config.resume_within_s / 2)

    @property
    def _live_s(self) -> float:
        return LIVE_S * self._site.config.io_s

    def _store_register(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        if evse.session is not None:
            yield Persist("session", evse.session.id, evse.session.to_record())
            yield self._await_next(evse, now)

    def _await_next(self, evse: EvseRecord, now: Moment) -> WakeMe:
        self._waiting.discard(evse.number)
        self._sampling.discard(evse.number)
        self._due_s[evse.number] = self._read_s(evse, now) + self.interval_s(evse)
        return WakeMe(Timer(TimerKind.REGISTER_SNAPSHOT, evse.number), self._due_s[evse.number])

    def _read_s(self, evse: EvseRecord, now: Moment) -> float:
        """Return when the register that is stored now was read; now, if the meter has not been read for long."""
        reading = evse.metering.reading
        is_new = reading is not None and reading.at.boot == now.stamp.boot and reading.at.t_s >= now.t_s - self._live_s
        return min(reading.at.t_s, now.t_s) if reading is not None and is_new else now.t_s

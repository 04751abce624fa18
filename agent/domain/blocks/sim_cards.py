"""Unlock the SIM of a modem once, report one that cannot be used or is another one, and remember its numbers.

A wrong PIN three times locks the SIM, and a person has to drive there. So that a PIN is being tried is on disk before
the SIM gets it (decision 36).
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.bearers import BearerConfig
from agent.domain.events import (
    BearerReported,
    FaultCleared,
    FaultRaised,
    SecurityNoticed,
    SimUnlockEnded,
    Started,
    TimeCame,
)
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import ConfigureBearer, LogNote, Persist, UnlockSim, WakeMe
from agent.domain.pin_attempts import KIND, PinAttempts
from agent.domain.security_events import SecurityEvent
from agent.domain.sim_memory import SimMemory
from agent.domain.timers import Timer, TimerKind
from agent.model.bearer import BearerStatus, SimState
from agent.model.types import STATION, Fault, Moment

RETRY_S = 60.0
"""A SIM that has lost no try gets its PIN again after this pause."""
ANSWER_S = 600.0
"""An order to unlock has ended after this, also one that waits behind a call."""
ICCID_DIGITS = 18
"""Some modems leave out the check digit of an ICCID, or the digit before it."""
_WORDS = {
    SimState.MISSING: "there is no SIM in it",
    SimState.PIN_REQUIRED: "the SIM needs a PIN, and that of the station file is not used again: correct pin",
    SimState.PIN_REFUSED: "the SIM has refused the PIN of the station file: correct pin",
    SimState.PUK_REQUIRED: "the SIM is locked: a person has to enter the PUK",
    SimState.FAILED: "the SIM does not work: replace it",
}


class SimCards:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._configs = {config.name: config for config in site.config.bearers}
        self._pins = PinAttempts()
        self._raised: dict[Fault, set[str]] = {Fault.SIM_UNUSABLE: set(), Fault.SIM_EXCHANGED: set()}

    @handles_events(Started)
    def restore_sim_memory(self, event: Started, now: Moment) -> Iterator[Yielded]:
        records = event.remembered.get("sim", {})
        self._site.sims |= {name: SimMemory.of_record(records[name]) for name in self._configs if name in records}
        former_marks = {c.former_pin_mark: c.pin_mark for c in self._configs.values() if c.former_pin_mark}
        yield from self._pins.load_remembered(event.remembered.get(KIND, {}), former_marks)

    @handles_events(BearerReported)
    def judge_sim(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        config, status = self._configs[event.bearer], event.status
        match status.sim:
            case SimState.NOT_USED:
                return
            case SimState.READY:
                yield from self._accept_sim(config, status)
                return
            case SimState.PIN_REQUIRED:
                yield from self._unlock_sim(config, status, now)
                return
            case SimState.PIN_REFUSED if pin_mark := self._pin_mark(config):
                yield from self._pins.note_refusal(config.name, pin_mark, status.pin_tries)
                yield from self._turn_to_station_file_pin(config, status)
            case SimState.PUK_REQUIRED:
                yield from self._pins.note_puk_lock(config.name)
        yield from self._raise_fault(Fault.SIM_UNUSABLE, config, _WORDS[status.sim])

    def _pin_mark(self, config: BearerConfig) -> str:
        """Return the mark of the PIN that the SIM gets: that of the network profile in turn, or of the station file."""
        return self._site.bearers[config.name].pin_mark

    def _confirmation(self, config: BearerConfig) -> str:
        """Return the text by which a person vouches for the PIN of now: it is about that of the station file alone."""
        return config.pin_confirmed if self._pin_mark(config) == config.pin_mark else ""

    def _unlock_sim(self, config: BearerConfig, status: BearerStatus, now: Moment) -> Iterator[Yielded]:
        if self._pins.is_presenting(config.name):
            return
        yield from self._turn_to_station_file_pin(config, status)
        pin_mark, confirmed = self._pin_mark(config), self._confirmation(config)
        if pin_mark and self._pins.is_presented(pin_mark):  # over another bearer, maybe to the same SIM
            yield WakeMe(_unlock_timer(config.name), now.t_s + RETRY_S)
        elif pin_mark and self._pins.may_use_pin(pin_mark, status.pin_tries, confirmed):
            yield from self._pins.begin_pin_use(config.name, pin_mark, status.pin_tries, confirmed)
            yield WakeMe(_unlock_timer(config.name), now.t_s + ANSWER_S)
            yield UnlockSim(config.name, pin_mark)
        else:
            yield from self._raise_fault(Fault.SIM_UNUSABLE, config, _WORDS[SimState.PIN_REQUIRED])

    def _turn_to_station_file_pin(self, config: BearerConfig, status: BearerStatus) -> Iterator[Yielded]:
        """Leave out the PIN of the network profile if it may not be used, and the station file's may."""
        pin_mark, record = self._pin_mark(config), self._site.bearers[config.name]
        pins = pin_mark, config.pin_mark
        if "" in pins or pin_mark == config.pin_mark or any(map(self._pins.is_presented, pins)):
            return
        is_profile_pin_good = self._pins.may_use_pin(pin_mark, status.pin_tries, "")
        if not is_profile_pin_good and self._pins.may_use_pin(config.pin_mark, status.pin_tries, config.pin_confirmed):
            record.useless_pin_mark = pin_mark
            yield LogNote(
                STATION, "the PIN of the network profile is not used: that of the station file is", config.name
            )
            yield ConfigureBearer(config.name, record.access_in_force)

    @handles_events(SimUnlockEnded)
    def end_unlocking(self, event: SimUnlockEnded, now: Moment) -> Iterator[Yielded]:
        yield from self._end_pin_use(event.bearer, event.is_presented)
        yield WakeMe(_unlock_timer(event.bearer), now.t_s + RETRY_S)

    @handles_timer(TimerKind.SIM_UNLOCK)
    def look_again(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """Unlock a SIM that still needs its PIN, if it has lost no try."""
        name = event.timer.detail
        yield from self._end_pin_use(name, is_presented=True)
        status = self._site.bearers[name].status
        if status.sim is SimState.PIN_REQUIRED:
            yield from self._unlock_sim(self._configs[name], status, now)

    def _end_pin_use(self, name: str, is_presented: bool) -> Iterator[Yielded]:
        yield from self._pins.end_pin_use(name, is_presented)
        if self._site.bearers[name].status.sim is SimState.READY:
            yield from self._pins.note_unlocked(name, self._pin_mark(self._configs[name]))

    def _accept_sim(self, config: BearerConfig, status: BearerStatus) -> Iterator[Yielded]:
        yield from self._pins.note_unlocked(config.name, self._pin_mark(config))
        yield from self._clear_fault(Fault.SIM_UNUSABLE, config)
        memory = self._site.sims.get(config.name, SimMemory())
        if _is_exchanged(status.iccid, memory.iccid, config.iccid):
            words = f"{config.name}: another SIM is in it: its ICCID ends with {status.iccid[-4:]}"
            yield SecurityNoticed(SecurityEvent.TAMPER, words)
        yield from self._remember(config, SimMemory(status.iccid or memory.iccid, status.imsi or memory.imsi))
        if not (status.iccid and config.iccid):
            return
        if _is_same_sim(status.iccid, config.iccid):
            yield from self._clear_fault(Fault.SIM_EXCHANGED, config)
        else:
            words = f"another SIM than that of the station file is in it: its ICCID ends with {status.iccid[-4:]}"
            yield from self._raise_fault(Fault.SIM_EXCHANGED, config, words)

    def _remember(self, config: BearerConfig, memory: SimMemory) -> Iterator[Yielded]:
        if self._site.sims.get(config.name) != memory:
            self._site.sims[config.name] = memory
            yield Persist("sim", config.name, memory.to_record())

    def _raise_fault(self, fault: Fault, config: BearerConfig, words: str) -> Iterator[Yielded]:
        if config.name not in self._raised[fault]:
            self._raised[fault].add(config.name)
            yield LogNote(STATION, words, config.name)
            yield FaultRaised(STATION, fault)

    def _clear_fault(self, fault: Fault, config: BearerConfig) -> Iterator[Yielded]:
        """Clear the fault when no bearer has it any more."""
        if config.name in self._raised[fault]:
            self._raised[fault].remove(config.name)
            if not self._raised[fault]:
                yield FaultCleared(STATION, fault)


def _is_same_sim(iccid: str, other: str) -> bool:
    return iccid[:ICCID_DIGITS] == other[:ICCID_DIGITS]


def _is_exchanged(iccid: str, remembered: str, given: str) -> bool:
    """Return whether this SIM is another one than before; the first one: than that of the station file."""
    expected = remembered or given
    return bool(iccid and expected) and not _is_same_sim(iccid, expected)


def _unlock_timer(bearer: str) -> Timer:
    return Timer(TimerKind.SIM_UNLOCK, detail=bearer)

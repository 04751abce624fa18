"""Unlock the SIM of a modem once, report one that cannot be used or is another one, and remember its numbers.

A wrong PIN three times locks the SIM, and a person has to drive there. So that a PIN is being tried is on disk before
the SIM gets it (decision 36).
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.bearers import BearerConfig
from agent.domain.events import BearerReported, FaultCleared, FaultRaised, Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import LogNote, Persist, UnlockSim
from agent.domain.sim_memory import PinAttempt, SimMemory
from agent.model.bearer import BearerStatus, SimState
from agent.model.fastclass import replace
from agent.model.types import STATION, Fault, Moment

LAST_TRY, ALL_TRIES = 1, 3
"""The last try of a PIN is left to a person. A SIM that has all tries has refused none since the right one."""
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
        self._unlocked: set[str] = set()
        """Bearers whose SIM got a PIN since the start."""
        self._raised: dict[Fault, set[str]] = {Fault.SIM_UNUSABLE: set(), Fault.SIM_EXCHANGED: set()}

    @handles_events(Started)
    def restore_sim_memory(self, event: Started, now: Moment) -> Iterator[Yielded]:
        records = event.remembered.get("sim", {})
        self._site.sims |= {name: SimMemory.of_record(records[name]) for name in self._configs if name in records}
        yield from ()

    @handles_events(BearerReported)
    def judge_sim(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        config, status = self._configs[event.bearer], event.status
        memory = self._site.sims.get(config.name, SimMemory())
        match status.sim:
            case SimState.NOT_USED:
                return
            case SimState.READY:
                yield from self._accept_sim(config, status, memory)
            case SimState.PIN_REQUIRED if self._may_unlock(config, status, memory):
                self._unlocked.add(config.name)
                yield from self._remember(
                    config, replace(memory, attempt=PinAttempt(config.pin_mark, status.pin_tries))
                )
                yield UnlockSim(config.name)
            case _:
                if status.sim in (SimState.PIN_REFUSED, SimState.PUK_REQUIRED) and config.pin_mark:
                    refused = PinAttempt(config.pin_mark, status.pin_tries, refused=True)
                    yield from self._remember(config, replace(memory, attempt=refused))
                yield from self._raise_fault(Fault.SIM_UNUSABLE, config, _WORDS[status.sim])

    def _may_unlock(self, config: BearerConfig, status: BearerStatus, memory: SimMemory) -> bool:
        """Return whether the PIN may be used.

        It is used once in a process, and never as the last try. After a restart it is used if the attempt before has
        cost no try. One that was refused is used only in a SIM that has all tries again: a person has unlocked it, or
        it is another one.
        """
        if not config.pin_mark or config.name in self._unlocked:
            return False
        if status.pin_tries is not None and status.pin_tries <= LAST_TRY:
            return False
        before = memory.attempt
        if before.refused and not before.pin_mark:
            return status.pin_tries == ALL_TRIES
        if before.pin_mark != config.pin_mark:
            return True
        if status.pin_tries is None or before.tries is None:
            return False
        if before.refused:
            return before.tries < status.pin_tries == ALL_TRIES
        return status.pin_tries >= before.tries

    def _accept_sim(self, config: BearerConfig, status: BearerStatus, memory: SimMemory) -> Iterator[Yielded]:
        self._unlocked.discard(config.name)  # after a reset of the modem it needs the PIN again
        yield from self._clear_fault(Fault.SIM_UNUSABLE, config)
        found = SimMemory(status.iccid or memory.iccid, status.imsi or memory.imsi)
        yield from self._remember(config, found)
        if not (status.iccid and config.iccid):
            return
        if status.iccid[:ICCID_DIGITS] == config.iccid[:ICCID_DIGITS]:
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

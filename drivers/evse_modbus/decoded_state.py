"""Decode the registers of one poll to the state of an EVSE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.model.board import EvseState, Pilot
from agent.model.fastclass import frozen
from agent.model.types import Fault
from drivers.evse_modbus.board_map import BoardMap, Code, Place
from drivers.evse_modbus.contacts import Contact, faults_of_contacts

_UNKNOWN = Code(Pilot.UNKNOWN, pwm=False, power=False, fault=None)


@frozen
class Poll:
    """What one poll brought: ``words`` by function and address, ``extra`` the words of the wiring's faults."""

    words: Mapping[tuple[int, int], int]
    extra: Sequence[int] = ()


@frozen
class PollDecoder:
    """How to read this EVSE's polls: map, and the facts of its place in the station."""

    map: BoardMap
    tethered: bool = False
    bay_input: int | None = None
    inputs: tuple[Contact, ...] = ()
    extra: tuple[Contact, ...] = ()

    def register_value(self, poll: Poll, name: str) -> int | None:
        """Return a named register as an unsigned number; None where the board has none."""
        place = self.map.picture.get(name)
        return None if place is None else _join_registers(poll, place)

    def register_amperes(self, poll: Poll, name: str) -> float | None:
        place, value = self.map.picture.get(name), self.register_value(poll, name)
        return None if place is None or value is None or value == place.absent else value / place.per

    def decode_state(self, poll: Poll, turning: bool = False) -> EvseState:
        """Build the state of the EVSE. ``turning``: the lock was just ordered to open: its doubts are no fault."""
        code = self._state_code(poll)
        known = code or _UNKNOWN
        faults = self.decode_faults(poll, turning) | ({known.fault} if known.fault else frozenset())
        released = bool(self.register_value(poll, "released"))
        cable_a = int(self.register_amperes(poll, "cable_a") or 0) or None
        vehicle = known.pilot in (Pilot.B, Pilot.C, Pilot.D)
        return EvseState(
            pilot=known.pilot,
            pwm=_pwm_offered(code, vehicle, released),
            cable=vehicle or (cable_a is not None and not self.tethered),
            cable_a=cable_a,
            locked=self._lock_state(poll),
            contactor=self._contactor_closed(poll, code, released, faults),
            released=released,
            offered_a=self.register_amperes(poll, "offered_a"),
            faults=faults,
            plugged_s=self._plugged_s(poll) if vehicle else None,
            bay_occupied=self._bay_occupied(poll),
        )

    def error_bits(self, poll: Poll) -> frozenset[int]:
        """Return the error bits that are set, known or not."""
        mask = self.register_value(poll, "errors") or 0
        return frozenset(bit for bit in range(mask.bit_length()) if mask >> bit & 1)

    def decode_faults(self, poll: Poll, turning: bool = False) -> frozenset[Fault]:
        bits = self.error_bits(poll) - self.map.lock_doubtful_bits if turning else self.error_bits(poll)
        own = frozenset(self.map.errors[bit] for bit in bits if bit in self.map.errors)
        return (
            own
            | faults_of_contacts(self.inputs, (self.register_value(poll, "inputs") or 0,))
            | faults_of_contacts(self.extra, poll.extra)
        )

    def _state_code(self, poll: Poll) -> Code | None:
        word = _join_registers(poll, self.map.state)
        text = word.to_bytes(2, "big").decode("ascii", "replace")
        return self.map.codes.get({"number": str(word), "letter": text[1:]}.get(self.map.state_word, text))

    def _contactor_closed(self, poll: Poll, code: Code | None, released: bool, faults: frozenset[Fault]) -> bool | None:
        """Return the board's feedback, if it has any. A welded contactor is reported neither open nor closed."""
        if "contactor" not in self.map.picture:
            return _derive_contactor(code, released, faults)
        return None if Fault.CONTACTOR_WELDED in faults else bool(self.register_value(poll, "contactor"))

    def _lock_state(self, poll: Poll) -> bool | None:
        value = self.register_value(poll, "locked")
        if value is None or self.tethered or self.error_bits(poll) & self.map.lock_doubtful_bits:
            return None
        return bool(value)

    def _plugged_s(self, poll: Poll) -> float | None:
        seconds = self.register_value(poll, "plugged_s")
        return None if seconds is None else float(seconds)

    def _bay_occupied(self, poll: Poll) -> bool | None:
        inputs = self.register_value(poll, "inputs")
        return None if inputs is None or self.bay_input is None else bool(inputs >> self.bay_input & 1)


def _join_registers(poll: Poll, place: Place) -> int:
    value = 0
    for i in range(place.registers):
        value = value << 16 | poll.words[place.function, place.at + i]
    return value


def _pwm_offered(code: Code | None, vehicle: bool, released: bool) -> bool | None:
    """Return whether PWM is offered. If the state word does not show it, the board offers it while released."""
    if code is None or code.pwm is not None:
        return None if code is None else code.pwm
    return vehicle and released


def _derive_contactor(code: Code | None, released: bool, faults: frozenset[Fault]) -> bool | None:
    """Derive the state of the contactor where the board has no register for it. The board closes it in a power state
    while released, and a welded one is an error. The state is unknown in an unknown state of the board, and when the
    board doubts its contactor."""
    if code is None or Fault.CONTACTOR_WELDED in faults:
        return None
    if code.power and not released:
        return None  # on its way open, or the board was released by another master
    return code.power


def states_to_report(before: EvseState | None, now: EvseState) -> tuple[EvseState, ...]:
    """Return the states to report. The count of connected seconds alone is no change; but if it restarted, another
    vehicle came between two polls, and the port's contract wants one that left and one that came."""
    if before is None:
        return (now,)
    if (
        before.vehicle_connected
        and now.vehicle_connected
        and (before.plugged_s or 0.0) > (now.plugged_s or 0.0)
        and now.plugged_s is not None
    ):
        gone = replace(now, pilot=Pilot.A, pwm=False, contactor=False, plugged_s=None)
        return (gone, now)
    return () if replace(before, plugged_s=None) == replace(now, plugged_s=None) else (now,)

"""What the board reports of itself, as the state of an EVSE. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault

SLEEPING, DISABLED = 0xFE, 0xFF
HARD_FAULT, AUTH_LOCKED, RELAY_CLOSED, CONNECTED, BOOT_LOCKED = 0x0002, 0x0008, 0x0040, 0x0100, 0x4000
"""Bits of the volatile flags (``$GS``, ``$AT``)."""
_FIRST_FAULT, _LAST_FAULT = 0x04, 0x11
_POWER = 0x03
_PILOTS = {0x02: Pilot.B, 0x03: Pilot.C, 0x04: Pilot.D}
_FAULTS = {
    0x04: Fault.VENTILATION_REFUSED,
    0x05: Fault.DIODE_FAULT,
    0x06: Fault.GROUND_FAILURE,
    0x07: Fault.GROUND_FAILURE,  # no protective earth
    0x08: Fault.CONTACTOR_WELDED,
    0x09: Fault.RCD_TEST_FAILED,
    0x0A: Fault.HIGH_TEMPERATURE,
    0x0B: Fault.OVER_CURRENT,
    0x0C: Fault.PILOT_FAULT,
    0x0D: Fault.HIGH_TEMPERATURE,  # a sensor is dead: the temperature is unknown
    0x0E: Fault.CONTACTOR_STUCK_OPEN,
    0x0F: Fault.PROXIMITY_FAULT,
    0x10: Fault.PROXIMITY_FAULT,
    0x11: Fault.BOARD_CONFIG,  # its memory cannot be read
}


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """``state``, ``pilot``, ``flags`` and ``offered_a`` come with ``$GS``, ``$GC`` and every ``$AT``; ``most_a`` (the
    greatest current, with the cable that is in; 0: not asked yet) and ``locked`` (the plug) with the polls."""

    state: int
    pilot: int
    flags: int
    offered_a: int
    most_a: int
    locked: bool | None = None

    def has_flag(self, flag: int) -> bool:
        return bool(self.flags & flag)

    @property
    def is_awake(self) -> bool:
        return self.state not in (SLEEPING, DISABLED)

    @property
    def has_fault(self) -> bool:
        return _FIRST_FAULT <= self.state <= _LAST_FAULT

    @property
    def is_released(self) -> bool:
        """Would it give energy to a vehicle that asks, as far as we are concerned?"""
        return self.is_awake and not self.has_flag(AUTH_LOCKED | BOOT_LOCKED)

    @property
    def vehicle_present(self) -> bool:
        """Return whether a vehicle is connected. With the pilot at -12 V it is unknown, and the flag is an old one."""
        return self.has_flag(CONNECTED) and self.state != DISABLED

    @property
    def decoded_faults(self) -> frozenset[Fault]:
        return frozenset({_FAULTS[self.state]}) if self.has_fault else frozenset()


def evse_state(seen: BoardStatus, cable_a: int | None, derated: bool) -> EvseState:
    """Build the state of the EVSE. ``cable_a``: rating of the cable, where the board reads it."""
    pwm = seen.is_released and not seen.has_fault
    return EvseState(
        pilot=_pilot_state(seen),
        pwm=pwm,
        cable=seen.vehicle_present,
        cable_a=cable_a if seen.vehicle_present else None,
        locked=seen.locked,
        contactor=_contactor_closed(seen),
        released=seen.is_released,
        offered_a=float(seen.offered_a) if pwm else 0.0,
        faults=seen.decoded_faults | ({Fault.TEMPERATURE_DERATING} if derated else frozenset()),
    )


def _pilot_state(seen: BoardStatus) -> Pilot:
    """Return the pilot state. Asleep and in a fault the board only looks whether a vehicle is there."""
    if seen.state == DISABLED:
        return Pilot.F
    if not seen.vehicle_present:
        return Pilot.A
    looks = seen.is_awake and (not seen.has_fault or seen.state == 0x04)
    return _PILOTS.get(seen.pilot, Pilot.B) if looks else Pilot.B


def _contactor_closed(seen: BoardStatus) -> bool | None:
    """Return the flag of the coil. A contactor that does not follow its coil is a fault of its own."""
    if Fault.CONTACTOR_WELDED in seen.decoded_faults:
        return None
    return seen.has_flag(RELAY_CLOSED)


def vehicle_gone(now: EvseState) -> EvseState:
    """Return the state between two vehicles."""
    return replace(now, pilot=Pilot.A, pwm=False, cable=False, cable_a=None, contactor=False, locked=None)

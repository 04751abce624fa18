"""What a charge controller board reports of its EVSE, and what it can do. Words as in IEC 61851-1."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import Fault


class Pilot(StrEnum):
    """Control pilot state of IEC 61851-1: A no vehicle, B connected, C asks for energy, D with ventilation, E error,
    F station not available."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"
    F = "F"
    UNKNOWN = "?"


@frozen
class EvseState:
    """The full picture a board gives of one EVSE, cheap to compare; ``None`` = the board does not
    know.

    ``plugged_s`` is the board's own count of seconds since the present vehicle was connected: the proof of an
    uninterrupted plug after the agent was away.
    """

    pilot: Pilot = Pilot.UNKNOWN
    pwm: bool | None = None
    cable: bool = False
    cable_a: int | None = None
    locked: bool | None = None
    contactor: bool | None = None
    released: bool | None = None
    offered_a: float | None = None
    faults: frozenset[Fault] = frozenset()
    plugged_s: float | None = None
    bay_occupied: bool | None = None
    offered_w: float | None = None
    """What a DC outlet offers."""
    soc_percent: int | None = None
    """As the vehicle reports it (ISO 15118, DIN 70121)."""
    spent: bool = False
    """The vehicle has had its one session: it takes no energy before it is plugged in again."""

    @property
    def vehicle_connected(self) -> bool:
        """A vehicle is on the cable (B, C, D)."""
        return self.pilot in (Pilot.B, Pilot.C, Pilot.D)

    @property
    def requests_energy(self) -> bool:
        """The vehicle asks for energy (C, D)."""
        return self.pilot in (Pilot.C, Pilot.D)


@frozen
class EvseTraits:
    """What a board can do. ``tethered``: fixed cable (case C), nothing to unlock. ``lockable``:
    unlocks on order; False also for a board that sees to the lock of its socket alone.
    ``counts_plugged``: delivers ``EvseState.plugged_s``. ``holds``: can keep a plug whose vehicle
    has left. ``fallback_stop``: its watchdog withdraws release when the agent goes silent. ``dc``:
    a DC outlet: its limits are ``min_w`` to ``max_w``, and below that it pauses only where it is
    ``pausable``; otherwise it gives ``min_w``. ``one_release``: withdrawing release ends the
    vehicle's session for good, so that a pause is said by the limit alone. ``tells_pilot`` False:
    that a vehicle asks is seen only once it is released. ``sees_contactor`` False: it has no
    register for it, that it is closed is concluded from release and pilot."""

    tethered: bool = False
    lockable: bool = True
    phases: int = 3
    min_a: float = 6.0
    max_a: float = 32.0
    counts_plugged: bool = False
    holds: bool = False
    contactor_feedback: bool = True
    fallback_stop: bool = True
    dc: bool = False
    min_w: float = 0.0
    max_w: float = 0.0
    pausable: bool = True
    one_release: bool = False
    tells_pilot: bool = True
    sees_contactor: bool = True

    @property
    def begins_s(self) -> float:
        """So much longer than at an AC outlet may it take from release to energy: vehicle and charger negotiate, the
        cable is checked, the voltage is brought up (DIN 70121)."""
        return 150.0 if self.dc else 0.0

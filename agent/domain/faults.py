"""Faults once: what each means for charging and for a person. How an OCPP version names it:
``ocpp/dialects/keys_v1x.py``.

``severity``: BLOCK stops the session and takes the EVSE out of service until it is gone; SESSION
stops the session, the next one may try; WARN is reported and charging goes on. ``latched``: stays
until a hard reset acknowledges it and the board does not show it any more
(``blocks/fault_latching.py``). ``alert`` False: a driver's matter, no event for a backend. Severity
after the MREC catalogue (ChargeX/INL) and what open stations found workable.
"""

from __future__ import annotations

from agent.domain.messages import StopReason
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import Fault


class Severity(StrEnum):
    BLOCK = "block"
    SESSION = "session"
    WARN = "warn"


@frozen
class FaultRow:
    severity: Severity
    reason: StopReason = StopReason.OTHER
    latched: bool = False
    alert: bool = True


B, S, W = Severity.BLOCK, Severity.SESSION, Severity.WARN
R = StopReason

CATALOGUE: dict[Fault, FaultRow] = {
    Fault.EMERGENCY_STOP: FaultRow(B, R.EMERGENCY_STOP),
    Fault.GROUND_FAILURE: FaultRow(B, R.GROUND_FAULT),
    Fault.RCD_TEST_FAILED: FaultRow(B, R.GROUND_FAULT, latched=True),
    Fault.OVER_CURRENT: FaultRow(B, R.OVERCURRENT_FAULT),
    Fault.OVER_VOLTAGE: FaultRow(B, R.POWER_QUALITY),
    Fault.UNDER_VOLTAGE: FaultRow(B, R.POWER_QUALITY),
    Fault.POWER_LOSS: FaultRow(B, R.POWER_LOSS),
    Fault.CONTACTOR_WELDED: FaultRow(B, latched=True),
    Fault.CONTACTOR_STUCK_OPEN: FaultRow(B),
    Fault.CONTACTOR_STUCK_CLOSED: FaultRow(B),
    Fault.LOCK_FAILURE: FaultRow(B),
    Fault.UNLOCK_FAILURE: FaultRow(W),
    Fault.PILOT_FAULT: FaultRow(B),
    Fault.DIODE_FAULT: FaultRow(B, R.GROUND_FAULT),
    Fault.PROXIMITY_FAULT: FaultRow(B),
    Fault.CABLE_REJECTED: FaultRow(S, alert=False),
    Fault.VENTILATION_REFUSED: FaultRow(S, alert=False),
    Fault.HIGH_TEMPERATURE: FaultRow(B),
    Fault.TEMPERATURE_DERATING: FaultRow(W),
    Fault.PLUG_HOT: FaultRow(B),
    Fault.PLUG_DERATING: FaultRow(W),
    Fault.DOOR_OPEN: FaultRow(B),
    Fault.TILT: FaultRow(B),
    Fault.METER_SILENT: FaultRow(B),
    Fault.METER_IMPLAUSIBLE: FaultRow(B),
    Fault.METER_EXCHANGED: FaultRow(B, latched=True),
    Fault.METER_UNFIT: FaultRow(B),
    Fault.METER_DISAGREES: FaultRow(W),
    Fault.READER_SILENT: FaultRow(W),
    Fault.TERMINAL_SILENT: FaultRow(W),
    Fault.POWER_INPUT_SILENT: FaultRow(W),
    Fault.INDICATOR_SILENT: FaultRow(W),
    Fault.DISPLAY_SILENT: FaultRow(W),
    Fault.DEVICE_SILENT: FaultRow(W),
    Fault.BOARD_SILENT: FaultRow(B),
    Fault.BOARD_CONFIG: FaultRow(B),
    Fault.STORE_FAILED: FaultRow(B),
    Fault.STORE_NEARLY_FULL: FaultRow(W),
    Fault.RECORD_POISONED: FaultRow(B),
    Fault.PAYMENT_UNCERTAIN: FaultRow(W),
    Fault.WEAK_SIGNAL: FaultRow(W),
    Fault.SIM_UNUSABLE: FaultRow(W),
    Fault.SIM_EXCHANGED: FaultRow(W),
    Fault.RESET_FAILURE: FaultRow(W),
    Fault.INTERNAL_ERROR: FaultRow(B),
    Fault.MREC1: FaultRow(B),
    Fault.MREC2: FaultRow(B, R.GROUND_FAULT),
    Fault.MREC3: FaultRow(W),
    Fault.MREC4: FaultRow(B, R.OVERCURRENT_FAULT),
    Fault.MREC5: FaultRow(B, R.POWER_QUALITY),
    Fault.MREC6: FaultRow(B, R.POWER_QUALITY),
    Fault.MREC8: FaultRow(B, R.EMERGENCY_STOP),
    Fault.MREC10: FaultRow(S),
    Fault.MREC14: FaultRow(S),
    Fault.MREC15: FaultRow(B, R.POWER_LOSS),
    Fault.MREC17: FaultRow(B, latched=True),
    Fault.MREC18: FaultRow(W),
    Fault.MREC19: FaultRow(B),
    Fault.MREC20: FaultRow(S),
    Fault.MREC23: FaultRow(B),
    Fault.MREC24: FaultRow(B),
    Fault.MREC25: FaultRow(B),
    Fault.MREC26: FaultRow(B),
    Fault.OTHER_ERROR: FaultRow(B),
}

GRACE_S: dict[Fault, float] = {Fault.BOARD_SILENT: 10.0, Fault.METER_SILENT: 60.0, Fault.METER_IMPLAUSIBLE: 60.0}
"""How long a running session outlives these: the far side may come back, and the register proves what was drawn. For
the meter's, the setting ``meter_grace_s`` says how long."""


KEPT = frozenset(f for f, row in CATALOGUE.items() if row.latched) - {Fault.METER_EXCHANGED}
"""Latched faults that a restart must not forget; whether the meter was exchanged is checked again
at each start."""

JAMS, JAMS_MOST = frozenset((Fault.LOCK_FAILURE, Fault.MREC1)), 3
"""The lock did not catch; from so many times on, without one in between that it held, this is latched too."""

LIVE = frozenset((Fault.CONTACTOR_WELDED, Fault.MREC17, Fault.CONTACTOR_STUCK_CLOSED))
"""With these the outlet cannot be switched off."""

LASTING_S = 5.0
"""What blocks is over when the board has not shown it for so long."""

LOCKING = frozenset((Fault.LOCK_FAILURE, Fault.UNLOCK_FAILURE, Fault.MREC1, Fault.MREC25))
"""Those of the lock that holds the plug."""


def blocks_charging(fault: Fault) -> bool:
    return CATALOGUE[fault].severity is Severity.BLOCK


def ends_session(fault: Fault) -> bool:
    return CATALOGUE[fault].severity is not Severity.WARN


def most_severe_first(faults: frozenset[Fault]) -> tuple[Fault, ...]:
    order = list(CATALOGUE)
    return tuple(sorted(faults, key=lambda f: (not blocks_charging(f), order.index(f))))

"""Texts of the faults for a technician: what it is and what to do about it.

``docs/faults.md`` and ``chargy-agent faults`` show the same texts. The screen has texts of its own, for drivers.
"""

from __future__ import annotations

from agent.model.types import Fault

MREC_SYNONYMS = {
    Fault.MREC1: Fault.LOCK_FAILURE,
    Fault.MREC2: Fault.GROUND_FAILURE,
    Fault.MREC3: Fault.TEMPERATURE_DERATING,
    Fault.MREC4: Fault.OVER_CURRENT,
    Fault.MREC5: Fault.OVER_VOLTAGE,
    Fault.MREC6: Fault.UNDER_VOLTAGE,
    Fault.MREC8: Fault.EMERGENCY_STOP,
    Fault.MREC14: Fault.PILOT_FAULT,
    Fault.MREC15: Fault.POWER_LOSS,
    Fault.MREC17: Fault.CONTACTOR_WELDED,
    Fault.MREC18: Fault.PLUG_DERATING,
    Fault.MREC19: Fault.PLUG_HOT,
    Fault.MREC23: Fault.PROXIMITY_FAULT,
}
"""The MREC names of boards mean the same conditions."""

FAULT_TEXTS: dict[Fault, tuple[str, str]] = {
    Fault.EMERGENCY_STOP: ("the emergency stop is pressed", "find out why, release the button"),
    Fault.GROUND_FAILURE: (
        "current to earth, or no earth",
        "measure insulation of outlet and cable; with one vehicle only: the vehicle",
    ),
    Fault.RCD_TEST_FAILED: (
        "the residual current device has failed its test",
        "mend the residual current device, then a hard reset or `faults clear`",
    ),
    Fault.OVER_CURRENT: (
        "more current than was offered",
        "the vehicle draws too much; with every vehicle: meter, its transformers",
    ),
    Fault.OVER_VOLTAGE: ("the voltage is too high", "measure the supply; a broken neutral shows like this"),
    Fault.UNDER_VOLTAGE: (
        "the voltage is too low, or a phase is missing",
        "measure the supply under load; fuses; the meter's own voltage connections",
    ),
    Fault.POWER_LOSS: ("mains is lost", "supply and fuses; goes on when mains is back"),
    Fault.CONTACTOR_WELDED: (
        "a contactor does not open",
        "**the outlet may be live**: switch off; new contactor, or where something else releases the board, its own "
        "release mode; then a hard reset or `faults clear`",
    ),
    Fault.CONTACTOR_STUCK_OPEN: (
        "a contactor does not close",
        "coil and its supply; an emergency stop in its circuit shows like this",
    ),
    Fault.CONTACTOR_STUCK_CLOSED: (
        "the contactor is closed, or the board is released, without a session",
        "**the outlet may be live**: switch off; contactor, a board that does not obey, what else releases it",
    ),
    Fault.LOCK_FAILURE: (
        "the plug does not lock",
        "clean the socket, check the motor; the driver plugs in again",
    ),
    Fault.UNLOCK_FAILURE: ("the plug does not come free", "move the plug while it is tried again; emergency release"),
    Fault.PILOT_FAULT: (
        "the pilot signal is disturbed",
        "pilot wire and plug; without a vehicle it is the station's",
    ),
    Fault.DIODE_FAULT: (
        "the vehicle's diode is missing in the pilot",
        "the vehicle's; with every vehicle: the board's pilot circuit",
    ),
    Fault.PROXIMITY_FAULT: (
        "the cable's rating cannot be read",
        "contacts of the socket, resistor of a fixed cable",
    ),
    Fault.CABLE_REJECTED: ("a cable for too little current", "the driver takes a cable that is rated for more"),
    Fault.VENTILATION_REFUSED: ("a vehicle that asks for ventilation", "none: the vehicle needs ventilation"),
    Fault.HIGH_TEMPERATURE: (
        "too hot inside",
        "filters, fans, sun; starts again when it has cooled down",
    ),
    Fault.TEMPERATURE_DERATING: ("hot inside, less current is offered", "filters, fans, sun"),
    Fault.PLUG_HOT: ("the plug is too hot", "contacts of plug and socket: tighten, replace"),
    Fault.PLUG_DERATING: (
        "the plug is hot, less current is offered",
        "contacts of plug and socket: tighten, replace",
    ),
    Fault.DOOR_OPEN: ("the door is open", "close it; a security event says when it was opened"),
    Fault.TILT: ("the station was hit or tilted", "cables, earth, foundation, before anything else"),
    Fault.METER_SILENT: (
        "the meter does not answer, or is another than its map is for",
        "wiring, address, supply, map of the meter; the log says what was tried",
    ),
    Fault.METER_IMPLAUSIBLE: (
        "the meter reports impossible values",
        "wiring, termination, map of the meter; line and load, or a transformer, the wrong way round: see the log",
    ),
    Fault.METER_EXCHANGED: (
        "another meter than the station file names",
        "put the new meter's serial into the station file and restart",
    ),
    Fault.METER_UNFIT: (
        "the meter may not bill here",
        "class, variant, firmware or step are not what the station file declares, or it bills another outlet: the log "
        "says which",
    ),
    Fault.METER_DISAGREES: (
        "the meter's power and register disagree",
        "map and transformer ratio; compare with its display under load, and `probe` the station then",
    ),
    Fault.READER_SILENT: ("the card reader does not answer", "cable and supply of the reader; remote starts go on"),
    Fault.TERMINAL_SILENT: (
        "the payment terminal does not answer, or takes no offer",
        "cable and supply of the payment terminal; one that answers: its own configuration; cards of providers go on",
    ),
    Fault.POWER_INPUT_SILENT: ("the power-fail input cannot be read", "wiring of the power-fail input"),
    Fault.INDICATOR_SILENT: ("lamp or buzzer do not answer", "lamp or buzzer"),
    Fault.DISPLAY_SILENT: ("the display does not answer", "cable of the display"),
    Fault.DEVICE_SILENT: (
        "a device of a role that a package adds does not answer",
        "the log and `faults list` name the device",
    ),
    Fault.BOARD_SILENT: (
        "the charge controller board does not answer",
        "cable, address, supply and settings of the board; the log says what was tried",
    ),
    Fault.BOARD_CONFIG: ("the board is set up otherwise", "the board's own settings; the log says which"),
    Fault.STORE_FAILED: ("the disk takes nothing", "disk: see [operations](operations.md)"),
    Fault.STORE_NEARLY_FULL: (
        "the store of payments and receipts is nearly full",
        "raise `store_max_mb`, or keep [receipts and payments](payments.md) for fewer days",
    ),
    Fault.RECORD_POISONED: ("a record on disk cannot be read", "see [operations](operations.md)"),
    Fault.PAYMENT_UNCERTAIN: ("a payment whose outcome is uncertain", "see [payments](payments.md)"),
    Fault.WEAK_SIGNAL: ("weak radio signal", "antenna"),
    Fault.SIM_UNUSABLE: (
        "the SIM of the modem cannot be used",
        "the log says why: no SIM, a wrong PIN (correct `pin` in the station file and restart), or a PUK is needed",
    ),
    Fault.SIM_EXCHANGED: (
        "another SIM than the station file names",
        "put the right SIM in, or the new `iccid` into the station file",
    ),
    Fault.RESET_FAILURE: ("a reset has not helped", "a reset did not clear the fault that is reported with it"),
    Fault.INTERNAL_ERROR: ("an error of the station's own", "the log"),
    Fault.MREC10: ("the vehicle is in a mode that cannot be", "another vehicle; with every vehicle: the board"),
    Fault.MREC20: ("the plug is not all the way in", "the driver pushes it in; contacts of the socket"),
    Fault.MREC24: ("too much voltage at the plug", "switch off; the power electronics and their measurement"),
    Fault.MREC25: ("the latch of the plug is broken", "replace plug or lock"),
    Fault.OTHER_ERROR: ("the board reports a fault that has no name here", "the board's own display or log"),
    Fault.MREC26: ("the cable is cut", "**the cable may be live**: switch off, new cable"),
}


def describe_fault(fault: Fault) -> tuple[str, str]:
    """Return what the fault is, and what to do about it."""
    return FAULT_TEXTS[MREC_SYNONYMS.get(fault, fault)]


def without_markdown(text: str) -> str:
    """Return the text without Markdown, for a terminal."""
    import re

    return re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (docs/\2)", text.replace("**", "").replace("`", ""))

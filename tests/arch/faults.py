"""docs/faults.md: what can be wrong, who is told what, and what a person has to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.domain.faults import CATALOGUE, GRACE_S, JAMS, JAMS_MOST, KEPT, LASTING_S, FaultRow, Severity
from agent.kinds import Fault
from agent.ocpp.names import ERRORS_16, cx

TEXTS = Path(__file__).resolve().parents[2] / "config" / "texts" / "en.toml"

TEXT = """\
# Faults

Generated from `agent/domain/faults.py` and `agent/ocpp/names.py` by `make docs`; `tests/faults/test_catalogue.py`
follows the conditions of a board from its registers to the contactor, the screen and both versions of OCPP.

* **blocks**: the session ends with the reason, the contactor opens, and the outlet is out of service until it is over.
  *session*: the session ends, the next one may try. *warns*: it is told, and charging goes on; a derating goes on with
  less current.
* **over**: *by itself*: when the device says so no more; what a board shows and what blocks, {lasting:g} s after that.
  *hard reset*: latched on disk; neither a restart nor a power cut forgets it. OCPP 1.6 Reset Hard, 2.0.1 Reset
  Immediate, or one of the EVSE acknowledges it, and the board must not show it five seconds later; otherwise
  `ResetFailure` is told and it stays. *{jams} times*: a lock that has not caught so often, without one time in between
  that it held, is latched likewise. *restart*: of the agent.
* **1.6**: errorCode and vendorErrorCode of the StatusNotification (vendorId `https://chargex.inl.gov` for CXnnn and
  MREC names, `chargy` for ours). **2.0.1**: techCode of NotifyEvent, with our name as techInfo; *-*: no event, it is
  the driver's matter. The connector is Faulted in both while a fault blocks.
* A session outlives a silent board by {board:g} s and a meter that is silent or implausible by `meter_grace_s` (60).
* The current that the meter shows is watched too: more than the offer by 10 % and 0.5 A on one line for 7 s is
  `OverCurrentFailure` until the vehicle has gone, whatever the board says.

{table}
"""

HEAD = "| fault | what happens | reason | over | 1.6 | 2.0.1 | on the screen | what to do |"

DO: dict[Fault, str] = {
    Fault.EMERGENCY_STOP: "find out why, release the button",
    Fault.GROUND_FAILURE: "measure insulation of outlet and cable; with one vehicle only: the vehicle",
    Fault.RCD_TEST_FAILED: "mend the residual current device, then a hard reset",
    Fault.OVER_CURRENT: "the vehicle draws too much; with every vehicle: meter, its transformers",
    Fault.OVER_VOLTAGE: "measure the supply; a broken neutral shows like this",
    Fault.UNDER_VOLTAGE: "measure the supply under load",
    Fault.POWER_LOSS: "supply and fuses; goes on when mains is back",
    Fault.CONTACTOR_WELDED: "**the outlet may be live**: switch off, new contactor, then a hard reset",
    Fault.CONTACTOR_STUCK_OPEN: "coil and its supply; an emergency stop in its circuit shows like this",
    Fault.LOCK_FAILURE: "clean the socket, check the motor; the driver plugs in again",
    Fault.UNLOCK_FAILURE: "move the plug while it is tried again; emergency release",
    Fault.PILOT_FAULT: "pilot wire and plug; without a vehicle it is the station's",
    Fault.DIODE_FAULT: "the vehicle's; with every vehicle: the board's pilot circuit",
    Fault.PROXIMITY_FAULT: "contacts of the socket, resistor of a fixed cable",
    Fault.CABLE_REJECTED: "the driver takes a cable that is rated for more",
    Fault.VENTILATION_REFUSED: "none: the vehicle needs ventilation",
    Fault.HIGH_TEMPERATURE: "filters, fans, sun; starts again when it has cooled down",
    Fault.TEMPERATURE_DERATING: "filters, fans, sun",
    Fault.PLUG_HOT: "contacts of plug and socket: tighten, replace",
    Fault.PLUG_DERATING: "contacts of plug and socket: tighten, replace",
    Fault.DOOR_OPEN: "close it; a security event says when it was opened",
    Fault.TILT: "cables, earth, foundation, before anything else",
    Fault.METER_SILENT: "wiring, address, supply of the meter",
    Fault.METER_IMPLAUSIBLE: "wiring, termination, map of the meter",
    Fault.METER_EXCHANGED: "put the new meter's serial into the station file and restart",
    Fault.METER_UNFIT: "see [decision 18](decisions/0018-meter-policy.md)",
    Fault.METER_DISAGREES: "compare register and power; see [meters](meters.md)",
    Fault.TERMINAL_SILENT: "cable and supply of the payment terminal; cards of providers go on",
    Fault.PAYMENT_UNCERTAIN: "see [payments](payments.md)",
    Fault.READER_SILENT: "cable and supply of the reader; remote starts go on",
    Fault.POWER_INPUT_SILENT: "wiring of the power-fail input",
    Fault.INDICATOR_SILENT: "lamp or buzzer",
    Fault.DISPLAY_SILENT: "cable of the display",
    Fault.BOARD_SILENT: "cable, address, supply of the board; the log says what was tried",
    Fault.BOARD_CONFIG: "the board's own settings; the log says which",
    Fault.STORE_FAILED: "disk: see [operations](operations.md)",
    Fault.RECORD_POISONED: "see [operations](operations.md)",
    Fault.WEAK_SIGNAL: "antenna",
    Fault.RESET_FAILURE: "a reset did not clear what is told beside it",
    Fault.INTERNAL_ERROR: "the log",
}
"""The MREC names of boards are the same conditions."""


def text() -> str:
    rows = [_row(fault, row) for fault, row in CATALOGUE.items()]
    table = "\n".join([HEAD, "|" + "---|" * 8, *rows])
    return TEXT.format(table=table, board=GRACE_S[Fault.BOARD_SILENT], lasting=LASTING_S, jams=JAMS_MOST)


def _row(fault: Fault, row: FaultRow) -> str:
    error = ERRORS_16[fault]
    cells = [
        f"`{fault.value}`",
        {Severity.BLOCK: "blocks", Severity.SESSION: "session", Severity.WARN: "warns"}[row.severity],
        "" if row.severity is Severity.WARN else row.reason.value,
        _over(fault, row),
        " ".join(filter(None, (error.code, error.vendor_code))),
        (cx(fault) or fault.value) if row.alert else "-",
        _screen(fault) if row.severity is Severity.BLOCK or fault is Fault.UNLOCK_FAILURE else "",
        "" if fault.value.startswith("MREC") else DO[fault],
    ]
    return "| " + " | ".join(cells) + " |"


def _over(fault: Fault, row: FaultRow) -> str:
    if fault in JAMS:
        return f"by itself; {JAMS_MOST} times: hard reset"
    return "hard reset" if fault in KEPT else "restart" if row.latched else "by itself"


def _screen(fault: Fault) -> str:
    texts = tomllib.loads(TEXTS.read_text("utf-8"))["out_of_service"]
    plain = fault.value.removeprefix("MREC").lstrip("0123456789")
    return str(texts["details"].get(fault.value) or texts["details"].get(plain) or texts["line"])

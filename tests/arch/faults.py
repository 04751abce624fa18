"""docs/faults.md: what can be wrong, which party gets which report, and what a person has to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.commands.fault_texts import describe_fault
from agent.domain.faults import CATALOGUE, GRACE_S, JAMS, JAMS_MOST, KEPT, LASTING_S, FaultRow, Severity
from agent.domain.session.end import CONTACTOR_S
from agent.model.types import Fault
from agent.ocpp.dialects.keys_v1x import chargex_code, nearest_error_16

TEXTS = Path(__file__).resolve().parents[2] / "config" / "texts" / "en.toml"

TEXT = """\
# Faults

Generated from `agent/domain/faults.py` and `agent/ocpp/dialects/keys_v1x.py` by `make docs`;
`tests/faults/test_catalogue.py`
follows the conditions of a board from its registers to the contactor, the screen and both versions of OCPP.

* **blocks**: the session ends with the reason, the contactor opens, and the outlet is out of service until it is over.
  *session*: the session ends, the next one may try. *warns*: it is reported, and charging goes on; a derating with
  less current.
* **over**: *by itself*: when the device says so no more; what a board shows and what blocks, {lasting:g} s after that.
  *hard reset*: latched on disk; neither a restart nor a power cut forgets it. OCPP 1.6 Reset Hard, 2.0.1 Reset
  Immediate, one of the EVSE, or `chargy-agent faults clear` on the spot acknowledges it, and the board must not show
  it five seconds later, else `ResetFailure` is reported and it stays. *{jams} times*: a lock that has not caught so
  often, without one time in between that it held, is latched likewise. *restart*: of the agent.
* `chargy-agent faults list STATION.toml` says at the station what is wrong, where, and the last column of this table.
* **1.6**: errorCode and vendorErrorCode of the StatusNotification (vendorId `https://chargex.inl.gov` for CXnnn and
  MREC names, `chargy` for ours). **2.0.1**: techCode of NotifyEvent, with our name as techInfo; *-*: no event, it is
  the driver's matter. The connector is Faulted in both while a fault blocks.
* A session outlives a silent board by {board:g} s and a meter that is silent or implausible by `meter_grace_s` (60).
* The current that the meter shows is watched too: more than the offer by 10 % and 0.5 A on one line for 7 s is
  `OverCurrentFailure` until the vehicle has gone, whatever the board says. Where the offer falls in these 7 s, each
  current has to be above the highest offer of them: a vehicle has 5 s to follow every step.
* What the meter shows while nothing is released is watched as well: more than 1 A (or 250 W) for 20 s is
  `ContactorWelded`, whatever the board says of its contactor. One that the board says is closed is
  `ContactorStuckClosed` {contactor:g} s after release was withdrawn, or after the agent has found it so; it is over
  when the contactor opens. No plug is unlocked and no session begins meanwhile, on any request.
* A board that shows release without a session is withdrawn at once, each time; the third time within a minute is
  `ContactorStuckClosed` too, until the board shows that release is gone.
* The meter's voltages are watched on alternating current: a line below 150 V is `UnderVoltage`, one above 280 V
  `OverVoltage`, after 5 s; all of them dark is a power cut, and no fault of the meter.

{table}
"""

HEAD = "| fault | what happens | reason | over | 1.6 | 2.0.1 | on the screen | what to do |"


def text() -> str:
    rows = [_row(fault, row) for fault, row in CATALOGUE.items()]
    table = "\n".join([HEAD, "|" + "---|" * 8, *rows])
    return TEXT.format(
        table=table, board=GRACE_S[Fault.BOARD_SILENT], lasting=LASTING_S, jams=JAMS_MOST, contactor=CONTACTOR_S
    )


def _row(fault: Fault, row: FaultRow) -> str:
    error = nearest_error_16(fault)
    cells = [
        f"`{fault.value}`",
        {Severity.BLOCK: "blocks", Severity.SESSION: "session", Severity.WARN: "warns"}[row.severity],
        "" if row.severity is Severity.WARN else row.reason.value,
        _over(fault, row),
        " ".join(filter(None, (error.code, error.vendor_code))),
        (chargex_code(fault) or fault.value) if row.alert else "-",
        _screen(fault) if row.severity is Severity.BLOCK or fault is Fault.UNLOCK_FAILURE else "",
        describe_fault(fault)[1],
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

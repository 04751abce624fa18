"""What the service screen shows a technician: the link to the backend, the bearer that carries it, radio and SIM of the
modem, the program, and which steps to the backend are good. It is opened by the button ``service``."""

from __future__ import annotations

from agent.domain.cost_screen import Values
from agent.domain.events import ConnectionExamined
from agent.domain.evse import StationState
from agent.model.types import ScreenName

SHOWN_S = 120.0
"""How long it stays (real seconds), unless the button is pressed again."""
LOOK_S = 5.0
"""How often the steps to the backend are looked at meanwhile (real seconds)."""
REPLACED = (
    ScreenName.STARTING,
    ScreenName.IDLE,
    ScreenName.OUT_OF_SERVICE,
    ScreenName.RESERVED,
    ScreenName.OFFLINE,
)
"""The screens that it may hide: a driver who is being served sees what concerns the driver."""
BUTTON = "service"
_TAIL = 4
"""Digits of the ICCID that are shown."""


def service_values(site: StationState, examined: ConnectionExamined | None) -> Values:
    """Return the values of the screen. Texts are "" and numbers None where nothing is known. ``examined`` None: the
    answer has not come yet."""
    values: Values = {"program": site.config.program_version, "link_up": site.backend_online}
    in_use = site.bearers.get(site.bearer_in_use)
    if in_use is not None:
        status = in_use.status
        values |= {"bearer": str(in_use.config.kind), "bearer_up": status.is_up, "address": status.address}
    elif site.bearers:
        values |= {"bearer": "none", "bearer_up": False, "address": ""}
    modem = next((r.status for r in site.bearers.values() if r.config.kind == "gprs"), None)
    if modem is not None:
        values |= {
            "operator": modem.operator,
            "technology": modem.technology,
            "signal_dbm": modem.signal_dbm,
            "sim": str(modem.sim),
            "iccid_tail": modem.iccid[-_TAIL:],
        }
    return values if examined is None else {**values, **_step_values(examined)}


def _step_values(examined: ConnectionExamined) -> Values:
    """Return the steps by their verdict: names between blanks, in their order."""
    return {
        "steps_good": " ".join(examined.good),
        "steps_wrong": " ".join(examined.wrong),
        "steps_not_judged": " ".join(examined.not_judged),
        "problem": examined.problem,
        "problem_step": examined.problem_step,
        "problem_subject": examined.subject,
    }

"""Convert EVerest's session events to the state of an EVSE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault
from agent.ports import Garbled

_PULLED = "EVDisconnected"
OF_THE_VEHICLE = frozenset({"StoppedByEV", _PULLED, "SOCLimitReached", "EnergyLimitReached", "TimeLimitReached"})
"""Reasons for which a transaction ends although release was not withdrawn."""

_FAULTS = {
    "isolation_monitor/DeviceFault": Fault.GROUND_FAILURE,
    "over_voltage_monitor/MREC5OverVoltage": Fault.OVER_VOLTAGE,
    "connector_lock/ConnectorLockCapNotCharged": Fault.LOCK_FAILURE,
    "connector_lock/ConnectorLockUnexpectedOpen": Fault.LOCK_FAILURE,
    "connector_lock/ConnectorLockFailedLock": Fault.LOCK_FAILURE,
    "connector_lock/ConnectorLockFailedUnlock": Fault.UNLOCK_FAILURE,
}
_OWN = "CommunicationFault"
"""EVerest has not heard us for a while: our beats clear it."""
_LOW = "Low"


@dataclass(frozen=True, slots=True)
class EverestSession:
    """What is known. ``plugged`` None: not reported yet. ``prepares``: cable check, precharge.
    ``held``: paused by the station's side, or without energy. ``spent``: this vehicle has had its transaction."""

    plugged: bool | None = None
    disabled: bool = False
    transaction: bool = False
    prepares: bool = False
    flows: bool = False
    asks: bool = False
    held: bool = False
    stopping: bool = False
    spent: bool = False
    stopped_for: str = ""
    soc_percent: int | None = None


_OVER = {"transaction": False, "prepares": False, "flows": False, "asks": False, "held": False, "stopping": False}
_RUNS = {"plugged": True, "transaction": True}
_FLOWS = {**_RUNS, "prepares": False, "flows": True, "asks": True, "held": False}
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "SessionStarted": {**_OVER, "plugged": True, "spent": False, "stopped_for": "", "soc_percent": None},
    "TransactionStarted": {**_RUNS, "stopped_for": ""},
    "PrepareCharging": {"prepares": True, "held": False},
    "WaitingForEnergy": {"prepares": False, "flows": False, "asks": False, "held": True},
    "ChargingStarted": _FLOWS,
    "ChargingResumed": _FLOWS,
    "ChargingPausedEV": {"flows": False, "asks": False, "held": False},
    "ChargingPausedEVSE": {"flows": False, "asks": False, "held": True},
    "SwitchingPhases": {"flows": False},
    "StoppingCharging": {"prepares": False, "asks": False, "stopping": True},
    "ChargingFinished": {"prepares": False, "flows": False, "asks": False},
    "TransactionFinished": {**_OVER, "spent": True},
    "SessionFinished": {**_OVER, "plugged": False, "spent": False, "soc_percent": None},
    "Enabled": {"disabled": False},
    "Disabled": {"disabled": True},
}
"""Session events that change the picture. After a power cut EVerest reports SessionResumed and the end of
its transaction: neither shows that a vehicle is there."""

_UNREPORTED, _EMPTY = ("Unknown",), ("Unplugged", "Disabled")
_BEGUN = (
    "Charging", "WaitingForEnergy", "ChargingPausedEV", "ChargingPausedEVSE", "FinishedEV", "FinishedEVSE", "Finished",
)  # fmt: skip
"""States of ``session_info``: only whether a vehicle is there and has begun, for the first picture. It calls a session
finished that is still stopping, and paused one whose transaction is over; the answer to our stop shows whether one
runs, and after it none will."""


def apply_session_event(seen: EverestSession, event: Any) -> EverestSession:
    """Return the session after this event. Raises ``Garbled``."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise Garbled("a session event without a name")
    name = event["event"]
    changed = replace(seen, **_CHANGES.get(name, {}))
    if name == "SessionStarted" and _event_reason(event, "session_started") == "Authorized":
        changed = replace(changed, plugged=seen.plugged)  # authorized before plug-in
    if name == "TransactionFinished":
        changed = replace(changed, stopped_for=_event_reason(event, "transaction_finished") or "Other")
        if seen.transaction:
            changed = replace(changed, plugged=True)
        if changed.stopped_for == _PULLED:  # its session ends a moment later
            changed = replace(changed, plugged=False, spent=False)
    return changed


def paused_by_station(seen: EverestSession) -> EverestSession:
    """Return the session as paused by the station; EVerest's own event follows."""
    return replace(seen, **_CHANGES["ChargingPausedEVSE"])


def _event_reason(event: Mapping[str, Any], of: str) -> str:
    details = event.get(of)
    return str(details.get("reason", "")) if isinstance(details, dict) else ""


def apply_session_info(seen: EverestSession, info: Any) -> EverestSession:
    """Return the first known session after ``session_info``. Raises ``Garbled``."""
    if not isinstance(info, dict) or not isinstance(info.get("state"), str):
        raise Garbled("session_info without a state")
    state = info["state"]
    if state in _UNREPORTED:
        return seen
    return replace(seen, plugged=state not in _EMPTY, disabled=state == "Disabled", spent=seen.spent or state in _BEGUN)


def soc_of(info: Any) -> int | None:
    """Return the state of charge from ``ev_info``; not every vehicle reports it."""
    soc = info.get("soc") if isinstance(info, dict) else None
    if isinstance(soc, bool) or not isinstance(soc, (int, float)):
        return None
    return int(soc) if 0 <= soc <= 100 else None


def failure_reason(report: Any) -> str:
    """Return the reason in ``hlc_session_failed``, for the log."""
    reason = report.get("reason") if isinstance(report, dict) else None
    return reason[:80] if isinstance(reason, str) and reason.isprintable() else "no reason is given"


def fault_of(error: Any) -> Fault | None:
    """Return the station's fault for an error of EVerest; None: it has no consequence."""
    if not isinstance(error, dict) or not isinstance(error.get("type"), str):
        return None
    type_, tail = error["type"], error["type"].rpartition("/")[2]
    if tail == _OWN:
        return None
    if type_ in _FAULTS:
        return _FAULTS[type_]
    try:
        return Fault(tail)
    except ValueError:
        return None if error.get("severity") == _LOW else Fault.INTERNAL_ERROR


def evse_state(
    seen: EverestSession, released: bool | None, offered_w: float | None, faults: frozenset[Fault], dc: bool = False
) -> EvseState:
    """Build the state of the EVSE. The API does not report the pilot state: C is a vehicle in its charging loop. Cable
    check and precharge (DC) are the station's own work: it offers nothing to the vehicle then."""
    return EvseState(
        pilot=_pilot_state(seen),
        pwm=not (seen.held or (dc and seen.prepares)),
        cable=bool(seen.plugged),
        contactor=_contactor_closed(seen),
        released=released,
        offered_w=offered_w,
        soc_percent=seen.soc_percent,
        spent=seen.spent and bool(seen.plugged),
        faults=faults,
    )


def _pilot_state(seen: EverestSession) -> Pilot:
    if seen.disabled:
        return Pilot.F
    if seen.plugged is None:
        return Pilot.UNKNOWN
    if not seen.plugged:
        return Pilot.A
    return Pilot.C if seen.asks else Pilot.B


def _contactor_closed(seen: EverestSession) -> bool | None:
    """Return None during preparation and in a pause: the API does not report the contactor then."""
    if seen.flows:
        return True
    return None if seen.transaction else False

"""The rungs of the bearers: SIM, registration, carrier and address. A PIN is never used here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.assembly.bearer_queries import rows_of_statuses
from agent.assembly.doctor_queries import status_to_row
from agent.assembly.domain_setup import bearer_configs
from agent.commands.doctor.examination import Examination
from agent.commands.doctor.findings import Finding, make_finding
from agent.commands.doctor.local_rungs import composed_devices
from agent.model.bearer import WEAK_SIGNAL_DBM, BearerKind, BearerState, BearerStatus, Registration, SimState
from agent.ports import DeviceError, Refused

if TYPE_CHECKING:
    from agent.ports.bearer import BearerPort

OPEN_S, DIAL_S = 60.0, 240.0
"""The longest that the contract of a bearer allows (``agent/ports/bearer.py``)."""
LAST_TRY, ALL_TRIES = 1, 3
SIM_CODES = {
    SimState.MISSING: "sim_missing",
    SimState.PIN_REFUSED: "sim_pin_refused",
    SimState.PUK_REQUIRED: "sim_puk",
    SimState.FAILED: "sim_failed",
    SimState.NOT_USED: "sim_unknown",
}
REGISTRATION_CODES = {
    Registration.DENIED: "registration_denied",
    Registration.SEARCHING: "registration_searching",
    Registration.IDLE: "registration_searching",
    Registration.UNKNOWN: "registration_searching",
}


async def read_bearers(exam: Examination) -> None:
    """Fill in ``bearer_rows``: from the running agent, or by opening each bearer."""
    if exam.agent is not None:
        exam.bearer_rows = {row["name"]: {**row["status"], "in_use": row["in_use"]} for row in exam.agent["bearers"]}
    elif exam.file.bearers:
        exam.bearer_rows = await _open_bearers(exam)
    exam.bearer = next((name for name, row in exam.bearer_rows.items() if row["in_use"]), "")
    exam.interface = exam.bearer_rows[exam.bearer]["interface"] if exam.bearer else ""


async def _open_bearers(exam: Examination) -> dict[str, dict[str, Any]]:
    configs = {config.name: config for config in bearer_configs(exam.file)}
    statuses: dict[str, BearerStatus] = {}
    refusals: dict[str, str] = {}
    for device in composed_devices(exam.file):
        if device.role == "bearer":
            exam.show_progress(device.name)
            statuses[device.name], refusals[device.name] = await _read_bearer(exam, device)
    in_use = {row["name"]: row["in_use"] for row in rows_of_statuses(tuple(configs.values()), statuses)}
    return {
        name: {**status_to_row(configs[name], s), "in_use": in_use[name], "dial_error": refusals[name]}
        for name, s in statuses.items()
    }


async def _read_bearer(exam: Examination, device: Any) -> tuple[BearerStatus, str]:
    """Return the state of a bearer, and why it could not be dialled. It stays open until the end of the examination."""
    dial_error = ""
    try:
        async with asyncio.timeout(OPEN_S):
            port = await exam.resources.enter_async_context(device.opening())
            status: BearerStatus = await port.read_status()
        if exam.options.dial and not status.is_up and status.sim is SimState.READY:
            exam.resources.push_async_callback(_hang_up, port)
            try:
                async with asyncio.timeout(DIAL_S):
                    await port.bring_up()
            except Refused as e:
                dial_error = str(e)
            async with asyncio.timeout(OPEN_S):
                status = await port.read_status()
    except (DeviceError, TimeoutError) as e:
        return BearerStatus(reason=str(e) or f"no answer within {OPEN_S:g} s"), dial_error
    return status, dial_error


async def _hang_up(port: BearerPort) -> None:
    """End the connection that the doctor has dialled, also when it is ended meanwhile."""
    with contextlib.suppress(DeviceError, TimeoutError):
        async with asyncio.timeout(OPEN_S):
            await port.take_down()


def _modems(exam: Examination) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in exam.bearer_rows.items() if row["kind"] == BearerKind.GPRS}


async def judge_sim(exam: Examination) -> AsyncIterator[Finding]:
    await read_bearers(exam)
    modems = _modems(exam)
    if not modems:
        yield make_finding("sim_none")
    for name, row in modems.items():
        yield make_finding(_sim_code(row), name, reason=row["reason"], iccid=row["iccid_end"], tries=row["pin_tries"])
        if row["other_sim"]:
            yield make_finding("sim_other", name, iccid=row["iccid_end"])


def _sim_code(row: dict[str, Any]) -> str:
    sim, tries = SimState(row["sim"]), row["pin_tries"]
    if sim is SimState.READY:
        return "sim_ready"
    if sim is SimState.PIN_REQUIRED:
        if tries is not None and tries <= LAST_TRY:
            return "sim_last_try"
        if not row["has_pin"]:
            return "sim_pin_missing"
        return "sim_pin_refused" if tries is not None and tries < ALL_TRIES else "sim_pin_waits"
    is_silent = sim is SimState.NOT_USED and row["state"] != BearerState.UP and row["reason"]
    return "modem_silent" if is_silent else SIM_CODES[sim]


async def judge_registration(exam: Examination) -> AsyncIterator[Finding]:
    modems = _modems(exam)
    for name, row in modems.items():
        signal_dbm, registration = row["signal_dbm"], Registration(row["registration"])
        shown = {"operator": row["operator"] or "?", "technology": row["technology"] or "?", "signal": signal_dbm}
        if row["sim"] != SimState.READY:
            yield make_finding("registration_unknown", name)
        elif registration in REGISTRATION_CODES:
            code = "registration_no_signal" if signal_dbm is None else REGISTRATION_CODES[registration]
            yield make_finding("registration_denied" if registration is Registration.DENIED else code, name, **shown)
        elif signal_dbm is not None and signal_dbm <= WEAK_SIGNAL_DBM:
            yield make_finding("signal_weak", name, **shown)
        else:
            yield make_finding("registered", name, **shown)
    if not modems:
        yield make_finding("registration_not_needed")


async def judge_bearer(exam: Examination) -> AsyncIterator[Finding]:
    rows = exam.bearer_rows
    if not rows:
        yield make_finding("bearer_none")
    is_any_up = any(row["state"] == BearerState.UP for row in rows.values())
    for name, row in rows.items():
        shown = {"interface": row["interface"] or "?", "address": row["address"], "reason": row["reason"]}
        if row["state"] == BearerState.UP:
            yield make_finding("bearer_up", name, **shown)
        elif is_any_up:
            yield make_finding("bearer_spare_down", name, **shown)
        else:
            yield make_finding(
                _down_code(exam, row), name, **{**shown, "reason": row.get("dial_error") or row["reason"]}
            )


def _down_code(exam: Examination, row: dict[str, Any]) -> str:
    if row.get("dial_error"):
        return "dial_refused"
    is_registered = row["sim"] == SimState.READY and row["registration"] in (Registration.HOME, Registration.ROAMING)
    if row["kind"] == BearerKind.GPRS and not is_registered:
        return "modem_waits"
    if row["kind"] == BearerKind.GPRS:
        return "modem_not_dialled" if exam.agent is None and not exam.options.dial else "bearer_down"
    if row["state"] == BearerState.ABSENT:
        return "bearer_absent"
    carrier = Path("/sys/class/net") / row["interface"] / "carrier"
    try:
        has_carrier = carrier.read_text("ascii").strip() == "1"
    except OSError:
        has_carrier = False
    return "bearer_no_address" if has_carrier else "bearer_no_carrier"

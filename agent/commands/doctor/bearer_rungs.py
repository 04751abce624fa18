"""The rungs of the bearers: SIM, registration, carrier and address. A PIN is never used here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agent.assembly.bearer_queries import rows_of_statuses
from agent.assembly.doctor import known_rungs
from agent.assembly.doctor.agent_knowledge import status_to_row
from agent.assembly.doctor.findings import Finding
from agent.assembly.domain_setup import bearer_configs
from agent.commands.doctor.examination import Examination
from agent.commands.doctor.local_rungs import composed_devices
from agent.model.bearer import BearerStatus, SimState
from agent.ports import DeviceError, Refused

if TYPE_CHECKING:
    from agent.ports.bearer import BearerPort

OPEN_S, DIAL_S = 60.0, 240.0
"""The longest that the contract of a bearer allows (``agent/ports/bearer.py``)."""


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


async def judge_sim(exam: Examination) -> AsyncIterator[Finding]:
    await read_bearers(exam)
    for finding in known_rungs.sim_findings(exam.bearer_rows):
        yield finding


async def judge_registration(exam: Examination) -> AsyncIterator[Finding]:
    for finding in known_rungs.registration_findings(exam.bearer_rows):
        yield finding


async def judge_bearer(exam: Examination) -> AsyncIterator[Finding]:
    waits_for_dialling = exam.agent is None and not exam.options.dial
    for finding in known_rungs.bearer_findings(exam.bearer_rows, waits_for_dialling):
        yield finding

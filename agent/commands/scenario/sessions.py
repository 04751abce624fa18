"""Run scenarios on a target: open it, run one scenario after the other, leave the station free between them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.commands.scenario.central_backend import SILENCE_S, CentralBackend, open_backend
from agent.commands.scenario.control_client import ControlClient, Refused, SimulatedEyes, SimulatedHands
from agent.commands.scenario.frame_masking import mask_secrets
from agent.commands.scenario.people import (
    CommandHands,
    NoPerson,
    PromptedBackend,
    PromptEyes,
    PromptHands,
    TerminalPerson,
)
from agent.commands.scenario.prompts import PromptTexts
from agent.commands.scenario.simulated_station import open_simulation
from agent.commands.scenario.stations import built_in_station, station_lacks
from agent.commands.scenario.terminal import Terminal, TypedLines
from agent.model.fastclass import frozen
from agent.scenario.frames import FrameLog
from agent.scenario.outcome import ScenarioOutcome, Verdict
from agent.scenario.run_state import Conversation
from agent.scenario.runner import ScenarioRun
from agent.scenario.scenario_model import Scenario
from agent.scenario.target import CannotCarryOut, NotApplicable, Target

LOOK_S = 0.1
SIMULATED_DEED_S = 60.0
SETTLE_S = 60.0
"""Seconds of the station's time until an outlet is free again."""


@frozen
class RunRequest:
    """What the command line asks for. ``station``: a station file, None for the built-in ones."""

    scenarios: tuple[Scenario, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    station: Path | None = None
    versions: tuple[str, ...] = ()
    speed: float = 20.0
    least_wait_s: float = 30.0
    patience_s: float = 120.0
    connect_within_s: float = 300.0
    silence_s: float = SILENCE_S
    host: str = "127.0.0.1"
    port: int = 0
    station_id: str = ""
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    lacks: Mapping[str, str] = field(default_factory=dict)
    backend_url: str = ""
    actuator: str = ""
    backend_command: str = ""
    with_person: bool = True
    language: str = "en"
    """Of the prompts."""
    simulate_arguments: tuple[str, ...] = ()
    """Further arguments of the command ``simulate``."""


# --- simulated -------------------------------------------------------------------------------------------------------


async def run_simulated(request: RunRequest, terminal: Terminal) -> list[ScenarioOutcome]:
    """Run all scenarios on simulated stations. Those for the same station and version follow one another on one."""
    outcomes: list[ScenarioOutcome] = []
    for (station, version), scenarios in _simulation_groups(request).items():
        pending = list(scenarios)
        while pending:
            try:
                async with open_simulated_target(request, terminal, station, version) as (conversation, client):
                    outcomes += await _run_pending(request, terminal, conversation, client, pending)
            except (CannotCarryOut, OSError) as e:
                outcomes += [
                    _outcome_without_begin(s, version, "simulated station", str(e), Verdict.ERROR) for s in pending
                ]
                break
    return outcomes


def _simulation_groups(request: RunRequest) -> dict[tuple[Path, str], list[Scenario]]:
    """Return the scenarios by station file and version."""
    groups: dict[tuple[Path, str], list[Scenario]] = {}
    for scenario in request.scenarios:
        for version in scenario.versions:
            if not request.versions or version in request.versions:
                station = request.station or built_in_station(scenario)
                groups.setdefault((station, version), []).append(scenario)
    return groups


async def _run_pending(
    request: RunRequest, terminal: Terminal, conversation: Conversation, client: ControlClient, pending: list[Scenario]
) -> list[ScenarioOutcome]:
    """Run scenarios until none is left, or until the station has to be replaced by a fresh one."""
    outcomes = []
    while pending:
        scenario = pending.pop(0)
        outcome = await ScenarioRun(scenario, conversation, terminal, request.variables).run_scenario()
        outcomes.append(outcome)
        failed = outcome.final_verdict in (Verdict.FAIL, Verdict.ERROR)
        if pending and (failed or not await reset_simulation(conversation, client)):
            break
    return outcomes


@contextlib.asynccontextmanager
async def open_simulated_target(
    request: RunRequest, terminal: Terminal, station: Path, version: str
) -> AsyncIterator[tuple[Conversation, ControlClient]]:
    """Open a simulated station with the test central system, or with a backend that is not ours. Raises
    ``CannotCarryOut``, ``OSError``."""
    from agent.station_file.settings import load_station_file

    file = load_station_file(station)
    lacks = {**station_lacks(file, True), **request.lacks}
    if request.backend_url:
        async with open_simulation(
            station, request.backend_url, version, request.speed, request.simulate_arguments
        ) as client:
            frames = FrameLog()
            backend = PromptedBackend(
                terminal, frames, file.station.id, PromptTexts(request.language), request.backend_command,
                request.with_person,
            )  # fmt: skip
            target = _simulated_target(request, client, frames, backend, lacks, file.station.id)
            async with running_beside(_follow_trace(client, frames)):
                conversation = Conversation(target)
                await wait_until_ready(conversation, request.connect_within_s)
                yield conversation, client
        return
    async with open_backend("127.0.0.1", 0, speed=request.speed, versions=(version,)) as central:
        conversation = Conversation(_simulated_target(request, None, central.frames, central, lacks, ""))
        async with open_simulation(
            station, f"ws://127.0.0.1:{central.listening_port}", version, request.speed, request.simulate_arguments
        ) as client:
            target = conversation.target
            target.hands, target.eyes = SimulatedHands(client), SimulatedEyes(client)
            await central.wait_for_station(SIMULATED_DEED_S)
            target.station_id = central.station_id
            await wait_until_ready(conversation, SIMULATED_DEED_S)
            yield conversation, client


def _simulated_target(
    request: RunRequest, client: ControlClient | None, frames: FrameLog, backend: Any, lacks: Mapping[str, str],
    station_id: str,
) -> Target:  # fmt: skip
    hands: Any = SimulatedHands(client) if client else None
    eyes: Any = SimulatedEyes(client) if client else None
    return Target(
        "simulated station", frames, hands, backend, eyes, NoPerson(), request.speed, request.least_wait_s,
        request.patience_s if request.backend_url else SIMULATED_DEED_S, station_id, lacks, mask_secrets,
    )  # fmt: skip


async def _follow_trace(client: ControlClient, frames: FrameLog) -> None:
    """Copy the frames of the simulated station into the log."""
    seq = 0
    while True:
        with contextlib.suppress(Refused, CannotCarryOut):
            for frame in await client.frames_since(seq):
                seq = frame["seq"]
                frames.add_text(frame["dir"] == "out", str(frame["version"]), frame["frame"], frame["t"])
            backend = (await client.station_picture())["backend"] or {}
            frames.set_connection(backend.get("link") == "up", str(backend.get("ocpp") or ""))
        await asyncio.sleep(LOOK_S)


async def reset_simulation(conversation: Conversation, client: ControlClient) -> bool:
    """Put the world back as it was at the beginning. Returns whether the station is free again."""
    try:
        picture = await client.station_picture()
        await client.post_call(
            "/links/backend", {"up": True, "stall": False, "latency_ms": 0, "loss": 0, "kbit_s": None}
        )
        await client.post_call("/power", {"mains": True})
        for evse in picture["evses"]:
            for fault in evse["faults"]:
                await client.post_call(f"/evses/{evse['number']}/fault", {"fault": fault, "active": False})
            if evse["car"]:
                await client.post_call(f"/evses/{evse['number']}/unplug", {"side": "ev"})
    except (Refused, CannotCarryOut):
        return False
    return await free_outlets(conversation)


# --- real and foreign stations ---------------------------------------------------------------------------------------


async def run_listening(request: RunRequest, terminal: Terminal) -> list[ScenarioOutcome]:
    """Wait for a station to connect, then run all scenarios on it. Raises ``OSError``."""
    async with open_backend(
        request.host, request.port, request.station_id, versions=request.versions, passwords=dict(request.passwords)
    ) as central:
        who = request.station_id or "a station"
        terminal.print_line(f"waiting for {who} at ws://{request.host}:{central.listening_port}/STATION")
        try:
            await central.wait_for_station(request.connect_within_s, request.silence_s)
        except CannotCarryOut as e:
            return [_outcome_without_begin(s, "", "station", str(e), Verdict.ERROR) for s in request.scenarios]
        terminal.print_line(f"{central.station_id} is connected, OCPP {central.frames.version}")
        conversation = Conversation(_listening_target(request, terminal, central))
        conversation.read_earlier_frames()
        outcomes: list[ScenarioOutcome] = []
        for scenario in request.scenarios:
            if outcomes:
                await free_outlets(conversation)
            outcomes.append(await ScenarioRun(scenario, conversation, terminal, request.variables).run_scenario())
        return outcomes


def _listening_target(request: RunRequest, terminal: Terminal, central: CentralBackend) -> Target:
    typed, texts = TypedLines(), PromptTexts(request.language)
    person: Any = TerminalPerson(terminal, typed, texts) if request.with_person else NoPerson()
    hands: Any = PromptHands(terminal, typed, central.frames, texts)
    if request.actuator:
        hands = CommandHands(request.actuator)
    elif not request.with_person:
        hands = NoHands()
    return Target(
        "station", central.frames, hands, central, PromptEyes(person, request.patience_s, texts), person,
        least_wait_s=0.0, deed_patience_s=request.patience_s, station_id=central.station_id, lacks=request.lacks,
        mask=mask_secrets,
    )  # fmt: skip


class NoHands:
    """There is no person and no command that acts."""

    async def perform_deed(self, kind: str, values: Mapping[str, Any], patience_s: float) -> str:
        raise NotApplicable("needs a person, or a command that acts (--actuator)")


# --- shared ----------------------------------------------------------------------------------------------------------


async def free_outlets(conversation: Conversation) -> bool:
    """Pull every cable that is still plugged in. Returns whether all outlets are available."""
    target, view = conversation.target, conversation.view
    for number, evse in sorted(view.evses.items()):
        if number and "occupied" in evse.words:
            with contextlib.suppress(CannotCarryOut, NotApplicable):
                await target.hands.perform_deed("unplug", {"unplug": number}, target.deed_patience_s)
    end_s = time.monotonic() + target.real_wait_s(SETTLE_S)
    while not _are_all_outlets_free(conversation) and time.monotonic() < end_s:
        await target.frames.wait_for_change(LOOK_S)
    return _are_all_outlets_free(conversation)


def _are_all_outlets_free(conversation: Conversation) -> bool:
    evses = [e for number, e in conversation.view.evses.items() if number]
    return conversation.target.frames.connected and all("available" in e.words for e in evses)


async def wait_until_ready(conversation: Conversation, patience_s: float) -> None:
    """Wait until every outlet has reported that it is available. Raises ``CannotCarryOut``."""
    end_s = time.monotonic() + patience_s
    while not (_are_all_outlets_free(conversation) and conversation.view.evses):
        if time.monotonic() > end_s:
            raise CannotCarryOut(f"the station is not ready within {patience_s:g} s")
        await conversation.target.frames.wait_for_change(LOOK_S)


@contextlib.asynccontextmanager
async def running_beside(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _outcome_without_begin(
    scenario: Scenario, version: str, target: str, says: str, verdict: Verdict
) -> ScenarioOutcome:
    return ScenarioOutcome(scenario, version, target, (), 0.0, says, verdict)


def count_planned_steps(request: RunRequest, simulated: bool) -> int:
    """Count the steps of a whole run, for the progress bar."""
    if not simulated:
        return sum(s.count_steps() for s in request.scenarios)
    return sum(s.count_steps() for group in _simulation_groups(request).values() for s in group)


def unused_names(scenarios: Sequence[Scenario], variables: Mapping[str, Any]) -> list[str]:
    """Return the variables of the command line that no scenario has."""
    known = {name for s in scenarios for name in s.variables}
    return sorted(set(variables) - known)

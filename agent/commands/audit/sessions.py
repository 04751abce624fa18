"""The stations of an audit: a simulated one, one that connects to the test central system, one beside its backend."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent import __version__
from agent.audit.context import KitFacts, StationFact
from agent.audit.plan_model import Plan
from agent.audit.record import AuditHeader
from agent.audit.station_facts import make_fact
from agent.commands.audit.answers import PreparedPerson
from agent.commands.audit.bundle import AuditBundle, create_bundle, kept_outcomes
from agent.commands.audit.capabilities import detect_lacks
from agent.commands.audit.obligation_run import AuditRun, AuditWork, Seat
from agent.commands.audit.plans import ScenarioShelf, built_in_station
from agent.commands.audit.proxy import RecordingProxy
from agent.commands.audit.recorder import AuditRecorder, SimulationWatch
from agent.commands.scenario.central_backend import SILENCE_S, CentralBackend, open_backend
from agent.commands.scenario.control_client import ControlClient, SimulatedEyes, SimulatedHands
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
from agent.commands.scenario.sessions import (
    SIMULATED_DEED_S,
    NoHands,
    free_outlets,
    reset_simulation,
    running_beside,
    wait_until_ready,
)
from agent.commands.scenario.simulated_station import open_simulation
from agent.commands.scenario.terminal import Terminal, TypedLines
from agent.model.fastclass import mutable
from agent.scenario.frames import Frame, FrameLog
from agent.scenario.run_state import Conversation
from agent.scenario.target import CannotCarryOut, Target

Road = Callable[[str], AbstractAsyncContextManager[str]]


@mutable
class AuditRequest:
    """What the command line asks for. ``station``: its file. ``earlier``: the record and the folder of an audit that is
    continued. ``road``: gives the address that a simulated station uses in place of that of the central system, for
    tests that change what goes over the wire. ``only``: ids of obligations or sections, empty for all."""

    plan: Plan
    out: Path = Path(".")
    simulate: bool = False
    station: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    proxy_url: str = ""
    trusted: Path | None = None
    station_id: str = ""
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    kit: KitFacts | None = None
    kit_path: Path | None = None
    known_facts: Mapping[str, StationFact] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    actuator: str = ""
    backend_command: str = ""
    with_person: bool = True
    speed: float = 20.0
    least_wait_s: float = 30.0
    patience_s: float = 120.0
    connect_within_s: float = 300.0
    silence_s: float = SILENCE_S
    earlier: tuple[AuditBundle, Mapping[str, Any]] | None = None
    road: Road | None = None
    only: tuple[str, ...] = ()
    language: str = "en"
    """Of what a person is asked to do. The questions of a plan are in the language of the plan."""

    @property
    def target_name(self) -> str:
        if self.simulate:
            return "simulated"
        return "proxy" if self.proxy_url else "station" if self.station is not None else "foreign"


async def run_audit(request: AuditRequest, terminal: Terminal) -> tuple[Path, dict[str, Any]]:
    """Carry out an audit. Returns its folder and its record. Raises ``CannotCarryOut``, ``OSError``."""
    recorder, frames = AuditRecorder(), FrameLog()
    if request.earlier is not None:
        request.earlier[0].replay_frames(frames)
        recorder.pictures = list(request.earlier[1].get("pictures", ()))
        recorder.read_earlier_entries(request.earlier[0])
    trace = _Trace(frames, recorder)
    frames.connection_listeners.append(recorder.note_connection)
    open_seat = _simulated_seat if request.simulate else _proxy_seat if request.proxy_url else _listening_seat
    async with open_seat(request, terminal, recorder, frames) as (seat, person):
        target = seat.conversation.target
        work = _begin_work(request, recorder, terminal, person, target.station_id)
        trace.open_bundle(work.bundle)
        terminal.print_line(f"recording in {work.bundle.folder} (--resume continues there)")
        target.person, target.lacks = person, {**_lacking_here(request), **target.lacks}
        record = await AuditRun(work, seat).run_plan()
    return work.bundle.folder, record


class _Trace:
    """Writes each frame into the folder. ``replayed``: how many frames an earlier run has written."""

    def __init__(self, frames: FrameLog, recorder: AuditRecorder) -> None:
        self._frames, self._recorder, self._written = frames, recorder, len(frames.frames)
        frames.listeners.append(self._append_recorded_frame)

    def open_bundle(self, bundle: AuditBundle) -> None:
        """Write the frames that came before there was a folder."""
        self._recorder.bundle = self._recorder.bundle or bundle
        for frame in self._frames.frames[self._written :]:
            self._append_recorded_frame(frame)

    def _append_recorded_frame(self, frame: Frame) -> None:
        if self._recorder.bundle is not None and frame.seq >= self._written:
            self._recorder.bundle.append_frame(frame, mask_secrets(frame))
            self._written = frame.seq + 1


def _begin_work(
    request: AuditRequest, recorder: AuditRecorder, terminal: Terminal, person: PreparedPerson, station_id: str
) -> AuditWork:
    if request.earlier is not None:
        bundle, record = request.earlier
        header = AuditHeader(
            record["id"], record["program"]["version"], record["began"], request.target_name, record["speed"],
            record.get("request", {}),
        )  # fmt: skip
        finished: Any = kept_outcomes(record)
        recorder.bundle = bundle
    else:
        begin_s, finished = time.time(), {}
        bundle = recorder.bundle or create_bundle(request.out, station_id, begin_s)
        began = datetime.fromtimestamp(bundle.begin_s, UTC).isoformat(timespec="milliseconds")
        header = AuditHeader(
            str(uuid.uuid4()), __version__, began, request.target_name, request.speed if request.simulate else 1.0,
            _request_json(request),
        )  # fmt: skip
        if recorder.bundle is None:
            recorder.open_bundle(bundle)
    return AuditWork(
        request.plan, header, ScenarioShelf(request.plan.path).find_scenario, bundle, recorder, terminal, person,
        finished, request.kit, request.known_facts, request.variables, _chosen_obligations(request), request.patience_s,
    )  # fmt: skip


def _request_json(request: AuditRequest) -> dict[str, Any]:
    return {
        "plan_file": str(request.plan.path), "station_file": str(request.station or ""),
        "kit_file": str(request.kit_path or ""),
        "listen": f"{request.host}:{request.port}", "proxy": request.proxy_url.partition("?")[0],
        "without": sorted(request.lacks), "only": list(request.only),
    }  # fmt: skip


def _chosen_obligations(request: AuditRequest) -> frozenset[str] | None:
    if not request.only:
        return None
    ids = [o.id for o in request.plan.all_obligations()]
    return frozenset(i for i in ids if i in request.only or i.split(".")[0] in request.only)


def _lacking_here(request: AuditRequest) -> dict[str, str]:
    """Return what this audit has not, whatever the station has."""
    lacks = dict(request.lacks)
    if request.kit is None:
        lacks["kit"] = "no kit was given (--kit FILE)"
    if not request.simulate:
        lacks["simulation"] = "this is no simulated station"
        lacks["meter"] = "the meter is known by the messages only"
        if not request.with_person and not request.answers:
            lacks["person"] = "no person is at the station"
    return lacks


# --- a simulated station ---------------------------------------------------------------------------------------------


class _SimulatedSeat:
    """A simulated station that is replaced by a fresh one when it cannot be put back as it was."""

    def __init__(
        self, request: AuditRequest, central: CentralBackend, recorder: AuditRecorder, conversation: Conversation
    ) -> None:
        self.conversation = conversation
        self._request, self._central, self._recorder = request, central, recorder
        self._station = request.station or built_in_station(request.plan)
        self._client: ControlClient | None = None
        self._watch: SimulationWatch | None = None
        self._stack = contextlib.AsyncExitStack()

    async def open_station(self) -> None:
        """Start a station and wait until it is free. Raises ``CannotCarryOut``."""
        request, target = self._request, self.conversation.target
        url = f"ws://127.0.0.1:{self._central.listening_port}"
        if request.road is not None:
            url = await self._stack.enter_async_context(request.road(url))
        first = target.frames.next_seq
        version = request.plan.versions[0] if request.plan.versions else ""
        client = await self._stack.enter_async_context(open_simulation(self._station, url, version, request.speed))
        self._client = client
        self._recorder.note_record("station_began")
        self._watch = SimulationWatch(client, self._recorder)
        await self._stack.enter_async_context(running_beside(self._watch.watch_station()))
        target.hands, target.eyes = SimulatedHands(client), SimulatedEyes(client)
        await _wait_for_new_status(target.frames, first)
        target.station_id = self._central.station_id
        await wait_until_ready(self.conversation, SIMULATED_DEED_S)

    async def prepare_next(self, failed: bool) -> None:
        assert self._client is not None
        if not await reset_simulation(self.conversation, self._client):
            await self.close_station()
            await self.open_station()

    async def note_scenario_end(self) -> None:
        assert self._watch is not None
        await self._watch.look_at_scenario_end()

    async def finish_scenarios(self) -> None:
        assert self._client is not None
        assert self._watch is not None
        await reset_simulation(self.conversation, self._client)
        await self._watch.look_until_settled()

    async def close_station(self) -> None:
        await self._stack.aclose()


async def _wait_for_new_status(frames: FrameLog, first: int) -> None:
    """Wait until a station that was just started has reported a status. Raises ``CannotCarryOut``."""
    end_s = time.monotonic() + SIMULATED_DEED_S
    while not any(f.action == "StatusNotification" and f.from_station for f in frames.frames[first:]):
        if (left_s := end_s - time.monotonic()) <= 0:
            raise CannotCarryOut(f"the simulated station has reported no status within {SIMULATED_DEED_S:g} s")
        await frames.wait_for_change(left_s)


@contextlib.asynccontextmanager
async def _simulated_seat(
    request: AuditRequest, terminal: Terminal, recorder: AuditRecorder, frames: FrameLog
) -> AsyncIterator[tuple[Seat, PreparedPerson]]:
    from agent.commands.scenario.stations import station_lacks
    from agent.station_file.settings import load_station_file

    file = load_station_file(request.station or built_in_station(request.plan))
    bundle = request.earlier[0] if request.earlier else create_bundle(request.out, file.station.id, time.time())
    if request.earlier is None:
        recorder.open_bundle(bundle)
    else:
        recorder.bundle = bundle
    person = PreparedPerson(request.answers, NoPerson())
    versions = tuple(request.plan.versions[:1])
    async with open_backend(
        "127.0.0.1",
        0,
        speed=request.speed,
        versions=versions,
        frames=frames,
        first_transaction_id=_next_transaction_id(frames),
    ) as central:
        unset: Any = None
        conversation = Conversation(Target(
            "simulated station", frames, unset, central, unset, person, request.speed, request.least_wait_s,
            SIMULATED_DEED_S, "", {**station_lacks(file, True), **request.lacks}, mask_secrets,
        ))  # fmt: skip
        conversation.read_earlier_frames()
        seat = _SimulatedSeat(request, central, recorder, conversation)
        try:
            await seat.open_station()
            yield seat, person
        finally:
            await seat.close_station()


# --- real and foreign stations ---------------------------------------------------------------------------------------


class _ConnectedSeat:
    """A station that has connected by itself."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    async def prepare_next(self, failed: bool) -> None:
        await free_outlets(self.conversation)

    async def note_scenario_end(self) -> None:
        """Nothing is read beside the messages."""

    async def finish_scenarios(self) -> None:
        await free_outlets(self.conversation)


@contextlib.asynccontextmanager
async def _listening_seat(
    request: AuditRequest, terminal: Terminal, recorder: AuditRecorder, frames: FrameLog
) -> AsyncIterator[tuple[Seat, PreparedPerson]]:
    async with open_backend(
        request.host, request.port, request.station_id, versions=request.plan.versions,
        passwords=dict(request.passwords), frames=frames, first_transaction_id=_next_transaction_id(frames),
    ) as central:  # fmt: skip
        who = request.station_id or "a station"
        terminal.print_line(f"waiting for {who} at ws://{request.host}:{central.listening_port}/STATION")
        await central.wait_for_station(request.connect_within_s, request.silence_s)
        terminal.print_line(f"{central.station_id} is connected, OCPP {frames.version}")
        target, person = _target_of_people(request, terminal, frames, central, central.station_id)
        seat = _connected_seat(target)
        lacks, offers = await detect_lacks(seat.conversation)
        target.lacks = {**lacks, **target.lacks}
        if offers:
            recorder.asked["offers"] = make_fact("offers", ", ".join(offers), "settings")
        yield seat, person


@contextlib.asynccontextmanager
async def _proxy_seat(
    request: AuditRequest, terminal: Terminal, recorder: AuditRecorder, frames: FrameLog
) -> AsyncIterator[tuple[Seat, PreparedPerson]]:
    proxy = RecordingProxy(request.proxy_url, frames, recorder.note_record, request.station_id, request.trusted)
    async with proxy.open_proxy(request.host, request.port):
        who = request.station_id or "a station"
        terminal.print_line(f"waiting for {who} at ws://{request.host}:{proxy.listening_port}/STATION, for its backend")
        if not await proxy.wait_for_station(request.connect_within_s, request.silence_s):
            raise CannotCarryOut(f"{who} is not connected within {request.connect_within_s:g} s")
        terminal.print_line(f"{proxy.station_id} is connected, OCPP {frames.version}")
        backend = PromptedBackend(
            terminal, frames, proxy.station_id, PromptTexts(request.language), request.backend_command
        )
        target, person = _target_of_people(request, terminal, frames, backend, proxy.station_id)
        yield _connected_seat(target), person


def _next_transaction_id(frames: FrameLog) -> int:
    """Return a number above those of all transactions that the earlier runs of the audit have seen."""
    answers = [f.payload.get("transactionId") for f in frames.frames if isinstance(f.payload, dict)]
    return max((n for n in answers if isinstance(n, int)), default=-1) + 1


def _connected_seat(target: Target) -> _ConnectedSeat:
    conversation = Conversation(target)
    conversation.read_earlier_frames()
    return _ConnectedSeat(conversation)


def _target_of_people(
    request: AuditRequest, terminal: Terminal, frames: FrameLog, backend: Any, station_id: str
) -> tuple[Target, PreparedPerson]:
    """Return a target at which people, or commands of the user, act and look."""
    typed, texts = TypedLines(), PromptTexts(request.language)
    asked: Any = TerminalPerson(terminal, typed, texts) if request.with_person else NoPerson()
    person = PreparedPerson(request.answers, asked)
    hands: Any = PromptHands(terminal, typed, frames, texts) if request.with_person else NoHands()
    if request.actuator:
        hands = CommandHands(request.actuator)
    eyes = PromptEyes(person, request.patience_s, texts)
    target = Target(
        request.target_name, frames, hands, backend, eyes, person, least_wait_s=0.0,
        deed_patience_s=request.patience_s, station_id=station_id, lacks=dict(request.lacks), mask=mask_secrets,
    )  # fmt: skip
    return target, person

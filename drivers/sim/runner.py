"""Simulated stations from start to end: the parts of each, and the order in which they start and end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO, TypeAlias
from urllib.parse import urlsplit

from agent.station_file.settings import OUTSIDE_SCHEME, StationFile
from drivers.sim.backend_requests import BackendRequests
from drivers.sim.control import Control
from drivers.sim.demo_central import DemoCentral, needs_soap
from drivers.sim.doctor_run import DoctorRun
from drivers.sim.event_stream import ChangeFeed
from drivers.sim.field_page import field_page_lines, with_field_page, write_example_kit
from drivers.sim.hosted_stations import HostedStation, HostedStations
from drivers.sim.http_access import Access
from drivers.sim.http_server import serve_control_api
from drivers.sim.station_snapshot import describe_changes
from drivers.sim.station_tools import StationTools
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import Refused, Supervisor
from drivers.sim.time_rate import FASTEST, SLOWEST, Pace, PaceMemory, boottime_s, with_plug_in_window
from drivers.sim.world import World
from drivers.sim.world_state import InUse

log = logging.getLogger(__name__)

LinePrinter: TypeAlias = Callable[[str], None]
SCHEMES = ("ws", "http", OUTSIDE_SCHEME)
"""How the address of a backend begins; wss and https likewise."""
DEMO_SPEED = 10.0
"""Speed with the built-in central system: a session shows something within a minute."""
END_WITHIN_S = 7.5
AGENT_ENDS_WITHIN_S = 4.0
EXIT_REFUSED = 2
"""Exit code of the agent: its station file is wrong, or its store cannot be used. A new start gives the same result."""
NARRATE_EVERY_S = 0.1
LONGEST_LINE = 1000
"""In characters. A pipe that select(2) reports as writable takes at least 4096 bytes (pipe(7), PIPE_BUF)."""


class Unusable(Exception):
    """The command cannot be carried out. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One station that is to run. Raises ``Unusable``."""

    file: StationFile
    port: int | None = None
    """None: the port of the file."""
    with_agent: bool = True
    with_page: bool = True
    backend_url: str | None = None
    """None: the backend of the file, or the built-in central system."""
    speed: float | None = None
    """None: real time, or ``DEMO_SPEED`` with the built-in central system."""
    host: str = "127.0.0.1"
    field_page_port: int | None = None
    """None: as the file says."""
    record: Path | None = None
    """The file into which the agent records its OCPP conversations."""
    over_soap: bool = False
    """The first backend is spoken to over SOAP, also in a version that a WebSocket has."""

    def __post_init__(self) -> None:
        if self.file.simulation.misbehaviour and not self.with_agent:
            raise Unusable("[simulation] misbehaviour: belongs to simulate; the agent of a bench is one of yours")
        if self.field_page_port is not None and not 1 <= self.field_page_port <= 65535:
            raise Unusable(f"--field-page: must be 1 to 65535, is {self.field_page_port}")
        url = self.backend_url
        if url is not None and not (urlsplit(url).scheme.startswith(SCHEMES) and urlsplit(url).hostname):
            raise Unusable(f"--backend: must be like ws://HOST:PORT/PATH, is {url!r}")
        if self.over_soap and self.named_backend_url and not self.named_backend_url.startswith("http"):
            raise Unusable(f"--ocpp: SOAP needs an address of HTTP, the backend is {self.named_backend_url!r}")
        if self.speed is not None and not SLOWEST <= self.speed <= FASTEST:
            raise Unusable(f"--speed: must be {SLOWEST:g} to {FASTEST:g}, is {self.speed:g}")

    @property
    def named_backend_url(self) -> str:
        """URL of the named backend; empty if none is named."""
        return self.backend_url or (self.file.backends[0].url if self.file.backends else "")

    @property
    def uses_built_in_central(self) -> bool:
        """The station uses the built-in central system."""
        return self.with_agent and not self.named_backend_url

    @property
    def time_rate(self) -> float:
        return self.speed or (DEMO_SPEED if self.uses_built_in_central else 1.0)


@dataclass
class AgentCommand:
    """The command line of the agent. ``rtc_offset_s`` applies to the next start only."""

    derived: Path
    pace: Pace
    rtc_offset_s: float | None = None
    record: Path | None = None

    def __call__(self) -> list[str]:
        argv = [sys.executable, "-m", "agent", "run", str(self.derived), *self.pace.agent_arguments()]
        argv += ["--record", str(self.record.resolve())] if self.record is not None else []
        if self.rtc_offset_s is not None:
            argv.append(f"--rtc-offset={self.rtc_offset_s!r}")  # one word: -1e+09 alone looks like an option
            self.rtc_offset_s = None
        return argv

    def set_rtc_offset(self, offset_s: float) -> None:
        self.rtc_offset_s = offset_s


async def run_stations(plans: Sequence[Plan]) -> None:
    """Run the stations behind one port until SIGTERM or SIGINT, or until each has ended. Port, host and page are those
    of the first plan.

    A station that does not start, or that fails, ends alone. Raises ``Unusable``, ``InUse`` if all have failed.
    """
    stop, ids = _stop_on_signals(), [plan.file.station.id for plan in plans]
    if repeated := [name for name in ids if ids.count(name) > 1]:
        raise Unusable(f"two stations have the id {repeated[0]!r}: give each an id of its own ([station] id)")
    first = plans[0]
    port = first.file.simulation.port if first.port is None else first.port
    with contextlib.closing(bind_listener(port, first.host)) as listener:
        access, stations = _open_access(first, listener), HostedStations(ids)
        runs = [StationRun(p, s, access, len(plans) > 1) for p, s in zip(plans, stations.in_order, strict=True)]
        ends = [asyncio.create_task(run.run_until_end()) for run in runs]
        try:
            for run in runs:
                await run.opened.wait()
            async with serve_control_api(stations, listener, first.with_page, access):
                for run in runs:
                    run.served.set()
                await _wait_for_end(stop, ends)
                if not all(end.done() for end in ends):
                    print_line("ending: agent, devices, backend" if first.with_agent else "ending")
                await _end_stations(runs, ends)
        finally:
            await _end_stations(runs, ends)
    failures = [run.failure for run in runs if run.failure is not None]
    if len(failures) == len(runs):
        raise failures[0]


async def _wait_for_end(stop: asyncio.Event, ends: Iterable[asyncio.Task[None]]) -> None:
    """Wait until the stations are to end, or have all ended by themselves."""
    stopped = asyncio.create_task(stop.wait())
    all_ended: asyncio.Future[Any] = asyncio.gather(*ends)
    await asyncio.wait([stopped, all_ended], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


async def _end_stations(runs: Iterable[StationRun], ends: Iterable[asyncio.Task[None]]) -> None:
    """End all stations at the same time."""
    for run in runs:
        run.served.set()
        run.stop.set()
    await asyncio.gather(*ends)


class StationRun:
    """One station from its start to its end, in a task of its own. ``station``: what its server knows of it.
    ``is_one_of_several``: its lines begin with its id, and its failure is one of them.

    ``opened``: it can be served, or has failed. It goes on when ``served`` is set, and ends when ``stop`` is.
    """

    def __init__(self, plan: Plan, station: HostedStation, access: Access, is_one_of_several: bool) -> None:
        self.plan, self.access, self.pay_at = plan, access, access.network_url
        self.stop, self.opened, self.served = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.failure: Exception | None = None
        self._station, self._is_one_of_several = station, is_one_of_several
        if is_one_of_several:
            self.pay_at += station.path

    def print_station_line(self, line: str) -> None:
        print_line(f"{self._station.station_id}: {line}" if self._is_one_of_several else line)

    async def run_until_end(self) -> None:
        """Run the station. What ends it otherwise than ``stop`` is its ``failure``."""
        try:
            await self._run_parts()
        except Exception as e:  # noqa: BLE001  other stations go on; of a single one it is raised again
            self.failure = e
            self._print_failure(e)
        finally:
            self._station.note_end(_failure_text(self.failure) if self.failure is not None else "")
            self.opened.set()

    def _print_failure(self, failure: Exception) -> None:
        if self._is_one_of_several:
            self.print_station_line(f"has ended: {_failure_text(failure)}")
            if not isinstance(failure, (Unusable, InUse)):
                log.error("station %s has failed", self._station.station_id, exc_info=failure)

    async def _run_parts(self) -> None:
        """Run the station until ``stop``. Raises ``Unusable``, ``InUse``."""
        async with contextlib.AsyncExitStack() as stack:
            folder = _make_folder(self.plan.file)
            plan = replace(self.plan, file=with_field_page(self.plan.file, self.plan.field_page_port, folder))
            pace = PaceMemory(folder).resume_pace(plan.time_rate, boottime_s())
            central = None
            if plan.uses_built_in_central:
                plan = replace(plan, file=_demo_station_file(plan.file, self.access))
                central = await _start_central(stack, folder, plan, pace, self)
            control = await _build_control(stack, plan, folder, central, pace, self)
            if self._is_one_of_several:
                self.print_station_line(f"{_name_of_server(plan)}: {self.access.loopback_url}{self._station.path}/")
            self._station.begin_service(control, central.proxy_pay_page if central is not None else None)
            stack.callback(self._station.withdraw_service)  # before its world closes: then there is no picture any more
            self.opened.set()
            await self.served.wait()
            if control.agent is not None:
                if plan.file.field_page.port:
                    url = central.station_url if central is not None else plan.named_backend_url
                    self._offer_field_page(plan.file, url, folder)
                await stack.enter_async_context(running_beside(_supervise_agent(control.agent), self.stop))
            else:
                self._print_addresses(control.world, folder)
            await self.stop.wait()

    def _offer_field_page(self, file: StationFile, backend_url: str, folder: Path) -> None:
        if backend_url:
            self.print_station_line(f"a kit to try: {write_example_kit(file, backend_url, folder)}")
        for line in field_page_lines(file, folder / "derived.toml"):
            self.print_station_line(line)

    def _print_addresses(self, world: World, folder: Path) -> None:
        for name, address in world.devices.far_end_addresses().items():
            self.print_station_line(f"{name}: {address}")
        self.print_station_line(f"an agent for these devices: chargy-agent run {folder / 'derived.toml'}")


def _failure_text(failure: Exception) -> str:
    return str(failure) or type(failure).__name__


def _name_of_server(plan: Plan) -> str:
    return "page" if plan.with_page else "control API"


def _open_access(plan: Plan, listener: socket.socket) -> Access:
    """Open the access to the HTTP server and print its address."""
    what, folder = _name_of_server(plan), plan.file.simulation.state_dir
    try:
        access = Access.for_host(plan.host, listener.getsockname()[1], folder)
    except OSError as e:
        raise Unusable(f"the token for --host cannot be kept in {folder}: {e.strerror}") from None
    print_line(f"{what}: {access.loopback_url}/")
    if access.token:
        print_line(f"{what} for a telephone or another machine: {access.network_url}/?token={access.token}")
    return access


async def _supervise_agent(agent: Supervisor) -> None:
    """Keep the agent running. Raises ``Unusable`` if it refuses the station file at its first start."""
    try:
        await agent.run()
    except Refused as e:
        raise Unusable(str(e)) from None


async def _build_control(
    stack: contextlib.AsyncExitStack,
    plan: Plan,
    folder: Path,
    central: DemoCentral | None,
    pace: Pace,
    run: StationRun,
) -> Control:
    """Start the world, the status client and the narrator, and prepare the start of the agent."""
    url = central.station_url if central is not None else plan.named_backend_url
    if plan.with_agent:
        run.print_station_line(
            f"backend: {url}{' (built in)' if central else ''}, time runs {pace.rate:g} times as fast"
        )
    command = AgentCommand(folder / "derived.toml", pace, record=plan.record)
    if misbehaviour := plan.file.simulation.misbehaviour:
        url, plan = await _misbehave_on_the_way(stack, plan, url, lambda: command.pace.rate)
        run.print_station_line(f"the station misbehaves: {', '.join(misbehaviour)}")
    # the path of a unix socket may have 107 bytes (unix(7)); state_dir may be deeper than that
    status = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chargy-", dir="/tmp"))) / "status"
    file = with_plug_in_window(plan.file, pace.rate) if central is not None else plan.file
    try:
        world = await stack.enter_async_context(
            World.open(file, speed=pace.rate, backend_url=url, status_socket=status)
        )
    except ValueError as e:
        raise Unusable(f"{plan.file.path}: {e}") from e
    feed = ChangeFeed()
    watch = StatusClient(status, feed.notify_change)
    doctor = DoctorRun(
        command.derived,
        feed.notify_change,
        is_agent_silent=lambda: agent is not None and agent.is_process_present and watch.said is None,
    )
    stack.push_async_callback(doctor.end_process)
    agent = _agent_supervisor(plan, world, watch, feed, command, folder, doctor, run.print_station_line)
    world.add_change_listener(feed.notify_change)
    switch = PaceSwitch(plan.file, world, command, agent, PaceMemory(folder), central, run.print_station_line)
    charge_point_id = next((b.charge_point_id for b in file.backends), "") or file.station.id
    requests = BackendRequests(central, watch, charge_point_id, run.print_station_line)
    tools = StationTools(world, watch, feed.notify_change, doctor, requests)
    control = Control(world, watch, feed, agent, command.set_rtc_offset, switch, tools)
    await stack.enter_async_context(running_beside(watch.follow_agents(), run.stop))
    await stack.enter_async_context(running_beside(narrate_changes(control, run.print_station_line), run.stop))
    await stack.enter_async_context(running_beside(tools.history.sample_regularly(), run.stop))
    return control


async def _misbehave_on_the_way(
    stack: contextlib.AsyncExitStack, plan: Plan, url: str, time_rate: Callable[[], float]
) -> tuple[str, Plan]:
    """Open the proxy that makes the station misbehave. Returns the address that the agent is given, and the plan with
    it. Raises ``Unusable``."""
    from drivers.sim.misbehaviour.proxy import misbehaviour_problem, open_misbehaving_proxy, without_tls

    if why := misbehaviour_problem(plan.file, url):
        raise Unusable(f"[simulation] misbehaviour: {why}")
    try:
        agent_url = await stack.enter_async_context(open_misbehaving_proxy(plan.file, url, time_rate))
    except OSError as e:
        raise Unusable(f"[simulation] misbehaviour: {e}") from None
    return agent_url, replace(plan, file=without_tls(plan.file))


@dataclass
class PaceSwitch:
    """Changes the rate of the station's time: in the world at once, in the agent by a restart."""

    file: StationFile
    world: World
    command: AgentCommand
    agent: Supervisor | None
    memory: PaceMemory
    central: DemoCentral | None
    print_line: LinePrinter
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    def __call__(self, rate: float) -> None:
        if rate == self.command.pace.rate:
            return
        pace = self.command.pace = self.command.pace.with_rate(rate, boottime_s())
        self.memory.save_pace(pace)
        self.world.speed = rate
        self.print_line(f"time runs {rate:g} times as fast now; the agent is started again")
        if self.central is not None:
            self.world.file = with_plug_in_window(self.file, rate)
            _write_private(self.command.derived, self.world.derived_station_file())
            telling = asyncio.create_task(self.central.send_time_rate(pace))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        if self.agent is not None:
            self.agent.restart()


def _agent_supervisor(
    plan: Plan,
    world: World,
    watch: StatusClient,
    feed: ChangeFeed,
    command: AgentCommand,
    folder: Path,
    doctor: DoctorRun,
    print_line: LinePrinter,
) -> Supervisor | None:
    _write_private(command.derived, world.derived_station_file())
    if not plan.with_agent:
        return None

    def before_start(again: bool) -> None:
        doctor.end_run_early("the agent was started meanwhile: run the doctor again")
        watch.agent_starts()
        if again:
            world.devices.agent_restarted()

    return Supervisor(
        "agent", command, folder / "agent.log", restart_s=plan.file.simulation.restart_s,
        stop_within_s=AGENT_ENDS_WITHIN_S, before_start=before_start, changed=feed.notify_change, print_line=print_line,
        refusal=EXIT_REFUSED,
    )  # fmt: skip


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, because it holds passwords of backends and PINs."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _demo_station_file(file: StationFile, access: Access) -> StationFile:
    """Return the file for the built-in central system.

    The simulated displays show the cost from its payment page unless the file disables that. The QR codes lead a
    telephone to this machine.
    """
    web_payment, shown = file.web_payment, {}
    if web_payment.dynamic:
        shown = {"cost_display": True}
        if access.network_host_name:
            allowed = (*web_payment.allowed_hosts, f"http://{access.network_host_name}")
            web_payment = replace(web_payment, allowed_hosts=allowed)
    backends = tuple(replace(b, soap_port=0) for b in file.backends)  # several stations may run on this machine
    return replace(file, settings={**shown, **file.settings}, web_payment=web_payment, backends=backends)


async def _start_central(
    stack: contextlib.AsyncExitStack, folder: Path, plan: Plan, pace: Pace, run: StationRun
) -> DemoCentral:
    """Start the central system as a child process, with a payment page for the station's QR codes."""
    port = stack.enter_context(_reserve_local_port())
    euro_kwh = (plan.file.tariff or {}).get("kwh", 0.45)
    is_over_soap = plan.over_soap or needs_soap(plan.file.backends)
    soap_port = stack.enter_context(_reserve_local_port()) if is_over_soap else 0
    central = DemoCentral(port, soap_port, folder, euro_kwh, run.pay_at, pace)
    supervising = central.make_supervisor(run.print_station_line).run()
    await stack.enter_async_context(running_beside(supervising, run.stop))
    return central


async def narrate_changes(control: Control, print_line: LinePrinter) -> None:
    """Print one line for each important event."""
    before, version = None, -1
    while True:
        await control.feed.wait_for_change(version, 60.0)
        version, after = control.feed.version, control.station_picture()
        for line in describe_changes(before, after):
            print_line(line)
        before = after
        await asyncio.sleep(NARRATE_EVERY_S)


def print_line(line: str, out: TextIO | None = None) -> None:
    """Print a line if stdout takes it at once: a full pipe or a closed terminal must not stop the station."""
    out = sys.stdout if out is None else out
    try:
        if select.select([], [out], [], 0)[1]:
            os.write(out.fileno(), line[:LONGEST_LINE].encode() + b"\n")
    except (OSError, ValueError):  # closed, or without a descriptor
        return


@contextlib.asynccontextmanager
async def running_beside(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run ``work`` beside the body. Its failure stops the station and is raised at the end."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set.

    From then on the process ends in bounded time: if the orderly end takes too long it exits, and the kernel ends the
    children.
    """
    stop = asyncio.Event()

    def begin_shutdown() -> None:
        if not stop.is_set():
            last = threading.Timer(END_WITHIN_S, os._exit, (1,))
            last.daemon = True
            last.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, begin_shutdown)
    return stop


def bind_listener(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Bind and listen. Raises ``Unusable`` if the port is taken or the address is not one of this machine."""
    if not 0 <= port <= 65535:
        raise Unusable(f"--port: must be 0 to 65535, is {port}")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as e:
        listener.close()
        if isinstance(e, socket.gaierror) or e.errno == errno.EADDRNOTAVAIL:
            raise Unusable(
                f"--host: {host} is no IPv4 address of this machine; 0.0.0.0 stands for all of them"
            ) from None
        raise Unusable(
            f"port {port} cannot be had ({e.strerror}): another station may be running; choose one with --port N, "
            "or --port 0 for any free one"
        ) from None
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _reserve_local_port() -> Iterator[int]:
    """Reserve a port for a child that listens on it later or repeatedly: the kernel gives it to no other process."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def _make_folder(file: StationFile) -> Path:
    folder = file.simulation.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Unusable(f"[simulation] state_dir {folder}: {e.strerror}") from None
    return folder

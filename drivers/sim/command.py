"""The commands ``simulate`` and ``bench``: a whole charging station on this machine.

``simulate``: the far ends of all wires, the control API with its page, the very same agent that runs on a board as a
child process, and, if no backend is named, a central system to talk to. ``bench``: the same without agent and backend.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import tomllib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from agent.settings import StationFile
    from drivers.sim.control import Control
    from drivers.sim.supervisor import Supervisor

DEMO_SPEED = 10.0
"""With the built-in central system: a session is worth looking at within a minute."""
BUILT_IN = "ac_two_sockets.toml"
HOME = Path("chargy-sim")
END_WITHIN_S = 7.5
AGENT_ENDS_WITHIN_S = 4.0


@dataclass(frozen=True, slots=True)
class Command:
    """What the command line needs to know of a command that comes by entry point."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Unusable(Exception):
    """What was asked for cannot be done; one line for a person."""


@dataclass
class AgentCommand:
    """How the agent child is started. ``rtc_offset_s`` is used up by the next start."""

    derived: Path
    rate: float
    rtc_offset_s: float | None = None

    def __call__(self) -> list[str]:
        argv = [sys.executable, "-m", "agent", "run", str(self.derived), "--clock-rate", f"{self.rate:g}"]
        if self.rtc_offset_s is not None:
            argv += ["--rtc-offset", f"{self.rtc_offset_s:g}"]
            self.rtc_offset_s = None
        return argv

    def step(self, offset_s: float) -> None:
        self.rtc_offset_s = offset_s


def say(line: str) -> None:
    print(line, flush=True)


def add_simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", nargs="?", type=Path, metavar="STATION.toml", help="default: two Type 2 sockets")
    parser.add_argument("--backend", metavar="URL", help="central system (ws:// or wss://); wins over the file's")
    parser.add_argument(
        "--port", type=int, metavar="N", help="of page and control API, 0 = any free; wins over the file's"
    )
    parser.add_argument("--headless", action="store_true", help="control API without the page")
    parser.add_argument(
        "--speed", type=float, metavar="X", help="time runs X times as fast (default: 1; 10 in the demo)"
    )


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", type=Path, metavar="STATION.toml")
    parser.add_argument(
        "--port", type=int, metavar="N", help="of page and control API, 0 = any free; wins over the file's"
    )


def simulate(args: argparse.Namespace) -> int:
    return _main(args, _simulate)


def bench(args: argparse.Namespace) -> int:
    return _main(args, _bench)


def _main(
    args: argparse.Namespace, live: Callable[[StationFile, argparse.Namespace], Coroutine[Any, Any, None]]
) -> int:
    """0 after an orderly end, 2 if what was asked for cannot be done."""
    from agent.settings import SettingsError
    from drivers.sim.memory import InUse

    try:
        file = station_file(args.station)
        if getattr(args, "backend", None) is not None:
            _check_url(args.backend)
        if getattr(args, "speed", None) is not None and not 0.1 <= args.speed <= 1000:
            raise Unusable(f"--speed: must be 0.1 to 1000, is {args.speed:g}")
        asyncio.run(live(file, args))
    except (SettingsError, Unusable, InUse) as e:
        print(f"chargy-agent: {e}", file=sys.stderr)
        return 2
    return 0


SIMULATE = Command("simulate", "run a simulated station with its page", add_simulate_arguments, simulate)
BENCH = Command("bench", "run the simulated devices alone, for an agent of yours", add_bench_arguments, bench)


def station_file(path: Path | None) -> StationFile:
    """The file at ``path``, or the built-in station, whose memory is in the folder ``chargy-sim``."""
    from agent.settings import load, parse

    if path is not None:
        return load(path)
    import config

    raw = tomllib.loads((Path(config.__file__).parent / "stations" / BUILT_IN).read_text("utf-8"))
    del raw["backend"]
    HOME.mkdir(exist_ok=True)
    return parse(raw, HOME / "station.toml")


def _check_url(url: str) -> None:
    if urlsplit(url).scheme not in ("ws", "wss", "http", "https") or not urlsplit(url).hostname:
        raise Unusable(f"--backend: must be like ws://HOST:PORT/PATH, is {url!r}")


# --- simulate -------------------------------------------------------------------------------------------------------


async def _simulate(file: StationFile, args: argparse.Namespace) -> None:
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(listen(file.simulation.port if args.port is None else args.port))
        say(f"{'control API' if args.headless else 'page'}: {_address(listener)}")
        folder = _make_folder(file)
        url = args.backend or (file.backends[0].url if file.backends else "")
        built_in = not url
        if built_in:
            url = await _start_central(stack, folder, stop)
        speed = args.speed or (DEMO_SPEED if built_in else 1.0)
        say(f"backend: {url}{' (built in)' if built_in else ''}, time runs {speed:g} times as fast")
        control = await _build(stack, file, speed, url, stop, with_agent=True)
        from drivers.sim.control import served

        await stack.enter_async_context(served(control, listener, not args.headless))
        assert control.agent is not None
        await stack.enter_async_context(running(control.agent.run(), stop))
        await stop.wait()
        say("ending: agent, devices, backend")


async def _build(
    stack: contextlib.AsyncExitStack,
    file: StationFile,
    speed: float,
    url: str,
    stop: asyncio.Event,
    *,
    with_agent: bool,
) -> Control:
    """World, watch and narrator are running; the agent is ready to be started."""
    from drivers.sim.control import Control, Feed
    from drivers.sim.supervisor import Supervisor
    from drivers.sim.watch import Watch
    from drivers.sim.world import World

    folder = _make_folder(file)
    # the path of a unix socket may have 107 bytes (unix(7)); state_dir may be deeper than that
    status = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chargy-", dir="/tmp"))) / "status"
    world = await stack.enter_async_context(World.open(file, speed=speed, backend_url=url, status_socket=status))
    feed = Feed()
    watch = Watch(status, feed.changed)
    command = AgentCommand(folder / "derived.toml", speed)

    def before_start(again: bool) -> None:
        command.derived.write_text(world.derived(), "utf-8")
        watch.agent_starts()
        if again:
            world.agent_restarted()

    agent: Supervisor | None = None
    if not with_agent:
        before_start(False)
    else:
        agent = Supervisor(
            "agent", command, folder / "agent.log", restart_s=file.simulation.restart_s,
            stop_within_s=AGENT_ENDS_WITHIN_S, before_start=before_start, changed=feed.changed, say=say,
        )  # fmt: skip
    control = Control(world, watch, feed, agent, command.step)
    world.on_change(feed.changed)
    await stack.enter_async_context(running(watch.run(), stop))
    await stack.enter_async_context(running(narrate(control), stop))
    return control


async def _start_central(stack: contextlib.AsyncExitStack, folder: Path, stop: asyncio.Event) -> str:
    from drivers.sim.supervisor import Supervisor

    port = _free_port()
    argv = [
        sys.executable, "-m", "agent", "csms", "--port", str(port), "--quiet",
        "--journal", str(folder / "central.jsonl"),
    ]  # fmt: skip
    central = Supervisor("backend", lambda: argv, folder / "central.log", restart_s=1.0, stop_within_s=1.0, say=say)
    await stack.enter_async_context(running(central.run(), stop))
    return f"ws://127.0.0.1:{port}"


async def narrate(control: Control) -> None:
    """One line per important event."""
    from drivers.sim.picture import news

    before = None
    version = -1
    while True:
        await control.feed.wait(version, 60.0)
        version = control.feed.version
        after = control.station()
        for line in news(before, after):
            say(line)
        before = after
        await asyncio.sleep(0.1)


# --- bench ----------------------------------------------------------------------------------------------------------


async def _bench(file: StationFile, args: argparse.Namespace) -> None:
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(listen(file.simulation.port if args.port is None else args.port))
        say(f"page: {_address(listener)}")
        url = file.backends[0].url if file.backends else ""
        control = await _build(stack, file, 1.0, url, stop, with_agent=False)
        from drivers.sim.control import served

        await stack.enter_async_context(served(control, listener, with_page=True))
        for name, address in control.world.addresses().items():
            say(f"{name}: {address}")
        say(f"an agent for these devices: chargy-agent run {file.simulation.state_dir / 'derived.toml'}")
        await stop.wait()


# --- common ---------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """``work`` beside what follows; its failure ends everything, and is raised at the end."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _stop_on_signals() -> asyncio.Event:
    """Set by SIGTERM and SIGINT. From then on the end is certain: what has not ended in time is left to the kernel,
    which takes the children along."""
    stop = asyncio.Event()

    def asked() -> None:
        if not stop.is_set():
            last = threading.Timer(END_WITHIN_S, os._exit, (1,))
            last.daemon = True
            last.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop


def listen(port: int) -> socket.socket:
    """Raises ``Unusable``: the port is taken."""
    if not 0 <= port <= 65535:
        raise Unusable(f"--port: must be 0 to 65535, is {port}")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as e:
        listener.close()
        raise Unusable(
            f"port {port} cannot be had ({e.strerror}): another station may be running; choose one with --port N, "
            "or --port 0 for any free one"
        ) from None
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_folder(file: StationFile) -> Path:
    folder = file.simulation.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Unusable(f"[simulation] state_dir {folder}: {e.strerror}") from None
    return folder

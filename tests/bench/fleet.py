"""What a station of a fleet occupies, how fast all are accepted, and what a MeterValues costs (G9 to G11)."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.backend import Backend
from tests.bench.figures import Figures, Goal
from tests.bench.lean_backend import open_lean_backend
from tests.bench.process import AGENT, Child, Skipped, cpu_s, memory_mib, spawned

STATIONS, STARTED = 1000, 2000
WINDOW_S = 20.0
PATIENCE_S = 120.0
WHY = "a station is the whole domain, a link and three supervisors in 16 tasks (decision 64)"
G9 = Goal("G9", "fleet: memory of a station above the first", 45, "KiB", why=WHY)
G9_WHOLE = Goal("G9", "fleet: whole process, scaled to 2,000 stations", 150, "MiB", why=WHY)
G10 = Goal(
    "G10", "fleet: CPU of a MeterValues of nine values", 210, "us", why="timer, reading and queue are in it (G6)"
)
G11 = Goal("G11", "fleet: 2,000 stations accepted", 5.6, "s", why="60 % of what SAP's simulator takes")
PROFILE = """
duration_s = 3600
ramp_per_s = 1000
[visits]
per_hour = 0
stay_s = [3600, 3600]
energy_kwh = [900, 900]
[[wave]]
at_s = 6
within_s = 5
"""
STATION = """
[settings.ocpp16]
MeterValueSampleInterval = "1"
MeterValuesSampledData = \
"Energy.Active.Import.Register,Power.Active.Import,Current.Import.L1,Current.Import.L2,Current.Import.L3,\
Voltage.L1-N,Voltage.L2-N,Voltage.L3-N,Current.Offered"
[[evse]]
number = 1
"""


async def fleet(backend: Backend, figures: Figures, rounds: int) -> None:
    backend.replies["Authorize"] = {"idTagInfo": {"status": "Accepted"}}
    async with running_fleet(backend, 1) as (child, _):
        first = memory_mib(child.pid)["rss"]
    async with running_fleet(backend, STATIONS) as (child, _):
        idle = memory_mib(child.pid)["rss"]
        each_kib = (idle - first) * 1024 / (STATIONS - 1)
        figures.judge(G9, each_kib, f"{first:.1f} MiB with one, {idle:.1f} MiB with {STATIONS}, connected and idle")
        figures.judge(G9_WHOLE, first + each_kib * 1999 / 1024, f"{idle:.1f} MiB with {STATIONS}")
        await backend.wait_heard("StartTransaction", STATIONS, 120.0)
        figures.judge(G10, *await cpu_of_values(backend, child))
        charging = memory_mib(child.pid)["rss"]
        figures.show("fleet: a station that charges", f"{(charging - first) * 1024 / (STATIONS - 1):.1f} KiB")
    figures.judge(G11, await accepted_within(STARTED), "from spawn; a process for each core")


@asynccontextmanager
async def running_fleet(backend: Backend, count: int) -> AsyncIterator[tuple[Child, float]]:
    """A fleet whose stations are all accepted, and after how many seconds they were."""
    with tempfile.TemporaryDirectory() as folder:
        profile, station = Path(folder) / "profile.toml", Path(folder) / "station.toml"
        profile.write_text(PROFILE)
        station.write_text(STATION)
        backend.forget()
        began_s = time.perf_counter()
        argv = [
            *AGENT, "fleet", str(count), "--backend", f"ws://127.0.0.1:{backend.port}", "--profile", str(profile),
            "--station", str(station), "--quiet", "--settle", "1", "--processes", "1",
        ]  # fmt: skip
        async with spawned(argv) as child:
            try:
                accepted_s = await backend.wait_heard("BootNotification", count, 120.0) - began_s
            except TimeoutError:
                raise Skipped(child.why()) from None
            await asyncio.sleep(1.0)
            yield child, accepted_s
            child.process.kill()  # what an orderly end does is not measured


async def cpu_of_values(backend: Backend, child: Child) -> tuple[float, str]:
    """CPU time of the process for each MeterValues (us)."""
    await asyncio.sleep(2.0)
    count, spent_s = backend.count("MeterValues"), cpu_s(child.pid)
    await asyncio.sleep(WINDOW_S)
    values, took_s = backend.count("MeterValues") - count, cpu_s(child.pid) - spent_s
    if not values:
        raise Skipped("no MeterValues came")
    return took_s / values * 1e6, f"{values / WINDOW_S:.0f}/s, {100 * took_s / WINDOW_S:.0f} % of a core"


async def accepted_within(count: int) -> float:
    """Seconds from spawn until so many stations are accepted."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.toml"
        profile.write_text(PROFILE)
        argv = (str(count), "--profile", str(profile), "--quiet", "--settle", "1")
        return await _accepted_within(count, argv)


async def _accepted_within(count: int, options: tuple[str, ...]) -> float:
    async with open_lean_backend() as backend:
        began_s = time.monotonic()
        argv = [*AGENT, "fleet", *options, "--backend", backend.url]
        async with spawned(argv) as child:
            while (seen := await backend.read_books())["accepted"] < count:
                if child.process.poll() is not None or time.monotonic() > began_s + PATIENCE_S:
                    raise Skipped(f"{seen['accepted']} of {count} accepted; {child.why()}")
                await asyncio.sleep(0.1)
            child.process.kill()  # its parts end with it
            return float(seen["all_s"]) - began_s

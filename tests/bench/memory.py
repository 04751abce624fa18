"""What an agent occupies once it is connected and idle."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys

from tests.bench.backend import Backend
from tests.bench.figures import Figures, Goal
from tests.bench.process import AGENT, Skipped, cpu_s, memory_mib, spawned, wakeups
from tests.bench.stations import FLOORS, agent_alone, booted, floor_command, folder_of, serial_line, simulated

G4_CORE = Goal(
    "G4",
    "RSS: link, store and engine",
    34,
    "MiB",
    why="the floor on the library is 29 of it; the code of the agent's modules 4",
)
G4_PRIVATE = Goal("G4", "private pages, beside the floor", 1.45, "x floor", why="what the agent's 260 modules are")
G4_AC = Goal(
    "G4",
    "RSS: AC station, all drivers open",
    46,
    "MiB",
    why="the imports of pymodbus, nfcpy and Pillow are 10 of it, beside 34 without a device",
)
G4_DC = Goal(
    "G4",
    "RSS: DC station, all drivers open",
    48,
    "MiB",
    why="MQTT, HTTP, the tariff and the payments of its drivers beside those of an AC station",
)
G5 = Goal("G5", "idle wake-ups, no polled device", 0.2, "/s")
G5_CPU = Goal("G5", "idle CPU, no polled device", 0.1, "%")

DRIVER_IMPORTS = {
    "evse_modbus, meter_modbus": "import pymodbus.client",
    "reader_serial": "import serial",
    "reader_nfc": "import nfc",
    "display_framebuffer": "import PIL.Image, PIL.ImageDraw, PIL.ImageFont, qrcode",
}
"""What the drivers load when they are opened; measured on top of the agent's own rooms."""
BASE_IMPORTS = "import asyncio, ssl, sqlite3, json, logging, tomllib, websockets.client"
IDLE_S = 40.0


async def memory(backend: Backend, figures: Figures, rounds: int) -> None:
    floor: dict[str, float] = {}
    for name, frames in FLOORS.items():
        floor = await settled_mib(floor_command(frames, backend), backend)
        figures.show(name, f"{floor['rss']:.1f} MiB RSS", f"{floor['uss']:.1f} MiB private")
    with agent_alone(backend) as argv:
        core = await settled_mib(argv, backend)
    figures.judge(G4_CORE, core["rss"], f"{core['uss']:.1f} MiB private", f"floor {floor['rss']:.1f} MiB (websockets)")
    figures.judge(G4_PRIVATE, core["uss"] / floor["uss"], f"{core['uss']:.1f} MiB", f"floor {floor['uss']:.1f} MiB")
    base = await imports_mib(BASE_IMPORTS)
    for driver, imports in DRIVER_IMPORTS.items():
        figures.show(f"+ imports of {driver}", f"+{await imports_mib(f'{BASE_IMPORTS}; {imports}') - base:.1f} MiB RSS")
    async with simulated(backend) as pid:
        await asyncio.sleep(5.0)
        figure = memory_mib(pid)
    figures.judge(
        G4_AC, figure["rss"], f"{figure['uss']:.1f} MiB private", "Modbus board and meter, NFC reader, display"
    )
    async with simulated(backend, shipped="dc-ccs.toml") as pid:
        await asyncio.sleep(5.0)
        figure = memory_mib(pid)
    beside = "board of EVerest, signing meter, card terminal, NFC reader, display"
    figures.judge(G4_DC, figure["rss"], f"{figure['uss']:.1f} MiB private", beside)


async def settled_mib(argv: list[str], backend: Backend) -> dict[str, float]:
    """Median of three starts."""
    found = []
    for _ in range(3):
        backend.forget()
        async with spawned(argv) as child:
            await booted(child, backend)
            await asyncio.sleep(2.0)
            found.append(memory_mib(child.pid))
    return {name: statistics.median(figure[name] for figure in found) for name in found[0]}


async def imports_mib(code: str) -> float:
    tail = "; print(next(l.split()[1] for l in open('/proc/self/smaps_rollup') if l.startswith('Rss')))"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


# --- idle ----------------------------------------------------------------------------------------------------------


async def idle(backend: Backend, figures: Figures, rounds: int) -> None:
    """A card reader on a serial line waits; nothing of the station is polled."""
    name, frames = list(FLOORS.items())[-1]
    floor = await awake(floor_command(frames, backend), backend)
    with serial_line() as (_, device):
        reader = f'[[reader]]\ndriver = "reader_serial"\ndevice = "{device}"'
        with folder_of(backend, devices=reader) as (_, file):
            rate, percent = await awake([*AGENT, "run", str(file)], backend)
    figures.judge(G5, rate, f"{rate * IDLE_S:.0f} in {IDLE_S:.0f} s", f"{name} {floor[0]:.2f} /s")
    figures.judge(G5_CPU, percent, f"{percent * IDLE_S * 10:.1f} ms in {IDLE_S:.0f} s", f"{name} {floor[1]:.3f} %")


async def awake(argv: list[str], backend: Backend) -> tuple[float, float]:
    """Wake-ups per second, and per cent of one core, some seconds after the start."""
    backend.forget()
    async with spawned(argv) as child:
        await booted(child, backend)
        await asyncio.sleep(5.0)
        if child.process.poll() is not None:
            raise Skipped(child.why())
        woken, spent_s = wakeups(child.pid), cpu_s(child.pid)
        await asyncio.sleep(IDLE_S)
        return (wakeups(child.pid) - woken) / IDLE_S, (cpu_s(child.pid) - spent_s) / IDLE_S * 100

"""``chargy-agent bearers``: show what could carry the links to the backends, and which one does.

A running agent is asked over its status socket. While it is stopped, each bearer is opened and read; nothing is
dialled, reset, or unlocked.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.assembly.bearer_queries import ASK, Row, rows_of_statuses
from agent.assembly.domain_setup import bearer_configs
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.model.bearer import BearerStatus
from agent.model.command import Command
from agent.ports import DeviceError
from agent.ports.store import StoreError
from agent.services.devices.configured import ComposedDevice, compose_devices
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import SettingsError, StationFile

if TYPE_CHECKING:
    from agent.ports.bearer import BearerPort

ABOUT = """\
What could carry the links to the backends (LAN, Wi-Fi, GPRS), in order of preference, and which one does.

  chargy-agent bearers station.toml

Beside a running agent (as a member of its group) it shows what the agent knows and uses. While the agent is stopped,
each bearer is opened and read, and what an agent would use is shown; nothing is dialled, reset or unlocked: a modem is
down then.

Exit code: 0 a bearer is up; 1 none is; 2 it cannot be done.
"""
OPEN_S = 60.0
NONE_UP = 1


def run(options: argparse.Namespace) -> int:
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else show_bearers(file)


def show_bearers(file: StationFile) -> int:
    """Print the bearers. Returns the exit code."""
    if not file.bearers:
        print(f"{file.path}: no [[bearer]]: the routes of the kernel decide")
        return 0
    try:
        said = asyncio.run(_query_bearers(file))
    except (CannotDo, SettingsError, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    print("\n".join(_text_lines(said["bearers"], bool(said.get("running")))))
    return 0 if any(row["in_use"] and row["up"] for row in said["bearers"]) else NONE_UP


async def _query_bearers(file: StationFile) -> dict[str, Any]:
    async def answer(store: Store, question: dict[str, Any]) -> dict[str, Any]:
        return await _read_bearers(file)

    if not (file.station.state_dir / "agent.db").exists():  # no agent has run yet
        return await _read_bearers(file)
    said = await query_agent_or_store(file, ASK, {}, answer)
    if "error" in said:
        raise CannotDo(str(said["error"]))
    return said


async def _read_bearers(file: StationFile) -> dict[str, Any]:
    devices = [d for d in compose_devices(file, lambda: (0, time.monotonic())) if d.role == "bearer"]
    statuses = {device.name: await _read_status(device) for device in devices}
    return {"bearers": rows_of_statuses(bearer_configs(file), statuses)}


async def _read_status(device: ComposedDevice) -> BearerStatus:
    port: BearerPort
    try:
        async with asyncio.timeout(OPEN_S), device.opening() as port:
            return await port.read_status()
    except (DeviceError, TimeoutError) as e:
        return BearerStatus(reason=str(e) or f"no answer within {OPEN_S:g} s")


def _text_lines(rows: list[Row], is_running: bool) -> Iterator[str]:
    for row in rows:
        mark = "*" if row["in_use"] else " "
        demoted = f" (demoted for {row['demoted_s']} s)" if row["demoted_s"] else ""
        yield f"{mark} {row['name']:<10} {row['kind']:<5} {row['status']}{demoted}"
    if any(row["in_use"] for row in rows):
        yield "* carries the links" if is_running else "* would carry the links; the agent is not running"
    else:
        yield "none is up" if is_running else "none is up; the agent is not running"


COMMAND = Command("bearers", "What carries the links: LAN, Wi-Fi, GPRS.", add_station_argument, run, ABOUT)

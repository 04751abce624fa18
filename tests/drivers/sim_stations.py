"""Stations and worlds for the tests of the simulated world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.station_file.settings import StationFile, parse_station_file
from drivers.sim.evse import Evse
from drivers.sim.world import World
from tests.support.busy_machine import Deadline

TWO = [{"number": 1}, {"number": 2}]


def station(folder: Path, **tables: Any) -> StationFile:
    raw: dict[str, Any] = {"station": {"id": "CP-1"}, "evse": [{"number": 1}], **tables}
    return parse_station_file(raw, folder / "station.toml")


def model(folder: Path, speed: float = 1.0, **tables: Any) -> World:
    """A world without wires."""
    return World(station(folder, **tables), speed=speed)


def run(world: World, seconds: float) -> None:
    """So many seconds of real time, in steps of 50 ms."""
    for _ in range(round(seconds * 20)):
        world.step()


def released(world: World, n: int = 1, limit_a: int = 16) -> Evse:
    """What the agent orders when a session begins."""
    evse = world.evses[n]
    evse.set_current_limit(limit_a)
    evse.set_release(True)
    return evse


def charging(world: World, n: int = 1, limit_a: int = 16, **car: Any) -> Evse:
    world.plug_in_vehicle(n, car=car or None)
    evse = released(world, n, limit_a)
    run(world, 10)
    assert evse.contactor.closed
    return evse


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    patience = Deadline(within_s)
    while not condition():
        assert not patience.over, "did not come about in time"
        await asyncio.sleep(0.01)

"""Every board whose map comes along: the production driver at the simulated far end, on the kind of line it has in
life. The far ends are typed from the makers' tables, not from the maps."""

from __future__ import annotations

import asyncio
import contextlib
import tomllib
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Limit
from agent.ports import Broken
from agent.ports.driver import StationFacts, Where
from agent.ports.evse import EvsePort
from agent.station_file.settings import build_table, parse_station_file
from drivers.evse_modbus import board_map
from drivers.sim.small_boards import SMALL_BOARDS
from drivers.sim.world import World
from drivers.testkit.evse import SOON_S, EvseWorld, check_evse
from tests.drivers.sim_stations import station
from tests.support.busy_machine import deadline, stretched

CONFIG = Path(__file__).parents[2] / "config"
ALL = tuple(sorted(path.stem for path in (CONFIG / "boards").glob("*.toml")))
DOGLESS = tuple(name for name in ALL if board_map.find_board_map(name, (CONFIG,)).watchdog is None)
"""``tests/faults/test_boards_killed.py`` proves at each far end whether its board stops by itself."""


def table(name: str, **more: Any) -> dict[str, Any]:
    accepted = {"accept_no_watchdog": True} if name in DOGLESS else {}
    return {"driver": "evse_modbus", "map": name, "poll_s": 0.05, "timeout_s": 0.6, **accepted, **more}


@contextlib.asynccontextmanager
async def world_of(folder: Path, name: str, speed: float = 20, **more: Any) -> AsyncIterator[tuple[World, Any]]:
    """A world, and what opens its board as the derived station file says."""
    file = station(folder, board=table(name, **more))
    async with World.open(file, speed=speed, status_socket=folder / "s.sock") as world:
        named = (
            parse_station_file(tomllib.loads(world.derived_station_file()), folder / "derived.toml")
            .evses[0]
            .devices["board"]
        )
        assert named is not None
        (entry,) = entry_points(group="chargy_agent.drivers", name=named.driver)
        driver = entry.load()
        wrong: list[str] = []
        settings = build_table(driver.settings, named.options, "board", wrong)
        assert not wrong, wrong
        facts = StationFacts(max_a=32.0, phases=3, outlet="socket")
        loop = asyncio.get_running_loop()
        where = Where(1, "evse", lambda: (1, loop.time()), (CONFIG,), facts)
        yield world, lambda: driver.open(settings, where)


def hooks(world: World) -> EvseWorld:
    async def pilot(wanted: Pilot) -> None:
        evse = world.evses[1]
        if wanted is Pilot.A:
            if evse.car is not None:
                world.unplug_vehicle(1, side="ev")
            return
        if evse.car is None:
            world.plug_in_vehicle(1, car={"profile": "stays_c"})
        assert evse.car is not None
        evse.car.asks = wanted is Pilot.C

    async def silence(on: bool) -> None:
        world.set_fault_state(1, Fault.BOARD_SILENT, on)

    return EvseWorld(pilot, silence)


async def state_with(board: EvsePort, **wanted: Any) -> EvseState:
    async with deadline(30):
        while True:
            state = await board.state()
            if all(getattr(state, k) == v for k, v in wanted.items()):
                return state
            await asyncio.sleep(0.02)


def test_every_map_has_a_far_end() -> None:
    assert set(ALL) == {"charx_sec", *SMALL_BOARDS}


@pytest.mark.parametrize("name", ALL)
async def test_it_keeps_the_contract(tmp_path: Path, name: str) -> None:
    async with world_of(tmp_path, name) as (world, opened), opened() as board:
        await check_evse(board, hooks(world), soon_s=stretched(SOON_S))


@pytest.mark.parametrize("name", ALL)
async def test_a_session(tmp_path: Path, name: str) -> None:
    async with world_of(tmp_path, name) as (world, opened), opened() as board:
        evse = world.evses[1]
        await state_with(board, pilot=Pilot.A, released=False, contactor=False)
        world.plug_in_vehicle(1)
        await state_with(board, pilot=Pilot.B, cable=True, pwm=False)
        assert await board.set_limit(Limit(current_a=13.0)) == 13
        await board.set_release(True)
        await board.beat()
        state = await state_with(board, pilot=Pilot.C, contactor=True, released=True, pwm=True)
        assert (evse.contactor.closed, evse.offered_current_a) == (True, 13)
        assert state.offered_a in (13.0, None)
        assert await board.set_limit(Limit(current_a=8.0)) == 8
        await board.beat()
        assert (evse.contactor.closed, evse.offered_current_a) == (True, 8)
        await board.set_limit(Limit(current_a=0.0))
        await state_with(board, released=False)
        await board.beat()
        await state_with(board, pilot=Pilot.B)
        assert not evse.contactor.closed
        await board.set_limit(Limit(current_a=10.0))
        await state_with(board, contactor=True)
        assert evse.offered_current_a == 10
        await board.set_release(False)
        await board.beat()
        await state_with(board, released=False, pilot=Pilot.B, contactor=False)
        assert not evse.contactor.closed
        world.unplug_vehicle(1, side="ev")
        await state_with(board, pilot=Pilot.A)


@pytest.mark.parametrize("name", DOGLESS)
async def test_a_board_without_watchdog_is_refused_until_a_person_accepts_it(tmp_path: Path, name: str) -> None:
    async with world_of(tmp_path, name, accept_no_watchdog=False) as (_, opened):
        with pytest.raises(Broken, match=r"no watchdog.*accept_no_watchdog = true"):
            async with opened():
                pass

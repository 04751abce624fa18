"""The production drivers at the far ends of the simulated wires, as a derived station file connects them."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Limit, Screen, ScreenName
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import Device, StationFile, build_table, parse_station_file
from drivers.sim.world import World
from tests.drivers.sim_stations import station, until
from tests.support.busy_machine import deadline, stretched


@asynccontextmanager
async def derived(folder: Path, speed: float = 1.0, **tables: Any) -> AsyncIterator[tuple[World, StationFile]]:
    file = station(folder, **tables)
    async with World.open(file, speed=speed, status_socket=folder / "s.sock") as world:
        yield world, parse_station_file(tomllib.loads(world.derived_station_file()), folder / "derived.toml")


def device(named: Device | None, role: str) -> AbstractAsyncContextManager[Any]:
    assert named is not None
    (entry,) = entry_points(group="chargy_agent.drivers", name=named.driver)
    driver = entry.load()
    wrong: list[str] = []
    settings = build_table(driver.settings, named.options, role, wrong)
    assert not wrong, wrong
    facts = StationFacts("1", language="fr", outlet="socket")
    loop = asyncio.get_running_loop()
    return driver.open(settings, Where(1, role, lambda: (1, loop.time()), (Path("config").resolve(),), facts))


async def state_with(board: Any, **wanted: Any) -> EvseState:
    async with deadline(30):
        while True:
            state: EvseState = await board.state()
            if all(getattr(state, k) == v for k, v in wanted.items()):
                return state
            await asyncio.sleep(0.05)


async def test_a_session_through_board_and_meter(tmp_path: Path) -> None:
    async with (
        derived(tmp_path, speed=20, simulation={"evse": [{"number": 1, "meter_wh": 1_234_567}]}) as (world, file),
        device(file.evses[0].devices["board"], "evse") as board,
        device(file.evses[0].devices["meter"], "meter") as meter,
    ):
        assert (await state_with(board, pilot=Pilot.A)).faults == frozenset()
        begin = await meter.read_billing()
        assert begin.energy_wh == 1_234_567
        assert meter.identity.serial == "21060001"
        world.plug_in_vehicle(1)
        await state_with(board, pilot=Pilot.B, cable=True, locked=True, contactor=False)
        await board.set_limit(Limit(current_a=16.0))
        await board.set_release(True)
        await board.beat()
        state = await state_with(board, pilot=Pilot.C, contactor=True, offered_a=16.0, pwm=True)
        assert state.plugged_s is not None
        assert (await meter.read()).power_w == pytest.approx(world.evse_picture(1)["power_w"], rel=0.2)
        async with deadline(30):
            while world.evse_picture(1)["meter_wh"] == begin.energy_wh:
                await asyncio.sleep(0.02)
        await board.set_release(False)
        await state_with(board, contactor=False)
        assert await board.unlock() is True
        end = await meter.read_billing()
        assert end.energy_wh == world.evse_picture(1)["meter_wh"] > begin.energy_wh
        world.unplug_vehicle(1)
        await state_with(board, pilot=Pilot.A, cable=False)


@pytest.mark.parametrize("map_name", ["eastron_sdm72dm", "abb_b23", "carlo_gavazzi_em340"])
@pytest.mark.parametrize("line", ["rtu", "rtu_tcp", "tcp"])
async def test_meter_families(tmp_path: Path, map_name: str, line: str) -> None:
    meter = {"driver": "meter_modbus", "map": map_name, "line": line}
    async with (
        derived(tmp_path, meter=meter, simulation={"evse": [{"number": 1, "meter_wh": 123_450}]}) as (_, file),
        device(file.evses[0].devices["meter"], "meter") as port,
    ):
        reading = await port.read()
        assert reading.energy_wh == 123_450
        assert reading.voltage_v[0] == pytest.approx(230, rel=0.02)


@pytest.mark.parametrize(
    "fault", sorted(set(Fault) - {f for f in Fault if "Silent" in f} - {Fault.METER_IMPLAUSIBLE, Fault.METER_EXCHANGED})
)
async def test_every_fault_of_the_board_reaches_the_agent(tmp_path: Path, fault: Fault) -> None:
    async with derived(tmp_path) as (world, file), device(file.evses[0].devices["board"], "evse") as board:
        world.plug_in_vehicle(1)
        await state_with(board, pilot=Pilot.B, locked=True)
        world.set_fault_state(1, fault, True)
        if fault is Fault.UNLOCK_FAILURE:
            assert await board.unlock() is False
        await state_with(board, faults=frozenset({fault}))
        world.set_fault_state(1, fault, False)
        await state_with(board, faults=frozenset())


async def test_taps_presses_and_screens(tmp_path: Path) -> None:
    async with (
        derived(tmp_path) as (world, file),
        device(file.devices["reader[0]"], "reader") as cards,
        device(file.devices["reader[1]"], "reader") as lines,
        device(file.devices["buttons"], "buttons") as buttons,
        device(file.evses[0].devices["display"], "display") as display,
    ):
        dark = world.devices.render_display_png(1)
        await display.show(Screen(ScreenName.IDLE))
        await until(lambda: world.devices.render_display_png(1) != dark)
        world.devices.tap_contactless_card("04A1B2C3D4E5F6")
        tap = await asyncio.wait_for(anext(aiter(cards.taps())), stretched(5))
        assert tap.token.value == "04A1B2C3D4E5F6"
        world.devices.tap_serial_token("lower Case-1")
        assert (await asyncio.wait_for(anext(aiter(lines.taps())), stretched(5))).token.value == "lower Case-1"
        world.devices.press_button("language")
        assert await asyncio.wait_for(anext(aiter(buttons.presses())), stretched(5)) == "language"

"""The power-fail input over files as the kernel shows them, written by the simulated far end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.model.types import Supply
from agent.ports import Broken, Garbled, Unreachable
from agent.ports.driver import Where
from drivers.power_sysfs import DRIVER, list_complaints
from drivers.power_sysfs.settings import PowerSettings
from drivers.sim.power_supply import PowerSupply
from drivers.testkit.power import check_power
from tests.support.busy_machine import stretched

WHERE = Where(0, "power", lambda: (1, 0.0), ())


def opened(path: Path, **more: object):
    return DRIVER.open(PowerSettings(str(path), poll_s=0.02, **more), WHERE)  # type: ignore[arg-type]


async def first(path: Path, **more: object) -> Supply:
    async with opened(path, **more) as port:
        return await anext(port.supplies())


async def test_a_mains_supply_keeps_the_contract(tmp_path: Path) -> None:
    far_end = PowerSupply(tmp_path / "mains")
    far_end.start(True)
    await check_power(lambda: opened(far_end.folder), far_end.set_online, timeout_s=stretched(2.0), quiet_s=0.1)


async def test_a_gpio_value_that_is_low_while_mains_is_there(tmp_path: Path) -> None:
    value = tmp_path / "value"
    await check_power(
        lambda: opened(value, lost=1),
        lambda on: _write(value, "0" if on else "1"),
        timeout_s=stretched(2.0),
        quiet_s=0.1,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("files", "backup"),
    [({}, True), ({"present": "0"}, False), ({"present": "1", "capacity": "80"}, True), ({"capacity": "9"}, False)],
)
async def test_a_battery_says_whether_it_carries_us(tmp_path: Path, files: dict[str, str], backup: bool) -> None:
    _write(tmp_path / "online", "0")
    battery = tmp_path / "battery"
    battery.mkdir()
    for name, text in files.items():
        _write(battery / name, text)
    assert await first(tmp_path, backup=str(battery)) == Supply(False, backup)


async def test_without_a_battery_no_one_knows(tmp_path: Path) -> None:
    _write(tmp_path / "online", "1")
    assert await first(tmp_path) == Supply(True, None)


async def test_an_input_that_cannot_be_read_is_neither_lost_nor_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nowhere"):
        await first(tmp_path / "nowhere")
    _write(tmp_path / "online", "perhaps")
    with pytest.raises(Garbled, match="perhaps"):
        await first(tmp_path)


async def test_an_input_that_goes_away_is_reported(tmp_path: Path) -> None:
    far_end = PowerSupply(tmp_path / "mains")
    far_end.start(True)
    async with opened(far_end.folder) as port:
        supplies = port.supplies()
        assert await anext(supplies) == Supply(True)
        (far_end.folder / "online").unlink()
        with pytest.raises(Unreachable):
            await asyncio.wait_for(anext(supplies), stretched(5))


@pytest.mark.parametrize("wrong", [{"path": ""}, {"poll_s": 3.0}, {"backup_min_percent": 101}])
async def test_settings_are_judged(tmp_path: Path, wrong: dict[str, object]) -> None:
    settings = PowerSettings(**{"path": str(tmp_path), **wrong})  # type: ignore[arg-type]
    assert list_complaints(settings)
    with pytest.raises(Broken):
        async with DRIVER.open(settings, WHERE):
            pass

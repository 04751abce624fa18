"""The supervisor of an energy manager with the real driver and its far end: signs of life, refused values, loss."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.domain.events import Event, ExternalLimitReported, FaultCleared, FaultRaised
from agent.model.types import Fault
from agent.ports.driver import Where
from agent.services.devices import energy_manager
from agent.services.devices.energy_manager import EnergyManagerSupervisor, limit_problem
from drivers.limit_modbus import DRIVER
from drivers.limit_modbus.settings import LimitSettings
from drivers.sim.energy_manager import RELEASED, ModbusEnergyManager
from tests.support.busy_machine import deadline

WHERE = Where(0, "energy_manager", lambda: (1, 0.0), ())


@asynccontextmanager
async def supervised(**options: Any) -> AsyncIterator[tuple[ModbusEnergyManager, EnergyManagerSupervisor, list[Event]]]:
    timeout_s = options.pop("timeout_s", 5.0)
    options = {"released": RELEASED[options.get("type", "u16")], **options}
    manager = ModbusEnergyManager({"register": 0, **options})
    await manager.start()
    settings = LimitSettings(0, host="127.0.0.1", port=manager.port, poll_s=0.05, timeout_s=timeout_s, **options)
    events: list[Event] = []
    keeper = EnergyManagerSupervisor(0, "energy manager", lambda: DRIVER.open(settings, WHERE), events.append)
    task = asyncio.create_task(keeper.run())
    try:
        await keeper.seen.wait()
        yield manager, keeper, events
    finally:
        keeper.prepare_to_stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await manager.close()


async def until(what: Callable[[], Any]) -> None:
    async with deadline(30):
        while not what():
            await asyncio.sleep(0.005)


def limits_in(events: list[Event]) -> list[float | None]:
    return [e.limit for e in events if isinstance(e, ExternalLimitReported)]


async def test_a_change_is_posted_at_once_and_a_steady_limit_as_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    async with supervised() as (manager, keeper, events):
        await until(lambda: limits_in(events) == [None])
        manager.max_a = 13
        await until(lambda: limits_in(events) == [None, 13.0])
        assert keeper.status_fields() == {"limit": 13.0}
        monkeypatch.setattr(energy_manager, "SIGN_OF_LIFE_S", 0.2)
        await until(lambda: limits_in(events)[:4] == [None, 13.0, 13.0, 13.0])


async def test_what_is_no_limit_is_refused_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy_manager, "SIGN_OF_LIFE_S", 0.0)
    infinite = struct.pack(">f", float("inf"))
    async with supervised(type="f32") as (manager, keeper, events):
        manager.max_a = 13
        await until(lambda: 13.0 in limits_in(events))
        with caplog.at_level(logging.WARNING):
            for octets in (infinite, struct.pack(">f", -6.0)):
                manager._encode_limit_number = lambda octets=octets: octets  # type: ignore[method-assign, misc]
                looks = len(caplog.records)
                await until(lambda looks=looks: len(caplog.records) > looks)  # type: ignore[misc]
            posted = len(limits_in(events))
            del manager._encode_limit_number
            await until(lambda: len(limits_in(events)) > posted)
        refused = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
        assert len(refused) == 2
        assert "register 0 has no number" in refused[0]
        assert "-6 is not between 0 and" in refused[1]
        assert limits_in(events)[posted:] == [13.0] * len(limits_in(events)[posted:])
        assert keeper.limit == 13.0


async def test_an_energy_manager_that_is_away_is_a_fault_that_blocks_nothing() -> None:
    async with supervised(timeout_s=0.2) as (manager, _, events):
        await until(lambda: limits_in(events))
        manager.silent = True
        await until(lambda: FaultRaised(0, Fault.DEVICE_SILENT) in events)
        posted = len(limits_in(events))
        manager.silent = False
        await until(lambda: FaultCleared(0, Fault.DEVICE_SILENT) in events)
        await until(lambda: len(limits_in(events)) > posted)


@pytest.mark.parametrize("limit", [-0.1, float("nan"), float("inf"), 1e9])
def test_numbers_that_are_no_limit(limit: float) -> None:
    assert limit_problem(limit)


@pytest.mark.parametrize("limit", [None, 0.0, 6.0, 1e7])
def test_numbers_that_are_a_limit(limit: float | None) -> None:
    assert limit_problem(limit) == ""


async def test_probe_shows_the_limit() -> None:
    async with supervised() as (manager, _, _events):
        manager.max_a = 13
        settings = LimitSettings(0, released=0xFFFF, host="127.0.0.1", port=manager.port)
        async with DRIVER.open(settings, WHERE) as port:
            assert await EnergyManagerSupervisor.describe_port(port) == "limit 13"
        manager.max_a = None
        async with DRIVER.open(settings, WHERE) as port:
            assert await EnergyManagerSupervisor.describe_port(port) == "sets no limit"

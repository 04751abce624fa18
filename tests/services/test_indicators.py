"""Keepers of lamp, buzzer and power-fail input with the real drivers and their far ends: levels and pulses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.domain.events import Event, FaultCleared, FaultRaised, SupplyChanged
from agent.domain.orders import Feedback, SetLamp
from agent.model.types import Fault, Lamp, Sign, Supply
from agent.ports.driver import Where
from agent.services.devices import indicators
from agent.services.devices.indicators import BuzzerSupervisor, LampSupervisor, PowerSupervisor
from agent.services.devices.supervisor import DeviceSupervisor
from drivers.buzzer_evdev import DRIVER as BUZZER
from drivers.buzzer_evdev.settings import BuzzerSettings
from drivers.lamp_leds import DRIVER as LEDS
from drivers.lamp_leds.settings import LampSettings
from drivers.power_sysfs import DRIVER as POWER
from drivers.power_sysfs.settings import PowerSettings
from drivers.sim.buzzer import Buzzer
from drivers.sim.lamp import Lamp as FarLamp
from drivers.sim.power_supply import PowerSupply
from tests.support.busy_machine import deadline

WHERE = Where(1, "", lambda: (1, 0.0), ())


@asynccontextmanager
async def running(keeper: DeviceSupervisor) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    await keeper.seen.wait()
    yield
    keeper.prepare_to_stop()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(what: Callable[[], Any], timeout_s: float = 10.0) -> None:
    async with deadline(timeout_s):
        while not what():
            await asyncio.sleep(0.005)


def lamp_at(folder: Path, events: list[Event]) -> tuple[FarLamp, LampSupervisor]:
    far = FarLamp(folder, 1)
    settings = LampSettings(folder=str(folder), **far.names)
    return far, LampSupervisor(1, "lamp", lambda: LEDS.open(settings, WHERE), events.append)


async def test_a_lamp_keeps_its_level_blinks_over_it_and_is_dark_at_the_end(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(indicators, "BLINK_S", 0.05)
    far, keeper = lamp_at(tmp_path, [])
    far.start()
    seen: list[str] = []

    def look() -> str:
        now = far.seen_color()
        if not seen or seen[-1] != now:
            seen.append(now)
        return now

    async with running(keeper):
        keeper.accept_order(SetLamp(1, Lamp.BLUE, 40))
        await until(lambda: look() == "blue")
        assert far.read_brightness("blue") == 102
        keeper.accept_order(Feedback(1, Sign.REFUSED, 2))
        await until(lambda: look() == "red")
        await until(lambda: look() == "blue")
        assert set(seen) <= {"off", "blue", "red"}
        assert seen[-1] == "blue", "after the blinking the level is there again"
        keeper.accept_order(Feedback(1, Sign.REFUSED, 0))
        keeper.accept_order(SetLamp(1, Lamp.YELLOW))
        await until(lambda: look() == "yellow")
    assert far.seen_color() == "off"


async def test_a_lamp_that_comes_late_shows_what_is_wanted_now(tmp_path: Path) -> None:
    events: list[Event] = []
    far, keeper = lamp_at(tmp_path, events)
    async with running(keeper):
        keeper.accept_order(SetLamp(1, Lamp.GREEN))
        keeper.accept_order(Feedback(1, Sign.REFUSED, 20))
        await until(lambda: FaultRaised(1, Fault.INDICATOR_SILENT) in events)
        far.start()
        await until(lambda: far.seen_color() == "green")
        await until(lambda: FaultCleared(1, Fault.INDICATOR_SILENT) in events)


async def test_a_buzzer_plays_one_pattern_after_the_other_and_is_silent_at_the_end(tmp_path: Path) -> None:
    far = Buzzer(tmp_path / "buzzer")
    far.start()
    keeper = BuzzerSupervisor(0, "buzzer", lambda: BUZZER.open(BuzzerSettings(str(far.path)), WHERE), [].append)

    def heard() -> list[int]:
        far.read_tones()
        return list(far.heard)

    async with running(keeper):
        keeper.accept_order(Feedback(1, Sign.ACCEPTED))
        await until(lambda: heard() == [2400, 0])
        keeper.accept_order(Feedback(1, Sign.REFUSED))
        await until(lambda: len(heard()) == 3)
        for _ in range(50):
            keeper.accept_order(Feedback(1, Sign.ACCEPTED))
        await until(lambda: len(heard()) == 8)
        assert heard()[2:] == [600, 0, 600, 0, 2400, 0], "of those that came meanwhile one is played"
        keeper.accept_order(Feedback(1, Sign.FAULT))
        await until(lambda: len(heard()) == 9)
    assert heard()[-1] == 0
    far.close()


async def test_a_power_input_tells_what_is_and_what_changes(tmp_path: Path) -> None:
    events: list[Event] = []
    far = PowerSupply(tmp_path / "mains")
    settings = PowerSettings(str(far.folder), poll_s=0.02)
    keeper = PowerSupervisor(0, "power", lambda: POWER.open(settings, WHERE), events.append)
    async with running(keeper):
        await until(lambda: FaultRaised(0, Fault.POWER_INPUT_SILENT) in events)
        far.start(True)
        await until(lambda: SupplyChanged(Supply(True)) in events)
        await until(lambda: FaultCleared(0, Fault.POWER_INPUT_SILENT) in events)
        far.set_online(False)
        await until(lambda: SupplyChanged(Supply(False)) in events)

"""Checks of the small devices: buttons, lamp, buzzer, power-fail input, updater."""

from __future__ import annotations

from agent.model.types import Lamp, Light, Supply
from agent.ports.verify import Action, Check, DeviceUnderTest, Skipped
from drivers.testkit.checks.common import PortEvents

TONE_HZ = 2400
QUIET_S = 0.3


async def check_each_button(bench: DeviceUnderTest) -> str:
    """Press each button of the station file once, and the first one again."""
    names = list(getattr(bench.settings, "keys", {}))
    if not names:
        raise Skipped("the station file names no button")
    async with bench.open_port() as port, PortEvents(bench, port.presses()) as presses:
        for name in (*names, names[0]):
            await bench.request_action(Action.BUTTON, name)
            reported = await presses.next_event(f"button {name!r} was pressed", bench.patience_s)
            assert reported == name, f"{bench.name}: {name!r} was pressed, {reported!r} was reported; check keys"
        more = await presses.unexpected_event(QUIET_S)
        assert more is None, f"{bench.name}: nothing was pressed, and {more!r} was reported"
    return ", ".join(names)


async def check_lamp_colours(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port:
        for colour in (Lamp.GREEN, Lamp.BLUE, Lamp.YELLOW, Lamp.RED):
            await port.show(Light(colour))
            await bench.expect_observation("lamp", str(colour), f"is the lamp {colour} now?")
    await bench.expect_observation("lamp", str(Lamp.OFF), "is the lamp off now?")
    return "green, blue, yellow, red, and off after closing"


async def check_buzzer_tone(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port:
        await bench.expect_observation("buzzer", "silent", "is the buzzer silent?")
        await port.tone(TONE_HZ)
        await bench.expect_observation("buzzer", "sounds", "does the buzzer sound?")
    await bench.expect_observation("buzzer", "silent", "is the buzzer silent again?")
    return f"silent, {TONE_HZ} Hz, silent after closing"


async def check_mains_loss(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port, PortEvents(bench, port.supplies()) as supplies:
        first: Supply = await supplies.next_event("what the supply is", 5.0)
        assert first.mains, f"{bench.name}: the mains is there, and reported as lost; lost = {1 - _lost_level(bench)}?"
        await bench.request_action(Action.MAINS_OFF)
        try:
            gone: Supply = await supplies.next_event("the mains was taken away", bench.patience_s)
            assert not gone.mains, f"{bench.name}: the mains is gone, and reported as there"
        finally:
            await bench.request_action(Action.MAINS_ON)
        back: Supply = await supplies.next_event("the mains is back", bench.patience_s)
        assert back.mains, f"{bench.name}: the mains is back, and reported as lost"
    return "there, lost, back: each reported once"


def _lost_level(bench: DeviceUnderTest) -> int:
    return int(getattr(bench.settings, "lost", 0))


async def check_running_firmware(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port:
        now = await port.running()
    bench.record_figure("firmware", now.version or "not reported")
    assert not now.pending, (
        f"{bench.name}: the running system is not committed: a boot would fall back; commit it first"
    )
    return f"runs {now.version or 'a version it does not name'}" + (
        ", the last installation fell back" if now.fell_back else ""
    )


async def check_installation(bench: DeviceUnderTest) -> str:
    raise Skipped("it would replace the firmware: send firmware from the CSMS to a spare station instead")


CHECKS = (
    Check("buttons", "presses", check_each_button),
    Check("lamp", "colours", check_lamp_colours),
    Check("buzzer", "tone", check_buzzer_tone),
    Check("power", "mains", check_mains_loss),
    Check("updater", "running", check_running_firmware),
    Check("updater", "install", check_installation),
)

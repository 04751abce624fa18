"""Checks of what is small: buttons, lamp, buzzer, power-fail input, updater."""

from __future__ import annotations

from agent.model.types import Lamp, Light, Supply
from agent.ports.verify import Bench, Check, Deed, Left
from drivers.testkit.checks.common import Told

TONE_HZ = 2400
QUIET_S = 0.3


async def buttons(bench: Bench) -> str:
    """Each button that the station file names, once each, and the first one again."""
    names = list(getattr(bench.settings, "keys", {}))
    if not names:
        raise Left("the station file names no button")
    async with bench.direct() as port, Told(bench, port.presses()) as presses:
        for name in (*names, names[0]):
            await bench.hand(Deed.BUTTON, name)
            told = await presses.next(f"button {name!r} was pressed", bench.patience_s)
            assert told == name, f"{bench.name}: {name!r} was pressed, {told!r} was told; check keys"
        more = await presses.quiet(QUIET_S)
        assert more is None, f"{bench.name}: nothing was pressed, and {more!r} was told"
    return ", ".join(names)


async def lamp(bench: Bench) -> str:
    async with bench.direct() as port:
        for colour in (Lamp.GREEN, Lamp.BLUE, Lamp.YELLOW, Lamp.RED):
            await port.show(Light(colour))
            await bench.look("lamp", str(colour), f"is the lamp {colour} now?")
    await bench.look("lamp", str(Lamp.OFF), "is the lamp off now?")
    return "green, blue, yellow, red, and off when nobody is there"


async def buzzer(bench: Bench) -> str:
    async with bench.direct() as port:
        await bench.look("buzzer", "silent", "is the buzzer silent?")
        await port.tone(TONE_HZ)
        await bench.look("buzzer", "sounds", "does the buzzer sound?")
    await bench.look("buzzer", "silent", "is the buzzer silent again?")
    return f"silent, {TONE_HZ} Hz, silent when nobody is there"


async def power(bench: Bench) -> str:
    async with bench.direct() as port, Told(bench, port.supplies()) as supplies:
        first: Supply = await supplies.next("what the supply is", 5.0)
        assert first.mains, f"{bench.name}: the mains is there, and told as lost; lost = {1 - _lost(bench)}?"
        await bench.hand(Deed.MAINS_OFF)
        try:
            gone: Supply = await supplies.next("the mains was taken away", bench.patience_s)
            assert not gone.mains, f"{bench.name}: the mains is gone, and told as there"
        finally:
            await bench.hand(Deed.MAINS_ON)
        back: Supply = await supplies.next("the mains is back", bench.patience_s)
        assert back.mains, f"{bench.name}: the mains is back, and told as lost"
    return "there, lost, back: each told once"


def _lost(bench: Bench) -> int:
    return int(getattr(bench.settings, "lost", 0))


async def running(bench: Bench) -> str:
    async with bench.direct() as port:
        now = await port.running()
    bench.measured("firmware", now.version or "not said")
    assert not now.pending, (
        f"{bench.name}: the running system is not committed: a boot would fall back; commit it first"
    )
    return f"runs {now.version or 'a version it does not name'}" + (
        ", the last installation fell back" if now.fell_back else ""
    )


async def install(bench: Bench) -> str:
    raise Left("it would replace the firmware: send one from the back office to a station that may be lost")


CHECKS = (
    Check("buttons", "presses", buttons),
    Check("lamp", "colours", lamp),
    Check("buzzer", "tone", buzzer),
    Check("power", "mains", power),
    Check("updater", "running", running),
    Check("updater", "install", install),
)

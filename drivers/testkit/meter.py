"""The contract of every meter driver: ``check_meter`` for any driver and any far end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.model.types import Reading
from agent.ports import DeviceError, Garbled, Unreachable
from agent.ports.meter import MeterPort


@dataclass(frozen=True, slots=True)
class MeterWorld:
    """Hooks of a far end. A check without its hook is skipped.

    ``set_wh``: the lifetime register. ``silence``: answers stop (True) or start again (False).
    """

    set_wh: Callable[[int], Awaitable[None]] | None = None
    silence: Callable[[bool], Awaitable[None]] | None = None


async def check_meter(port: MeterPort, world: MeterWorld | None = None) -> None:
    """Raise ``AssertionError`` with the broken clause of ``MeterPort``. The register may grow by 2000 Wh."""
    world = world or MeterWorld()
    first = await port.read()
    _check_reading(first)
    second = await port.read_billing()
    _check_reading(second)
    assert second.energy_wh >= first.energy_wh, f"register went from {first.energy_wh} to {second.energy_wh} Wh"
    assert second.at >= first.at, "a later reading must not have an earlier stamp"
    assert port.identity.register_step_wh <= 10, "a billing register coarser than 10 Wh"
    if world.set_wh is not None:
        await _check_register(port, world.set_wh, second.energy_wh)
    if world.silence is not None:
        await _check_silence(port, world.silence)


def _check_reading(r: Reading) -> None:
    assert type(r.energy_wh) is int, f"energy_wh must be an int, is {type(r.energy_wh).__name__}"
    assert r.energy_wh >= 0, f"energy_wh is negative: {r.energy_wh}"
    assert r.export_wh is None or type(r.export_wh) is int, "export_wh must be an int"
    for name in ("voltage_v", "current_a", "power_phase_w"):
        assert len(getattr(r, name)) in (0, 1, 3), f"{name} must have none, one or three entries"


async def _check_register(port: MeterPort, set_wh: Callable[[int], Awaitable[None]], wh: int) -> None:
    for more in (1, 10, 1999, 2000):
        await set_wh(wh + more)
        step = port.identity.register_step_wh
        for read in (port.read, port.read_billing):
            seen = (await read()).energy_wh
            assert wh + more - step < seen <= wh + more, f"register {wh + more} Wh was read as {seen} Wh"
    await set_wh(wh)
    await _must_fail(port.read, Garbled, "a register that went backwards was believed")
    await set_wh(wh + 2000)
    await port.read()


async def _check_silence(port: MeterPort, silence: Callable[[bool], Awaitable[None]]) -> None:
    await silence(True)
    await _must_fail(port.read, Unreachable, "a silent meter gave a reading: was an old one returned as fresh?")
    await _must_fail(port.read_billing, Unreachable, "a silent meter gave a billing reading")
    await silence(False)
    await port.read_billing()


async def _must_fail(read: Callable[[], Awaitable[Reading]], error: type[DeviceError], complaint: str) -> None:
    try:
        await read()
    except error:
        return
    except DeviceError as e:
        raise AssertionError(f"{complaint}: {error.__name__} expected, {type(e).__name__} came: {e}") from e
    raise AssertionError(complaint)

"""The contract of every charge controller driver: ``check_evse`` for any driver and any far end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.model.board import EvseState, Pilot
from agent.model.types import Limit
from agent.ports import DeviceError, Refused, Unreachable
from agent.ports.evse import EvsePort

SOON_S = 2.0
_AGAIN_S = 0.05
_BEAT_S, _MISSED_BEATS = 2.0, 3
_SILENT_S = 10.0
"""After this time a silent board must have been noticed."""


@dataclass(frozen=True, slots=True)
class EvseWorld:
    """Hooks of a far end. A check without its hook is skipped.

    ``pilot``: a vehicle is absent (A), connected (B) or asks for energy (C). ``silence``: answers stop (True) or start
    again (False).
    """

    pilot: Callable[[Pilot], Awaitable[None]] | None = None
    silence: Callable[[bool], Awaitable[None]] | None = None


async def check_evse(
    port: EvsePort, world: EvseWorld | None = None, *, soon_s: float = SOON_S, service_s: float | None = None
) -> None:
    """Raise ``AssertionError`` with the broken clause of ``EvsePort``. The port must be freshly opened.

    ``soon_s``: how long a change may take until it shows; ``service_s``: how long the board may take to come back into
    service, without a value as long as any other change.
    """
    world = world or EvseWorld()
    await _check_first_picture(port, soon_s)
    await _check_limits(port)
    await port.beat()
    await port.clear_fault()
    async with _regular_beats(port):
        if world.pilot is not None:
            await _check_charging(port, world.pilot, soon_s)
        await _check_lock(port)
        await _check_service(port, soon_s if service_s is None else service_s)
    if world.silence is not None:
        await _check_silence(port, world.silence, _SILENT_S * soon_s / SOON_S)


@asynccontextmanager
async def _regular_beats(port: EvsePort) -> AsyncIterator[None]:
    """Beat as the agent does: a board that hears no beat may withdraw release, and a check may take longer than it
    waits. A beat that has begun is ended. The third miss in a row is an error."""
    ended = asyncio.Event()
    beats = asyncio.create_task(_send_beats(port, ended))
    try:
        yield
    except BaseException:
        ended.set()
        await asyncio.gather(beats, return_exceptions=True)  # the error of the checks is the one to report
        raise
    ended.set()
    await beats


async def _send_beats(port: EvsePort, ended: asyncio.Event) -> None:
    misses = 0
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEAT_S):
                await ended.wait()
        if ended.is_set():
            return
        try:
            await port.beat()
            misses = 0
        except DeviceError:
            misses += 1
            if misses == _MISSED_BEATS:
                raise


async def _check_first_picture(port: EvsePort, soon_s: float) -> None:
    assert (await port.state()).released is not True, "a driver must come up with release withdrawn"
    states = port.states()
    async with asyncio.timeout(soon_s):
        first = await anext(states)
    assert first.contactor is not True, "the contactor is closed without release"
    await _close_states(states)


async def _check_limits(port: EvsePort) -> None:
    if port.traits.dc:
        await _check_watts(port)
        return
    top = port.traits.max_a
    for wanted, expected in ((top, top), (top + 100, top), (port.traits.min_a, port.traits.min_a), (0.0, 0.0)):
        got = await port.set_limit(Limit(current_a=wanted))
        assert got == expected, f"a limit of {wanted} A was accepted as {got} A, expected {expected} A"
    got = await port.set_limit(Limit(current_a=port.traits.min_a - 0.1))
    assert got == 0, f"below the smallest current the vehicle must be paused, {got} A were offered"
    assert await port.set_limit(Limit()) > 0, "no bound of ours means the board's own maximum"


async def _check_watts(port: EvsePort) -> None:
    low, top = port.traits.min_w, port.traits.max_w
    assert 0 < low <= top, f"a DC board must report what it can give, it reports {low} to {top} W"
    least = 0.0 if port.traits.pausable else low
    for wanted, expected in ((top, top), (top + 1000, top), (low, low), (low - 1, least), (0.0, least)):
        got = await port.set_limit(Limit(power_w=wanted))
        assert got == expected, f"a limit of {wanted} W was accepted as {got} W, expected {expected} W"
    assert await port.set_limit(Limit(current_a=6.0)) == top, "amperes of an AC pilot limit no DC outlet"
    assert await port.set_limit(Limit()) == top, "no bound of ours means the board's own maximum"


async def _check_charging(port: EvsePort, pilot: Callable[[Pilot], Awaitable[None]], soon_s: float) -> None:
    states = port.states()
    await pilot(Pilot.C)
    asks = port.traits.tells_pilot
    seen = await _wait_for_state(
        states, lambda s: s.requests_energy or (s.vehicle_connected and not asks), "the vehicle asks for energy", soon_s
    )
    assert seen.contactor is not True, "the contactor is closed without release"
    await port.set_release(True)
    await port.set_release(True)
    await _wait_for_state(states, lambda s: s.released is True and s.contactor is not False, "release shows", soon_s)
    await _expect_refusal(port, "unlocked under load")
    await port.set_limit(Limit(current_a=0, power_w=0))
    await port.set_limit(Limit(current_a=port.traits.min_a, power_w=port.traits.min_w or None))
    await _poll_until(port, lambda s: s.released is True, "release comes back after a pause", soon_s)
    await port.set_release(False)
    await _wait_for_state(states, lambda s: s.released is False, "withdrawal shows", soon_s)
    await pilot(Pilot.A)
    await _wait_for_state(
        states, lambda s: s.pilot is Pilot.A and s.contactor is not True, "the vehicle has gone", soon_s
    )
    await _close_states(states)


async def _check_lock(port: EvsePort) -> None:
    if port.traits.tethered:
        await _expect_refusal(port, "unlocked a tethered outlet")
    elif port.traits.lockable:
        await port.set_hold(True)
        assert await port.unlock() is True, "the lock did not open although nothing hinders it"
    await port.set_hold(False)


async def _expect_refusal(port: EvsePort, complaint: str) -> None:
    try:
        await port.unlock()
    except Refused:
        return
    raise AssertionError(complaint)


async def _check_service(port: EvsePort, within_s: float) -> None:
    await port.set_service(False)
    await port.set_service(True)
    await _poll_until(port, lambda s: s.pilot is not Pilot.F, "back in service, the pilot leaves state F", within_s)


async def _check_silence(port: EvsePort, silence: Callable[[bool], Awaitable[None]], within_s: float) -> None:
    states = port.states()
    await anext(states)
    await silence(True)
    try:
        async with asyncio.timeout(within_s):
            async for _ in states:
                pass
    except Unreachable:
        pass
    except TimeoutError:
        raise AssertionError("a silent board did not end states() with Unreachable") from None
    else:
        raise AssertionError("states() ended without an error")
    await silence(False)
    async for first in port.states():
        assert first.released is not True, "release came back by itself after a silence"
        break


async def _wait_for_state(
    states: AsyncIterator[EvseState], true: Callable[[EvseState], bool], what: str, within_s: float
) -> EvseState:
    """Return the first state with the property. States may be skipped, never late."""
    last: EvseState | None = None
    try:
        async with asyncio.timeout(within_s):
            async for last in states:
                if true(last):
                    return last
    except TimeoutError:
        pass
    raise AssertionError(f"not seen within {within_s:g} s: {what}; last picture: {last}")


async def _poll_until(port: EvsePort, true: Callable[[EvseState], bool], what: str, within_s: float) -> None:
    """Poll until the property holds. The state may equal the last one that was reported."""
    state = await port.state()
    try:
        async with asyncio.timeout(within_s):
            while not true(state):
                await asyncio.sleep(_AGAIN_S)
                state = await port.state()
    except TimeoutError:
        raise AssertionError(f"not seen within {within_s:g} s: {what}; last look: {state}") from None


async def _close_states(states: AsyncIterator[EvseState]) -> None:
    close = getattr(states, "aclose", None)
    if close is not None:
        await close()

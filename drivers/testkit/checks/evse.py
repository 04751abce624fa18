"""Checks of a charge controller board.

Release is given only with the technician's consent. The device under test withdraws it on every way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agent.model.board import EvseState, Pilot
from agent.model.types import Limit
from agent.ports import DeviceError, Refused
from agent.ports.verify import Action, Check, DeviceUnderTest, FaultMode, Skipped
from drivers.testkit.checks.common import BACK_S, bus_checks, wait_state
from drivers.testkit.evse import EvseWorld, check_evse

LOOK_S = 0.5
"""The most age of a state."""
PWM_MOST_A, PWM_LEAST_A = 80.0, 6.0
"""IEC 61851-1, annex A: what a pilot can offer."""
SHOWS_S = 5.0
OPENS_S = 1.0
DC_OPENS_S = 20.0
"""A DC charger first ramps down (EVerest)."""
BEAT_S = 0.5
LATER_S = 2.0
SERVICE_S = 20.0
"""Some boards restart when they come back into service."""
FRESH_S = 30.0
"""A fresh count of connected seconds may exceed the real time by this."""


async def check_traits(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as board:
        t, s = board.traits, await board.state()
    bench.record_figure("max_a", t.max_a)
    offers = f"{t.min_w:g} to {t.max_w:g} W" if t.dc else f"{t.min_a:g} to {t.max_a:g} A"
    found = f"{offers}, {'fixed cable' if t.tethered else 'socket'}, pilot {s.pilot}"
    assert t.dc or PWM_LEAST_A <= t.min_a <= t.max_a <= PWM_MOST_A, (
        f"{bench.name}: {found}: no pilot can offer that (IEC 61851-1: 6 to 80 A); wrong scale or map"
    )
    assert not t.dc or 0 < t.min_w <= t.max_w, f"{bench.name}: {found}: set power_kw and least_w"
    assert s.pilot is not Pilot.UNKNOWN, f"{bench.name}: {found}: the map does not know this state of the board"
    assert s.released is not True, f"{bench.name}: release is given although the driver has just been opened"
    assert s.contactor is not True, f"{bench.name}: the contactor is closed without release"
    assert not s.faults, (
        f"{bench.name}: the board reports {', '.join(sorted(s.faults))}; mend that, or the map's error bits"
    )
    return found


async def check_contract(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as board:
        await check_evse(board, EvseWorld(), service_s=SERVICE_S)
    return "comes up withdrawn; limits, lock and service as the port demands"


async def check_vehicle(bench: DeviceUnderTest) -> str:
    """Check that events at the cable are seen, and that nothing closes without release."""
    async with bench.open_port() as board:
        await bench.request_action(Action.CAR_AWAY)
        await wait_state(bench, board, lambda s: s.pilot is Pilot.A, "the vehicle is away (A)", bench.patience_s)
        began_s = time.monotonic()
        await bench.request_action(Action.CAR_ASKS)
        seen: EvseState = await wait_state(
            bench, board, lambda s: s.vehicle_connected, "a vehicle is connected", bench.patience_s
        )
        since_s = time.monotonic() - began_s
        assert seen.contactor is not True, f"{bench.name}: the contactor is closed without release"
        assert seen.plugged_s is None or seen.plugged_s <= since_s + FRESH_S, (
            f"{bench.name}: connected for {seen.plugged_s:.0f} s by the board; it was {since_s:.0f} s: word order?"
        )
        if board.traits.lockable and seen.locked is not None:
            seen = await wait_state(bench, board, lambda s: s.locked is True, "the plug is locked", SHOWS_S)
        await bench.request_action(Action.CAR_AWAY)
        await _wait_for_departure(bench, board)
    return f"seen as {seen.pilot}, locked {seen.locked}, not closed; and gone again"


async def check_release(bench: DeviceUnderTest) -> str:
    """Check contactor, lock and offered current with release, and again without it."""
    async with _charging_vehicle(bench) as (board, closed, closed_s):
        state: EvseState = await board.state()
        wanted_a = board.traits.min_a
        await board.set_limit(Limit(current_a=wanted_a, power_w=board.traits.min_w or None))
        if state.offered_a is not None:
            await wait_state(bench, board, lambda s: s.offered_a == wanted_a, f"{wanted_a:g} A are offered", SHOWS_S)
        if board.traits.lockable and state.locked is not None:
            assert state.locked, f"{bench.name}: the contactor is closed and the plug is not locked"
        await _expect_unlock_refused(bench, board)
        began_s = time.monotonic()
        await board.set_release(False)
        opened = _contactor_surely_open if closed.contactor else _contactor_open
        await wait_state(bench, board, opened, "release is withdrawn and the contactor open", DC_OPENS_S)
        opened_s, most_s = time.monotonic() - began_s, DC_OPENS_S if board.traits.dc else OPENS_S
        bench.record_figure("contactor_open_s", opened_s)
        assert opened_s <= most_s, (
            f"{bench.name}: the contactor took {opened_s:.2f} s to open, {most_s:g} s are allowed"
        )
        await _expect_unlock(bench, board)
        await bench.request_action(Action.CAR_AWAY)
        await _wait_for_departure(bench, board)
    bench.record_figure("contactor_close_s", closed_s)
    return f"closed after {closed_s:.2f} s, opened {opened_s:.2f} s after release was withdrawn"


async def check_watchdog(bench: DeviceUnderTest) -> str:
    """Check that release ends by itself when the watchdog is not fed."""
    bench.require_consent()
    within_s = float(getattr(bench.settings, "watchdog_s", 10)) + LATER_S
    async with bench.open_through_proxy() as (board, shim):
        if not board.traits.fallback_stop:
            raise Skipped("this board reports that it does not stop by itself when the agent goes silent")
        await bench.request_action(Action.CAR_ASKS)
        await wait_state(bench, board, lambda s: s.vehicle_connected, "a vehicle is connected", bench.patience_s)
        await board.set_limit(Limit())
        await board.set_release(True)
        async with _watchdog_fed(board):
            await wait_state(bench, board, _contactor_closed, "the contactor is closed", _begins_s(bench, board))
        await shim.set_fault_mode(FaultMode.SILENT)
        bench.show_progress(f"watchdog: silent for {within_s:g} s")
        await asyncio.sleep(within_s)
        await shim.set_fault_mode(FaultMode.PASS)
        state = await _state_after_silence(board)
        # a board may show the old order again as soon as it is asked: what counts is that it had stopped
        assert state.contactor is False or state.released is not True, (
            f"{bench.name}: the agent was silent for {within_s:g} s, and charging goes on; is its watchdog armed?"
        )
        await board.set_release(False)
        await bench.request_action(Action.CAR_AWAY)
        await _wait_for_departure(bench, board)
    return f"it had stopped by itself after {within_s:g} s of silence"


async def _state_after_silence(board: Any) -> EvseState:
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                found: EvseState = await board.state()
            except DeviceError:
                await asyncio.sleep(0.05)
            else:
                return found


@asynccontextmanager
async def _watchdog_fed(board: Any) -> AsyncIterator[None]:
    """Feed the watchdog of the board inside the block."""

    async def send_beats() -> None:
        while True:
            with contextlib.suppress(DeviceError):
                await board.beat()
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(send_beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _charging_vehicle(bench: DeviceUnderTest) -> AsyncIterator[tuple[Any, EvseState, float]]:
    """Let a vehicle charge inside the block. Yields board, state of the closed contactor, and seconds until then."""
    bench.require_consent()
    async with bench.open_port() as board:
        await bench.request_action(Action.CAR_ASKS)
        await wait_state(bench, board, lambda s: s.vehicle_connected, "a vehicle is connected", bench.patience_s)
        await board.set_limit(Limit())
        began_s = time.monotonic()
        await board.set_release(True)
        async with _watchdog_fed(board):
            closed: EvseState = await wait_state(
                bench, board, _contactor_closed, "the contactor is closed", _begins_s(bench, board)
            )
            assert closed.released is not False, f"{bench.name}: release was given and does not show"
            yield board, closed, time.monotonic() - began_s


def _begins_s(bench: DeviceUnderTest, board: Any) -> float:
    return bench.patience_s + float(board.traits.begins_s)


def _contactor_closed(s: EvseState) -> bool:
    return s.contactor is True or (s.contactor is None and s.requests_energy and s.released is True)


def _contactor_open(s: EvseState) -> bool:
    return s.contactor is not True and not s.released


def _contactor_surely_open(s: EvseState) -> bool:
    return s.contactor is False and not s.released


async def _expect_unlock_refused(bench: DeviceUnderTest, board: Any) -> None:
    try:
        await board.unlock()
    except Refused:
        return
    raise AssertionError(f"{bench.name}: unlocked while the contactor is closed")


async def _expect_unlock(bench: DeviceUnderTest, board: Any) -> None:
    if board.traits.lockable and not board.traits.tethered:
        assert await board.unlock(), f"{bench.name}: the lock did not open; is the plug under tension?"


async def _wait_for_departure(bench: DeviceUnderTest, board: Any) -> None:
    await wait_state(bench, board, lambda s: s.pilot is Pilot.A and s.contactor is not True, "gone", bench.patience_s)


async def check_withdrawn(bench: DeviceUnderTest) -> str:
    """Check at the end that release is not given, whatever the other checks did."""
    async with bench.open_port() as board:
        s = await board.state()
    assert s.released is not True, f"{bench.name}: RELEASE IS GIVEN: switch the outlet off by hand"
    assert s.contactor is not True, f"{bench.name}: THE CONTACTOR IS CLOSED: switch the outlet off by hand"
    return "release is not given, the contactor is open"


def find_implausible(before: EvseState, now: EvseState) -> str:
    if now.pilot is not before.pilot:
        return f"pilot {before.pilot} became {now.pilot}"
    if now.released is True or now.contactor is True:
        return "released, or the contactor closed"
    return f"faults {', '.join(sorted(now.faults))}" if now.faults - before.faults else ""


async def _read_state(board: Any) -> EvseState:
    found: EvseState = await board.state()
    return found


CHECKS = (
    Check("evse", "traits", check_traits),
    Check("evse", "contract", check_contract),
    Check("evse", "vehicle", check_vehicle),
    Check("evse", "release", check_release),
    Check("evse", "watchdog", check_watchdog),
    *bus_checks("evse", _read_state, find_implausible, LOOK_S),
    Check("evse", "withdrawn", check_withdrawn),
)

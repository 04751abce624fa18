"""The fail-safe rules that a board driver has to keep, each by its number:

1 release is never persistent; 2 only a healthy core keeps a board alive (the driver's part); 3 the fallback is written
and read back; 9 a limit is confirmed, or release withdrawn if it was a reduction; 10 worn registers are spared.
What the core does about them: tests/services/test_keep.py and test_health.py; with processes: tests/faults."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.model.types import Limit
from agent.ports import DeviceError, Refused
from agent.ports.evse import EvsePort
from drivers.evse_modbus import DRIVER
from drivers.evse_modbus.settings import BoardSettings
from drivers.evse_modbus.write_wear import DAY_S, MOST_A_DAY, WriteWear
from drivers.sim.evse import Evse
from drivers.sim.modbus_slave import NetworkSlave
from drivers.sim.small_boards import Cc61x
from drivers.sim.world import World
from tests.drivers.modbus_far_ends import Asked, Part, TcpLine, silent
from tests.drivers.sim_stations import model, released
from tests.drivers.test_boards import ALL, state_with, world_of
from tests.drivers.test_evse_modbus import POINT, Charx, place, seen, settings, until
from tests.support.busy_machine import stretched


@pytest.fixture
def charx() -> Charx:
    return Charx()


@pytest.fixture
async def tcp(charx: Charx) -> AsyncIterator[TcpLine]:
    async with TcpLine(charx.bank) as line:
        yield line


@pytest.fixture
async def board(tcp: TcpLine) -> AsyncIterator[EvsePort]:
    async with DRIVER.open(settings(tcp), place()) as port:
        yield port


# --- 1: release is never persistent -----------------------------------------------------------------------------------


async def charging(world: World) -> Evse:
    """Released by another client before, and the vehicle takes what it gets."""
    world.plug_in_vehicle(1)
    evse = released(world)
    await until(lambda: evse.contactor.closed)
    return evse


@pytest.mark.parametrize("name", ALL)
async def test_1_a_driver_that_starts_withdraws_what_the_board_remembers(tmp_path: Path, name: str) -> None:
    async with world_of(tmp_path, name) as (world, opened):
        evse = await charging(world)
        async with opened() as board:
            assert (await board.state()).released is False
            await until(lambda: not evse.contactor.closed)


@pytest.mark.parametrize("name", ALL)
async def test_1_a_driver_that_ends_withdraws(tmp_path: Path, name: str) -> None:
    async with world_of(tmp_path, name) as (world, opened):
        async with opened() as board:
            world.plug_in_vehicle(1)
            await board.set_release(True)
            await state_with(board, released=True)
        await until(lambda: not world.evses[1].pwm and not world.evses[1].contactor.closed)


# --- 2: only a healthy core keeps a board alive -----------------------------------------------------------------------


async def test_2_a_core_without_proof_of_life_needs_no_good_look(board: EvsePort, charx: Charx) -> None:
    """The line loses what is asked, not what is ordered."""
    await board.set_release(True)
    board._beat_at -= 3600  # type: ignore[attr-defined]

    def blind(asked: Asked, good: bytes) -> list[Part]:
        return silent(asked, good) if asked.function == 3 else [(0, good)]

    charx.bank.script.extend([blind] * 20)
    with pytest.raises(DeviceError):
        await board._poll_state()  # type: ignore[attr-defined]
    assert charx.get(300) == 0


async def test_2_a_core_without_proof_of_life_loses_every_board(tmp_path: Path) -> None:
    """Polls go on all the while: on some boards they feed the watchdog, on others there is none."""
    folders = {name: tmp_path / name for name in ALL}
    for folder in folders.values():
        folder.mkdir()
    all_open = asyncio.Barrier(len(folders))
    watchdog_s = math.ceil(stretched(3))  # on a busy machine a beat takes seconds to all of them
    await asyncio.gather(*(_starve(folder, name, watchdog_s, all_open) for name, folder in folders.items()))


async def _starve(folder: Path, name: str, watchdog_s: int, all_open: asyncio.Barrier) -> None:
    slow = {"watchdog_s": watchdog_s, "poll_s": 0.2}  # polled more often, these boards leave their beats no time
    async with world_of(folder, name, **slow) as (world, opened), opened() as board:
        evse = world.evses[1]
        async with _meanwhile(seen(board.states(), lambda s: False, within_s=60)):
            world.plug_in_vehicle(1)
            async with _meanwhile(_beats(board)):
                await all_open.wait()  # on a busy machine one takes as long to open as the other's watchdog is patient
                await board.set_release(True)
                await state_with(board, contactor=True)
                fed = time.monotonic()
                while time.monotonic() - fed < watchdog_s + 1:
                    assert evse.contactor.closed, f"{name}: stops although the core lives"
                    await asyncio.sleep(0.1)
            starved = time.monotonic()
            await until(lambda: not evse.contactor.closed, within_s=watchdog_s + 7)
            assert time.monotonic() - starved > 1, f"{name}: stops before its time"


async def _beats(board: EvsePort) -> None:
    while True:
        await board.beat()
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- 3: what the board does without us --------------------------------------------------------------------------------


def keeps(charx: Charx, at: int, made: Callable[[int], int]) -> None:
    """The board acknowledges what is written there, and makes something else of it."""
    before = charx.bank.on_write

    def written(address: int, value: int) -> None:
        before(address, value)
        if address == POINT + at:
            charx.put(at, made(value))

    charx.bank.on_write = written


async def test_3_a_fallback_that_is_silently_raised_is_found_out(tcp: TcpLine, charx: Charx) -> None:
    charx.put(306, 10)
    keeps(charx, 306, lambda a: max(a, 6))
    async with DRIVER.open(settings(tcp), place()) as board:
        assert not board.traits.fallback_stop
        assert charx.get(306) == 6


@pytest.mark.parametrize("at", [306, 307])
async def test_3_a_board_that_cannot_be_armed_is_not_used(tcp: TcpLine, charx: Charx, at: int) -> None:
    charx.put(at, 9999)
    keeps(charx, at, lambda _: 9999)
    with pytest.raises(Refused, match="9999"):
        async with DRIVER.open(settings(tcp), place()):
            pass
    assert charx.get(300) == 0


async def test_3_a_board_that_falls_back_to_amperes_only_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = model(tmp_path)
    slave = NetworkSlave(Cc61x(world.evses[1], world._mains, least_fallback_a=6), unit=255)
    await slave.start()
    try:
        async with DRIVER.open(BoardSettings("bender_cc61x", port=slave.port, watchdog_s=3), place()) as board:
            assert not board.traits.fallback_stop
            assert "does not stop when the agent falls silent, it goes on with 6 A" in caplog.text
            assert world.evses[1].registers.fallback_a == 6
    finally:
        slave.close()


# --- 9: a limit is confirmed ------------------------------------------------------------------------------------------


async def test_9_a_reduction_that_is_not_taken_withdraws_release(board: EvsePort, charx: Charx) -> None:
    await board.set_release(True)
    keeps(charx, 301, lambda _: 32)
    with pytest.raises(Refused, match=r"limit of 16 A was not confirmed.*301.*has 32"):
        await board.set_limit(Limit(current_a=16))
    assert charx.get(300) == 0


async def test_9_a_reduction_that_is_refused_withdraws_release(board: EvsePort, charx: Charx) -> None:
    await board.set_release(True)
    charx.bank.locked = {POINT + 301}
    with pytest.raises(Refused):
        await board.set_limit(Limit(current_a=16))
    assert charx.get(300) == 0


async def test_9_a_reduction_that_is_not_answered_withdraws_release_within_two_seconds(
    tcp: TcpLine, charx: Charx
) -> None:
    """A board that thinks for longer than the agent waits: the order is given up, the withdrawal goes first."""

    def deaf_for_limits(asked: Asked, good: bytes) -> list[Part]:
        return silent(asked, good) if asked.address == POINT + 301 else [(0, good)]

    async with DRIVER.open(settings(tcp, timeout_s=1.5), place()) as board:
        await board.set_release(True)
        charx.bank.script.extend([deaf_for_limits] * 20)
        began = time.monotonic()
        with pytest.raises(DeviceError, match="not confirmed: not within 2 s"):
            await board.set_limit(Limit(current_a=16))
        assert time.monotonic() - began < 6
        assert charx.get(300) == 0
        charx.bank.script.clear()


async def test_9_a_rise_that_is_not_taken_is_an_error_and_no_danger(board: EvsePort, charx: Charx) -> None:
    await board.set_limit(Limit(current_a=10))
    await board.set_release(True)
    keeps(charx, 301, lambda _: 0)
    with pytest.raises(Refused):
        await board.set_limit(Limit(current_a=16))
    assert (300, 0) not in charx.writes[2:]


async def test_9_a_rise_beyond_what_was_set_withdraws_release(board: EvsePort, charx: Charx) -> None:
    await board.set_limit(Limit(current_a=10))
    await board.set_release(True)
    keeps(charx, 301, lambda _: 32)
    with pytest.raises(Refused, match="has 32"):
        await board.set_limit(Limit(current_a=16))
    assert charx.get(300) == 0


@pytest.mark.parametrize("how", ["kept", "locked"])
async def test_9_nothing_is_released_after_a_pause_at_a_limit_in_doubt(board: EvsePort, charx: Charx, how: str) -> None:
    """Neither by the end of the pause nor by an order of release after it: the board has another limit."""
    await board.set_release(True)
    await board.set_limit(Limit(current_a=0))
    charx.put(301, 32)  # a board that has no value for a pause keeps its previous value
    if how == "kept":
        keeps(charx, 301, lambda _: 32)
    else:
        charx.bank.locked = {POINT + 301}
    with pytest.raises(DeviceError):
        await board.set_limit(Limit(current_a=16))
    with contextlib.suppress(DeviceError):
        await board.set_release(True)
    assert charx.get(300) == 0
    charx.bank.locked = set()
    assert await board.set_limit(Limit(current_a=32)) == 32
    assert (charx.get(300), charx.get(301)) == (1, 32), "once it is confirmed, the one that waits is released"


async def test_9_after_a_rise_in_doubt_anything_less_is_a_reduction(board: EvsePort, charx: Charx) -> None:
    await board.set_limit(Limit(current_a=10))
    await board.set_release(True)
    charx.bank.script.extend([silent] * 2)
    with pytest.raises(DeviceError):
        await board.set_limit(Limit(current_a=32))
    assert (charx.get(300), charx.get(301)) == (1, 32), "it had heard us all the same"
    charx.bank.locked = {POINT + 301}
    with pytest.raises(Refused):
        await board.set_limit(Limit(current_a=16))
    assert charx.get(300) == 0


async def test_9_less_than_asked_for_is_what_it_is(board: EvsePort, charx: Charx) -> None:
    keeps(charx, 301, lambda a: min(a, 13))
    assert await board.set_limit(Limit(current_a=16)) == 13
    charx.writes.clear()
    await board.beat()
    assert charx.writes == [(301, 13)]


async def test_9_a_withdrawal_in_the_middle_is_no_broken_promise(tmp_path: Path) -> None:
    """Where the limit is the release, the register says 0 then, and stays so."""
    async with world_of(tmp_path, "bender_cc61x") as (world, opened), opened() as board:
        await board.set_release(True)
        orders = [board.set_limit(Limit(current_a=a)) for a in (16, 12, 8)]
        outcome = await asyncio.gather(*orders, board.set_release(False), return_exceptions=True)
        assert not [o for o in outcome if isinstance(o, Exception)]
        assert world.evses[1].registers.limit_a == 0
        assert not world.evses[1].registers.release


# --- 10: registers that wear out --------------------------------------------------------------------------------------


def test_10_ten_writes_a_day_and_no_more() -> None:
    wear, mine, other = WriteWear(), (("rtu", "/dev/ttyS1"), 1, 257), (("rtu", "/dev/ttyS1"), 1, 262)
    for i in range(MOST_A_DAY):
        wear.count_write(mine, 1000.0 + i)
    with pytest.raises(Refused, match="257 was written 10 times within a day"):
        wear.count_write(mine, 1000.0 + DAY_S - 1)
    wear.count_write(other, 1000.0)
    wear.count_write(mine, 1000.0 + DAY_S)
    with pytest.raises(Refused):
        wear.count_write(mine, 1000.0 + DAY_S)


async def test_10_a_withdrawal_is_never_refused(board: EvsePort, charx: Charx) -> None:
    """Whatever memory its register is in, and however often it was written."""
    worn = replace(board._map, kept=board._map.kept | {300})  # type: ignore[attr-defined]
    board._registers.map = worn  # type: ignore[attr-defined]
    with pytest.raises(Refused, match="300 was written 10 times"):
        for _ in range(MOST_A_DAY + 1):
            await board.set_release(True)
    assert charx.get(300) == 1
    await board.set_release(False)
    assert charx.get(300) == 0


async def test_10_a_board_that_forgets_is_given_up_rather_than_worn_out(tcp: TcpLine, charx: Charx) -> None:
    """Its watchdog is gone after every look. Opening it again does not restart the count."""
    answer = charx.bank.answer

    def forgetful(asked: Asked) -> bytes:
        said = answer(asked)
        if asked.count == 77:
            charx.put(307, 65535)
        return said

    charx.bank.answer = forgetful  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(Refused, match="307 was written 10 times"):
            async with DRIVER.open(settings(tcp, poll_s=0.01), place()) as board:
                await seen(board.states(), lambda s: False)
    assert len([w for w in charx.writes if w[0] == 307]) == MOST_A_DAY
    assert charx.get(300) == 0

"""Release that is withdrawn stays withdrawn, on a real wire to a simulated board."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.commands.verify.runner import device_rounds
from agent.domain.events import BoardOpened, Event, UnlockTried
from agent.domain.orders import SetLimit, SetRelease, Unlock
from agent.model.types import Limit
from agent.services.devices.board import BoardSupervisor
from agent.services.watchdog import LivenessSignal
from drivers.sim.board import ChargeController
from tests.drivers.sim_stations import until
from tests.verify.far_ends import BOARD, Spoilt, behind
from tests.verify.rig import street

RELEASE, UNLOCK = 300, 305
"""Of each charging point, whose registers begin at a thousand times its number."""


@asynccontextmanager
async def kept(folder: Path, written: list[tuple[int, int]]) -> AsyncIterator[tuple[Any, BoardSupervisor, list[Event]]]:
    """A street with one board, and its keeper; ``written``: what reaches the board's registers."""

    def noting(device: ChargeController) -> Spoilt:
        def write(address: int, values: list[int]) -> None:
            written.append((address % 1000, values[0]))
            device.write_registers(address, values)

        return Spoilt(device, None, write)

    async with street(folder, board=BOARD) as (world, file):
        behind(world, ChargeController, noting)
        [device] = [r.device for r in device_rounds(file, ["evse[1].board"])]
        events: list[Event] = []
        keeper = BoardSupervisor(1, "board", device.opening, events.append, LivenessSignal(0.5), lambda: (1, 0.0))
        task = asyncio.create_task(keeper.run())
        await until(lambda: any(isinstance(e, BoardOpened) for e in events), 10)
        keeper.before_event(next(e for e in events if isinstance(e, BoardOpened)))
        try:
            yield world, keeper, events
        finally:
            keeper.prepare_to_stop()
            task.cancel()
            await asyncio.wait([task])


async def test_a_session_that_ends_while_the_plug_is_being_freed(tmp_path: Path) -> None:
    written: list[tuple[int, int]] = []
    async with kept(tmp_path, written) as (world, keeper, events):
        keeper.accept_order(Unlock(1, "r"))
        await until(lambda: (UNLOCK, 1) in written, 10)
        keeper.accept_order(SetLimit(1, Limit(16.0)))
        keeper.accept_order(SetRelease(1, True))
        await until(lambda: not keeper._limit, 10)
        keeper.accept_order(SetRelease(1, False))
        await until(lambda: any(isinstance(e, UnlockTried) for e in events), 20)
        await until(lambda: not keeper.has_pending_orders, 10)
        assert (RELEASE, 1) not in written
        assert not world.evses[1].registers.release


async def test_what_another_master_releases_is_withdrawn(tmp_path: Path) -> None:
    written: list[tuple[int, int]] = []
    async with kept(tmp_path, written) as (world, _, events):
        for _ in range(3):
            world.evses[1].set_release(True)
            await until(lambda: not world.evses[1].registers.release, 10)
        shown = [e.state.released for e in events if hasattr(e, "state")]
        assert True in shown, "the domain sees it too"

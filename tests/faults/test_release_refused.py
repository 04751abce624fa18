"""A board that refuses release, on a real wire: the keeper asks a few times, says so, and leaves it alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.commands.verify.runner import device_rounds
from agent.domain.events import BoardOpened, Event, ReleaseRefused
from agent.domain.orders import SetLimit, SetRelease
from agent.model.types import Limit
from agent.services.devices import release
from agent.services.devices.board import BoardSupervisor
from agent.services.watchdog import LivenessSignal
from drivers.sim.board import ChargeController
from drivers.sim.modbus_slave import ILLEGAL_VALUE, ModbusException
from tests.drivers.sim_stations import until
from tests.verify.far_ends import BOARD, Spoilt, behind
from tests.verify.rig import street

RELEASE = 300
"""Of each charging point, whose registers begin at a thousand times its number."""


async def test_a_board_that_answers_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "AGAIN_S", 0.05)
    asked: list[int] = []

    def refusing(device: ChargeController) -> Spoilt:
        def write(address: int, values: list[int]) -> None:
            if address % 1000 == RELEASE and values[0]:
                asked.append(values[0])
                raise ModbusException(ILLEGAL_VALUE)
            device.write_registers(address, values)

        return Spoilt(device, None, write)

    async with street(tmp_path, board=BOARD) as (world, file):
        behind(world, ChargeController, refusing)
        [device] = [r.device for r in device_rounds(file, ["evse[1].board"])]
        events: list[Event] = []
        keeper = BoardSupervisor(1, "board", device.opening, events.append, LivenessSignal(0.5), lambda: (1, 0.0))
        task = asyncio.create_task(keeper.run())
        await until(lambda: any(isinstance(e, BoardOpened) for e in events), 10)
        keeper.before_event(next(e for e in events if isinstance(e, BoardOpened)))
        keeper.accept_order(SetLimit(1, Limit(16.0)))
        keeper.accept_order(SetRelease(1, True))
        await until(lambda: ReleaseRefused(1) in events, 10)
        tries = len(asked)
        await asyncio.sleep(0.2)  # four times as long as between two tries
        assert len(asked) == tries == release.ASKED_TIMES
        assert len([e for e in events if isinstance(e, BoardOpened)]) == 1
        assert world.evses[1].registers.release is False
        task.cancel()
        await asyncio.wait([task])

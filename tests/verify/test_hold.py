"""``verify`` on a payment terminal: what its check holds on a technician's card never stays there unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.commands.verify.runner import PASSED
from agent.model.types import EvseId
from agent.ports.verify import Action
from drivers.sim.terminal import Terminal
from drivers.sim.world import World
from drivers.testkit.checks import terminal as checks
from tests.drivers.sim_stations import until
from tests.verify.rig import WorldOperator, failures, street, verified

TABLES = {"terminal": {"driver": "terminal_payter"}}


class SlowBank(WorldOperator):
    """A card whose bank thinks for so long."""

    def __init__(self, world: World, bank_s: float) -> None:
        super().__init__(world)
        self.bank_s = bank_s

    async def perform_action(self, deed: Action, evse: EvseId, what: str) -> None:
        assert deed is Action.BANK_CARD
        far = terminal(self.world)
        far._start_task(
            far._send_command({"do": "card", "last4": "1234", "behaviour": "approve", "bank_s": self.bank_s})
        )


def terminal(world: World) -> Terminal:
    assert world.devices.far_ends is not None
    return world.devices.far_ends.terminals[0]


@asynccontextmanager
async def checked(folder: Path, bank_s: float) -> AsyncIterator[tuple[Terminal, asyncio.Task[Any]]]:
    """The check of the hold, running; the card is at the bank."""
    async with street(folder, **TABLES) as (world, file):
        far = terminal(world)
        await until(lambda: far.known, 30)
        task = asyncio.create_task(verified(file, SlowBank(world, bank_s), ["terminal"], names=("hold",)))
        await until(lambda: task.done() or far.picture["screen"][:1] == ["Asking the bank"], 20)
        yield far, task


async def test_ctrl_c_before_the_bank_has_answered(tmp_path: Path) -> None:
    async with checked(tmp_path, bank_s=1.5) as (far, task):
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        await until(lambda: far.ledger["voids"], 30)
        assert (len(far.ledger["voids"]), far.ledger["holds"], far.ledger["captures"]) == (1, [], [])


async def test_a_bank_that_never_answers_is_reported_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "BANK_S", 0.5)
    async with checked(tmp_path, bank_s=60) as (_, task):
        [failure] = failures(await task)
        assert "1.00 may still be held on the card: ask the operator of the terminals to release it" in failure


async def test_a_hold_whose_void_was_done_and_not_answered_is_given_back(tmp_path: Path) -> None:
    """Asked again there is no such hold any more, which is all that was wanted."""
    table = {"terminal": {**TABLES["terminal"], "settle_s": 1.0}}
    async with street(tmp_path, **table) as (world, file):
        far = terminal(world)
        await until(lambda: far.known, 30)
        await far._send_command({"do": "mischief", "item": {"what": "lose_reply", "code": 0x33}})
        (done,) = await verified(file, SlowBank(world, 0.1), ["terminal"], names=("hold",))
        assert [o.outcome for o in done.outcomes if o.check == "hold"] == [PASSED], failures((done,))
        assert (len(far.ledger["voids"]), far.ledger["holds"]) == (1, [])


async def test_a_bank_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    assert checks.BANK_S > 90  # as slow as the slowest card of the simulation
    async with checked(tmp_path, bank_s=1.0) as (far, task):
        (done,) = await task
        assert [o.outcome for o in done.outcomes if o.check == "hold"] == [PASSED]
        await until(lambda: far.ledger["voids"], 30)
        assert far.ledger["holds"] == []

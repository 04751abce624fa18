"""Every driver of ours passes the checks of ``chargy-agent verify`` against its far end; each mutant of that far end
fails them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.commands.verify.bench import Options
from agent.station_file.settings import StationFile
from drivers.sim.small_boards import SMALL_BOARDS
from drivers.sim.world import World
from tests.drivers.sim_stations import until
from tests.verify.far_ends import ROWS, SPOILT_TABLES, Mutant, Row
from tests.verify.rig import WorldOperator, failures, left, street, verified

MAY_BE_LEFT = {
    "reader_nfc": {"disconnect"},
    "updater_command": {"install"},
    "updater_rauc": {"install"},
    "lan_static": {"sim"},
    "evse_openevse": {"watchdog"},  # it has none that stops
    "meter_rest": {"units"},
}
READS = 40
FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"


@asynccontextmanager
async def at(row: Row, folder: Path, tables: Mapping[str, Any]) -> AsyncIterator[tuple[World, StationFile, Any]]:
    """The street, its station file, and the far end of the row."""
    if reason := row.why_not():
        pytest.skip(reason)
    if row.beside is None:
        async with street(folder, row.speed, **tables) as (world, file):
            for terminal in world.devices.far_ends.terminals.values():  # type: ignore[union-attr]
                await until(lambda t=terminal: t.known, 30)  # type: ignore[misc]
            yield world, file, world
        return
    async with row.beside() as far, street(folder, **tables, **far.tables) as (world, file):
        follower = asyncio.create_task(far.follow(world))
        await asyncio.sleep(0)  # it has begun
        yield world, file, far
        follower.cancel()


@pytest.mark.parametrize("driver", ROWS)
async def test_it_passes(driver: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = ROWS[driver]
    async with at(row, tmp_path, row.tables) as (world, file, _):
        hands = WorldOperator(world)
        hands.patience_s /= row.speed
        done = await verified(file, hands, [row.device], Options(True, row.references, READS, 3))
        assert [v.device.driver.name for v in done] == [driver.partition(",")[0]]
        assert failures(done) == []
        assert {name.split()[-1] for name in left(done)} == MAY_BE_LEFT.get(driver, set())
        assert world.evses[1].registers.release is False
        assert world.evses[1].contactor.closed is False
        assert [r.message for r in caplog.records if r.name == "agent.commands.verify.bench"] == [], "a false alarm"


MUTANTS = [(d, kind) for d, row in ROWS.items() for kind, m in row.mutants.items() if isinstance(m, Mutant)]


@pytest.mark.parametrize(("driver", "kind"), MUTANTS)
async def test_a_mutant_fails(driver: str, kind: str, tmp_path: Path) -> None:
    row = ROWS[driver]
    mutant = row.mutants[kind]
    assert isinstance(mutant, Mutant)
    tables: dict[str, Any] = {**row.tables, **SPOILT_TABLES.get((driver, kind), {})}
    async with at(row, tmp_path, tables) as (world, file, far):
        hands = WorldOperator(world)
        hands.patience_s = 2.0
        mutant.spoil(far)
        done = await verified(file, hands, [row.device], Options(True, row.references, 0, 3), mutant.caught_by)
        assert failures(done), f"{kind}: nothing was noticed; left out: {left(done)}"
        assert world.evses[1].registers.release is False


@pytest.mark.campaign
@pytest.mark.parametrize("driver", ["meter_modbus", "evse_modbus"])
async def test_memory_over_many_reads(driver: str, tmp_path: Path, record_property: Any) -> None:
    """Ten thousand reads through a production driver: what is held afterwards has not grown."""
    row = ROWS[driver]
    reads = 10_000 if FULL else 200
    [(role, table)] = [(k, v) for k, v in row.tables.items() if k in ("board", "meter")]
    tables = {**row.tables, role: {**table, "timeout_s": 1.0}}  # what traces memory is slow
    async with street(tmp_path, **tables) as (world, file):
        done = await verified(file, WorldOperator(world), [row.device], Options(True, {}, reads, 3), ["memory"])
        assert failures(done) == []
        record_property("reads", reads)
        record_property("growth octets", done[0].figures["memory_growth_bytes"])


@pytest.mark.campaign
@pytest.mark.parametrize("board", SMALL_BOARDS)
async def test_every_board_map(board: str, tmp_path: Path) -> None:
    """Every board that is data, on the kind of line that it has in life: all checks; ``make test`` makes the
    quick ones without release."""
    table = {"driver": "evse_modbus", "map": board, "watchdog_s": 2, "timeout_s": 0.3, "accept_no_watchdog": True}
    names = () if FULL else ("traits", "vehicle", "withdrawn")
    async with street(tmp_path, board=table) as (world, file):
        hands = WorldOperator(world)
        done = await verified(file, hands, ["evse.1.board"], Options(True, {}, READS, 3), names)
        assert failures(done) == []
        assert world.evses[1].contactor.closed is False

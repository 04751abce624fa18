"""A meter is one file, a board is one file and its far end. Both come from a package outside, are found by entry point,
are named in a station file, and pass every check of ``chargy-agent verify``. docs/porting.md shows the same step by
step, with a package that is installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commands.verify import runner
from agent.services.devices import configured
from drivers.sim import external_far_ends
from tests.verify.rig import QUICK, WorldOperator, failures, street, verified

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "tests.support.outside"
ENTRY_POINTS = f"""\
[{configured.GROUP}]
outside_meter = {PACKAGE}.meter:DRIVER
outside_board = {PACKAGE}.board:DRIVER
[{external_far_ends.GROUP}]
outside = {PACKAGE}.far_ends:FAR_ENDS
"""
NAMED = re.compile("outside_(meter|board)")
TABLES = {
    "board": {"driver": "outside_board", "watchdog_s": 2, "timeout_s": 0.4},
    "meter": {"driver": "outside_meter", "timeout_s": 0.4},
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "outside-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    configured._installed_drivers.cache_clear()
    yield
    configured._installed_drivers.cache_clear()


async def test_a_board_and_a_meter_from_outside_pass_every_check(tmp_path: Path) -> None:
    async with street(tmp_path, **TABLES) as (world, file):
        done = await verified(file, WorldOperator(world), ("evse.1.board", "evse.1.meter"), QUICK)
        assert [v.device.driver.name for v in done] == ["outside_board", "outside_meter"]
        assert failures(done) == []
        passed = {o.check for v in done for o in v.outcomes if o.outcome == runner.PASSED}
        assert {"release", "watchdog", "silence", "garbled", "reference", "counts"} <= passed


def test_nothing_of_ours_names_them() -> None:
    rooms = (ROOT / room for room in ("agent", "drivers", "config"))
    sources = [p for room in rooms for p in room.rglob("*") if p.suffix in (".py", ".toml")]
    assert sources
    assert [p for p in sources if NAMED.search(p.read_text("utf-8"))] == []

"""``pytest --station``: the same checks, as tests; the plugin is inert without the option."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.busy_machine import stretched
from tests.verify.rig import street

METER = {"driver": "meter_modbus", "line": "tcp", "timeout_s": 0.4}


async def pytest_in(folder: Path, *words: str, alone: bool = True) -> tuple[int, str]:
    """``alone``: without what else is installed, which costs a second of computing at each start."""
    mine = ("-p", "agent.commands.verify.pytest_plugin") if alone else ()
    argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-v", *mine, *words)
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if alone else dict(os.environ)
    pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    child = await asyncio.create_subprocess_exec(*argv, cwd=folder, env=env, stdout=pipe, stderr=both)
    out, _ = await asyncio.wait_for(child.communicate(), stretched(90))
    assert child.returncode is not None
    return child.returncode, out.decode()


async def test_each_check_is_a_test(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    async with street(tmp_path, meter=METER) as (world, _):
        file = tmp_path / "derived.toml"
        file.write_text(world.derived_station_file())
        words = ("--station", str(file), "--station-port", "evse.1.meter", "--station-reads", "10")
        code, out = await pytest_in(empty, *words, "--station-samples", "2")
        assert code == 0, out
        assert "evse[1].meter::units PASSED" in out
        assert "evse[1].meter::reference SKIPPED" in out
        assert "needs a reference value" in out
        world.set_meter_register(1, 5000)
        wrong = ("--station-reference", "evse.1.meter.energy_kwh=7.00")
        code, out = await pytest_in(empty, *words, *wrong, "--station-samples", "2", "-k", "reference")
        assert code == 1, out
        assert "the reference is 7.00 kWh: wrong register, scale or word order" in out
        assert "Traceback" not in out


async def test_without_the_option_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    code, out = await pytest_in(tmp_path, alone=False)
    assert code == 0, out
    assert "1 passed" in out


async def test_a_wrong_file_is_a_wrong_use(tmp_path: Path) -> None:
    code, out = await pytest_in(tmp_path, "--station", "nowhere.toml", alone=False)  # the entry point is there
    assert code == 4, out
    assert "nowhere.toml: cannot be read" in out

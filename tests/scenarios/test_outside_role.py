"""A device role from a package outside: ``tests/outside_role`` is on the path of the agent as pip would leave it, and
nothing of it is patched into the agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.assembly.devices import add_supervisors
from agent.domain.events import Event, FaultRaised
from agent.model.device_role import STATION_TABLE, DeviceRole
from agent.model.types import STATION as STATION_EVSE
from agent.model.types import Fault
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.indicators import BuzzerSupervisor
from agent.station_file.device_roles import ROLES
from tests.support.busy_machine import deadline

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "outside_role"
STATION = """
[station]
id = "CP-1"
state_dir = "state"
status_socket = "status.sock"
[[evse]]
number = 1
[[evse]]
number = 2
[sign]
driver = "sign_file"
path = "shown/sign.txt"
place = "entrance"
"""


def write_station(folder: Path, text: str = STATION) -> Path:
    (folder / "shown").mkdir(exist_ok=True)
    path = folder / "station.toml"
    path.write_text(text)
    return path


async def start_agent(*arguments: str, package: bool = True, **more: Any) -> asyncio.subprocess.Process:
    paths = [str(ROOT), *([str(PACKAGE)] if package else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "agent", *arguments, env=environment, **more)


async def command(*arguments: str, package: bool = True) -> tuple[int | None, str]:
    process = await start_agent(*arguments, package=package, stdout=-1, stderr=asyncio.subprocess.STDOUT)
    async with deadline(60):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


@asynccontextmanager
async def running(station: Path) -> AsyncIterator[None]:
    process = await start_agent("run", str(station))
    try:
        yield
        process.send_signal(signal.SIGTERM)
        async with deadline(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def until(condition: Callable[[], bool]) -> None:
    async with deadline(30):
        while not condition():
            await asyncio.sleep(0.02)


async def faults_until(station: Path, expected: bool) -> list[str]:
    async with deadline(60):
        while True:
            _, said = await command("faults", "list", str(station))
            if ("DeviceSilent" in said) is expected:
                return said.splitlines()


async def test_it_is_opened_and_given_its_orders_and_its_fault_is_shown(tmp_path: Path) -> None:
    station = write_station(tmp_path)
    sign = tmp_path / "shown" / "sign.txt"
    async with running(station):
        await until(lambda: sign.exists() and sign.read_text() == "1 red, 2 red")  # neither outlet has a board
        sign.parent.rename(tmp_path / "gone")  # at once: the agent writes into it all the time
        said = await faults_until(station, True)
        row = said.index("outlet 2: a device of a role that a package adds does not answer (DeviceSilent)")
        assert said[row + 1] == f"  sign: {sign}: No such file or directory"
        sign.parent.mkdir()
        await faults_until(station, False)
        await until(lambda: sign.exists() and sign.read_text() == "1 red, 2 red")


async def test_its_table_is_judged_like_any_other(tmp_path: Path) -> None:
    assert await command("check", str(write_station(tmp_path))) == (
        0,
        f"{tmp_path}/station.toml: good (2 EVSE, 0 backend)\n",
    )
    for wrong, said in (
        (STATION.replace("place", "palce"), "sign.palce: unknown key"),
        (STATION.replace('"sign_file"', '"lamp_leds"'), "sign.driver: 'lamp_leds' drives a lamp, not a sign"),
        (STATION.replace("[sign]", "[sing]"), "unknown table"),
        (STATION.replace("[sign]", "[evse.sign]"), "evse[2].sign: unknown key"),
    ):
        code, out = await command("check", str(write_station(tmp_path, wrong)))
        assert (code, said in out) == (2, True), out


async def test_it_is_probed_and_verified(tmp_path: Path) -> None:
    station = str(write_station(tmp_path))
    code, out = await command("probe", station, "--seconds", "0")
    assert (code, "a sign at sign.txt" in out) == (0, True), out
    code, out = await command("verify", station, "--no-hands", "--report", str(tmp_path / "report"))
    assert code == 0, out
    (page,) = (tmp_path / "report").glob("*.json")
    (device,) = json.loads(page.read_text())["devices"]
    assert [c["check"] for c in device["checks"]] == ["settings", "shows_text"]


async def test_without_the_package_its_table_is_unknown(tmp_path: Path) -> None:
    code, out = await command("check", str(write_station(tmp_path)), package=False)
    assert code == 2
    assert "[sign]: unknown table" in out or "sign: unknown table" in out


def write_entry_point(folder: Path, line: str) -> None:
    info = folder / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[chargy_agent.roles]\n{line}\n")


async def errors_of_check(folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder)))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "check", str(write_station(folder)), env=environment, stdout=-1, stderr=-1
    )
    async with deadline(60):
        _, errors = await process.communicate()
    assert process.returncode == 2
    return errors.decode()


async def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    write_entry_point(tmp_path, "sign = no_such_module:ROLE")
    assert "the role no_such_module:ROLE cannot be loaded" in await errors_of_check(tmp_path)


BROKEN_SUPERVISORS = {
    "absent": "",
    "not_importable": "raise RuntimeError('out of order')",
    "no_class": "SignSupervisor = 1",
    "no_supervisor": "class SignSupervisor: pass",
    "fails": """
from agent.services.devices.supervisor import DeviceSupervisor
class SignSupervisor(DeviceSupervisor):
    @classmethod
    def for_device(cls, *arguments):
        raise RuntimeError("out of order")
""",
    "other_orders": """
from agent.domain.orders import Restart
from agent.services.devices.supervisor import DeviceSupervisor
class SignSupervisor(DeviceSupervisor):
    orders = (Restart,)
""",
}


@pytest.mark.parametrize("name", BROKEN_SUPERVISORS)
async def test_a_station_runs_without_a_device_whose_supervisor_is_broken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its fault is raised, and the device beside it gets its supervisor."""
    module = f"broken_supervisor_{name}"
    (tmp_path / f"{module}.py").write_text(BROKEN_SUPERVISORS[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    sign = DeviceRole("sign", (STATION_TABLE,), port="", supervisor=f"{module}:SignSupervisor")
    events: list[Event] = []
    dispatch = OrderDispatch(events.append)
    services: Any = SimpleNamespace(post_event=events.append)
    devices: Any = [SimpleNamespace(evse=STATION_EVSE, name=n, opening=None, role=n) for n in ("sign", "buzzer")]
    add_supervisors(dispatch, devices, {**ROLES, "sign": sign}, services, (1, 2))
    left_out, buzzer = dispatch.supervisors
    assert isinstance(buzzer, BuzzerSupervisor)
    task = asyncio.create_task(left_out.run())
    await until(lambda: bool(events))
    task.cancel()
    assert events == [FaultRaised(STATION_EVSE, Fault.DEVICE_SILENT)]
    assert f"sign: {module}:SignSupervisor" in caplog.text
    assert f"{module}:SignSupervisor" in left_out.trouble


async def test_a_supervisor_that_cannot_be_used_is_named_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "broken_role.py").write_text(
        "from agent.model.device_role import STATION_TABLE, DeviceRole\n"
        "ROLE = DeviceRole('sign', (STATION_TABLE,), port='', supervisor='broken_role:NO_SUCH_NAME')\n"
    )
    write_entry_point(tmp_path, "sign = broken_role:ROLE")
    assert "sign: broken_role:NO_SUCH_NAME cannot be loaded (AttributeError" in await errors_of_check(tmp_path)


async def test_a_role_that_raises_any_error_is_named_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "broken_role.py").write_text("raise RuntimeError('out of order')")
    write_entry_point(tmp_path, "sign = broken_role:ROLE")
    assert "the role broken_role:ROLE cannot be loaded (RuntimeError: out of order)" in await errors_of_check(tmp_path)

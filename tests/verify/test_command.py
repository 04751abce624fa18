"""``chargy-agent verify`` as a person runs it: report, exit codes, consent, hands, every way out without release."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.commands.verify.bench import Options
from agent.commands.verify.operator import NoOperator
from agent.services.store.store import Store
from drivers.sim.world import World
from tests.drivers.sim_stations import until
from tests.support.busy_machine import stretched
from tests.verify.rig import WorldOperator, failures, left, street, verified

BOARD = {"driver": "evse_modbus", "watchdog_s": 2, "timeout_s": 0.4}
QUICK = ("--samples", "2", "--reads", "10")


@asynccontextmanager
async def written(folder: Path, **tables: Any) -> AsyncIterator[tuple[World, Path]]:
    async with street(folder, **tables) as (world, _):
        file = folder / "derived.toml"
        file.write_text(world.derived_station_file())
        yield world, file


async def started(*words: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    argv = (sys.executable, "-m", "agent", "verify", *words)
    return await asyncio.create_subprocess_exec(*argv, stdin=stdin, stdout=pipe, stderr=pipe)


async def said(child: asyncio.subprocess.Process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(child.communicate(), stretched(60))
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def test_a_report_for_people_and_one_for_machines(tmp_path: Path) -> None:
    backend = {"url": "ws://127.0.0.1:1", "password": "tr0ub4dor&3-secret"}
    async with written(tmp_path, board=BOARD, backend=backend) as (world, file):
        folder = tmp_path / "evidence"
        argv = ("--no-hands", "--port", "evse.1.board", "--report", str(folder), *QUICK)
        code, out, err = await said(await started(str(file), *argv))
        assert code == 3, out + err
        assert world.evses[1].registers.release is False
    [page_file], [text_file] = folder.glob("*.json"), folder.glob("*.txt")
    page = json.loads(page_file.read_text())
    assert text_file.read_text() == out
    assert "tr0ub4dor" not in page_file.read_text() + out + err
    [device] = page["devices"]
    assert (device["name"], device["driver"], device["package"]) == ("evse[1].board", "evse_modbus", "chargy-agent")
    assert device["figures"]["look_p95_ms"] > 0
    assert device["for_a_person"]
    assert page["program"].startswith("chargy-agent ")
    outcomes = {c["check"]: (c["outcome"], c["says"]) for c in device["checks"]}
    assert {c for c, (o, _) in outcomes.items() if o == "left out"} == {"vehicle", "release", "watchdog"}
    assert "--yes" in outcomes["release"][1]
    assert "needs an operator" in outcomes["vehicle"][1]
    assert outcomes["garbled"][0] == "passed"
    assert "evse[1].board: timing ..." in err, "progress"


async def test_release_is_not_given_without_a_yes(tmp_path: Path) -> None:
    """Hands are there, consent is not: the outlet stays dead the whole time."""
    ever: list[bool] = []
    async with street(tmp_path, board=BOARD) as (world, file):
        evse = world.evses[1]
        honest = evse.set_release
        evse.set_release = lambda on: (ever.append(on), honest(on))[1]  # type: ignore[method-assign]
        done = await verified(file, WorldOperator(world), ["evse[1].board"], Options(False, {}, 5, 2))
    assert failures(done) == []
    assert set(left(done)) == {"evse[1].board release", "evse[1].board watchdog"}
    assert ever
    assert not any(ever)


async def obey(child: asyncio.subprocess.Process, world: World, heard: list[str]) -> None:
    """A person who does what he is asked to, until there are no more questions."""
    assert child.stderr is not None
    async for raw in child.stderr:
        heard.append(raw.decode())
        if "please take the vehicle" in heard[-1] and world.evses[1].car is not None:
            world.unplug_vehicle(1, "ev")
        if "please connect a vehicle" in heard[-1] and world.evses[1].car is None:
            world.plug_in_vehicle(1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_end_in_the_middle_withdraws_release(tmp_path: Path, number: signal.Signals) -> None:
    """Also of a person who is impatient and presses twice."""
    board = BOARD | {"watchdog_s": 600}  # so that only verify itself withdraws it
    async with written(tmp_path, board=board) as (world, file):
        argv = (str(file), "--yes", "--port", "evse.1.board", *QUICK)
        child = await started(*argv, stdin=asyncio.subprocess.PIPE)
        person = asyncio.create_task(obey(child, world, heard := []))
        await until(lambda: world.evses[1].contactor.closed, 40)
        child.send_signal(number)
        await asyncio.sleep(0)
        child.send_signal(number)
        await until(lambda: not world.evses[1].registers.release, 10)
        assert await asyncio.wait_for(child.wait(), stretched(20)) == 130, "".join(heard)
        await person
        assert world.evses[1].registers.release is False
    assert any("release ..." in line for line in heard)
    assert "interrupted; release was withdrawn\n" in heard
    assert not any("Traceback" in line for line in heard)


async def test_a_technician_is_asked_and_has_to_write_the_word(tmp_path: Path) -> None:
    async with written(tmp_path, board=BOARD) as (world, file):
        child = await started(str(file), "--port", "evse.1.board", *QUICK, stdin=asyncio.subprocess.PIPE)
        person = asyncio.create_task(obey(child, world, heard := []))
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"y\n")
        out = (await asyncio.wait_for(child.stdout.read(), stretched(60))).decode()
        await person
        assert await child.wait() == 3, "".join(heard)
    assert any("THE OUTLET MAY BECOME LIVE" in line for line in heard)
    left_out = {line.split()[2] for line in out.splitlines() if line.strip().startswith("left out")}
    assert left_out == {"release", "watchdog"}
    assert "seen as B, locked True" in out, "the person lent a hand"


async def test_a_running_agent_is_not_disturbed(tmp_path: Path) -> None:
    async with written(tmp_path, board=BOARD) as (world, file):
        state = world.file.station.state_dir
        state.mkdir(parents=True, exist_ok=True)
        store = await Store.open(state / "agent.db")
        code, _, err = await said(await started(str(file), "--no-hands", *QUICK))
        await store.close()
    assert code == 2
    assert "stop the agent" in err


async def test_an_agent_on_the_same_wires_is_noticed(tmp_path: Path) -> None:
    """Another state folder, the same board: another process has a connection to it."""
    async with written(tmp_path, board=BOARD) as (world, file):
        assert world.devices.far_ends is not None
        port = world.devices.far_ends.tables.evses[1]["board"]["port"]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        code, _, err = await said(await started(str(file), "--no-hands", "--port", "evse.1.board"))
        writer.close()
    assert code == 2
    assert f"127.0.0.1:{port} is in use by" in err
    assert f"(process {os.getpid()})" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "evse.7.board"), "there are: evse[1].board"),
        (("--reference", "nonsense"), "must be DEVICE.KEY=VALUE"),
    ],
)
async def test_what_cannot_be_done_says_why(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    async with written(tmp_path, board=BOARD) as (_, file):
        code, _, err = await said(await started(str(file), "--no-hands", *words))
    assert code == 2
    assert says in err


async def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    """A device whose settings are wrong is not asked anything; one that does not answer says so once."""
    file = tmp_path / "station.toml"
    file.write_text(
        '[station]\nid = "X"\nstate_dir = "state"\n[[evse]]\nnumber = 1\n'
        'board = { driver = "evse_modbus", map = "charx_sec", port = 1, timeout_s = 0.1 }\n'
        'meter = { driver = "meter_modbus", map = "em340", line = "tcp", host = "127.0.0.1", port = 1 }\n'
    )
    code, out, err = await said(await started(str(file), "--no-hands", *QUICK))
    assert code == 1, err
    board, meter = out.split("evse[1].meter (")
    assert board.count("check address, port and network cable") <= 2, board
    assert "failed    contract     the same as traits" in board
    assert meter.count("did you mean 'carlo_gavazzi_em340'?") == 1
    assert meter.count("its settings are wrong (see above): correct them first") >= 8
    assert "failed" not in meter.split("failed    settings")[1].split("verdict")[0]


async def test_a_reference_from_the_command_line_is_compared(tmp_path: Path) -> None:
    meter = {"driver": "meter_modbus", "line": "tcp", "timeout_s": 0.4}
    simulation = {"evse": [{"number": 1, "meter_wh": 1_234_567}]}
    async with street(tmp_path, meter=meter, simulation=simulation) as (_, file):
        for reference, wrong in (("1234.57", []), ("1234,5", []), ("123.457", ["evse[1].meter reference"])):
            options = Options(False, {"evse.1.meter.energy_kwh": reference}, 0, 2)
            done = await verified(file, NoOperator(), ["evse.1.meter"], options, ["reference"])
            assert [f.partition(":")[0] for f in failures(done)] == wrong


async def test_a_driver_that_breaks_its_contract_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.meter_modbus.meter import ModbusMeter

    async def read(self: Any) -> Any:
        raise KeyError("energy")

    monkeypatch.setattr(ModbusMeter, "read", read)
    async with street(tmp_path, meter={"driver": "meter_modbus", "line": "tcp"}) as (_, file):
        done = await verified(file, NoOperator(), ["evse.1.meter"], Options(False, {}, 0, 2), ["units", "timing"])
    assert len(failures(done)) == 2
    assert "raised KeyError" in failures(done)[0]


async def test_what_is_kept_for_ever_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.meter_modbus.meter import ModbusMeter

    honest, kept = ModbusMeter.read, []

    async def read(self: Any) -> Any:
        kept.append(bytearray(4096))
        return await honest(self)

    monkeypatch.setattr(ModbusMeter, "read", read)
    async with street(tmp_path, meter={"driver": "meter_modbus", "line": "tcp"}) as (_, file):
        done = await verified(file, NoOperator(), ["evse.1.meter"], Options(False, {}, 40, 2), ["memory"])
    [failure] = failures(done)
    assert "memory leaks" in failure

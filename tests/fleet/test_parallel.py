"""``chargy-agent fleet --processes``: one report of several processes, an end in order, and a process that is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.commands.fleet.live_view import LineWriter
from agent.commands.fleet.parallel_run import FleetPart, PartReporter, usual_process_count
from agent.fleet.figures import CoursePoint, FleetFigures
from agent.fleet.situation import FleetSituation
from tests.fleet.bare_backend import open_bare_backend
from tests.fleet.test_fleet_command import PROFILE, ROOT, backend_arguments, run_command, write_profile
from tests.support.busy_machine import deadline

ENDLESS = PROFILE.replace("duration_s = 150", "duration_s = 600000")


def child_processes(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def running_command(
    *argv: str, start: Sequence[str] = ("-m", "agent")
) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, *start, "fleet", *argv, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def test_two_processes_make_one_report(tmp_path: Path) -> None:
    async with open_bare_backend() as backend:
        code, out, err = await run_command(
            "5", *backend_arguments(backend), "--profile", write_profile(tmp_path), "--processes", "2", "--json", "-",
            folder=tmp_path,
        )  # fmt: skip
    assert code == 0, out + err
    report = json.loads(out)
    assert {row["station"] for row in report["balances"]} == set(backend.accounts)
    assert len(report["balances"]) == 5
    assert report["books"]["agree"]
    assert report["books"]["transactions"] == backend.calls["StopTransaction"] > 0
    for action in ("BootNotification", "Authorize", "StartTransaction", "StopTransaction"):
        assert report["calls"][action]["count"] == backend.calls[action], action
    assert len(report["processes"]) == 2
    assert "of 5 on line" in err


async def test_a_run_that_ends_before_its_first_second_was_shown_shows_its_end(tmp_path: Path) -> None:
    never = "from agent.commands.fleet import parallel_run; parallel_run.SHOW_EVERY_S = 1e12"
    program = f"{never}; import sys; from agent.cli import main; sys.exit(main())"
    async with deadline(180), open_bare_backend() as backend:
        argv = ("2", *backend_arguments(backend), "--profile", write_profile(tmp_path), "--processes", "2")
        async with running_command(*argv, start=("-c", program)) as child:
            _, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    assert err.decode().count(" of 2 on line") == 1


def test_points_that_are_shown_together_leave_out_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    writer, figures = LineWriter(), FleetFigures()
    for points in (2, 8, 2, 20, 1, 7, 1):  # the course has then 2, 10, 12, 32, 33, 40 and 41 points
        figures.course += [CoursePoint(float(len(figures.course) + n), 1, 0, 0, 0, 0.0) for n in range(points)]
        writer.write_due_line(FleetSituation(1, "charging", figures))
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["1", "11", "31", "40"]


async def test_an_interrupt_ends_all_parts_in_order(tmp_path: Path) -> None:
    async with deadline(240), open_bare_backend() as backend:
        argv = (
            "4", *backend_arguments(backend), "--profile", write_profile(tmp_path, ENDLESS), "--processes", "2",
            "--json", "-", "--quiet",
        )  # fmt: skip
        async with running_command(*argv) as child:
            while len(backend.accounts) < 4 or backend.calls["StartTransaction"] < 4:
                await asyncio.sleep(0.02)
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    assert json.loads(out)["books"]["agree"]
    assert backend.calls["StartTransaction"] == backend.calls["StopTransaction"]


async def test_a_killed_process_fails_the_run_and_its_stations_are_named(tmp_path: Path) -> None:
    async with deadline(240), open_bare_backend() as backend:
        argv = (
            "4", *backend_arguments(backend), "--profile", write_profile(tmp_path, ENDLESS), "--processes", "2",
            "--json", "-", "--quiet",
        )  # fmt: skip
        async with running_command(*argv) as child:
            while len(backend.accounts) < 4:
                await asyncio.sleep(0.02)
            lost, _ = sorted(child_processes(child.pid))
            os.kill(lost, signal.SIGKILL)
            while is_running(lost):
                await asyncio.sleep(0.02)
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
    assert child.returncode == 1, err.decode()
    report = json.loads(out)
    assert re.search(r"the process of the stations FLEET-0000\d to FLEET-0000\d has ended with -9", report["notes"][0])
    assert "the books of 2 stations are missing" in report["failures"]
    assert len(report["balances"]) == 2
    assert all(row["agrees"] for row in report["balances"])


async def test_the_parts_end_with_the_process_that_waits_for_them(tmp_path: Path) -> None:
    async with deadline(240), open_bare_backend() as backend:
        argv = (
            "2", *backend_arguments(backend), "--profile", write_profile(tmp_path, ENDLESS), "--processes", "2",
            "--quiet",
        )  # fmt: skip
        async with running_command(*argv) as child:
            while len(backend.accounts) < 2:
                await asyncio.sleep(0.02)
            parts = child_processes(child.pid)
            child.kill()
            await child.wait()
            while any(is_running(part) for part in parts):
                await asyncio.sleep(0.02)
    assert len(parts) == 2


def situation_of(figures: FleetFigures) -> Any:
    """What a reporter reads of a run."""
    return SimpleNamespace(phase="charging", figures=figures)


async def test_a_report_has_only_what_has_come_to_the_course_since_the_one_before() -> None:
    """A run may take days, and there is a report each second."""
    mine, theirs = Pipe()
    to_part, of_part = Pipe()
    part = FleetPart(None, None, of_part)  # type: ignore[arg-type]  # neither plan nor process is used here
    reporter, figures, sizes = PartReporter(theirs), FleetFigures(), list[int]()
    async with deadline(60):
        for second in range(50):
            figures.course.append(CoursePoint(float(second), 1, 0, 0, 0, 0.0))
            reporter.report_situation(situation_of(figures))
            while not mine.poll():
                await asyncio.sleep(0.001)
            data = mine.recv_bytes()
            sizes.append(len(data))
            to_part.send_bytes(data)
            part.read_message()
            assert reporter._sending is not None
            await reporter._sending
    assert max(sizes) == min(sizes)
    assert part.report.figures.course == figures.course


async def test_a_process_that_does_not_read_holds_no_station() -> None:
    """Its pipe is full then. When it reads again, nothing of the course is missing."""
    mine, theirs = Pipe()
    part = FleetPart(None, None, mine)  # type: ignore[arg-type]  # neither plan nor process is used here
    reporter, figures = PartReporter(theirs), FleetFigures()
    figures.accepted_s = [float(n) for n in range(200_000)]  # more than a pipe holds
    async with deadline(60):
        for second in range(20):
            figures.course.append(CoursePoint(float(second), 1, 0, 0, 0, 0.0))
            reporter.report_situation(situation_of(figures))
            await asyncio.sleep(0)
        part.read_message()
        assert part.report.figures.course == figures.course[:1]
        assert reporter._sending is not None
        await reporter._sending
        reporter.report_situation(situation_of(figures))
        part.read_message()
    assert part.report.figures.course == figures.course


def is_running(pid: int) -> bool:
    """Whether a process works still. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_processes_and_a_scheduler_do_not_go_together(tmp_path: Path) -> None:
    code, _, err = await run_command(
        "4", "--backend", "ws://127.0.0.1:1", "--processes", "2", "--scheduler", "tcp://127.0.0.1:1", folder=tmp_path
    )
    assert code == 2
    assert "--processes: not with --scheduler" in err


async def test_what_cannot_be_done_is_said_once(tmp_path: Path) -> None:
    code, _, err = await run_command("4", "--backend", "http://127.0.0.1:1", "--processes", "2", folder=tmp_path)
    assert code == 2
    assert err.splitlines() == [
        "chargy-agent fleet: --backend: must begin with ws:// or wss://, is 'http://127.0.0.1:1'"
    ]
    file = tmp_path / "file"
    file.write_text("")
    argv = ("4", "--backend", "ws://127.0.0.1:1", "--processes", "2", "--store", str(file / "store"))
    code, _, err = await run_command(*argv, folder=tmp_path)
    assert code == 2
    assert err.strip().endswith("Not a directory")


def test_a_small_fleet_has_one_process() -> None:
    assert usual_process_count(1) == usual_process_count(999) == 1

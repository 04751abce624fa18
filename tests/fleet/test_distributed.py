"""A fleet at the workers of a Dask scheduler: one worker is killed, its stations go on at the other one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fleet.bare_backend import open_bare_backend
from tests.fleet.test_fleet_command import PROFILE, ROOT, backend_arguments, write_profile
from tests.support.busy_machine import deadline, stretched

pytest.importorskip("distributed")


@asynccontextmanager
async def running(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def worker(file: Path, name: str) -> tuple[str, ...]:
    folder = str(file.parent / name)
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", folder, "--name", name)
    return "distributed.cli.dask_worker", "--scheduler-file", str(file), *options


async def test_the_stations_of_a_killed_worker_go_on_at_another_one(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    profile = write_profile(tmp_path, PROFILE.replace("duration_s = 150", "duration_s = 900"))
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    async with (
        deadline(300),
        open_bare_backend() as backend,
        running(*scheduler, "--scheduler-file", str(file)),
        running(*worker(file, "one")) as one,
        running(*worker(file, "two")),
    ):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        await _wait_for_two_workers(address)
        argv = (
            "agent", "fleet", "6", *backend_arguments(backend), "--profile", profile, "--scheduler", address,
            "--store", str(tmp_path / "store"), "--json", "-", "--quiet",
        )  # fmt: skip
        async with running(*argv) as fleet:
            reading = asyncio.ensure_future(fleet.communicate())
            while backend.calls["StartTransaction"] < 6:
                await asyncio.sleep(0.02)
            one.send_signal(signal.SIGKILL)
            out, err = await reading
    report = json.loads(out)
    assert fleet.returncode == 0, (report["failures"], report["books"], err.decode()[-3000:])
    assert report["books"]["agree"]
    assert report["stations"]["count"] == 6
    assert {row["station"] for row in report["balances"]} == set(backend.accounts)
    notes = "\n".join(report["notes"])
    assert re.search(r"the worker tcp://\S+ was lost after \d+ s", notes)
    assert re.search(r"the stations FLEET-0000\d to FLEET-0000\d of tcp://\S+ went on at tcp://\S+", notes)
    for account in backend.accounts.values():
        ended_begins = [account.begins[number] for number in account.ended]
        assert all(begin in ended_begins for begin in account.begins.values()), "a session is lost"


async def _wait_for_two_workers(address: str) -> None:
    from distributed import Client

    def look() -> None:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=stretched(120))

    await asyncio.to_thread(look)

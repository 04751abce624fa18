"""A fleet that was killed goes on where it was: in the same process list, at another worker, or after a torn line."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

from agent.fleet.fleet_journal import FleetJournal, JournaledStore
from agent.fleet.simulated_outlet import SimulatedOutlet, Vehicle
from tests.fleet.bare_backend import BareBackend, open_bare_backend
from tests.fleet.stored_messages import ended_message, sampled_message, started_message
from tests.fleet.test_fleet_command import PROFILE, ROOT, backend_arguments, write_profile
from tests.fleet.test_volatile_store import LINK, BothStores, random_step, view_of_store
from tests.support.busy_machine import deadline


async def test_a_store_is_the_same_after_each_replay(tmp_path: Path) -> None:
    rng, written = random.Random(3), list[str]()
    store = JournaledStore(lambda entry: written.append(json.dumps(entry)))
    both = BothStores(store, store)
    for _ in range(80):
        await random_step(both, rng)
    again = JournaledStore(lambda entry: None)
    for line in written:
        await again.replay_entry(json.loads(line))
    assert await view_of_store(again) == await view_of_store(store)


async def test_a_torn_line_is_ignored_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    journal = FleetJournal(path)
    store = JournaledStore(journal.writer_of("S"))
    for message in (started_message("s1"), sampled_message("s1", 1), ended_message("s1")):
        await store.commit([], [(LINK, message)])
    journal.close()
    raw = path.read_bytes()
    path.write_bytes(raw[:-20])
    journal = FleetJournal(path)
    entries = journal.entries_of("S")
    assert journal.is_resumed
    assert len(entries) == 2
    journal.writer_of("S")({"do": "facts", "puts": []})
    journal.close()
    assert len(FleetJournal(path).entries_of("S")) == 3


async def test_an_outlet_goes_on_drawing_while_no_process_looks() -> None:
    now = [1000.0]
    written: list[dict[str, object]] = []
    outlet = SimulatedOutlet(lambda: now[0], 1.0, 5000.0)
    outlet.write_changes(written.append)
    outlet.plug_vehicle_in(Vehicle(max_a=16.0, energy_wh=8000.0), "04AA")
    outlet.set_release(True)
    record = dict(written[-1])
    record["utc_s"] = float(str(record["utc_s"])) - 1800  # half an hour ago
    other = SimulatedOutlet(lambda: now[0], 1.0, 1.0)
    other.restore_record(record)
    assert 5000 + 5520 <= other.read_register_wh() < 5000 + 5530
    assert other.begin_wh == 5000.0
    assert other.card == "04AA"
    assert other.state.locked
    assert not other.state.released, "the board is without release until the station gives it again"
    assert 1800 <= (other.plugged_time_s() or 0) < 1810
    record["utc_s"] = float(str(record["utc_s"])) - 7200
    other.restore_record(record)
    assert other.read_register_wh() == 13000.0, "the battery is full"


async def start_command(backend: BareBackend, folder: Path, duration_s: int) -> asyncio.subprocess.Process:
    profile = write_profile(folder, PROFILE.replace("duration_s = 150", f"duration_s = {duration_s}"))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "fleet", "4", *backend_arguments(backend), "--profile", profile, "--quiet",
        "--store", str(folder / "store"), "--json", "-", cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_a_killed_fleet_goes_on_and_no_session_is_lost(tmp_path: Path) -> None:
    async with open_bare_backend() as backend, deadline(240):
        child = await start_command(backend, tmp_path, 600_000)
        while backend.calls["StartTransaction"] <= backend.calls["StopTransaction"] + 1:
            await asyncio.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        await child.communicate()
        started = backend.calls["StartTransaction"]
        child = await start_command(backend, tmp_path, 60)
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()[-2000:]
    report = json.loads(out)
    assert report["books"]["agree"]
    assert report["notes"] == ["the stations FLEET-00001 to FLEET-00004 go on where an earlier process has stopped"]
    assert report["counts"]["visits of an earlier process"] > 0
    assert started > 1
    for account in backend.accounts.values():
        ended_begins = [account.begins[number] for number in account.ended]
        assert all(begin in ended_begins for begin in account.begins.values()), "a session is lost"
    billed_wh = sum(account.billed_wh for account in backend.accounts.values())
    assert abs(billed_wh - report["books"]["metered_wh"]) <= report["books"]["transactions"] + 4

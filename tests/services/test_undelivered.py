"""``chargy-agent undelivered``: everything that exists on this board alone is listed, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.assembly.undelivered_queries import answer_undelivered
from agent.ports.store import Put, readings_of
from agent.services.store.store import Store
from agent.services.store.undelivered import DEAD, OPEN, PAYMENT, QUEUED, UNREADABLE
from tests.services.test_store import ended, sampled, started
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
CARD = "04A1B2C3"


def station(folder: Path) -> Path:
    file = folder / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    return file


def command(file: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "undelivered", str(file)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60))


async def test_sessions_that_are_open_queued_and_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("session", "s1", {"evse": 1})], [("chargy", started(session="s1"))])
    await store.commit([], [("second", m(session="s2")) for m in (started, sampled, ended)])
    await store.dead_letter(await store.oldest_rows("second", 2), "refused")
    rows = [(r.what, r.link, r.name, r.count) for r in await store.list_undelivered()]
    assert rows == [
        (OPEN, "", "s1", 1), (QUEUED, "chargy", "s1", 1), (QUEUED, "second", "s2", 1), (DEAD, "second", "s2", 2),
    ]  # fmt: skip
    await store.close()


@pytest.mark.parametrize(
    ("state", "reviewed", "listed"),
    [
        ("Authorised", False, True), ("CommitPending", False, True), ("VoidPending", False, True),
        ("Uncertain", False, True), ("Uncertain", True, False), ("Committed", False, False), ("Voided", False, False),
    ],
)  # fmt: skip
async def test_payments_until_they_are_settled(tmp_path: Path, state: str, reviewed: bool, listed: bool) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("payment", "p1", {"state": state, "reviewed": reviewed})])
    assert [r.what for r in await store.list_undelivered()] == [PAYMENT] * listed
    await store.close()


@pytest.mark.parametrize(
    ("key", "listed"), [("session/s1", True), ("tx/s1", True), ("payment/p1", True), ("x", True), ("boot/3", False)]
)
async def test_damaged_records_that_may_hold_a_bill(tmp_path: Path, key: str, listed: bool) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("poisoned", key, {"record": "?", "why": "?"})])
    assert [r.what for r in await store.list_undelivered()] == [UNREADABLE] * listed
    await store.close()


async def test_what_is_not_billed_does_not_count(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("setting", "x", {"value": 1})], [(readings_of("chargy"), sampled(session=""))])
    assert await store.list_undelivered() == []
    said = await answer_undelivered(store, {"store": "/another/agent.db"})
    assert said.get("other"), "the agent of another station is no answer"
    await store.close()


async def test_the_command_beside_a_stopped_agent(tmp_path: Path) -> None:
    file, path = station(tmp_path), tmp_path / "state" / "agent.db"
    assert (command(file).returncode, path.exists()) == (2, False), "without a store it does not make one"
    store = await Store.open(path)
    await store.close()
    assert (command(file).returncode, command(file).stdout) == (0, f"{path}: nothing is undelivered\n")

    aside = path.with_suffix(".corrupt-1")
    aside.touch()
    said = command(file)
    assert said.returncode == 1
    assert "agent.corrupt-1" in said.stdout
    aside.unlink()

    store = await Store.open(path)
    await store.commit([], [("chargy", m(session="s1")) for m in (started, ended)])
    said = command(file)
    assert said.returncode == 2, "another process has the store, and does not answer"
    await store.close()
    said = command(file)
    assert said.returncode == 1
    row = said.stdout.splitlines()[1].split()
    assert row[:4] == ["queued", "chargy", "2", "s1"]
    assert CARD not in said.stdout


async def test_the_command_says_that_the_store_has_lost_its_content(tmp_path: Path) -> None:
    file, path = station(tmp_path), tmp_path / "state" / "agent.db"
    store = await Store.open(path)
    await store.commit([Put("boot", "7", {"id": "x"})], [("chargy", m(session="s1")) for m in (started, ended)])
    await store.close()
    path.write_bytes(b"")
    said = command(file)
    assert said.returncode == 1
    assert "the store: " in said.stdout
    assert "check the disk" in said.stdout

"""Dead letters: looked at, resent with what they need, dropped, bounded; by the command, with and without an agent."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.dead_letter_queries import answer_dead_letters
from agent.domain.messages import TransactionStarted
from agent.model.types import Stamp
from agent.ports.store import Put
from agent.services.store import dead_letters
from agent.services.store.store import Store
from tests.fleet.stored_messages import authorized_message
from tests.services.test_store import ended, sampled, started
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
CARD = "04A1B2C3"


async def buried(path: Path, *sessions: str, id_: str = "") -> Store:
    """A store with start, value and end of each session dead."""
    store = await Store.open(path)
    for session in sessions:
        puts = [Put("transaction", f"chargy/{session}", {"id": id_})] if id_ else []
        await store.commit(puts, [("chargy", m(session=session)) for m in (started, sampled, ended)])
    await store.dead_letter(await store.oldest_rows("chargy", -1), "NotSupported: no such thing")
    return store


def kinds(rows: Sequence[Any]) -> list[str]:
    return [type(r.message).__name__ for r in rows]


async def test_an_end_that_is_resent_takes_its_start_along(tmp_path: Path) -> None:
    store = await buried(tmp_path / "agent.db", "s1", "s2")
    all_ = [x.seq for x in await store.list_dead_letters()]
    assert await store.requeue_dead_letters([all_[2]]) == [all_[0], all_[2]]
    assert kinds(await store.oldest_rows("chargy", 9)) == ["TransactionStarted", "TransactionEnded"]
    assert store.queued_count("chargy") == 2
    assert await store.requeue_dead_letters([all_[2], 999]) == []
    await store.close()


@pytest.mark.parametrize(
    ("known", "goes_along"),
    [
        ({"refused": "1.6", "closed": True}, True),
        ({"refused": "1.6"}, True),
        ({"refused": "1.6", "ending": "2.0.1"}, False),
    ],
    ids=("taken", "refused", "maybe taken elsewhere"),
)
async def test_a_start_takes_the_end_along_that_was_sent_without_a_number(
    tmp_path: Path, known: dict[str, Any], goes_along: bool
) -> None:
    """Sent again alone it would be a transaction that nothing ends."""
    store = await buried(tmp_path / "agent.db", "s1", "s2")
    first, _, end, other, *_ = [x.seq for x in await store.list_dead_letters()]
    await store.put_facts([Put("transaction", "chargy/s1", {"id": "", **known})])
    assert await store.requeue_dead_letters([other]) == [other]
    assert await store.requeue_dead_letters([first]) == [first, end][: 1 + goes_along]
    await store.close()


async def buried_in_steps(path: Path, *sessions: str) -> Store:
    """A store with sessions whose start is the message that names the driver: all of each is dead."""
    store = await Store.open(path)
    for session in sessions:
        begin = TransactionStarted(session, 1, None, Stamp(1, 5.0), 1000)
        await store.commit([], [("chargy", m) for m in (begin, authorized_message(session), ended(session))])
    await store.dead_letter(await store.oldest_rows("chargy", -1), "refused")
    return store


@pytest.mark.parametrize("name", ["TransactionAuthorized", "TransactionAuthorised"])
async def test_the_message_that_names_the_driver_is_a_start(tmp_path: Path, name: str) -> None:
    """As this program writes it, and as earlier ones have."""
    await (await buried_in_steps(tmp_path / "agent.db", "s1", "s2")).close()
    with closing(sqlite3.connect(tmp_path / "agent.db")) as db, db:
        assert db.execute("UPDATE dead SET kind=? WHERE kind LIKE '%Author%'", (name,)).rowcount == 2
    store = await Store.open(tmp_path / "agent.db")
    begin, authorized, end, other_begin, other_authorized, other_end = [x.seq for x in await store.list_dead_letters()]
    assert await store.requeue_dead_letters([end]) == [begin, authorized, end]
    await store.put_facts([Put("transaction", "chargy/s2", {"id": "", "refused": "1.6"})])
    await store.drop_dead_letters([other_begin])
    assert await store.requeue_dead_letters([other_authorized]) == [other_authorized, other_end]
    await store.close()


async def test_the_message_that_names_the_driver_is_bounded_as_a_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dead_letters, "VALUES_MAX", 0)
    monkeypatch.setattr(dead_letters, "BILLS_MAX", 4)
    store = await buried_in_steps(tmp_path / "agent.db", "s1", "s2")
    assert [x.session for x in await store.list_dead_letters()] == ["s1", "s2", "s2", "s2"]
    assert "2 starts and ends of sessions are given up" in caplog.text
    await store.close()


async def test_a_session_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await buried(tmp_path / "agent.db", "s1", id_="42")
    seqs = [x.seq for x in await store.list_dead_letters()]
    await store.drop_dead_letters(seqs[:2])
    assert store.transaction_id("chargy", "s1", "1.6") == "42", "the end may still be resent"
    assert await store.drop_dead_letters(seqs) == seqs[2:]
    assert store.transaction_id("chargy", "s1", "1.6") is None
    assert "transaction" not in await store.read_facts()
    await store.close()


@pytest.mark.parametrize("open_", ["session", "tx"])
async def test_an_open_session_or_transaction_keeps_the_backends_id(tmp_path: Path, open_: str) -> None:
    store = await buried(tmp_path / "agent.db", "s1", id_="42")
    await store.commit([Put(open_, "s1", {"evse": 1})])
    await store.drop_dead_letters([x.seq for x in await store.list_dead_letters()])
    assert store.transaction_id("chargy", "s1", "1.6") == "42"
    await store.close()


async def test_the_list_is_bounded_and_a_bill_outlives_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dead_letters, "VALUES_MAX", 3)
    monkeypatch.setattr(dead_letters, "BILLS_MAX", 6)
    store = await buried(tmp_path / "agent.db", *(f"s{n}" for n in range(5)), id_="1")
    left = await store.list_dead_letters()
    assert [x.session for x in left if x.kind == "MeterSampled"] == ["s2", "s3", "s4"]
    assert [x.session for x in left if x.kind != "MeterSampled"] == ["s2", "s2", "s3", "s3", "s4", "s4"]
    assert "4 starts and ends of sessions are given up" in caplog.text
    assert store.transaction_id("chargy", "s0", "1.6") is None
    assert store.transaction_id("chargy", "s4", "1.6") == "1"
    await store.close()


# --- the command -----------------------------------------------------------------------------------------------------


def station(folder: Path) -> Path:
    file = folder / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    return file


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "dead", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60))


async def test_while_the_agent_is_stopped(tmp_path: Path) -> None:
    file = station(tmp_path)
    await (await buried(tmp_path / "state" / "agent.db", "s1", "s2")).close()
    said = command("list", file)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.count("NotSupported: no such thing") == 6
    seqs = [line.split()[0] for line in said.stdout.splitlines()[1:]]

    shown = command("show", file, seqs[0])
    assert json.loads(shown.stdout)["message"]["meter_wh"] == 1000
    assert CARD not in shown.stdout
    assert "…B2C3" in shown.stdout

    assert command("drop", file, seqs[3], "999").returncode == 1
    assert command("resend", file, seqs[2]).stdout.splitlines() == [
        f"{s}: in the queue again" for s in (seqs[0], seqs[2])
    ]
    store = await Store.open(tmp_path / "state" / "agent.db")
    assert kinds(await store.oldest_rows("chargy", 9)) == ["TransactionStarted", "TransactionEnded"]
    assert [str(x.seq) for x in await store.list_dead_letters()] == [seqs[1], seqs[4], seqs[5]]
    await store.close()
    assert command("resend", file, "--all").returncode == 0
    assert command("list", file).stdout == "no dead letters\n"


async def test_a_store_that_a_person_has_open_without_answering_is_left_alone(tmp_path: Path) -> None:
    store = await buried(tmp_path / "state" / "agent.db", "s1")
    said = command("drop", station(tmp_path), "--all")
    assert said.returncode == 2
    assert "another agent is running" in said.stderr
    assert len(await store.list_dead_letters()) == 3
    await store.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [(["resend"], "name the"), (["drop", "7", "--all"], "name the"), (["list"], "there is no store")],
)
def test_what_cannot_be_done_says_why_and_makes_no_store(tmp_path: Path, words: list[str], why: str) -> None:
    file = station(tmp_path)
    said = command(words[0], file, *words[1:])
    assert said.returncode == 2
    assert why in said.stderr
    assert not (tmp_path / "state").exists()


def test_the_help_teaches() -> None:
    said = command("--help").stdout
    for word in ("list", "show", "resend", "drop", "masked", "will not be billed", "--all"):
        assert word in said


async def test_a_number_that_no_letter_has_is_refused(tmp_path: Path) -> None:
    """Over the socket it ended the conversation with an error of ours."""
    store = await buried(tmp_path / "agent.db", "s1", id_="42")
    for seq in (2**70, -(2**70)):
        for do in ("drop", "resend", "list"):
            question = {"do": do, "seqs": [seq], "store": str(store.path.resolve())}
            assert "seqs" in (await answer_dead_letters(store, question)).get("error", "")
    assert len(await store.list_dead_letters()) > 0
    await store.close()

"""Each message of a session has a place in it, for ever: over restarts, refusals, dead letters and several links."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.messages import ConnectorUnplugged
from agent.model.fastclass import replace
from agent.model.types import Stamp
from agent.ports.store import Put
from agent.services.store.store import MIGRATIONS, Store
from agent.services.store.transaction_ids import PLACES_KEPT, RUNNING
from tests.services.test_store import ended, sampled, started

LINKS = ("chargy", "owner")
STEPS = st.lists(st.sampled_from(["tell", "tell", "tell", "send", "refuse", "bury", "restart", "end"]), max_size=40)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_numbers_are_continuous_over_everything(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    """Whatever happens, the n-th message that a session queued has the number n, and none is given twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.db"
        store = await Store.open(path)
        left: dict[tuple[str, str], list[int]] = defaultdict(list)
        session, queued = 0, 0
        for step in steps:
            if step == "restart":
                await store.close()
                store = await Store.open(path)
            elif step in ("tell", "end"):
                message = ended(f"s{session}") if step == "end" else sampled(session=f"s{session}")
                message = message if queued else started(f"s{session}")
                await store.commit([], [(link, message) for link in LINKS])
                queued += 1
                if step == "end" and queued > 1:
                    session, queued = session + 1, 0
            elif rows := await store.oldest_rows("chargy"):
                if step == "refuse":
                    await store.count_attempt(rows[0])
                    continue
                await (store.remove_delivered(rows[0]) if step == "send" else store.dead_letter(rows, "no"))
                left[rows[0].link, rows[0].session].append(rows[0].number)
        for link in LINKS:
            for row in await store.oldest_rows(link, -1):
                left[row.link, row.session].append(row.number)
            assert store.queued_count(link) == len(await store.oldest_rows(link, -1))
            assert await store.is_queued(link, f"s{session}") == bool(await store.rows_of_session(link, f"s{session}"))
        assert all(numbers == list(range(len(numbers))) for numbers in left.values()), left
        await store.close()


async def test_a_revived_letter_keeps_its_number(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db")
    await store.commit([], [("chargy", started("s")), ("chargy", sampled(session="s"))])
    rows = await store.oldest_rows("chargy", 2)
    await store.remove_delivered(rows[0])
    await store.dead_letter(rows[1:], "refused")
    await store.requeue_dead_letters([rows[1].seq])
    (row,) = await store.oldest_rows("chargy")
    assert row.number == 1
    assert await store.is_queued("chargy", "s")
    await store.close()


async def test_idle_values_have_no_number(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db")
    await store.commit([], [("chargy", sampled(session="")), ("chargy", sampled(session=""))])
    assert [r.number for r in await store.oldest_rows("chargy", 2)] == [0, 0]
    await store.close()


async def test_what_follows_the_end_takes_no_place_in_the_session(tmp_path: Path) -> None:
    """Nothing of the session is kept for it, and where the rest of the session is numbered from its start again, no
    place is left out."""
    store = await Store.open(tmp_path / "a.db")
    await store.commit([], [("chargy", message) for message in (started("s"), *[sampled(session="s")] * 2)])
    start, *samples = await store.oldest_rows("chargy", 3)
    for row in (start, *samples):
        await store.remove_delivered(row)
    followers = (ConnectorUnplugged("s", 1, Stamp(1, 9.0)), replace(sampled(session="s"), late=True))
    await store.commit([], [("chargy", message) for message in (ended("s"), *followers)])
    assert [row.number for row in await store.oldest_rows("chargy", 9)] == [3, 3, 3]
    await store.requeue_rows([start], [Put(RUNNING, "chargy/s", PLACES_KEPT)])
    assert [row.number for row in await store.oldest_rows("chargy", 9)] == [0, 1, 1, 1]
    await store.close()
    db = sqlite3.connect(tmp_path / "a.db")
    assert db.execute("SELECT * FROM numbers").fetchall() == []
    db.close()


async def test_a_queue_of_before_gets_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0] + MIGRATIONS[1] + "PRAGMA user_version=2;")
    for session in ("s1", "s2", "s1", ""):
        body = json.dumps({"$": "MeterSampled", "session": session, "evse": 1, "samples": []})
        insert = "INSERT INTO outbox(link, session, kind, body) VALUES('chargy', ?, 'MeterSampled', ?)"
        db.execute(insert, (session, body))
    db.commit()
    db.close()
    store = await Store.open(path)
    await store.commit([], [("chargy", sampled(session="s1"))])
    assert [(r.session, r.number) for r in await store.oldest_rows("chargy", 9)] == [
        ("s1", 0), ("s2", 0), ("s1", 1), ("", 0), ("s1", 2),
    ]  # fmt: skip
    await store.close()

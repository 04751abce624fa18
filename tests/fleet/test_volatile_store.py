"""The store in memory does what the store of a board does: both are given the same steps, drawn at random."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import TransactionEnded, TransactionStarted
from agent.fleet.volatile_store import DEAD_MAX, VolatileStore
from agent.model.fastclass import replace
from agent.ports.store import NOTES_MAX, OutboxRow, Put, notes_of
from agent.services.store.store import Store
from tests.fleet.stored_messages import (
    authorized_message,
    ended_message,
    note_message,
    sampled_message,
    started_message,
)

LINK = "chargy"
SESSIONS = ("s1", "s2", "s3")


class BothStores:
    """Gives each step to both stores and compares what can be seen."""

    def __init__(self, durable: Store | VolatileStore, volatile: VolatileStore) -> None:
        self._stores = durable, volatile

    async def do(self, method: str, *args: Any) -> None:
        for store in dict.fromkeys(self._stores):
            await getattr(store, method)(*args)
        await self.compare_views()

    async def compare_views(self) -> None:
        durable, volatile = [await view_of_store(store) for store in self._stores]
        assert durable == volatile

    async def rows(self) -> list[OutboxRow]:
        return await self._stores[0].oldest_rows(LINK, 1000)


async def view_of_store(store: Store | VolatileStore) -> dict[str, Any]:
    facts = store.read_facts()
    return {
        "rows": await store.oldest_rows(LINK, 1000),
        "later": await store.oldest_rows(LINK, 2, 3),
        "notes": await store.oldest_rows(notes_of(LINK), 1000),
        "counts": (store.queued_count(LINK), store.queued_count(notes_of(LINK))),
        "queued": [await store.is_queued(LINK, session) for session in SESSIONS],
        "of session": [await store.rows_of_session(LINK, session) for session in SESSIONS],
        "records": [dict(store.transaction_record(LINK, session)) for session in SESSIONS],
        "ids": [store.transaction_id(LINK, session, "1.6") for session in SESSIONS],
        "sessions": [store.session_of(LINK, f"t-{session}") for session in SESSIONS],
        "open": sorted(await store.open_sessions(LINK)),
        "facts": _without_own_kinds(await facts if not isinstance(facts, dict) else facts),
    }


def _without_own_kinds(facts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without what a store on a disk knows of itself."""
    return {kind: found for kind, found in facts.items() if kind not in ("meta", "boot")}


async def random_step(both: BothStores, rng: random.Random) -> None:
    """Draw one step."""
    session = rng.choice(SESSIONS)
    record = Put("transaction", f"{LINK}/{session}", {"id": f"t-{session}", "ids": {"1.6": f"t-{session}"}})
    rows = await both.rows()
    steps = "start", "authorized", "sample", "end", "note", "deliver", "deliver", "refuse", "attempt", "facts", "again"
    step = rng.choice(steps)
    if step == "start":
        puts = [Put("session", session, {"id": session})]
        await both.do("commit", puts, [(LINK, started_message(session))])
    elif step == "authorized":
        await both.do("commit", [], [(LINK, authorized_message(session))])
    elif step == "sample":
        await both.do("commit", [], [(LINK, sampled_message(session, rng.randrange(1000)))])
    elif step == "end":
        await both.do("commit", [Put("session", session, None)], [(LINK, ended_message(session))])
    elif step == "note":
        await both.do("commit", [], [(notes_of(LINK), note_message(rng.randrange(1000)))])
    elif step == "facts":
        await both.do("put_facts", [record])
    elif not rows:
        return
    elif step == "deliver":
        row = rows[0]
        facts = [record] if isinstance(row.message, TransactionStarted) and row.session == session else []
        await both.do("remove_delivered", row, facts)
    elif step == "refuse":
        row = rng.choice(rows)
        await both.do("dead_letter", [row], "refused", ())
    elif step == "attempt":
        await both.do("count_attempt", rng.choice(rows))
    else:
        await both.do("requeue_session", LINK, session, [])


@pytest.mark.parametrize("seed", range(12))
async def test_both_stores_agree_after_each_step(tmp_path: Path, seed: int) -> None:
    durable = await Store.open(tmp_path / "agent.db")
    both, rng = BothStores(durable, VolatileStore()), random.Random(seed)
    try:
        for _ in range(60):
            await random_step(both, rng)
    finally:
        await durable.close()


async def test_rows_that_have_left_are_queued_again_with_new_numbers(tmp_path: Path) -> None:
    durable = await Store.open(tmp_path / "agent.db")
    both = BothStores(durable, VolatileStore())
    try:
        for message in (started_message("s1"), sampled_message("s1", 1), sampled_message("s1", 2)):
            await both.do("commit", [], [(LINK, message)])
        first, second, _ = await both.rows()
        await both.do("remove_delivered", first, [])
        await both.do("dead_letter", [second], "refused")
        fact = Put("transaction", f"{LINK}/s1", {"id": "", "ids": {}})
        await both.do("requeue_rows", [replace(first, number=0)], [fact])
        await both.do("commit", [], [(LINK, ended_message("s1"))])
        assert [row.number for row in await both.rows()] == [0, 2, 3]
    finally:
        await durable.close()


async def test_the_oldest_notes_and_dead_letters_are_given_up() -> None:
    store = VolatileStore()
    for number in range(NOTES_MAX + 3):
        await store.commit([], [(notes_of(LINK), note_message(number))])
    assert store.queued_count(notes_of(LINK)) == NOTES_MAX
    for number in range(DEAD_MAX + 5):
        await store.commit([], [(LINK, sampled_message("s1", number))])
        await store.dead_letter(await store.oldest_rows(LINK), "refused")
    assert len(store.dead_letter_reasons()) == DEAD_MAX
    assert store.unpaid_count == 0, "no bill is made of samples"
    await store.commit([], [(LINK, started_message("s1"))])
    await store.dead_letter(await store.oldest_rows(LINK), "refused")
    assert store.unpaid_count == 1
    await store.requeue_session(LINK, "s1", [])
    assert store.unpaid_count == 0


async def test_an_end_that_is_delivered_forgets_its_session() -> None:
    store = VolatileStore()
    await store.commit([], [(LINK, started_message("s1")), (LINK, ended_message("s1"))])
    start, end = await store.oldest_rows(LINK, 2)
    assert isinstance(end.message, TransactionEnded)
    known = Put("transaction", f"{LINK}/s1", {"id": "7", "ids": {"1.6": "7"}})
    await store.remove_delivered(start, [known])
    assert store.transaction_id(LINK, "s1", "1.6") == "7"
    await store.remove_delivered(end)
    assert store.waiting_count == 0
    assert store.transaction_record(LINK, "s1") == {}
    assert store.session_of(LINK, "7") == "s1", "the cost of an ended session may still be reported"

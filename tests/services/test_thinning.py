"""A store that is full: what it gives up, in which order, and that it can always be emptied again."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from agent.domain.messages import ChargingState, TransactionUpdated, TriggerReason
from agent.domain.payment import UNKEPT, PayState
from agent.model.types import Stamp
from agent.ports.store import Put, StoreError
from agent.services.store import thinning
from agent.services.store.store import RESERVE_PAGES, Store
from tests.services.test_store import ended, sampled, started


def updated(session: str = "s1", n: int = 0) -> TransactionUpdated:
    reason = TriggerReason.CHARGING_STATE_CHANGED
    return TransactionUpdated(session, 1, Stamp(1, float(n)), reason, ChargingState.CHARGING)


async def fast(path: Path, max_mb: int = 1) -> Store:
    """The real store, without waiting for the disk."""
    store = await Store.open(path, max_mb)
    await store._file.run_in_thread(lambda: store._file.db.execute("PRAGMA synchronous=OFF"))
    return store


def kinds(store_rows: list) -> list[str]:
    return [type(r.message).__name__ for r in store_rows]


async def test_a_long_session_off_line_keeps_values_evenly_over_its_whole_length(tmp_path: Path) -> None:
    store = await fast(tmp_path / "agent.db")
    await store.commit([], [("chargy", started())])
    for n in range(0, 15_000, 50):
        await store.commit([], [("chargy", sampled(k)) for k in range(n, n + 50)])
    await store.commit([], [("chargy", ended())])
    rows = await store.oldest_rows("chargy", -1)
    assert (kinds(rows)[0], kinds(rows)[-1]) == ("TransactionStarted", "TransactionEnded")
    values = [r.number for r in rows[1:-1]]
    assert len(values) > 300  # a megabyte is not thrown away
    gaps = [b - a for a, b in itertools.pairwise(values)]
    old = gaps[: gaps.index(1)]
    assert len(set(old[1:-1])) == 1, "what was thinned has one distance, from the first hour on"
    assert set(gaps[len(old) :]) == {1}, "what has come since is all there"
    assert values[0] <= old[-1]
    assert store.queued_count("chargy") == len(rows)
    await store.close()


async def test_meter_values_go_first_then_changes_of_state_and_who_had_the_right_never(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    for n in range(40):
        await store.commit([], [("chargy", updated(n=n)), ("chargy", sampled(n))])
    before = kinds(await store.oldest_rows("chargy", -1)).count("TransactionUpdated")
    seen = []
    while await store._file.run_in_thread(store._file.thin_queue):
        now = kinds(await store.oldest_rows("chargy", -1))
        seen.append((now.count("MeterSampled"), now.count("TransactionUpdated")))
    values_last = next(i for i, (_, updates) in enumerate(seen) if updates < before)
    assert seen[values_last - 1][0] == seen[values_last][0] <= 1, "no change of state went while a value could go"
    assert seen[-1][1] == 1
    await store.close()


async def test_values_out_of_sessions_are_thinned_by_their_order(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", sampled(n, "")) for n in range(64)])
    await store._file.run_in_thread(store._file.thin_queue)
    assert store.queued_count("chargy") == pytest.approx(16, abs=1)
    await store.close()


@pytest.mark.parametrize("offset", [0, 1])
async def test_a_session_whose_values_all_have_odd_places_does_not_lose_all(tmp_path: Path, offset: int) -> None:
    store = await Store.open(tmp_path / "agent.db")
    first = [("chargy", started())] if offset else []
    await store.commit(
        [], [*first, *(m for n in range(30) for m in (("chargy", updated(n=n)), ("chargy", sampled(n))))]
    )
    await store._file.run_in_thread(store._file.thin_queue)
    assert kinds(await store.oldest_rows("chargy", -1)).count("MeterSampled") == pytest.approx(7, abs=2)
    await store.close()


async def full_of_bills(path: Path) -> tuple[Store, int]:
    """A store that takes nothing new any more, and how many sessions are in it; every tenth has no end yet."""
    store, n = await fast(path), 0
    try:
        for n in range(0, 100_000, 10):
            names = [f"s{k}" for k in range(n, n + 10)]
            await store.commit([Put("session", names[0], {"evse": 1})], [("chargy", started(name)) for name in names])
            await store.commit([], [("chargy", ended(name)) for name in names[1:]])
    except StoreError:
        pass
    with pytest.raises(StoreError, match="nothing is left in it that may go"):
        for k in range(1000):  # until the last corner is used
            await store.commit([], [("chargy", started(f"x{k}"))])
    return store, n


async def test_a_store_full_of_bills_still_takes_the_ends_of_what_runs(tmp_path: Path) -> None:
    store, n = await full_of_bills(tmp_path / "agent.db")
    running = [f"s{k}" for k in range(0, n, 10)]
    reason = {"evse": 1, "stop": {"reason": "Local"}, "samples": ["x" * 40] * 60}
    await store.commit([Put("session", running[0], reason)], [])  # before the register of the end is read
    for session in running:
        await store.commit([Put("session", session, None)], [("chargy", ended(session))])
    with pytest.raises(StoreError, match="full"):
        await store.commit([], [("chargy", started("y" * 2000))])
    await store.close()
    assert (tmp_path / "agent.db").stat().st_size <= (1 << 20) + RESERVE_PAGES * 4096


async def test_a_store_full_of_bills_still_takes_what_became_of_money(tmp_path: Path) -> None:
    """What was charged and is not written down is asked again after a restart, and it is no longer certain."""
    path, ids = tmp_path / "agent.db", [f"p{n}" for n in range(40)]
    store = await fast(path)
    await store.commit([Put("payment", id_, {"state": "Active"}) for id_ in ids])
    await store.close()
    store, _ = await full_of_bills(path)
    before = {PayState.AUTH_PENDING, PayState.AUTHORIZED, PayState.ACTIVE, PayState.DECLINED}
    stored_as_uncertain = {PayState.LEFT_TO_CSMS, PayState.WRITTEN_OFF}
    for state in set(PayState) - UNKEPT - before - stored_as_uncertain:
        for id_ in ids:
            await store.commit([Put("payment", id_, {"state": state.value, "usage": "x" * 900})])
    with pytest.raises(StoreError, match="full"):
        for n in range(100):
            await store.commit([Put("payment", f"new{n}", {"state": "AuthPending", "usage": "x" * 900})])
    await store.close()


async def test_a_store_full_of_bills_can_be_emptied(tmp_path: Path) -> None:
    """Delivering a start means to write down what the backend calls it: that must fit, or the queue stands for ever."""
    store, n = await full_of_bills(tmp_path / "agent.db")
    delivered = 0
    while rows := await store.oldest_rows("chargy", 50):
        for row in rows:
            known = [Put("transaction", f"chargy/{row.session}", {"id": f"{delivered:036d}"})]
            await store.remove_delivered(row, known if kinds([row]) == ["TransactionStarted"] else ())
            delivered += 1
    assert delivered >= n
    assert store.queued_count("chargy") == 0
    await store.commit([], [("chargy", started("new"))])
    await store.close()


async def test_a_store_full_of_bills_can_bury_them(tmp_path: Path) -> None:
    store, _ = await full_of_bills(tmp_path / "agent.db")
    rows = await store.oldest_rows("chargy", -1)
    for row in rows[:200]:
        await store.dead_letter([row], "refused five times " * 5)
    assert len(await store.list_dead_letters()) == 200
    await store.close()


async def test_dead_values_make_room_before_a_session_is_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", started()), *(("chargy", sampled(n)) for n in range(10)), ("chargy", ended())])
    await store.dead_letter(await store.oldest_rows("chargy", -1), "refused")
    assert await store._file.run_in_thread(lambda: thinning.thin_queue(store._file.db)) == 10
    assert [x.kind for x in await store.list_dead_letters()] == ["TransactionStarted", "TransactionEnded"]
    assert await store._file.run_in_thread(lambda: thinning.thin_queue(store._file.db)) == 0
    await store.close()

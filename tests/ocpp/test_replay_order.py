"""A backlog leaves in its order while the store is slow, refuses a removal, or gets dead letters back (decision 44)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import MeterSampled
from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.sample_removal import SampleRemoval
from agent.ports.store import OutboxRow, Put, StoreError
from agent.services.store.witness import Witness
from tests.ocpp.ocpp_stand_ins import IDENTITY, Central, Clock, Outbox, build, running, served, until
from tests.ocpp.test_crossing_rows import Station
from tests.ocpp.test_sample_merging import Recorder, ended, sampled, slow_room, started


class OneLaneOutbox(Outbox):
    """Reads and removals wait for each other and take time, as in the thread of the store. ``failures``: of the next
    removals."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.lane, self.failures = asyncio.Lock(), failures

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        await asyncio.sleep(0)  # a removal that has begun is before it
        async with self.lane:
            await asyncio.sleep(0.01)
            return await super().oldest_rows(link, count, after)

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        async with self.lane:
            await asyncio.sleep(0.01)
            if self.failures and isinstance(row.message, MeterSampled):
                self.failures -= 1
                raise StoreError("disk full: make room")
            await super().remove_delivered(row, facts)


# --- a removal in the background ----------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [0, 1])
async def test_what_is_read_during_a_removal_has_no_gap(failures: int) -> None:
    """The removal fails while the rows behind the known ones are read: the read must not become the whole queue."""
    outbox = OneLaneOutbox(failures)
    all_rows = [outbox.put(sampled(1000 + n)) for n in range(1, 101)]
    rows = QueueRows(RowContext("chargy", outbox, Clock(), Settings(), lambda: IDENTITY, (1,)), "chargy", 60.0)
    removal = SampleRemoval(outbox, rows, lambda row: None)
    await rows.fetch_rows()
    await rows.fetch_more_rows(64)
    await removal.begin_removal(replace(all_rows[0], followers=tuple(all_rows[1:30])))
    await asyncio.sleep(0)
    await rows.fetch_more_rows(64)
    await removal.wait_until_removed()
    assert [row.seq for row in rows.fetched] == ([] if failures else list(range(31, 95)))
    assert rows.is_pausing == bool(failures)


async def test_no_end_overtakes_its_start_when_a_removal_fails() -> None:
    outbox = OneLaneOutbox(1)
    before = [started("s1"), *(replace(sampled(1000 + n), authorized=n > 5) for n in range(1, 37)), ended("s1")]
    after = [started("s2", 2), *(sampled(2000 + n, "s2", 2) for n in range(26)), ended("s2", 2)]
    for message in (*before, *after, *(sampled(3000 + n, "s2", 2) for n in range(40))):
        outbox.put(message, message.session)
    async with served(Central()) as central:
        room = build(central, outbox=outbox)
        async with running(room, up=False):
            await until(lambda: not outbox.rows)
    assert (outbox.failures, outbox.dead) == (0, [])
    bills = [a for a in central.actions() if a in ("StartTransaction", "StopTransaction")]
    assert bills == ["StartTransaction", "StopTransaction"] * 2


async def test_a_start_waits_for_the_removal_of_the_samples_before_it() -> None:
    """A power cut between the two would send it twice: two transactions of one session."""
    async with served(Central()) as central:
        room, outbox = slow_room(central)
        outbox.put(started("s1"), "s1")
        async with running(room):
            await until(lambda: not outbox.rows)
            outbox.gate.clear()
            outbox.put(sampled(1001, "s1"), "s1")
            outbox.put(started("s2", 2), "s2")
            room.link.queue_changed()
            await until(lambda: outbox.removals == 2)
            await asyncio.sleep(0.1)
            sent_early = len(central.of("StartTransaction")) - 1
            outbox.gate.set()
            await until(lambda: not outbox.rows)
    assert (sent_early, len(central.of("StartTransaction"))) == (0, 2)


async def test_a_start_waits_when_the_removal_before_it_fails() -> None:
    async with served(Central()) as central:
        outbox = OneLaneOutbox()
        room = build(central, outbox=outbox)
        outbox.put(started("s1"), "s1")
        async with running(room):
            await until(lambda: not outbox.rows)
            outbox.failures = 3
            outbox.put(sampled(1001, "s1"), "s1")
            outbox.put(started("s2", 2), "s2")
            room.link.queue_changed()
            await until(lambda: not outbox.failures)
            sent_early = len(central.of("StartTransaction")) - 1
            await until(lambda: not outbox.rows)
    assert sent_early == 0
    assert (len(central.of("StartTransaction")), len(central.of("MeterValues"))) == (2, 1)


# --- dead letters that are resent -----------------------------------------------------------------------------------


@asynccontextmanager
async def station(path: Path, version: str = "2.0.1") -> AsyncIterator[Station]:
    s = Recorder(path / "agent.db", version)
    s.version = version
    await s.start()
    yield s
    await s.store.close()


async def send_all(s: Station) -> None:
    while await s.send("answered"):
        pass


def places(s: Station, session: str = "session-0") -> list[int]:
    return [e["seqNo"] for e in s.books.named[session]]


async def dead_letter_places(s: Station, *numbers: int) -> None:
    for row in await s.store.oldest_rows("chargy", 64):
        if row.number in numbers:
            s.billing.rows.fetched.clear()
            await s.billing.move_to_dead_letters(row, "refused")


@pytest.mark.parametrize("dead", [(1, 2, 3, 6), (0, 1, 2, 3, 6)])
async def test_letters_that_are_resent_after_the_end_keep_their_places(tmp_path: Path, dead: tuple[int, ...]) -> None:
    """The record of the session has gone with its end: nothing may be merged, or a place would be given twice."""
    async with station(tmp_path) as s:
        await s.do("card", *["sample"] * 7, "end")
        await dead_letter_places(s, *dead)
        await send_all(s)
        sent = len(places(s))
        letters = await s.store.list_dead_letters()
        assert [letter.number for letter in letters] == list(dead)
        await s.store.requeue_dead_letters([letter.seq for letter in letters])
        await send_all(s)
        assert places(s)[sent:] == list(dead)
        assert sorted(s.books.readings) == s.stored  # type: ignore[attr-defined]
        assert s.books.wrong == []
        assert (await s.store.read_facts()).get("transaction", {}) == {}
        assert s.store.transaction_record("chargy", "session-0") == {}


async def test_letters_that_are_resent_after_the_end_survive_a_kill(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        await s.do("card", *["sample"] * 7, "end")
        await dead_letter_places(s, 1, 2, 3, 6)
        await send_all(s)
        sent = len(places(s))
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        await s.do("kill")
        await send_all(s)
        assert places(s)[sent:] == [1, 2, 3, 6]


async def test_letters_that_are_resent_while_the_end_is_on_its_way_keep_their_places(tmp_path: Path) -> None:
    """The end takes the record of its session along, while rows of it wait again."""
    async with station(tmp_path) as s:
        await s.do("card", *["sample"] * 7, "end")
        await dead_letter_places(s, 1, 2, 3, 6)
        while s.store.queued_count("chargy") > 1:
            await s.send("answered")
        (end,) = await s.store.oldest_rows("chargy")
        sent = len(places(s))
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        await s.store.remove_delivered(end)
        s.billing.rows.fetched.clear()
        await send_all(s)
        assert places(s)[sent:] == [1, 2, 3, 6]
        assert (await s.store.read_facts()).get("transaction", {}) == {}


async def test_letters_of_a_store_that_was_put_back_are_not_merged(tmp_path: Path) -> None:
    """They would save places that the end, whose place lies behind them, takes once more."""
    async with station(tmp_path) as s:
        await s.do("card", "answered", *["sample"] * 20)
        before = s.store.transaction_record("chargy", "session-0")
        assert before["from"] == 0
        await s.store.close()
        witness = Witness(s.path)
        state = witness.read_last()
        assert state is not None
        witness.write_state(replace(state, commits=state.commits + 5, place=state.place + 5, heads={"chargy": 99}))
        witness.close()
        await s.start()
        letters = await s.store.list_dead_letters()
        assert len(letters) == 20
        assert s.store.transaction_record("chargy", "session-0") == {k: v for k, v in before.items() if k != "from"}
        sent = len(places(s))
        await s.store.requeue_dead_letters([letter.seq for letter in letters])
        await send_all(s)
        assert places(s)[sent:] == list(range(1, 21))
        await s.do("end")
        await send_all(s)
        assert places(s)[-1] > 20


async def test_a_letter_that_is_resent_in_a_backlog_leaves_before_the_rest_of_it(tmp_path: Path) -> None:
    """Otherwise the end of a session leaves before its start, which a person has resent."""
    async with station(tmp_path) as s:
        await s.do("card", "end")
        for row in await s.store.oldest_rows("chargy", 2):
            await s.store.dead_letter([row], "refused")
        await s.do("card", *["sample"] * 300)
        await s.send("answered")
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        await s.send("answered")
        await s.send("answered")
        assert [e["eventType"] for e in s.books.named["session-0"]] == ["Started", "Ended"]


# --- a message that is ignored ----------------------------------------------------------------------------------------


async def test_an_ignored_message_is_given_up_after_the_permitted_attempts(tmp_path: Path) -> None:
    """The backend answers others meanwhile: one repetition shows whether its first sample alone is ignored too."""
    async with station(tmp_path, "1.6") as s:
        await s.do("card", "answered", "sample", "answered", *["sample"] * 30, "end")
        s.wire.last_answer_s = time.monotonic() + 1e6
        attempts = s.settings.int_value("message_attempts")
        for _ in range(attempts + 1):
            await s.send("silent")
        (letter,) = await s.store.list_dead_letters()
        assert (letter.kind, s.store.queued_count("chargy")) == ("MeterSampled", 30)
        row: Any = await s.billing.next_row()
        assert row.followers

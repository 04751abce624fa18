"""The durable queues against a backend that answers, refuses, or says nothing, in every order: the bills keep theirs,
and what no bill is made of is sent a few times at most."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.messages import (
    FirmwareStatus,
    LogStatus,
    MeterSampled,
    Sample,
    SecurityHappened,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import MessageRow, ResponseEffects
from agent.ocpp.outbound.delivery import deliver_row
from agent.ocpp.outbound.durable_queues import DurableQueues
from agent.ocpp.outbound.notification_queue import NOTICE_ATTEMPTS
from agent.ocpp.transport.call_channel import ConnectionLost, NoAnswer, action_key
from agent.ocpp.v16 import V16
from agent.ocpp.wire.calls import NOT_OFFERED
from agent.ports.store import OutboxRow, notes_of, readings_of
from agent.services.store.store import Store
from tests.ocpp.ocpp_stand_ins import Clock, Outbox, desk
from tests.support.busy_machine import deadline

T0 = Stamp(1, 0.0)
FATES = ("taken", "InternalError", "NotSupported", "silent", "gone", "late")
MESSAGES = ("session", "event", "firmware", "log", "reading")


class Backend:
    """The place of ``call_channel.CallChannel``: what becomes of the next CALL. ``later``: what is answered after its
    time-out."""

    def __init__(self, desk_: Any) -> None:
        self.fate, self.refusal_code, self.last_answer_s = "taken", "", 0.0
        self.unknown_actions: set[tuple[str, bool]] = set()
        self.sent: list[OutboxRow] = []
        self.ended: Counter[int] = Counter()
        """How often each row was answered with a word that is final for what no bill is made of."""
        self.later: list[tuple[OutboxRow, ResponseEffects]] = []
        self._ctx, self._numbers = desk_, 0

    async def send_call(self, out: MessageRow, row: OutboxRow, payload: dict[str, Any]) -> ResponseEffects | None:
        assert action_key(out, row) not in self.unknown_actions or row.link == "chargy"
        self.sent.append(row)
        self.refusal_code = self.fate if self.fate in ("InternalError", "NotSupported") else ""
        if self.refusal_code in NOT_OFFERED:
            self.unknown_actions.add(action_key(out, row))
        if self.fate == "gone":
            raise ConnectionLost
        if self.fate == "silent":
            raise NoAnswer
        if self.fate != "late":
            self.last_answer_s = time.monotonic()
        if self.refusal_code:
            self.ended[row.seq] += 1
            return None
        self._numbers += 1
        answer = {"transactionId": self._numbers, "idTagInfo": {"status": "Accepted"}}
        heard = out.decode_response(row.message, answer if out.action == "StartTransaction" else {}, self._ctx)
        if self.fate == "late":
            self.later.append((row, heard))
            raise NoAnswer
        self.ended[row.seq] += 1
        return heard


def put(outbox: Outbox, what: str, n: int) -> None:
    if what == "session":
        end = TransactionEnded(f"s{n}", 1, None, T0, n, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
        outbox.put(TransactionStarted(f"s{n}", 1, Token("04A1B2C3"), T0, n), f"s{n}")
        outbox.put(end, f"s{n}")
    elif what == "reading":
        sample = Sample(ReadingContext.CLOCK, Reading(T0, n), ("Energy.Active.Import.Register",))
        outbox.put(MeterSampled("", 1, (sample,)), "", readings_of("chargy"))
    else:
        made = {
            "event": SecurityHappened("FirmwareUpdated", T0, str(n)),
            "firmware": FirmwareStatus("Downloading", n, True),
            "log": LogStatus("Uploading", n, extended=True),
        }[what]
        outbox.put(made, "", notes_of("chargy"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(MESSAGES), st.tuples(st.sampled_from(FATES), st.booleans())), max_size=40))
def test_every_row_leaves_and_no_bill_is_lost(steps: list[Any]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[Any]) -> None:
    outbox = Outbox()
    place = desk(outbox)
    place.clock = Clock(1e12)  # no pause is a pause
    place.settings.put_value("message_attempts", 1000)
    queues, backend = DurableQueues(place, 0.0), Backend(place)
    queues.connection_opened(V16)

    async def step(fate: str) -> bool:
        backend.fate = fate
        if (found := await queues.next_row()) is None:
            return False
        row, queue = found
        assert queue.rows.queue == row.link
        if row.link == readings_of("chargy"):
            assert not queues.transactions.waiting_count or queues.transactions.is_pausing
        try:
            await deliver_row(row, queue, V16, backend, lambda event: None)  # type: ignore[arg-type]
        except ConnectionLost:
            queues.connection_opened(V16)
        return True

    for n, wanted in enumerate(steps):
        if isinstance(wanted, str):
            put(outbox, wanted, n)
        else:
            await step(wanted[0])
            if wanted[1] and backend.later:
                row, heard = backend.later.pop(0)
                queues.take_late_answer(row, heard)
    put_in = outbox._seq
    for _ in range(20 * put_in + 20):
        await step("taken")
    assert outbox.rows == []
    assert outbox.dead == []
    _judge(backend)


def _judge(backend: Backend) -> None:
    billed = [row.seq for row in backend.sent if row.link == "chargy"]
    assert billed == sorted(billed)
    others = [row for row in backend.sent if row.link != "chargy"]
    silences = Counter(row.seq for row in others)
    assert all(count <= backend.ended[seq] + NOTICE_ATTEMPTS + GONE_MOST for seq, count in silences.items())
    assert all(backend.ended[row.seq] <= 1 for row in others)
    for kind in {type(row.message) for row in others}:
        seqs = [row.seq for row in others if type(row.message) is kind]
        assert seqs == sorted(seqs)


GONE_MOST = 40
"""A connection that was lost is no attempt: as many as there are steps."""


@contextlib.asynccontextmanager
async def stored_start(folder: Path) -> AsyncIterator[tuple[DurableQueues, Backend]]:
    """The queues of a real store that has the start of a session, and its backend."""
    store = await Store.open(folder / "agent.db")
    try:
        await store.commit([], [("chargy", TransactionStarted("s1", 1, Token("04A1B2C3"), T0, 5))])
        place = replace(desk(), outbox=store, clock=Clock(1e12))
        queues = DurableQueues(place, 0.0)
        queues.connection_opened(V16)
        yield queues, Backend(place)
    finally:
        await store.close()


async def next_due_row(queues: DurableQueues) -> tuple[OutboxRow, Any]:
    async with deadline(10):
        while (found := await queues.next_row()) is None:
            await asyncio.sleep(0.01)
    return found


def act_before_sending(queue: Any, action: Callable[[], object]) -> None:
    """Let the action have the turn of the event loop between the encoding and the sending of a row."""
    record_sending = queue.record_sending

    async def record_and_act(row: OutboxRow) -> bool:
        recorded = await record_sending(row)
        asyncio.get_running_loop().call_soon(action)
        return bool(recorded)

    queue.record_sending = record_and_act


async def test_an_answer_that_comes_just_before_the_repetition_is_the_answer(tmp_path: Path) -> None:
    """The start went once more, for which a central system of 1.6 may open a second transaction."""
    async with stored_start(tmp_path) as (queues, backend):
        backend.fate = "late"
        row, queue = await next_due_row(queues)
        await deliver_row(row, queue, V16, backend, lambda event: None)  # type: ignore[arg-type]
        late_row, heard = backend.later.pop()
        act_before_sending(queue, lambda: queues.take_late_answer(late_row, heard))
        backend.fate = "taken"
        row, queue = await next_due_row(queues)
        await deliver_row(row, queue, V16, backend, lambda event: None)  # type: ignore[arg-type]
        assert len(backend.sent) == 1
        assert await queues.next_row() is None
        assert queues.transactions.waiting_count == 0


async def test_a_connection_that_ends_just_before_the_sending_is_noted(tmp_path: Path) -> None:
    async with stored_start(tmp_path) as (queues, backend):
        row, queue = await next_due_row(queues)
        interrupted: list[OutboxRow] = []
        queue.sending_interrupted = lambda row, answered_s: interrupted.append(row)
        delivery = asyncio.create_task(deliver_row(row, queue, V16, backend, lambda event: None))  # type: ignore[arg-type]
        act_before_sending(queue, delivery.cancel)
        await asyncio.wait([delivery])
        assert delivery.cancelled()
        assert interrupted == [row]
        assert backend.sent == []

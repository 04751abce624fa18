"""Answers to billed messages that are dead letters by now. They are stored before the next message
is sent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from agent.domain.events import Event
from agent.domain.messages import is_first_with_token
from agent.ocpp.dialects.dialect import ResponseEffects, RowContext
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.received_answers import LATE_KEPT
from agent.ocpp.outbound.version_handover import VersionHandover, VersionInUse
from agent.ports.store import OutboxRow


class DeadLetterAnswers:
    def __init__(self, ctx: RowContext, rows: QueueRows, handover: VersionHandover) -> None:
        self._ctx, self._rows, self._handover = ctx, rows, handover
        self._letters: OrderedDict[int, OutboxRow] = OrderedDict()
        self._unstored: tuple[tuple[OutboxRow, ResponseEffects], ...] = ()

    @property
    def is_store_behind(self) -> bool:
        return bool(self._unstored)

    def unstored_effects(self) -> Iterator[ResponseEffects]:
        """Yield the effects of the answers that the store has not accepted, the latest first."""
        return (effects for _, effects in reversed(self._unstored))

    def letter_added(self, row: OutboxRow, late: ResponseEffects | None) -> None:
        """Remember a row that has become a dead letter. ``late``: its answer came while it was
        moved there."""
        self._letters[row.seq] = row
        self.take_answer(row.seq, late)
        while len(self._letters) > LATE_KEPT:
            self._letters.popitem(last=False)

    def letter_requeued(self, row: OutboxRow) -> None:
        self._letters.pop(row.seq, None)

    def take_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...] | None:
        """Take the late answer to a dead letter and return the events to report at once; None if
        the row is no dead letter. A refusal brings nothing."""
        if seq not in self._letters:
            return None
        if effects is None:
            return ()
        self._unstored += ((self._letters[seq], effects),)
        return effects.events

    async def store_answers(self, in_use: VersionInUse) -> bool:
        """Store the answers; return False if the store has not accepted all of them. A start that
        got its number after all is no dead letter: to resend it would begin a second
        transaction."""
        outbox = self._ctx.outbox
        for row, effects in self._unstored:
            if not await self._rows.try_store(outbox.put_facts(self._handover.facts_of_late_answers((effects,)))):
                return False
            has_number = (
                in_use.backend_assigns_ids and effects.version == in_use.name and is_first_with_token(row.message)
            )
            if has_number and not await self._rows.try_store(outbox.requeue_rows([row])):
                return False
            self._unstored = self._unstored[1:]
            self._rows.fetched.clear()
        return True

"""Billed messages that are given up become dead letters: alone, or with all of their session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.version_handover import VersionHandover, VersionInUse
from agent.ports.store import OutboxRow, StoreError

log = logging.getLogger("agent.ocpp")


class GivenUpRows:
    """``rows_gone(row, count)``: so many rows have become dead letters, this one is the first.
    ``letters_added``: they are dead letters now."""

    def __init__(
        self,
        ctx: RowContext,
        rows: QueueRows,
        handover: VersionHandover,
        rows_gone: Callable[[OutboxRow, int], None],
        letters_added: Callable[[Sequence[OutboxRow]], None],
    ) -> None:
        self._link, self._outbox = ctx.link, ctx.outbox
        self._rows, self._handover = rows, handover
        self._rows_gone, self._letters_added = rows_gone, letters_added

    async def give_up_refused(self, row: OutboxRow, reason: str, no: bool, in_use: VersionInUse) -> None:
        """Move a refused row to the dead letters, with the rest of its session unless that was
        done before. The queue goes on."""
        is_start = self._handover.is_unnumbered_start(row, in_use)
        if not is_start or self._handover.is_start_required(row, in_use.name):
            await self.move_to_dead_letters(row, reason, in_use, no)
            return
        log.error(
            "%s: the start of session %s is a dead letter: %s; the rest is sent without a number",
            self._link, row.session, ascii(reason)[1:-1][:200],
        )  # fmt: skip
        facts = self._handover.facts_of_refused_start(row, in_use.name)
        if await self._rows.try_store(self._outbox.dead_letter([row], reason, facts)):
            self._rows_gone(row, 1)
            self._rows.fetched.clear()
            self._letters_added([row])

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, in_use: VersionInUse, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Move the row to the dead letters; the start of a session with all rows of it.
        ``elsewhere``: only until another version is used, which may be able to express it."""
        rows: Sequence[OutboxRow] = [row]
        if self._handover.is_unnumbered_start(row, in_use):
            try:
                rows = await self._outbox.rows_of_session(self._link, row.session) or rows
            except StoreError as e:
                self._rows.pause_for_store(str(e))
                return
        reason = self._handover.dead_letter_reason(rows, reason, no, in_use.dialect_name if elsewhere else "")
        log.error(
            "%s: %d billed message(s) moved to the dead letters: %s",
            self._link, len(rows), ascii(reason)[1:-1][:200],
        )  # fmt: skip
        facts = self._handover.facts_of_dead_letters(rows, in_use, elsewhere)
        letters = [self._handover.with_wire_number(r) for r in rows]
        if await self._rows.try_store(self._outbox.dead_letter(letters, reason, facts)):
            self._rows_gone(row, len(rows))
            self._letters_added(rows)

"""The opening of a session waits in the queue again when the backend uses a version that lacks it
(decision 8)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.domain.messages import TransactionEnded
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.row_encoder import RowEncoder
from agent.ocpp.outbound.version_handover import VersionHandover, VersionInUse
from agent.ports.store import OutboxRow, Put, StoreError

log = logging.getLogger("agent.ocpp")


class OpeningRequeue:
    def __init__(self, ctx: RowContext, rows: QueueRows, encoder: RowEncoder, handover: VersionHandover) -> None:
        self._link, self._outbox, self._settings = ctx.link, ctx.outbox, ctx.settings
        self._rows, self._encoder, self._handover = rows, encoder, handover

    async def requeue_sessions(self, in_use: VersionInUse) -> None:
        """Requeue what the present version must know first: the openings of running sessions,
        and ends that this version may have received and may receive again. Raises
        ``StoreError``."""
        for session, facts in self._handover.resolved_doubts(in_use).items():
            await self._outbox.requeue_session(self._link, session, facts)
        for rows in await self._handover.unsent_openings(in_use.name):
            await self.requeue_opening(rows, in_use)

    async def requeue_opening(self, rows: Sequence[OutboxRow], in_use: VersionInUse) -> None:
        """Requeue the messages of one session. Raises ``StoreError``."""
        facts: Sequence[Put] = ()
        if not in_use.backend_assigns_ids and self._handover.is_new_to_version(rows[0].session, in_use.name):
            rows, facts = self._handover.renumber_opening(rows)
        await self._outbox.requeue_rows(rows, facts)
        self._rows.fetched.clear()
        self._encoder.forget_payload()
        log.warning(
            "%s: session %s is sent again in OCPP %s: %d message(s)",
            self._link,
            rows[0].session,
            in_use.name,
            len(rows),
        )

    async def end_is_pending(self, row: OutboxRow) -> bool:
        """Return whether the end of the row's session is still to be sent. If it is not, a
        person has it, or another version has sent it: a start sent here would be a transaction
        without an end. Raises ``StoreError``."""
        return await self.end_is_waiting(row) or row.session in await self._outbox.open_sessions(self._link)

    async def end_is_waiting(self, row: OutboxRow) -> bool:
        """Return whether the end of the row's session waits in the queue. Raises ``StoreError``."""
        rows = await self._outbox.rows_of_session(self._link, row.session)
        return any(isinstance(r.message, TransactionEnded) for r in rows)

    async def is_of_running_session(self, row: OutboxRow, in_use: VersionInUse) -> bool | None:
        """Return whether the row is the start of a session whose end does not wait behind it, and such a start is kept;
        None if the store cannot be read."""
        is_start = self._handover.is_unnumbered_start(row, in_use)
        if not is_start or not self._settings.bool_value("retry_start_while_charging"):
            return False
        try:
            return not await self.end_is_waiting(row)
        except StoreError as e:
            self._rows.pause_for_store(str(e))
            return None

"""What ``delivery.py`` needs of a queue. It is imported for types alone: a protocol costs as much at
the start as a module."""

from __future__ import annotations

from typing import Any, Protocol

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, MessageRow, ResponseEffects
from agent.ocpp.outbound.interrupted_calls import InterruptedCalls
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.received_answers import ReceivedAnswers
from agent.ocpp.outbound.row_encoder import RowEncoder
from agent.ports.store import OutboxRow


class DurableQueue(Protocol):
    """A queue whose rows outlive a connection and a restart. Its four parts are the same for
    every queue; the methods decide what becomes of a row."""

    @property
    def rows(self) -> QueueRows: ...
    @property
    def encoder(self) -> RowEncoder: ...
    @property
    def answers(self) -> ReceivedAnswers: ...
    @property
    def losses(self) -> InterruptedCalls: ...

    # --- when ----------------------------------------------------------------------------------------------------

    @property
    def is_pausing(self) -> bool:
        """Whether nothing may be sent now."""
        ...

    def due_in_s(self) -> float | None:
        """Return in how many real seconds the queue may send again; None if it has nothing."""
        ...

    def connection_opened(self, dialect: Dialect, is_doubted: bool = False) -> None:
        """Reset for a new connection: the failures of the old one no longer count."""
        ...

    async def next_row(self) -> OutboxRow | None:
        """Return the row to send next, if one may be sent now."""
        ...

    # --- before it is sent ---------------------------------------------------------------------------------------

    def known_answer(self, row: OutboxRow) -> tuple[ResponseEffects | None] | None:
        """Return the answer to a row that need not be sent again (``ReceivedAnswers``)."""
        ...

    async def settle_unsent(self, row: OutboxRow) -> bool:
        """Settle a row that must not be sent now, or not yet. Return False if it is to be sent."""
        ...

    async def encode_payload(
        self, row: OutboxRow, out: MessageRow, dialect: Dialect
    ) -> tuple[OutboxRow, dict[str, Any] | None]:
        """Return the payload (``RowEncoder``), and the row with the followers that travel in it."""
        ...

    async def record_sending(self, row: OutboxRow) -> bool:
        """Record that the row may reach the backend. Return False if the store did not accept
        the record: then it is not sent."""
        ...

    def sending_interrupted(self, row: OutboxRow, answered_s: float) -> None:
        """Note that the connection ended before the row was answered. ``answered_s``: when the backend last answered
        another CALL (monotonic)."""
        ...

    async def row_not_received(self, row: OutboxRow) -> None:
        """Note that the connection ended, and the backend does not have the row."""
        ...

    # --- what becomes of it --------------------------------------------------------------------------------------

    def take_late_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...]:
        """Take an answer that arrived after its time-out. Return the events to report at once."""
        ...

    def events_of_answer(self, row: OutboxRow, effects: ResponseEffects) -> list[Event]:
        """Return the events to report to the domain."""
        ...

    async def row_delivered(self, row: OutboxRow, effects: ResponseEffects) -> bool:
        """Remove the row from the queue. Return False if the store did not accept that."""
        ...

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Return whether a refused row is sent again. ``is_unknown``: the backend does not offer
        the action."""
        ...

    async def row_refused(self, row: OutboxRow, why: str, code: str = "") -> None:
        """Take a refusal or a useless answer. ``code``: the error code of a refusal."""
        ...

    async def row_unanswered(self, row: OutboxRow, answered_s: float, why: str = "") -> None:
        """Note that a working connection brought no answer, or has ended because neither this row nor the CALL before
        was processed. ``answered_s``: when the backend last answered another CALL (monotonic). ``why``: what came
        instead; "": nothing in time."""
        ...

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Give up the row. ``elsewhere``: another version may be able to express it."""
        ...

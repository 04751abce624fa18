"""Samples of one transaction that wait are sent in one message (decision 44).

What a backend may have received already never becomes part of another message: a message that was sent and not
answered is repeated with the same samples, or with the first of them. Samples pass waiting samples of other
transactions, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice

from agent.domain.messages import MeterSampled, TransactionEnded
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageMerging, MessageRow
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ports.store import OutboxRow

log = logging.getLogger("agent.ocpp")

ROWS_MAX = 64
"""Of one message. The oldest rows of the queue are looked at."""
FIRST_OCTETS, OCTETS_MAX, OCTETS_MIN = 24 * 1024, 30 * 1024, 1024
"""Octets of samples in one message: at first, at most, and where nothing is merged. Gateways limit a frame to 32 or
64 KiB, some servers to 8 KiB."""
LOSSES_MAX = 2
"""Connections that are lost while a long message is on its way, until no message is that long for a while."""
GOOD_MESSAGES = 200
"""Delivered messages until longer ones are tried again: their content may have been refused, not their length."""


class SampleMerging:
    """``octets_max``: of the next message. ``_ceiling``: what it grows to, each time that a merged message is
    delivered. ``_sent``: the rows that may have been sent, by the first of their message. ``_seen_sessions``: those
    whose first row since the start of the process is known; it travels alone. ``_suspected``: the length that was
    refused, until the first sample alone is accepted or refused too."""

    def __init__(self, link: str) -> None:
        self._link = link
        self.octets_max, self._ceiling = FIRST_OCTETS, OCTETS_MAX
        self._losses, self._suspected, self._good = 0, 0, 0
        self._sent: dict[int, frozenset[int]] = {}
        self._seen_sessions: set[str] = set()
        self._rule: MessageMerging | None = None
        self._is_numbered = False

    def connection_opened(self, dialect: Dialect) -> None:
        row = dialect.message_row(MeterSampled)
        self._rule = row.merging if isinstance(row, MessageRow) else None
        self._is_numbered = not dialect.backend_assigns_ids

    async def oldest_with_followers(
        self, rows: QueueRows, may_travel: Callable[[OutboxRow, OutboxRow], bool]
    ) -> OutboxRow | None:
        """Return the oldest row with the samples that may travel in its message. ``may_travel``: whether rows up to the
        second one may travel in the message of the first."""
        if rows.fetched and self._can_lead(rows.fetched[0]):
            await rows.fetch_more_rows(ROWS_MAX)
        if not rows.fetched or rows.is_pausing:
            return None
        head = rows.fetched[0]
        if head.session not in self._seen_sessions and not may_travel(head, head):
            return head  # it may stand before the first row that the process before has sent
        row = self.with_followers(head, rows.fetched)
        if row.followers and not may_travel(row, row.followers[-1]):
            return replace(row, followers=())
        return row

    def _can_lead(self, row: OutboxRow) -> bool:
        """Return whether other rows may travel in the message of this row."""
        is_sample = isinstance(row.message, MeterSampled) and bool(row.session) and not row.message.late
        return self._rule is not None and is_sample and not row.attempts and self.octets_max > OCTETS_MIN

    def with_followers(self, head: OutboxRow, rows: Iterable[OutboxRow]) -> OutboxRow:
        """Return the oldest row with those of the next ``rows`` that may travel in its message. ``rows`` begins with
        the oldest row."""
        if head.session not in self._seen_sessions:  # a process that has ended may have sent it
            self._seen_sessions.add(head.session)
            self._sent.setdefault(head.seq, frozenset())
        if not self._can_lead(head):
            return head
        followers: list[OutboxRow] = []
        for row in islice(rows, 1, ROWS_MAX):
            if not isinstance(row.message, MeterSampled):
                break
            if row.session == head.session:
                if not self._can_follow(row, head, len(followers) + 1):
                    break
                followers.append(row)
        return replace(head, followers=tuple(followers)) if followers else head

    def _can_follow(self, row: OutboxRow, head: OutboxRow, distance: int) -> bool:
        allowed = self._sent.get(head.seq)
        if row.attempts or row.seq in self._sent or (allowed is not None and row.seq not in allowed):
            return False
        if self._is_numbered and row.number != head.number + distance:  # a gap shows what was lost
            return False
        return self._rule is not None and self._rule.fits(head.message, row.message)

    # --- what becomes of a message ---------------------------------------------------------------------------------

    def message_sent(self, row: OutboxRow) -> None:
        self._sent[row.seq] = frozenset(r.seq for r in row.followers)

    def rows_left(self, rows: Iterable[OutboxRow]) -> None:
        """Note that rows have left the queue."""
        for row in rows:
            self._sent.pop(row.seq, None)
            if isinstance(row.message, TransactionEnded):
                self._seen_sessions.discard(row.session)

    def message_delivered(self, row: OutboxRow) -> None:
        """Let the next message be longer. Where a sample is accepted alone whose message was refused, let no message
        be as long as that one for a while."""
        if not row.followers and self._suspected:
            self._lower_ceiling(self._suspected // 2, "longer ones are refused")
        elif row.followers or self.octets_max <= OCTETS_MIN:
            self._count_good_message()

    def _count_good_message(self) -> None:
        if self.octets_max in (self._ceiling, OCTETS_MIN):
            self._losses, self._good = 0, self._good + 1
        if self._good >= GOOD_MESSAGES:
            self._ceiling, self._good = min(OCTETS_MAX, self._ceiling * 2), 0
            self.octets_max *= 2
        if self.octets_max > OCTETS_MIN:
            self.octets_max = min(self._ceiling, self.octets_max * 2)

    def message_refused(self, row: OutboxRow) -> bool:
        """Return whether the message was a merged one: then its first sample is sent alone, which shows what was
        refused."""
        self._suspected = self.octets_max if row.followers else 0
        self.repeat_alone(row)
        return bool(row.followers)

    def repeat_alone(self, row: OutboxRow) -> None:
        """Let the first sample of this message be repeated without the others."""
        self._sent[row.seq] = frozenset()

    def message_unanswered(self, row: OutboxRow) -> None:
        """Let the repetition be shorter."""
        if row.followers:
            self.octets_max = max(OCTETS_MIN, self.octets_max // 2)

    def connection_lost(self, row: OutboxRow) -> None:
        """Note that the connection ended before the answer. A central system closes it for a frame that is too long
        for it."""
        if row.followers:
            self._losses += 1
            self.message_unanswered(row)
            if self._losses >= LOSSES_MAX:
                self._lower_ceiling(self.octets_max, "connections end with longer ones")

    def _lower_ceiling(self, octets: int, why: str) -> None:
        self._ceiling = self.octets_max = max(OCTETS_MIN, octets)
        self._losses = self._suspected = self._good = 0
        log.warning("%s: at most %d octets of meter values in one message from now on: %s", self._link, octets, why)

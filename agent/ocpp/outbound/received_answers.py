"""Answers to the rows of a queue that are not settled yet: those that came after their time-out, and
those whose effects the store has not accepted. An answer to any CALL of a row is the row's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.model.fastclass import replace
from agent.model.newest_kept import remember_newest
from agent.ocpp.dialects.dialect import ResponseEffects
from agent.ports.store import OutboxRow

LATE_KEPT = 64


class ReceivedAnswers:
    """``has_left_queue``: whether the row has left the queue in this version already. Then a late
    answer in it says nothing about the row, which is sent again in another version."""

    def __init__(self, has_left_queue: Callable[[OutboxRow, str], bool] = lambda row, version: False) -> None:
        self._has_left_queue = has_left_queue
        self._late: dict[int, ResponseEffects | None] = {}
        self._unstored: dict[int, ResponseEffects] = {}

    def known_answer(self, row: OutboxRow) -> tuple[ResponseEffects | None] | None:
        """Return the answer to a row that need not be sent again: only the store is behind. The
        answer itself is None for a refusal. None: there is no answer yet."""
        if row.seq in self._unstored:
            return (self._unstored[row.seq],)
        if row.seq not in self._late:
            return None
        was_refused = self._late[row.seq] is None
        late = self.pop_late(row)
        return (late,) if late or was_refused else None

    # --- late ones -----------------------------------------------------------------------------------------------

    def add_late(self, seq: int, effects: ResponseEffects | None) -> None:
        """Take a late answer. None is a refusal, which never replaces a good answer."""
        remember_newest(self._late, seq, effects or self._late.get(seq), LATE_KEPT)

    def pop_late(self, row: OutboxRow) -> ResponseEffects | None:
        """Return the late answer to an earlier CALL of this row."""
        late = self.discard_late(row.seq)
        return None if late is not None and self._has_left_queue(row, late.version) else late

    def discard_late(self, seq: int) -> ResponseEffects | None:
        """Forget the late answer to a row that has left the queue, and return it."""
        return self._late.pop(seq, None)

    # --- answers that the store has not accepted -----------------------------------------------------------------

    def keep_unstored(self, row: OutboxRow, effects: ResponseEffects) -> None:
        """Keep the effects until the store has accepted them. The events are reported when the answer comes, and only
        then."""
        self._unstored[row.seq] = replace(effects, events=()) if effects.events else effects

    def answer_stored(self, row: OutboxRow) -> None:
        del self._unstored[row.seq]

    def unstored_effects(self, is_waiting: Callable[[int], bool]) -> Iterator[ResponseEffects]:
        """Yield the effects that the store has not accepted, the latest first. A late answer counts while its row waits
        (``is_waiting(seq)``): what one brings after that may be outdated."""
        yield from reversed(self._unstored.values())
        yield from (late for seq, late in reversed(self._late.items()) if late is not None and is_waiting(seq))

"""The frames of one station on the wire: how long answers took, what was refused, and the books."""

from __future__ import annotations

import re
import time

from agent.fleet.books import BILLED_ACTIONS, StationBooks
from agent.fleet.figures import FleetFigures

_HEAD = re.compile(r'\s*\[\s*(\d)\s*,\s*"([^"\\]*)"\s*(?:,\s*"([^"\\]*)")?')
"""Kind and id of a frame of OCPP-J, and a text that follows: the action of a CALL, the code of a CALLERROR. To read
each frame as JSON would cost as much as to make it."""
CALL, CALL_RESULT, CALL_ERROR, SEND = "2", "3", "4", "6"
NO_ANSWER = "no answer"
UNANSWERED_MAX = 16
"""CALLs without an answer that are remembered: it may come late."""


class StationConversation:
    """``trace_frame`` is the trace of a link."""

    __slots__ = ("_asked", "_figures", "_requested", "books")

    def __init__(self, figures: FleetFigures, books: StationBooks) -> None:
        self._figures, self.books = figures, books
        self._asked: dict[str, tuple[str, float, bool]] = {}
        """Action, time, and whether it was counted as unanswered, by the id of the CALL."""
        self._requested: dict[str, tuple[str, float]] = {}

    def trace_frame(self, direction: str, link: str, version: str, text: str) -> None:
        head = _HEAD.match(text)
        if head is None:
            self._figures.errors["a frame that is no OCPP-J"] += 1
            return
        kind, call_id, word = head.groups()
        if direction == "out":
            self._trace_sent(kind, call_id, word or "", text)
        else:
            self._trace_received(kind, call_id, word or "", text)

    def _trace_sent(self, kind: str, call_id: str, word: str, text: str) -> None:
        if kind in (CALL_RESULT, CALL_ERROR):
            action, since_s = self._requested.pop(call_id, ("", 0.0))
            if action:
                self._figures.record_served_request(action, time.perf_counter() - since_s)
        elif kind == SEND:
            self._figures.counts["messages without an answer"] += 1
        elif kind == CALL:
            if word in BILLED_ACTIONS:
                self.books.note_call(call_id, word, text)
            self._count_unanswered()
            self._asked[call_id] = (word, time.perf_counter(), False)

    def _count_unanswered(self) -> None:
        """Count what waits for an answer: a link has one CALL in flight, so the next one shows that this one failed."""
        for call_id, (action, since_s, is_counted) in self._asked.items():
            if not is_counted:
                self._figures.errors[f"{action}: {NO_ANSWER}"] += 1
                self._asked[call_id] = (action, since_s, True)
        while len(self._asked) > UNANSWERED_MAX:
            forgotten = next(iter(self._asked))
            del self._asked[forgotten]
            self.books.drop_call(forgotten)

    def connection_ended(self) -> None:
        """Count nothing as unanswered that the end of the connection has cut off: that end is counted itself."""
        self._asked = {k: (action, since_s, True) for k, (action, since_s, _) in self._asked.items()}

    def _trace_received(self, kind: str, call_id: str, word: str, text: str) -> None:
        if kind == CALL:
            self._requested[call_id] = (word, time.perf_counter())
            self._figures.counts["requests of the backend"] += 1
            return
        asked = self._asked.pop(call_id, None)
        if asked is None:
            return
        action, since_s, _ = asked
        self._figures.record_answer(action, time.perf_counter() - since_s)
        if kind == CALL_RESULT:
            self.books.enter_answer(call_id, text)
        else:
            self._figures.errors[f"{action}: {word or 'CALLERROR'}"] += 1
            self.books.drop_call(call_id)

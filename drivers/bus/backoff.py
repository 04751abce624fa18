"""A silent device on a shared line is asked less and less, so that it does not slow down its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

MISSES_BEFORE_PAUSE = 3
"""Unanswered transfers before the pauses begin (Carlo Gavazzi EM300 protocol: faulty after 2-3 failed queries)."""
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Silence:
    """How long one device has been silent. Times are seconds of the event loop's clock."""

    misses: int = 0
    until: float = 0.0
    why: str = ""

    @property
    def is_backing_off(self) -> bool:
        return self.misses >= MISSES_BEFORE_PAUSE

    def record_no_answer(self, now: float, why: str) -> None:
        self.misses += 1
        self.why = why
        if self.is_backing_off:
            self.until = now + PAUSES_S[min(self.misses - MISSES_BEFORE_PAUSE, len(PAUSES_S) - 1)]

    def record_answer(self) -> None:
        self.misses, self.until, self.why = 0, 0.0, ""

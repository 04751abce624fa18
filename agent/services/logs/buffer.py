"""Keep the last lines of the log in memory for the diagnostics archive.

The agent has no right to read the journal of a board.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime

from agent.ports.clock import ClockPort
from agent.services.store.encoding import escape_surrogates

LINES = 3000
LINE_MAX = 2000


class LogRing(logging.Handler):
    """The last lines of the log.

    Each line is stamped with the station's own clock, because the clock of the machine may show 1970. A line gets its
    UTC when it is read: the time may be known by then. Any thread may write (``Handler.handle`` holds the lock), and
    any thread may read.
    """

    def __init__(self, clock: ClockPort, lines: int = LINES) -> None:
        super().__init__()
        self._clock = clock
        self._lines: deque[tuple[float, str]] = deque(maxlen=lines)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append((self._clock.now().t_s, escape_surrogates(self.format(record)[:LINE_MAX])))
        except (ValueError, TypeError, KeyError):
            self.handleError(record)

    def text_between(self, oldest_utc_s: float | None, latest_utc_s: float | None) -> str:
        """Return the lines between two times. While the time is not known, return all of them (``boot+seconds``)."""
        self.acquire()
        try:
            lines = tuple(self._lines)
        finally:
            self.release()
        now = self._clock.now()
        if now.utc_s is None:
            return "".join(f"boot+{t_s:.1f}s {line}\n" for t_s, line in lines)
        offset = now.utc_s - now.t_s
        low, high = oldest_utc_s or 0.0, latest_utc_s if latest_utc_s is not None else float("inf")
        return "".join(f"{_utc_text(offset + t)} {line}\n" for t, line in lines if low <= offset + t <= high)


def _utc_text(utc_s: float) -> str:
    return f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%dT%H:%M:%SZ}"

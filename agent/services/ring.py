"""The last lines of the log, kept in memory for the diagnostics archive: a board's journal is not ours to read."""

from __future__ import annotations

import logging
from collections import deque

LINES = 3000
LINE_MAX = 2000


class LogRing(logging.Handler):
    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        self._lines: deque[tuple[float, str]] = deque(maxlen=lines)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append((record.created, self.format(record)[:LINE_MAX]))
        except (ValueError, TypeError, KeyError):
            self.handleError(record)

    def text(self, oldest_utc_s: float | None, latest_utc_s: float | None) -> str:
        """Lines between two times; the stamps are the machine's own."""
        low, high = oldest_utc_s or 0.0, latest_utc_s if latest_utc_s is not None else float("inf")
        return "".join(f"{line}\n" for at, line in self._lines if low <= at <= high)

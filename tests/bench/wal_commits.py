"""How many commits a store made and how many pages they wrote, read from its WAL ("WAL File Format" of SQLite)."""

from __future__ import annotations

import contextlib
from pathlib import Path

HEADER, FRAME_HEADER = 32, 24


class WalCommits:
    """A WAL is begun again after each merge, from its front: what is behind the new frames is from before. So it must
    be read before so many new frames are written that old ones are gone which were never read."""

    def __init__(self, store: Path) -> None:
        self._wal = store.with_name(store.name + "-wal")
        self._ends: dict[tuple[bytes, int], bool] = {}

    def read_frames(self) -> None:
        """Learn the frames that are in the file now: each by the salts of its beginning and its place."""
        with contextlib.suppress(FileNotFoundError), self._wal.open("rb") as file:
            page_bytes = int.from_bytes(file.read(HEADER)[8:12], "big")
            place = 0
            while page_bytes and len(head := file.read(FRAME_HEADER)) == FRAME_HEADER:
                self._ends[head[8:16], place] = any(head[4:8])
                file.seek(page_bytes, 1)
                place += 1

    def count(self) -> tuple[int, int]:
        """Return how many commits and pages are known."""
        return sum(self._ends.values()), len(self._ends)

"""What the store had with its last commit, in a file beside it: a store that has less has lost something (decision 31).

There are two slots, each with a checksum: a write that was cut off leaves the other one. All writes of half a minute go
into the same slot, those of the next into the other one. The page cache of the kernel has it at once, also when the
process is killed; the disk has it with ``flush_to_disk``, or within half a minute, with one write of the slot.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen

log = logging.getLogger(__name__)

SLOT_BYTES = 4096
SAME_SLOT_S = 30.0
"""So long a slot is written: as long as the kernel keeps a page that has changed."""
ID_DIGITS = 8
"""Of a session's id, which is random."""
ENDS = 16
"""Of so many of the latest sessions it has the end."""


@frozen
class WitnessedState:
    """The store after a commit. ``commits``: how many there were, ``place``: the last one of the queue that was given,
    ``heads``: the first one that waits of each queue that is not empty, ``open``: sessions, their ids shortened,
    ``ends``: the register (Wh) with which each of the latest ended, and the last place of the queue then, ``roots``:
    where its tables begin, ``schema``: its version, ``merging``: so many frames of the WAL with these ``salts`` are
    being merged into the file."""

    identity: str = ""
    commits: int = 0
    place: int = 0
    boots: int = 0
    heads: Mapping[str, int] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    ends: Mapping[str, Sequence[int]] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    schema: int = 0
    merging: int = 0
    salts: str = ""

    def end_of_session(self, session: str) -> tuple[int, int]:
        """Register (Wh) and place of its end; of one that ended before the latest the place of the oldest of them. 0:
        not known."""
        known = self.ends.get(session[:ID_DIGITS])
        if known is not None:
            return known[0], known[1]
        return 0, min(place for _, place in self.ends.values()) if len(self.ends) >= ENDS else 0

    def is_session_open(self, session: str) -> bool:
        return session[:ID_DIGITS] in self.open


class Witness:
    """``path``: of the store. ``monotonic_s``: the time, in seconds. Raises nothing: a disk that does not take it is
    reported once."""

    def __init__(self, path: Path, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.path = path.with_suffix(".witness")
        self._monotonic_s = monotonic_s
        self._file = -1
        self._count = 0
        self._slot, self._slot_since_s = 0, -math.inf
        self._failure_reported = False

    def read_last(self) -> WitnessedState | None:
        """Return the last state written, or None if none can be read."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        found = (_read_slot(data[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES))
        slots = [(number, slot, seen) for slot, (number, seen) in enumerate(found) if seen is not None]
        number, slot, newest = max(slots, key=lambda one: one[0], default=(0, self._slot, None))
        self._count = max(self._count, number)
        self._slot = slot
        self.change_slot()  # the next write leaves the newest one
        return newest

    def change_slot(self) -> None:
        """Let the next state go into the other slot."""
        self._slot_since_s = -math.inf

    def write_state(self, seen: WitnessedState) -> None:
        if self._monotonic_s() - self._slot_since_s >= SAME_SLOT_S:
            self._slot, self._slot_since_s = 1 - self._slot, self._monotonic_s()
        self._count += 1
        what = {"number": self._count, **{name: getattr(seen, name) for name in _NAMES}}
        text = json.dumps(what, separators=(",", ":")).encode()
        slot = b"%08x%s\n" % (zlib.crc32(text), text)
        if len(slot) > SLOT_BYTES:
            self._report_failure("it does not fit")
            return
        try:
            os.pwrite(self._open_file(), slot.ljust(SLOT_BYTES), self._slot * SLOT_BYTES)
        except OSError as e:
            self._report_failure(str(e.strerror))

    def flush_to_disk(self) -> None:
        """Write it to the disk now."""
        try:
            os.fdatasync(self._open_file())
        except OSError as e:
            self._report_failure(str(e.strerror))

    def close(self) -> None:
        if self._file >= 0:
            self.flush_to_disk()
            os.close(self._file)
            self._file = -1

    def _open_file(self) -> int:
        """Open the file. It is made again where it was deleted or exchanged meanwhile."""
        if self._file >= 0 and not self._is_in_place():
            os.close(self._file)
            self._file = -1
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _report_failure(self, why: str) -> None:
        if not self._failure_reported:
            self._failure_reported = True
            log.warning("%s: cannot be written (%s): a loss of the store would not be seen", self.path, why)


_NAMES = ("identity", "commits", "place", "boots", "heads", "open", "ends", "roots", "schema", "merging", "salts")


def _read_slot(slot: bytes) -> tuple[int, WitnessedState | None]:
    """Return the running number of the write, and what was written, None if it cannot be read."""
    text = slot.rstrip()
    try:
        if int(text[:8], 16) != zlib.crc32(text[8:]):
            return 0, None
        body: dict[str, Any] = json.loads(text[8:])
        ends = {name: (int(wh), int(place)) for name, (wh, place) in body["ends"].items()}
        return int(body.pop("number")), WitnessedState(**{**body, "open": tuple(body["open"]), "ends": ends})
    except (ValueError, TypeError, KeyError):
        return 0, None

"""Python loads this by itself where this folder is in ``PYTHONPATH``: in an agent it measures for how long the event
loop is held. Nothing of the agent is changed but the class of its selector, which notes when it is asked again.

What is measured is the processor time of the loop's own thread in one turn of the loop, from one question to the
selector to the next: a machine that is busy with others does not count.
"""

from __future__ import annotations

import mmap
import os
import selectors
import struct
import sys
import time
from pathlib import Path

FIELDS = struct.Struct("=ddd")
"""Longest turn and longest wall-clock time of a turn, in seconds; number of turns."""


def watch(file: Path) -> None:
    file.write_bytes(bytes(FIELDS.size))
    with file.open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), FIELDS.size)

    class NotedSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
        _began: tuple[float, float] | None = None

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if self._began is not None:
                cpu_s, wall_s, turns = FIELDS.unpack(shared)
                cpu_s = max(cpu_s, time.thread_time() - self._began[0])
                wall_s = max(wall_s, time.monotonic() - self._began[1])
                FIELDS.pack_into(shared, 0, cpu_s, wall_s, turns + 1)
            found = super().select(timeout)
            self._began = time.thread_time(), time.monotonic()
            return found

    selectors.DefaultSelector = NotedSelector  # type: ignore[misc]


if "run" in sys.orig_argv and (noted := os.environ.get("CHARGY_LOOP_HOLD")):
    watch(Path(noted))

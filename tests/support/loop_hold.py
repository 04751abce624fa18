"""How long the event loop of an agent's process has been held; measured inside of it (``loop_watch``)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIELDS = struct.Struct("=ddd")
WATCH = Path(__file__).parents[1] / "loop_watch"


class LoopHold:
    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> tuple[float, float, int]:
        """Longest processor time and longest wall-clock time of a turn, in seconds, and the number of turns."""
        cpu_s, wall_s, turns = FIELDS.unpack(self.file.read_bytes())
        return cpu_s, wall_s, int(turns)

    def reset(self) -> None:
        with self.file.open("r+b") as opened:
            opened.write(bytes(FIELDS.size))


@contextmanager
def measured(folder: Path) -> Iterator[LoopHold]:
    """Agents that are started inside are measured."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "CHARGY_LOOP_HOLD")}
    hold = LoopHold(folder / "loop_hold")
    paths = [str(WATCH), *filter(None, [before["PYTHONPATH"]])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "CHARGY_LOOP_HOLD": str(hold.file)}
    try:
        yield hold
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

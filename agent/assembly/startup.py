"""The garbage collector during the start of a station, when all objects are new and none is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (500, 3, 30)
"""The collector looks at so many new objects in one go. With Python's 2,000 it holds the event loop for longer than a
message does."""


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off. Looking for garbage would take 5 % of the time of a start.

    The station switches it on again when its devices open (``resume_garbage_collection``).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def resume_garbage_collection() -> bool:
    """Switch the garbage collector on again after the start.

    Returns False if it was not off (many stations in one process).
    """
    if gc.isenabled():
        return False
    freeze_garbage_collection()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
    return True


def freeze_garbage_collection() -> None:
    """Exempt all present objects from garbage collection. They stay, and a look at them blocks the loop for 10 ms."""
    gc.collect()
    gc.freeze()

"""End a child process when its parent dies, however that is: no handler runs in a parent that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Return a function for the child, between fork and exec: the kernel then sends it this signal when ``parent`` dies
    (prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes

    libc = ctypes.CDLL(None)

    def arm_death_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arm_death_signal

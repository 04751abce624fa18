"""How long a session that is paid with a card may go on: the rules of a station with a terminal, and of a satellite,
whose payments are at another station (decision 73)."""

from __future__ import annotations

KEEP_S = 60.0
"""How often the usage of a session is stored (domain seconds). So much of it may be missing after a restart."""
FIRST_S = 10.0
"""How long a meter may take for its first reading after a restart (real seconds)."""


def ceiling_left_s(headroom_s: float, reserve_s: float, unseen_s: float, io_s: float) -> float:
    """Return after how many seconds the session must end, so that it uses no more than the bank holds. ``headroom_s``:
    what is held lasts so long at full power; ``reserve_s``: kept for the end of the session (real seconds);
    ``unseen_s``: for so long energy may have flowed that only the meter knows; ``io_s``: domain seconds of a real one.
    """
    left_s = headroom_s - reserve_s * io_s
    return max(left_s - unseen_s, min(left_s, FIRST_S * io_s)) if unseen_s else left_s

"""For ``chargy-agent verify``: what only a real supply shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "Take the mains away in the middle of a session: the session's end is on disk before the board goes dark.",
        "The back-up supply lasts for backup_s, also cold and after a year.",
        "The mains comes back within the shutdown: the station starts again by itself.",
    ),
)

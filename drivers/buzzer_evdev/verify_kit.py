"""For ``chargy-agent verify``: what only a real buzzer shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "It is heard in the traffic of the place, and not by the neighbours at night.",
        "End the agent with SIGKILL in the middle of a tone: it falls silent.",
    ),
)

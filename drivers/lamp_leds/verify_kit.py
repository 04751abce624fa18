"""For ``chargy-agent verify``: what only real lamps show."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The lamp of each outlet is the one beside it; every colour is the one that is meant, also in the sun.",
        "End the agent with SIGKILL: what the lamp shows then (the kernel keeps the last level).",
    ),
)

"""For ``chargy-agent verify``: what only a real reader shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The line as this reader sends it: its end, its length, whether it repeats a held card (repeat_holdoff_ms).",
        "The number is the one that the back office knows for the card.",
        "The reader is switched off and on: what it sends of itself at its start is not taken for a card.",
    ),
)

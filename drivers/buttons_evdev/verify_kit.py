"""For ``chargy-agent verify``: what only real buttons show."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "Each button is where its label says, also with a glove; held for ten seconds it is one press.",
        "After a boot the device has the same name (use /dev/input/by-path), and nothing else reads its keys.",
    ),
)

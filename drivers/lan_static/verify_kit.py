"""For ``chargy-agent verify``: what only a real network shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "Pull the network cable in the middle of a session: the next bearer carries the link within 10 s.",
        "Put the cable back: the link returns to it after two minutes, and no message is lost or sent twice.",
        "The interface has its address again after a restart of the switch.",
    ),
)

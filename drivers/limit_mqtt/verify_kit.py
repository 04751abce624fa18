"""For ``chargy-agent verify``: what only a real energy manager shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The limit that the energy manager shows is the one in its messages, in the unit of the station file.",
        "The energy manager releases its limit: the message has null.",
        "An unchanged limit is published again within every_s.",
        "The energy manager is ended while the broker goes on: the limit of on_silence holds after silent_s.",
        "The broker is restarted in the middle of a session: the station is connected again, and the limit has held.",
    ),
)

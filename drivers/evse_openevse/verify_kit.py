"""For ``chargy-agent verify``: what only a real board shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The firmware was built as docs/openevse.md says: after a power cut it does not charge without being released.",
        "With a vehicle tester: states A to F, diode fault and short circuit of the pilot are seen as they are.",
        "Pull the plug under load, press the emergency stop, trip the RCD: the contactor opens, and it is reported.",
        "Switch the agent's computer off under load: the offer falls to fallback_a after heartbeat_s, no lower.",
        "The fuse behind the outlet, and the supply of the relay that does stop it, if one is fitted.",
    ),
)

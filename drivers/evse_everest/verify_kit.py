"""For ``chargy-agent verify``: what only a real charger shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "EVerest's API modules are called as in the station file, and its own OCPP module is not loaded.",
        "Switch the agent's computer off under load: EVerest ramps down and opens after its check of 5 s.",
        "Its `enforced_limits` confirm each limit (the agent opens the board), in idle and while a vehicle charges.",
        "A limit in watts is followed by a real vehicle within 1 s, and least_w ends no session.",
        "Pull the emergency stop, cause an isolation fault: EVerest stops, and the screen shows it.",
        "The DC meter that is billed sees the same energy as EVerest's own.",
    ),
)

"""For ``chargy-agent verify``: what only a real modem shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The modem registers with the SIM of the network operator in its private APN, and BootNotification arrives.",
        "Cover the antenna until the connection is lost, and uncover it: the modem connects again by itself.",
        "Switch the modem off and on in the middle of a session: it connects again, and no message is lost.",
        "Kill agent and pppd (SIGKILL) while the modem is connected: the agent starts and connects it again.",
        "The command in power really switches the supply of the modem, and of nothing else.",
        "The supply of the modem holds while it sends with full power (2 A for half a millisecond).",
    ),
)

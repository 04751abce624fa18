"""For ``chargy-agent verify``: what only a real modem and a real network show."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "Mobile radio: ModemManager has the modem (mmcli -L), and BootNotification arrives over the private APN.",
        "Mobile radio: ModemManager leaves the lines of meters, readers and terminals alone (ID_MM_PORT_IGNORE).",
        "Mobile radio with PPP: the kernel has PPP, and the connection lasts for a day.",
        "Mobile radio: switch the modem off and on in the middle of a session; it connects again, nothing is lost.",
        "Wi-Fi: the station takes up its network again after the access point was off for an hour.",
        "LAN: pull the cable in the middle of a session; the next bearer carries the link within 10 s.",
        "The agent runs as its own user, and the polkit rule of docs/operations.md lets it do all of this.",
    ),
)

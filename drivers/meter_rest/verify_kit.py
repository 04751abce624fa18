"""For ``chargy-agent verify``: what only a real meter shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "The register on the meter's own display is the one that is billed, and the signed record has the same value.",
        "The record of a real transaction is accepted by the transparency software with the key on the meter's label.",
        "The meter's power goes away in the middle of a transaction: what it signs then, and what is billed.",
        "Direction of the current, cable loss compensation and its entry in the record; the label: class, certificate.",
    ),
)

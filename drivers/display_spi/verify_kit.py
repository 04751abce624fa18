"""For ``chargy-agent verify``: nothing can be read back from an SPI panel, a person has to look."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "Stand in front of it: upright (rotate), nothing cut off or shifted by a few columns, no mirror writing.",
        "Red is red, blue is blue (bgr); words are light on dark where the panel is an OLED.",
        "With the contactor switching a hundred times: no garbled picture (a disturbed panel is written again "
        "only where something changes, and restarted only with the agent).",
        "Legible at noon with the sun on it, at night, in polarised glasses; an OLED after a year of the same title.",
    ),
)

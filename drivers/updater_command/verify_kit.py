"""For ``chargy-agent verify``: what only a real updater shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "A firmware of the back office is installed, booted and committed; the station reports the new version.",
        "One that does not come up falls back, and this is reported.",
        "One with a wrong signature is refused; the mains is lost in the middle of an installation.",
    ),
)

"""For ``chargy-agent verify``: what only a board with RAUC and its boot loader shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit

VERIFY_KIT = VerifyKit(
    on_hardware=(
        "A bundle of the back office is installed, booted, and marked good when the back office has accepted the boot.",
        "A system that does not start: the boot loader falls back, and InstallationFailed is reported.",
        "A boot that no back office accepts is not marked good: `rauc status`, and the tries of the boot loader.",
        "The mains is lost in the middle of an installation: the old system starts, and installs again.",
        "No other service marks a boot as good: `systemctl is-enabled rauc-mark-good` says disabled or masked.",
    ),
)

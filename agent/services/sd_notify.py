"""The sd_notify protocol of systemd: one datagram of ``KEY=VALUE`` lines (sd_notify(3)). Silent without systemd."""

from __future__ import annotations

import os
import socket


def notify_systemd(text: str) -> bool:
    """Send ``text`` to systemd. Return False if no socket takes it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        try:
            s.sendto(text.encode(), address)
        except OSError:
            return False
    return True


def watchdog_period_s() -> float | None:
    """How often systemd wants to hear ``WATCHDOG=1`` (half of its patience), None if it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None

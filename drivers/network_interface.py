"""A network interface of the kernel: is it there, has it a carrier and an address, what has it carried? Shared by the
drivers of bearers."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Annotated, TypeAlias

from agent.model.bearer import BearerState, BearerStatus
from agent.model.key_rules import DevicePath, Text
from agent.ports import Unreachable

InterfaceName: TypeAlias = Annotated[
    str, Text(15, 1, r"[^\s/:]+", "the name of a network interface, without blank, slash and colon")
]
NetworkFolder: TypeAlias = DevicePath
"""Where the kernel shows its network interfaces. A simulation has a folder of its own."""
NETWORK_CLASS = "/sys/class/net"
SIOCGIFADDR = 0x8915
IPV6_ADDRESSES = Path("/proc/net/if_inet6")
IPV6_GLOBAL = "00"
NO_CARRIER = "no carrier: check the cable or the radio"
IPV6_PASSING = 0x01 | 0x20 | 0x40
"""Flags of an address that changes (temporary), is about to go (deprecated) or may not be used yet (tentative)."""


def interface_problem(interface: str, network_folder: str = NETWORK_CLASS) -> str:
    """Return why this machine cannot use the interface; "": it has it."""
    folder = Path(network_folder)
    if (folder / interface).exists():
        return ""
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return f"this machine has no interface {interface!r}; it has: {', '.join(there) or 'none'}"


def interface_status(interface: str, network_folder: str = NETWORK_CLASS) -> BearerStatus:
    """Return the state of an interface with its address and counters."""
    folder = Path(network_folder) / interface
    if not folder.exists():
        return BearerStatus(BearerState.ABSENT, interface_problem(interface, network_folder))
    reason, address = "", ""
    if _read_text(folder / "carrier") != "1":
        reason = NO_CARRIER
    elif not (address := interface_address(interface)):
        reason = "it has no address: check DHCP, or the address that is set"
    return BearerStatus(
        BearerState.UP if address else BearerState.DOWN,
        reason,
        interface,
        address,
        received_bytes=int(_read_text(folder / "statistics/rx_bytes") or 0),
        sent_bytes=int(_read_text(folder / "statistics/tx_bytes") or 0),
    )


def interface_address(interface: str) -> str:
    """Return the IPv4 address of an interface, otherwise a global IPv6 address; "": it has none. Raises
    ``Unreachable``."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", os.fsencode(interface)))
    except OSError as e:
        if e.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise Unreachable(f"{interface}: the kernel does not say its address: {e}") from e
        return _ipv6_address(interface)
    return socket.inet_ntoa(answer[20:24])


def _ipv6_address(interface: str) -> str:
    """Return a global address that stays, otherwise any: a temporary one changes while the old one is still good."""
    found: dict[bool, str] = {}
    for line in _read_text(IPV6_ADDRESSES).splitlines():
        digits, _, _, scope, flags, name = line.split()
        if name == interface and scope == IPV6_GLOBAL:
            is_passing = bool(int(flags, 16) & IPV6_PASSING)
            found.setdefault(is_passing, socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    return found.get(False) or found.get(True, "")


def _read_text(path: Path) -> str:
    """Return the content; "": the file is not there, or cannot be read now (carrier of an interface that is down)."""
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""

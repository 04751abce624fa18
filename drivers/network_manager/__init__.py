"""LAN, Wi-Fi and mobile radio by the machine's own NetworkManager and ModemManager, over the system bus (D-Bus)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.model import secret_file
from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.bearer import BearerPort
from agent.ports.driver import Driver, Where
from drivers.network_interface import interface_problem
from drivers.network_manager.settings import NetworkManagerSettings

BUS_SOCKET = Path("/run/dbus/system_bus_socket")
PASSPHRASE = range(8, 65)
"""Length of a passphrase for Wi-Fi; 64 are the digits of a key."""
RADIO_KEYS = ("modem", "pin", "apn", "initial_apn", "username", "password", "power")
WIFI_KEYS = ("ssid", "psk_file")
INTERFACE_KEYS = ("interface", "address", "gateway", "name_servers")


def list_complaints(settings: NetworkManagerSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each. Looks whether this machine has the interface and the bus."""
    if wrong := settings_problems(settings):
        return wrong
    wrong = [*_kind_problems(settings), *_address_problems(settings)]
    if "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ and not BUS_SOCKET.exists():
        wrong.append(f"driver: this machine has no system bus ({BUS_SOCKET}): install dbus and network-manager")
    return wrong


def _kind_problems(settings: NetworkManagerSettings) -> Iterator[str]:
    """Yield the keys that the kind needs, and those that it cannot have."""
    foreign = {"lan": (*RADIO_KEYS, *WIFI_KEYS), "wifi": RADIO_KEYS, "gprs": (*INTERFACE_KEYS, *WIFI_KEYS)}
    for key in foreign[settings.kind]:
        if getattr(settings, key):
            yield f"{key}: a bearer of the kind {settings.kind!r} has no such key"
    if settings.kind == "gprs":
        if settings.username and settings.auth == "none":
            yield 'auth: must be "auto", "pap" or "chap" with a username'
        return
    if not settings.interface:
        yield 'interface: is missing, for example interface = "eth0"'
    elif problem := interface_problem(settings.interface):
        yield f"interface: {problem}"
    if settings.kind == "wifi":
        yield from _wifi_problems(settings)


def _wifi_problems(settings: NetworkManagerSettings) -> Iterator[str]:
    if not settings.ssid:
        yield "ssid: is missing: the name of the Wi-Fi network"
    if len(settings.ssid.encode()) > 32:
        yield "ssid: must have at most 32 bytes"
    if problem := secret_file.secret_text_problem(settings.psk_file):
        yield f"psk_file: {problem}"
    elif settings.psk_file is not None and not secret_file.is_credential_to_come(settings.psk_file):
        yield from _passphrase_problems(settings.psk_file)


def _passphrase_problems(file: Path) -> Iterator[str]:
    if len(secret_file.read_secret_text(file)) not in PASSPHRASE:
        yield f"psk_file: {file}: a passphrase has 8 to 63 characters, or is a key of 64 digits"


def _address_problems(settings: NetworkManagerSettings) -> Iterator[str]:
    """Yield addresses that are none, or do not fit together."""
    from ipaddress import ip_address, ip_interface

    named = {"gateway": settings.gateway} | {f"name_servers[{i}]": a for i, a in enumerate(settings.name_servers)}
    for key, address in named.items():
        try:
            if address:
                ip_address(address)
        except ValueError:
            yield f"{key}: {address!r} is no IP address"
            return
    try:
        own = ip_interface(settings.address) if settings.address else None
    except ValueError:
        yield f"address: {settings.address!r} is no IP address with /prefix"
        return
    if settings.gateway and own is None:
        yield "gateway: needs address; with DHCP the gateway comes from the network"
    elif settings.gateway and own is not None and ip_address(settings.gateway) not in own.network:
        yield f"gateway: {settings.gateway} is not in the network of address ({own.network})"


@asynccontextmanager
async def open_bearer(settings: NetworkManagerSettings, where: Where) -> AsyncIterator[BearerPort]:
    """Yield the bearer. What it carries stays when it is closed. Raises ``Unreachable`` (the bus), ``Broken``."""
    from drivers.network_manager.connection import Connection
    from drivers.network_manager.interface_bearer import InterfaceBearer
    from drivers.network_manager.modem_bearer import ModemBearer
    from drivers.network_manager.names import DEVICE
    from drivers.network_manager.profile import profile_name, profile_uuid
    from drivers.system_bus import SystemBus

    name = f"network_manager {settings.interface or settings.modem or settings.kind}"
    if wrong := settings_problems(settings):
        raise Broken(f"{name}: " + "; ".join(wrong))
    station = where.facts.number
    async with SystemBus.open_connection() as bus:
        await bus.subscribe(f"{DEVICE}.StateChanged")
        connection = Connection(bus, name, profile_name(settings, station), profile_uuid(settings, station))
        if settings.kind == "gprs":
            yield ModemBearer(settings, station, bus, connection)
        else:
            yield InterfaceBearer(settings, station, connection)


DRIVER = Driver(
    "network_manager", "bearer", NetworkManagerSettings, open_bearer, list_complaints,
    verify_kit="drivers.network_manager.verify_kit:VERIFY_KIT", needs=("dbus_fast",), extra="chargy-agent[dbus]",
)  # fmt: skip

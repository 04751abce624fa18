"""Settings of ``drivers.network_manager``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from agent.model.key_rules import Between, OneLine, OneOf, Text
from drivers.mobile_modem import AccessPointName, ApnPassword, SimPin, UserName

IP_ADDRESS = "[0-9A-Fa-f:.]+"


@dataclass(frozen=True, slots=True)
class NetworkManagerSettings:
    """``kind``: ``lan``, ``wifi`` or ``gprs``. ``route_metric``: 0: 100, 600, 700 by the kind. ``connect_s``: how long
    NetworkManager may take.

    LAN and Wi-Fi: ``interface``; ``address`` with the length of its prefix, "": by DHCP; ``gateway``,
    ``name_servers``; ``ssid``, ``psk_file`` (holds the passphrase; none: an open network), ``key_management``.

    Mobile radio: ``modem``: the IMEI, a port or the device of the modem; "": the only one. ``pin``, ``apn``,
    ``username``, ``password``, ``auth``: of the network operator. ``initial_apn``: with which an LTE modem registers,
    where the network wants one; "": as the modem is set. ``roaming``: it may use foreign networks.
    ``power``: a command that switches the supply of the modem off and on; empty: there is none. ``register_s``: how
    long the network may take.
    """

    kind: Annotated[str, OneOf(("lan", "wifi", "gprs"))]
    interface: Annotated[str, Text(15, form=r"[^\s/:]*", like="the name of a network interface")] = ""
    address: Annotated[str, Text(50, form=rf"({IP_ADDRESS}/[0-9]{{1,3}})?", like="an address with /prefix")] = ""
    gateway: Annotated[str, Text(45, form=rf"({IP_ADDRESS})?", like="an IP address")] = ""
    name_servers: tuple[Annotated[str, Text(45, form=IP_ADDRESS, like="an IP address")], ...] = ()
    ssid: Annotated[str, Text(32)] = ""
    psk_file: Path | None = None
    key_management: Annotated[str, OneOf(("wpa-psk", "sae"))] = "wpa-psk"
    modem: Annotated[str, Text(200)] = ""
    pin: SimPin = field(default="", repr=False)
    apn: AccessPointName = ""
    initial_apn: AccessPointName = ""
    username: UserName = ""
    password: ApnPassword = field(default="", repr=False)
    auth: Annotated[str, OneOf(("auto", "none", "pap", "chap"))] = "auto"
    roaming: bool = True
    power: tuple[OneLine, ...] = ()
    route_metric: Annotated[int, Between(0, 9999)] = 0
    register_s: Annotated[float, Between(0.1, 60, "seconds")] = 30.0
    connect_s: Annotated[float, Between(0.1, 120, "seconds")] = 60.0

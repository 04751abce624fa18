"""The profile that NetworkManager gets: what it connects to, and how. It is kept in memory only, and has no PIN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from drivers.mobile_modem import MTU_BYTES
from drivers.network_manager.settings import NetworkManagerSettings

if TYPE_CHECKING:
    from dbus_fast import Variant

Profile = dict[str, dict[str, "Variant"]]
TYPES = {"lan": "802-3-ethernet", "wifi": "802-11-wireless", "gprs": "gsm"}
METRICS = {"lan": 100, "wifi": 600, "gprs": 700}
NO_POWER_SAVING = 2
AUTHENTICATIONS = ("eap", "pap", "chap", "mschap", "mschapv2")
ALLOWED = {"auto": AUTHENTICATIONS[1:], "none": (), "pap": ("pap",), "chap": ("chap",)}


def profile_name(settings: NetworkManagerSettings, station: str) -> str:
    return f"chargy-agent {station} {settings.kind} {settings.interface or settings.modem}".strip()


def profile_uuid(settings: NetworkManagerSettings, station: str) -> str:
    """Return a number that another network, address or APN changes. No secret is in it: every user of the machine can
    read it."""
    parts = (settings.ssid, settings.apn, settings.username, settings.address, settings.gateway, settings.auth)
    return str(uuid5(NAMESPACE_URL, "/".join((profile_name(settings, station), *parts))))


def compose_profile(settings: NetworkManagerSettings, station: str, psk: str = "", network: str = "") -> Profile:
    """Compose the profile. A cable or a Wi-Fi network in reach is taken up again without the agent; a modem dials by
    the agent's order alone. ``network``: code of the only operator that a modem may use; "": any."""
    connection = {
        "id": profile_name(settings, station),
        "uuid": profile_uuid(settings, station),
        "type": TYPES[settings.kind],
        "autoconnect": settings.kind != "gprs",
    }
    if settings.interface:
        connection["interface-name"] = settings.interface
    tables: dict[str, dict[str, Any]] = {"connection": connection, **_ip_tables(settings)}
    if settings.kind == "wifi":
        tables |= _wifi_tables(settings, psk)
    elif settings.kind == "gprs":
        tables |= _modem_tables(settings, network)
    else:
        tables["802-3-ethernet"] = {}
    return {name: {key: _variant_of(key, value) for key, value in table.items()} for name, table in tables.items()}


def _ip_tables(settings: NetworkManagerSettings) -> dict[str, dict[str, Any]]:
    metric = settings.route_metric or METRICS[settings.kind]
    other: dict[str, Any] = {"method": "disabled" if settings.kind == "gprs" else "auto", "route-metric": metric}
    chosen: dict[str, Any] = {"method": "auto", "route-metric": metric, "may-fail": settings.kind != "gprs"}
    is_ipv6 = ":" in settings.address
    if settings.address:
        address, _, prefix = settings.address.partition("/")
        chosen |= {"method": "manual", "address-data": [(address, int(prefix))]}
        other["method"] = "disabled" if is_ipv6 else "link-local"
    if settings.gateway:
        chosen["gateway"] = settings.gateway
    if settings.name_servers:
        chosen["dns-data"] = list(settings.name_servers)
    return {"ipv4": other, "ipv6": chosen} if is_ipv6 else {"ipv4": chosen, "ipv6": other}


def _wifi_tables(settings: NetworkManagerSettings, psk: str) -> dict[str, dict[str, Any]]:
    network = {"ssid": settings.ssid.encode(), "mode": "infrastructure", "powersave": NO_POWER_SAVING}
    tables: dict[str, dict[str, Any]] = {"802-11-wireless": network}
    if psk:
        tables["802-11-wireless-security"] = {"key-mgmt": settings.key_management, "psk": psk}
    return tables


def _modem_tables(settings: NetworkManagerSettings, network: str) -> dict[str, dict[str, Any]]:
    gsm: dict[str, Any] = {"home-only": not settings.roaming, "mtu": MTU_BYTES}
    gsm |= {"apn": settings.apn} if settings.apn else {"auto-config": True}
    if network:
        gsm["network-id"] = network
    if settings.username:
        gsm |= {"username": settings.username, "password": settings.password}
    refused = {f"refuse-{name}": True for name in AUTHENTICATIONS if name not in ALLOWED[settings.auth]}
    return {"gsm": gsm, "ppp": {**refused, "lcp-echo-interval": 30, "lcp-echo-failure": 4}}


_SIGNATURES = {
    "route-metric": "x", "mtu": "u", "powersave": "u", "ssid": "ay", "dns-data": "as", "lcp-echo-interval": "u",
    "lcp-echo-failure": "u",
}  # fmt: skip
"""Of the keys whose type the value does not show."""


def _variant_of(key: str, value: Any) -> Variant:
    from dbus_fast import Variant

    if key == "address-data":
        return Variant("aa{sv}", [{"address": Variant("s", a), "prefix": Variant("u", p)} for a, p in value])
    natural = {bool: "b", str: "s", int: "i"}
    return Variant(_SIGNATURES.get(key) or natural[type(value)], value)

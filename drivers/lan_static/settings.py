"""Settings of ``drivers.lan_static``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.network_interface import NETWORK_CLASS, InterfaceName, NetworkFolder


@dataclass(frozen=True, slots=True)
class InterfaceSettings:
    """``interface``: its name in the kernel, for example ``eth0`` or ``wlan0``. ``network_folder``: where its state
    is read."""

    interface: InterfaceName
    network_folder: NetworkFolder = NETWORK_CLASS

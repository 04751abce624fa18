"""All far ends of one station. They are opened from the station file and closed together."""

from __future__ import annotations

import asyncio
import sys

from agent.model.types import STATION
from agent.station_file.settings import Device
from drivers.sim.bearers import BearerFarEnds
from drivers.sim.derived_file import (
    FarEnds,
    Table,
    chosen_options,
    lacks_address,
    with_absolute_paths,
    with_backend_url,
)
from drivers.sim.energy_manager import DEFAULTS as MANAGER_DEFAULTS
from drivers.sim.energy_manager import EnergyManager, ModbusEnergyManager, make_energy_manager
from drivers.sim.front_panel import FrontPanelFarEnds
from drivers.sim.installation import Installation
from drivers.sim.link_proxy import LinkProxy, parse_backend_target
from drivers.sim.outlet_far_ends import OutletFarEnds
from drivers.sim.power_supply import PowerSupply
from drivers.sim.terminal import Terminal

NO_BACKEND = ("127.0.0.1", 9)
"""A port at which no program listens (discard, RFC 863)."""


class StationFarEnds:
    """The open far ends: those of the outlets, those that people touch, and those that the station has once."""

    def __init__(self, station: Installation) -> None:
        self.outlets = OutletFarEnds(station)
        self.front_panel = FrontPanelFarEnds(station)
        self.supply: PowerSupply | None = None
        self.energy_manager: EnergyManager | None = None
        self.terminals: dict[int, Terminal] = {}
        self.link_proxies: dict[str, LinkProxy] = {}
        self.bearers = BearerFarEnds(station)
        self._station = station

    @property
    def tables(self) -> FarEnds:
        """The device tables for the derived station file."""
        return self._station.tables

    @property
    def addresses(self) -> dict[str, str]:
        """Where each far end is, for people."""
        return self._station.addresses

    async def open(self, backend_url: str) -> None:
        """Open all far ends. Raises ``ValueError`` for a device that cannot be simulated, and ``OSError``."""
        self._station.folder.mkdir(parents=True, exist_ok=True)
        await self.outlets.open_boards()
        for evse in self._station.file.evses:
            await self.outlets.open_meter(evse)
            self.front_panel.open_lamp(evse)
        self.front_panel.open_screens()
        await self.front_panel.open_readers()
        self.front_panel.open_buttons()
        self._open_supply()
        await self._open_energy_manager()
        self.front_panel.open_buzzer()
        self._open_terminals()
        self._name_updater()
        await self._open_link_proxies(backend_url)
        first = next(iter(self.link_proxies.values()), None)
        await self.bearers.open(first or LinkProxy(*NO_BACKEND))
        if first is not None and self.bearers.proxies:  # until a bearer is chosen, the routes lead over the first one
            preferred = next(iter(self.bearers.proxies.values()))
            self._station.tables.via[next(iter(self._station.tables.via))] = f"127.0.0.1:{preferred.port}"
        self.link_proxies |= self.bearers.proxies

    async def close(self) -> None:
        await self.outlets.close()
        self.front_panel.close()
        self.bearers.close()
        if self.energy_manager is not None:
            await self.energy_manager.close()
        for terminal in self.terminals.values():
            await terminal.close()
        for proxy in self.link_proxies.values():
            await proxy.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    def _name_updater(self) -> None:
        """Name the updater, a program that is started for every call and holds nothing open in between."""
        if lacks_address(self._station.file.devices.get("updater"), "updater_command"):
            board = [
                sys.executable,
                "-m",
                "drivers.sim.updater",
                str((self._station.folder / "systems.json").resolve()),
            ]
            self._station.tables.station["updater"] = {
                "driver": "updater_command",
                "install": [*board, "install", "{file}"],
                "running": [*board, "running"],
                "commit": [*board, "commit"],
                "reboot": [*board, "reboot"],
            }

    def _open_supply(self) -> None:
        """Open the power supply if the station file names one. With it the agent shuts down when mains is lost."""
        power = self._station.file.devices.get("power")
        if power is None or not lacks_address(power, "power_sysfs"):
            return
        supply = self.supply = PowerSupply(self._station.folder / "power_supply" / "mains")
        supply.start(self._station.mains.on)
        table: Table = {"driver": "power_sysfs", **chosen_options(power), "path": str(supply.folder)}
        self._station.tables.station["power"] = table
        self._station.addresses["power"] = str(supply.folder)

    async def _open_energy_manager(self) -> None:
        """Open the energy manager if the station file names one without an address. Raises ``ValueError``."""
        device = self._station.file.devices.get("energy_manager")
        if device is None or device.driver not in MANAGER_DEFAULTS or not lacks_address(device, device.driver):
            return
        asked = {**MANAGER_DEFAULTS[device.driver], **chosen_options(device)}
        manager = self.energy_manager = make_energy_manager(device.driver, asked)
        await manager.start()
        address: Table = {"host": "127.0.0.1", "port": manager.port}
        if isinstance(manager, ModbusEnergyManager):
            address["released"] = manager.released
        options = with_absolute_paths(asked, self._station.file.path.parent)
        self._station.tables.station["energy_manager"] = {"driver": device.driver, **options, **address}
        self._station.addresses["energy manager"] = f"127.0.0.1:{manager.port} ({device.driver})"

    def _open_terminals(self) -> None:
        """Open the named terminals, or one for the station if it takes payments and names none."""
        named = {e.number: e.devices["terminal"] for e in self._station.file.evses if "terminal" in e.devices}
        shared = self._station.file.devices.get("terminal")
        if shared is not None or (not named and self._station.file.payment is not None):
            named[STATION] = shared or Device("terminal_payter")
        for place, device in named.items():
            if not lacks_address(device, "terminal_payter"):
                continue
            terminal = self.terminals[place] = Terminal(self._station.folder.parent, place, self._station.rate)
            table: Table = {
                **with_absolute_paths(chosen_options(device), self._station.file.path.parent),
                **terminal.device_table,
            }
            if place == STATION:
                self._station.tables.station["terminal"] = table
            else:
                self._station.tables.evses[place]["terminal"] = table
            self._station.addresses[f"terminal {place or 'shared'}"] = f"127.0.0.1:{terminal.port} (PSP over TCP)"
            terminal.start()

    async def _open_link_proxies(self, backend_url: str) -> None:
        """Open a link proxy for each backend. The first is called "backend", any other has the backend's name."""
        backends = with_backend_url(self._station.file.backends, self._station.file.station.id, backend_url)
        for i, backend in enumerate(b for b in backends if b.url):
            host, port = _parse_via_address(backend.via) if backend.via else parse_backend_target(backend.url)
            proxy = LinkProxy(host, port, self._station.file.simulation.seed + i)
            await proxy.start()
            name = backend.name if i else "backend"
            self.link_proxies[name] = proxy
            self._station.tables.via[backend.name] = self._station.addresses[f"road {name}"] = f"127.0.0.1:{proxy.port}"


def _parse_via_address(via: str) -> tuple[str, int]:
    host, _, port = via.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"backend.via: must be host:port, is {via!r}")
    return host.strip("[]"), int(port)

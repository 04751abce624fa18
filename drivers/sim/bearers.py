"""The far ends of the bearers: LAN, Wi-Fi and a modem with its SIM and its mobile network.

The agent's drivers are those of a board. What they find: for ``lan_static`` a folder like ``/sys/class/net``, with the
address of the loopback interface; for ``modem_at`` the pseudo terminals of a modem, and a program in the place of
``pppd`` (``ppp_stand_in.py``), so that neither rights nor PPP in the kernel are needed. The data of each bearer take
the way over a link proxy of its own (``via`` of its table), which can be cut, slowed down or stalled, and which carries
nothing while the bearer is not connected. That is the link to the first backend; everything else takes the network of
this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from agent.station_file.settings import Device
from drivers.sim.bearer_proxy import INTERFACE, BearerProxy
from drivers.sim.derived_file import Table, chosen_options, lacks_address
from drivers.sim.installation import Installation
from drivers.sim.link_proxy import LinkProxy
from drivers.sim.modem_far_end import ModemFarEnd

LOOK_S = 0.5
"""How often a backend that cannot be reached is looked for."""


class BearerFarEnds:
    """The open bearers by the name of their link: ``lan``, ``wifi``, ``gprs``; a second one of a kind is ``gprs2``."""

    def __init__(self, station: Installation) -> None:
        self.proxies: dict[str, BearerProxy] = {}
        self.modems: dict[str, ModemFarEnd] = {}
        self._station = station
        self._watching: asyncio.Task[None] | None = None

    async def open(self, backend: LinkProxy) -> None:
        """Open the bearers of the station file that have no address. ``backend``: where the data of all of them go."""
        tables = self._station.file.devices.of_role("bearer")
        if not tables:
            return
        opened = [await self._open_bearer(place, device, backend) for place, device in tables.items()]
        self._station.tables.station["bearer"] = opened
        if self.proxies:
            backend.on_trouble = self.follow_conditions
            self._watching = asyncio.create_task(self._look_for_backend(backend))

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for modem in self.modems.values():
            modem.close()

    async def _look_for_backend(self, backend: LinkProxy) -> None:
        """Find out when a backend that was not reached is there again. No bearer leads to it until then."""
        while True:
            await asyncio.sleep(LOOK_S)
            if backend.trouble:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(*backend.target)
                    writer.close()
                    backend.trouble = ""
                    self.follow_conditions()

    def follow_conditions(self) -> None:
        """Bring the interfaces up to date with what the links carry."""
        for name, proxy in self.proxies.items():
            modem = self.modems.get(name)
            if modem is None:
                proxy.show_interface(proxy.condition.up)
            else:
                modem.set_cell_presence(proxy.condition.up)
                if proxy.has_carrier != modem.is_connected:
                    proxy.set_carrier(modem.is_connected)
                proxy.show_interface(None)
            proxy.update_opening()

    async def _open_bearer(self, place: str, device: Device, backend: LinkProxy) -> Table:
        table: Table = {"driver": device.driver, **chosen_options(device)}
        if not any(lacks_address(device, driver) for driver in ("lan_static", "modem_at")):
            return table
        number = int(place[len("bearer[") : -1])
        kind = self._station.file.bearers[place].kind
        name = next(n for n in (kind, *(f"{kind}{i}" for i in range(2, number + 2))) if n not in self.proxies)
        folder = (self._station.folder / f"network-{name}").resolve()
        proxy = self.proxies[name] = BearerProxy(backend, self._station.file.simulation.seed + 100 + number, folder)
        await proxy.start()
        table |= {"interface": INTERFACE, "network_folder": str(folder), "via": f"127.0.0.1:{proxy.port}"}
        if device.driver == "modem_at":
            modem = self.modems[name] = ModemFarEnd(self._station.folder, name, device.options)
            table |= modem.open(folder)
            self._station.addresses[f"modem {name}"] = str(modem.command_line_path)
        self._station.addresses[f"link {name}"] = f"127.0.0.1:{proxy.port}"
        self.follow_conditions()
        return table

    def modem_picture(self) -> dict[str, Any] | None:
        """Return the picture of the first modem; None: there is none."""
        return next((modem.describe_modem() for modem in self.modems.values()), None)

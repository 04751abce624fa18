"""All far ends of one station. They are opened from the station file and closed together."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from agent.station_file.settings import Device, Evse, StationFile
from drivers.sim.board import EXTRA_BASE, ChargeController
from drivers.sim.buttons import Buttons, button_key_codes
from drivers.sim.buzzer import Buzzer
from drivers.sim.derived_file import (
    FarEnds,
    Table,
    chosen_options,
    lacks_address,
    with_absolute_paths,
    with_backend_url,
)
from drivers.sim.everest.station import Everest
from drivers.sim.evse import Evse as EvseModel
from drivers.sim.external_far_ends import Place, installed_far_ends
from drivers.sim.faults import FAULT_NAMES
from drivers.sim.lamp import Lamp
from drivers.sim.line_reader import LineReader
from drivers.sim.link_proxy import LinkProxy, parse_backend_target
from drivers.sim.mains import Mains
from drivers.sim.meter import Meter, meter_family
from drivers.sim.modbus_slave import NetworkSlave, RtuSlave
from drivers.sim.modbus_slave import RegisterDevice as SlaveDevice
from drivers.sim.mqtt import Broker
from drivers.sim.power_supply import PowerSupply
from drivers.sim.pty_line import PtyLine
from drivers.sim.rapi import RapiBoard
from drivers.sim.rest_meters import OUTLET_METERS
from drivers.sim.rf_field import RfField
from drivers.sim.screen import Screen
from drivers.sim.small_boards import SMALL_BOARDS
from drivers.sim.terminal import Terminal

STATION = 0
"""Place of the devices that serve all EVSEs."""
_MAP = "charx_sec"
_READERS = (Device("reader_nfc", {"same_card_holdoff_ms": 200}), Device("reader_serial"))
"""Used where the station file names no reader. A simulated hand does not tremble, so the hold-off is short and the next
tap of the same card counts."""


class StationFarEnds:
    """The open far ends. ``far_ends`` are the tables for the derived station file, ``addresses`` are for people."""

    def __init__(
        self, file: StationFile, evses: Mapping[int, EvseModel], mains: Mains, folder: Path, rate: float = 1.0
    ) -> None:
        self._file = file
        self._rate = rate
        self._evses = evses
        self._mains = mains
        self._folder = folder
        self.far_ends = FarEnds(evses={e.number: {} for e in file.evses})
        self.addresses: dict[str, str] = {}
        self.fields: dict[int, RfField] = {}
        self.line_readers: dict[int, LineReader] = {}
        self.serial_boards: dict[int, RapiBoard] = {}
        self.everest: dict[int, Everest] = {}
        self.broker = Broker()
        self.screens: dict[int, Screen] = {}
        self.buttons: Buttons | None = None
        self.supply: PowerSupply | None = None
        self.lamps: dict[int, Lamp] = {}
        self.buzzer: Buzzer | None = None
        self.terminals: dict[int, Terminal] = {}
        self.roads: dict[str, LinkProxy] = {}
        self._foreign = AsyncExitStack()
        self._slaves: list[NetworkSlave] = []
        self._lines: list[PtyLine] = []

    async def open(self, backend_url: str) -> None:
        """Open all far ends. Raises ``ValueError`` for a device that cannot be simulated, and ``OSError``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._open_external()
        await self._open_boards()
        self._open_serial_boards()
        await self._open_everest()
        for evse in self._file.evses:
            await self._open_meter(evse)
            self._open_lamp(evse)
        self._open_screens()
        await self._open_readers()
        self._open_buttons()
        self._open_supply()
        self._open_buzzer()
        self._open_terminals()
        self._name_updater()
        await self._open_link_proxies(backend_url)

    async def close(self) -> None:
        await self._foreign.aclose()
        await self.broker.close()
        for slave in self._slaves:
            slave.close()
        for line in self._lines:
            line.hang_up()
        for board in self.serial_boards.values():
            board.hang_up()
        for reader in self.line_readers.values():
            reader.close()
        for field in self.fields.values():
            field.close()
        if self.buttons is not None:
            self.buttons.close()
        if self.buzzer is not None:
            self.buzzer.close()
        for terminal in self.terminals.values():
            await terminal.close()
        for road in self.roads.values():
            await road.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    def discard_inputs(self) -> None:
        """Discard the taps and presses that the agent has not read because it was away."""
        for reader in self.line_readers.values():
            reader.discard_taps()
        if self.buttons is not None:
            self.buttons.discard_presses()

    def silence_reader(self, evse: int, silent: bool) -> None:
        """Silence the EVSE's own line reader, or the station's if the EVSE has none."""
        reader = self.line_readers.get(evse) or self.line_readers.get(STATION)
        if reader is not None:
            reader.set_silent(silent)

    def _name_updater(self) -> None:
        """Name the updater, a program that is started for every call and holds nothing open in between."""
        if lacks_address(self._file.devices.get("updater"), "updater_command"):
            board = [sys.executable, "-m", "drivers.sim.updater", str((self._folder / "systems.json").resolve())]
            self.far_ends.station["updater"] = {
                "driver": "updater_command",
                "install": [*board, "install", "{file}"],
                "running": [*board, "running"],
                "commit": [*board, "commit"],
                "reboot": [*board, "reboot"],
            }

    # --- boards and meters ----------------------------------------------------------------------------------------

    async def _open_external(self) -> None:
        """Open the far ends of other packages first, so that they can replace ours for the same map."""
        for far_end in installed_far_ends():
            for evse in self._file.evses:
                device = self._file.device_for(evse, far_end.role)
                if device is not None and far_end.fits_device(device):
                    place = Place(self._evses[evse.number], self._mains, self._folder, chosen_options(device))
                    address = await self._foreign.enter_async_context(far_end.open(place))
                    table = {"driver": device.driver, **place.options, **address}
                    self.far_ends.evses[evse.number][far_end.role] = table
                    where = ", ".join(f"{k} {v}" for k, v in address.items())
                    self.addresses[f"{far_end.role} {evse.number}"] = f"{where} ({device.driver})"

    async def _open_boards(self) -> None:
        wanted = [
            e
            for e in self._file.evses
            if "board" not in self.far_ends.evses[e.number]
            and lacks_address(self._file.device_for(e, "board"), "evse_modbus")
        ]
        small = [e for e in wanted if chosen_options(self._file.device_for(e, "board")).get("map", _MAP) != _MAP]
        for evse in small:
            await self._open_small_board(evse)
        if wanted := [e for e in wanted if e not in small]:
            await self._open_charx(wanted)

    async def _open_charx(self, wanted: list[Evse]) -> None:
        slave = await self._start_network_slave(
            ChargeController({e.number: self._evses[e.number] for e in wanted}, self._mains), "tcp"
        )
        for evse in wanted:
            asked = chosen_options(self._file.device_for(evse, "board"))
            self._evses[evse.number].contacts = contacts = tuple(asked.get("input_faults", ()))
            bay: Table = {} if contacts and contacts[0] else {"bay_input": 0}
            table: Table = {
                "driver": "evse_modbus", "map": _MAP, "poll_s": 0.25, "watchdog_s": 10, **bay, **asked,
                "host": "127.0.0.1", "port": slave.port, "unit": 1, "point": evse.number,
                "extra_fault_names": list(FAULT_NAMES), "extra_fault_base": EXTRA_BASE,
            }  # fmt: skip
            self.far_ends.evses[evse.number]["board"] = table
            self.addresses[f"board {evse.number}"] = f"127.0.0.1:{slave.port} (Modbus TCP, unit 1, point {evse.number})"

    async def _open_small_board(self, evse: Evse) -> None:
        """Open a small board on the kind of line that the real one has."""
        asked = chosen_options(self._file.device_for(evse, "board"))
        if asked["map"] not in SMALL_BOARDS:
            known = ", ".join((_MAP, *SMALL_BOARDS))
            raise ValueError(f"board: there is no simulated board for map {asked['map']!r}; there is {known}")
        self._evses[evse.number].contacts = tuple(asked.get("input_faults", ()))
        board = SMALL_BOARDS[asked["map"]](self._evses[evse.number], self._mains)
        if board.line == "rtu":
            line = self._open_rtu_line(f"board-{evse.number}", RtuSlave(board.unit, board))
            address: Table = {"device": str(line.link), "parity": "N"}  # a pseudo terminal knows no parity
        else:
            address = {"host": "127.0.0.1", "port": (await self._start_network_slave(board, "tcp", board.unit)).port}
        table: Table = {"driver": "evse_modbus", "poll_s": 0.25, "watchdog_s": 10, **asked, **address}
        self.far_ends.evses[evse.number]["board"] = table
        where = address.get("device") or f"{address['host']}:{address['port']}"
        self.addresses[f"board {evse.number}"] = f"{where} ({board.line}, {asked['map']}, unit {board.unit})"

    def _open_rtu_line(self, name: str, slave: RtuSlave) -> PtyLine:
        line = PtyLine(self._folder / name, lambda data: slave.feed_bytes(data, time.monotonic()))
        line.open()
        self._lines.append(line)
        return line

    def _open_serial_boards(self) -> None:
        for evse in self._file.evses:
            device = self._file.device_for(evse, "board")
            if device is None or not lacks_address(device, "evse_openevse"):
                continue
            board = RapiBoard(self._evses[evse.number], self._folder / f"board-{evse.number}")
            board.start()
            self.serial_boards[evse.number] = board
            table: Table = {
                "driver": "evse_openevse",
                "poll_s": 0.25,
                **chosen_options(device),
                "device": board.address,
            }
            self.far_ends.evses[evse.number]["board"] = table
            self.addresses[f"board {evse.number}"] = f"{board.address} (RAPI)"

    async def _open_everest(self) -> None:
        """Open EVerest: one broker serves all EVSEs with this driver."""
        for evse in self._file.evses:
            device = self._file.device_for(evse, "board")
            if device is None or not lacks_address(device, "evse_everest"):
                continue
            if not self.everest:
                await self.broker.start()
            rng = random.Random(self._file.simulation.seed + evse.number)
            self.everest[evse.number] = Everest(self._evses[evse.number], self.broker, rng, self._mains, self._rate)
            table: Table = {
                **chosen_options(device),
                "driver": "evse_everest",
                "host": "127.0.0.1",
                "port": self.broker.port,
            }
            self.far_ends.evses[evse.number]["board"] = table
            self.addresses[f"board {evse.number}"] = f"127.0.0.1:{self.broker.port} (MQTT, EVerest API)"

    async def _open_rest_meter(self, evse: Evse, device: Device) -> None:
        model = str(device.options["model"])
        far = OUTLET_METERS[model](self._evses[evse.number])
        await self._foreign.enter_async_context(far)
        address: Table = {"host": "127.0.0.1", "port": far.port}
        self.far_ends.evses[evse.number]["meter"] = {"driver": "meter_rest", **chosen_options(device), **address}
        self.addresses[f"meter {evse.number}"] = f"http://127.0.0.1:{far.port} ({model})"

    async def _open_meter(self, evse: Evse) -> None:
        device = self._file.device_for(evse, "meter")
        if device is not None and device.options.get("model") in OUTLET_METERS and lacks_address(device, "meter_rest"):
            await self._open_rest_meter(evse, device)
        if "meter" in self.far_ends.evses[evse.number] or not lacks_address(device, "meter_modbus"):
            return
        label = {"class": "B"} if device is None and self._file.payment is not None else {}
        asked = {"map": "eastron_sdm630", "line": "rtu", "unit": 1, **label, **chosen_options(device)}
        meter = Meter(meter_family(asked["map"]), self._evses[evse.number], self._mains)
        if asked["line"] == "rtu":
            line = self._open_rtu_line(f"meter-{evse.number}", RtuSlave(asked["unit"], meter))
            address: Table = {"device": str(line.link), "parity": "N"}  # a pseudo terminal knows no parity
        elif asked["line"] in ("tcp", "rtu_tcp"):
            address = {
                "host": "127.0.0.1",
                "port": (await self._start_network_slave(meter, asked["line"], asked["unit"])).port,
            }
        else:
            raise ValueError(f"meter.line: must be rtu, rtu_tcp or tcp, is {asked['line']!r}")
        self.far_ends.evses[evse.number]["meter"] = {"driver": "meter_modbus", **asked, **address}
        where = address.get("device") or f"{address['host']}:{address['port']}"
        self.addresses[f"meter {evse.number}"] = f"{where} ({asked['line']}, {asked['map']}, unit {asked['unit']})"

    async def _start_network_slave(self, device: SlaveDevice, line: str, unit: int = 1) -> NetworkSlave:
        slave = NetworkSlave(device, unit, line)
        self._slaves.append(slave)
        await slave.start()
        return slave

    # --- what people touch ----------------------------------------------------------------------------------------

    async def _open_readers(self) -> None:
        """Open the shared readers, and with several EVSEs a pair at each. Readers of the station file are kept."""
        shared = tuple(self._file.devices.of_role("reader").values())
        self.far_ends.station["reader"] = [await self._open_reader(d, STATION) for d in shared or _READERS]
        several = len(self._file.evses) > 1 and not shared
        for evse in self._file.evses:
            own = tuple(evse.devices.of_role("reader").values()) or (_READERS if several else ())
            if own:
                self.far_ends.evses[evse.number]["reader"] = [await self._open_reader(d, evse.number) for d in own]

    async def _open_reader(self, device: Device, place: int) -> Table:
        table: Table = {"driver": device.driver, **with_absolute_paths(device.options, self._file.path.parent)}
        name = f"{place}" if place else "shared"
        if lacks_address(device, "reader_nfc") and place not in self.fields:
            field = self.fields[place] = RfField()
            await field.start()
            table["path"] = self.addresses[f"reader_nfc {name}"] = f"udp:127.0.0.1:{field.port}"
        elif lacks_address(device, "reader_serial") and place not in self.line_readers:
            reader = self.line_readers[place] = LineReader(self._folder / f"reader-{name}")
            reader.start()
            table["device"] = self.addresses[f"reader_serial {name}"] = reader.address
        return table

    def _open_screens(self) -> None:
        """Open the panels. A display of the station is one panel for all outlets without a display of their own. If the
        file names no display at all, each outlet has a panel."""
        shared = self._file.devices.get("display")
        for evse in self._file.evses:
            if "display" in evse.devices or shared is None:
                name, path = f"display {evse.number}", f"evse[{evse.number}].display"
                if table := self._open_screen(name, path, evse.devices.get("display"), (evse.number,)):
                    self.far_ends.evses[evse.number]["display"] = table
        served = tuple(e.number for e in self._file.evses if "display" not in e.devices)
        if shared is not None:
            table = self._open_screen("display shared", "display", shared, served)
            if table is not None:
                self.far_ends.station["display"] = table

    def _open_screen(self, name: str, place: str, device: Device | None, served: tuple[int, ...]) -> Table | None:
        """Open a panel. Return None if the station file gives its address."""
        if not lacks_address(device, "display_framebuffer"):
            return None
        asked: Table = {"width": 800, "height": 480, "format": "RGB565", **chosen_options(device)}
        path = self._folder / name.replace(" ", "-")
        try:
            screen = Screen(path, asked["width"], asked["height"], asked["format"])
        except ValueError as e:
            raise ValueError(f"{place}.{e}") from None
        screen.start()
        self.screens |= dict.fromkeys(served, screen)
        self.addresses[name] = f"{path} ({screen.width}x{screen.height}, {screen.format})"
        return {"driver": "display_framebuffer", **asked, "path": str(path)}

    def _open_buttons(self) -> None:
        device = self._file.devices.get("buttons")
        if not lacks_address(device, "buttons_evdev"):
            return
        keys: dict[str, int] = chosen_options(device).get("keys") or button_key_codes(len(self._file.evses))
        self.buttons = Buttons(self._folder / "buttons", keys)
        self.buttons.start()
        table: dict[str, Any] = {
            "driver": "buttons_evdev",
            **chosen_options(device),
            "path": str(self.buttons.path),
            "keys": keys,
        }
        self.far_ends.station["buttons"] = table
        self.addresses["buttons"] = str(self.buttons.path)

    def _open_lamp(self, evse: Evse) -> None:
        if not lacks_address(evse.devices.get("lamp"), "lamp_leds"):
            return
        lamp = self.lamps[evse.number] = Lamp(self._folder / "leds", evse.number)
        lamp.start()
        table: Table = {"driver": "lamp_leds", "folder": str(lamp.folder), **lamp.names}
        self.far_ends.evses[evse.number]["lamp"] = table
        self.addresses[f"lamp {evse.number}"] = f"{lamp.folder} ({', '.join(lamp.names.values())})"

    def _open_buzzer(self) -> None:
        device = self._file.devices.get("buzzer")
        if not lacks_address(device, "buzzer_evdev"):
            return
        buzzer = self.buzzer = Buzzer(self._folder / "buzzer")
        buzzer.start()
        self.far_ends.station["buzzer"] = {"driver": "buzzer_evdev", "path": str(buzzer.path)}
        self.addresses["buzzer"] = str(buzzer.path)

    def _open_supply(self) -> None:
        """Open the power supply if the station file names one. With it the agent shuts down when mains is lost."""
        power = self._file.devices.get("power")
        if power is None or not lacks_address(power, "power_sysfs"):
            return
        supply = self.supply = PowerSupply(self._folder / "power_supply" / "mains")
        supply.start(self._mains.on)
        table: Table = {"driver": "power_sysfs", **chosen_options(power), "path": str(supply.folder)}
        self.far_ends.station["power"] = table
        self.addresses["power"] = str(supply.folder)

    def _open_terminals(self) -> None:
        """Open the named terminals, or one for the station if it takes payments and names none."""
        named = {e.number: e.devices["terminal"] for e in self._file.evses if "terminal" in e.devices}
        shared = self._file.devices.get("terminal")
        if shared is not None or (not named and self._file.payment is not None):
            named[STATION] = shared or Device("terminal_payter")
        for place, device in named.items():
            if not lacks_address(device, "terminal_payter"):
                continue
            terminal = self.terminals[place] = Terminal(self._folder.parent, place, self._rate)
            table: Table = {
                **with_absolute_paths(chosen_options(device), self._file.path.parent),
                **terminal.device_table,
            }
            if place == STATION:
                self.far_ends.station["terminal"] = table
            else:
                self.far_ends.evses[place]["terminal"] = table
            self.addresses[f"terminal {place or 'shared'}"] = f"127.0.0.1:{terminal.port} (PSP over TCP)"
            terminal.start()

    async def _open_link_proxies(self, backend_url: str) -> None:
        """Open a link proxy for each backend. The first is called "backend", any other has the backend's name."""
        backends = with_backend_url(self._file.backends, self._file.station.id, backend_url)
        for i, backend in enumerate(b for b in backends if b.url):
            host, port = _parse_via_address(backend.via) if backend.via else parse_backend_target(backend.url)
            road = LinkProxy(host, port, self._file.simulation.seed + i)
            await road.start()
            name = backend.name if i else "backend"
            self.roads[name] = road
            self.far_ends.via[backend.name] = self.addresses[f"road {name}"] = f"127.0.0.1:{road.port}"


def _parse_via_address(via: str) -> tuple[str, int]:
    host, _, port = via.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"backend.via: must be host:port, is {via!r}")
    return host.strip("[]"), int(port)

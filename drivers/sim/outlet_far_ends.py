"""The far ends of the boards and meters of a simulated station."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack

from agent.station_file.settings import Device, Evse
from drivers.sim.board import EXTRA_BASE, ChargeController
from drivers.sim.derived_file import Table, chosen_options, lacks_address
from drivers.sim.everest.station import Everest
from drivers.sim.external_far_ends import Place, installed_far_ends
from drivers.sim.faults import FAULT_NAMES
from drivers.sim.installation import Installation
from drivers.sim.meter import Meter, meter_family
from drivers.sim.modbus_slave import NetworkSlave, RtuSlave
from drivers.sim.modbus_slave import RegisterDevice as SlaveDevice
from drivers.sim.mqtt import Broker
from drivers.sim.pty_line import PtyLine
from drivers.sim.rapi import RapiBoard
from drivers.sim.rest_meters import OUTLET_METERS
from drivers.sim.small_boards import SMALL_BOARDS

_MAP = "charx_sec"


class OutletFarEnds:
    """The open boards and meters, by the number of their EVSE."""

    def __init__(self, station: Installation) -> None:
        self.serial_boards: dict[int, RapiBoard] = {}
        self.everest: dict[int, Everest] = {}
        self._broker = Broker()
        self._station = station
        self._external = AsyncExitStack()
        self._slaves: list[NetworkSlave] = []
        self._lines: list[PtyLine] = []

    async def open_boards(self) -> None:
        """Open the far ends of other packages, then our boards. Raises ``ValueError``, ``OSError``."""
        await self._open_external()
        await self._open_modbus_boards()
        self._open_serial_boards()
        await self._open_everest()

    async def close(self) -> None:
        await self._external.aclose()
        await self._broker.close()
        for slave in self._slaves:
            slave.close()
        for line in self._lines:
            line.hang_up()
        for board in self.serial_boards.values():
            board.hang_up()

    async def _open_external(self) -> None:
        """Open the far ends of other packages first, so that they can replace ours for the same map."""
        for far_end in installed_far_ends():
            for evse in self._station.file.evses:
                device = self._station.file.device_for(evse, far_end.role)
                if device is not None and far_end.fits_device(device):
                    place = Place(
                        self._station.evses[evse.number],
                        self._station.mains,
                        self._station.folder,
                        chosen_options(device),
                    )
                    address = await self._external.enter_async_context(far_end.open(place))
                    table = {"driver": device.driver, **place.options, **address}
                    where = ", ".join(f"{k} {v}" for k, v in address.items())
                    self._station.add_outlet_device(evse.number, far_end.role, table, f"{where} ({device.driver})")

    async def _open_modbus_boards(self) -> None:
        wanted = [
            e
            for e in self._station.file.evses
            if "board" not in self._station.tables.evses[e.number]
            and lacks_address(self._station.file.device_for(e, "board"), "evse_modbus")
        ]
        maps = {e.number: chosen_options(self._station.file.device_for(e, "board")).get("map", _MAP) for e in wanted}
        small = [e for e in wanted if maps[e.number] != _MAP]
        for evse in small:
            await self._open_small_board(evse)
        if wanted := [e for e in wanted if e not in small]:
            await self._open_charx(wanted)

    async def _open_charx(self, wanted: list[Evse]) -> None:
        slave = await self._start_network_slave(
            ChargeController({e.number: self._station.evses[e.number] for e in wanted}, self._station.mains), "tcp"
        )
        for evse in wanted:
            asked = chosen_options(self._station.file.device_for(evse, "board"))
            self._station.evses[evse.number].contacts = contacts = tuple(asked.get("input_faults", ()))
            bay: Table = {} if contacts and contacts[0] else {"bay_input": 0}
            table: Table = {
                "driver": "evse_modbus", "map": _MAP, "poll_s": 0.25, "watchdog_s": 10, **bay, **asked,
                "host": "127.0.0.1", "port": slave.port, "unit": 1, "point": evse.number,
                "extra_fault_names": list(FAULT_NAMES), "extra_fault_base": EXTRA_BASE,
            }  # fmt: skip
            where = f"127.0.0.1:{slave.port} (Modbus TCP, unit 1, point {evse.number})"
            self._station.add_outlet_device(evse.number, "board", table, where)

    async def _open_small_board(self, evse: Evse) -> None:
        """Open a small board on the kind of line that the real one has."""
        asked = chosen_options(self._station.file.device_for(evse, "board"))
        if asked["map"] not in SMALL_BOARDS:
            known = ", ".join((_MAP, *SMALL_BOARDS))
            raise ValueError(f"board: there is no simulated board for map {asked['map']!r}; there is {known}")
        self._station.evses[evse.number].contacts = tuple(asked.get("input_faults", ()))
        board = SMALL_BOARDS[asked["map"]](self._station.evses[evse.number], self._station.mains)
        if board.line == "rtu":
            line = self._open_rtu_line(f"board-{evse.number}", RtuSlave(board.unit, board))
            address: Table = {"device": str(line.link), "parity": "N"}  # a pseudo terminal knows no parity
        else:
            address = {"host": "127.0.0.1", "port": (await self._start_network_slave(board, "tcp", board.unit)).port}
        table: Table = {"driver": "evse_modbus", "poll_s": 0.25, "watchdog_s": 10, **asked, **address}
        where = f"{_place_of(address)} ({board.line}, {asked['map']}, unit {board.unit})"
        self._station.add_outlet_device(evse.number, "board", table, where)

    def _open_rtu_line(self, name: str, slave: RtuSlave) -> PtyLine:
        line = PtyLine(self._station.folder / name, lambda data: slave.feed_bytes(data, time.monotonic()))
        line.open()
        self._lines.append(line)
        return line

    def _open_serial_boards(self) -> None:
        for evse in self._station.file.evses:
            device = self._station.file.device_for(evse, "board")
            if device is None or not lacks_address(device, "evse_openevse"):
                continue
            board = RapiBoard(self._station.evses[evse.number], self._station.folder / f"board-{evse.number}")
            board.start()
            self.serial_boards[evse.number] = board
            table: Table = {
                "driver": "evse_openevse",
                "poll_s": 0.25,
                **chosen_options(device),
                "device": board.address,
            }
            self._station.add_outlet_device(evse.number, "board", table, f"{board.address} (RAPI)")

    async def _open_everest(self) -> None:
        """Open EVerest: one broker serves all EVSEs with this driver."""
        for evse in self._station.file.evses:
            device = self._station.file.device_for(evse, "board")
            if device is None or not lacks_address(device, "evse_everest"):
                continue
            if not self.everest:
                await self._broker.start()
            rng = random.Random(self._station.file.simulation.seed + evse.number)
            self.everest[evse.number] = Everest(
                self._station.evses[evse.number], self._broker, rng, self._station.mains, self._station.rate
            )
            table: Table = {
                **chosen_options(device),
                "driver": "evse_everest",
                "host": "127.0.0.1",
                "port": self._broker.port,
            }
            where = f"127.0.0.1:{self._broker.port} (MQTT, EVerest API)"
            self._station.add_outlet_device(evse.number, "board", table, where)

    async def _open_rest_meter(self, evse: Evse, device: Device) -> None:
        model = str(device.options["model"])
        far = OUTLET_METERS[model](self._station.evses[evse.number])
        await self._external.enter_async_context(far)
        table = {"driver": "meter_rest", **chosen_options(device), "host": "127.0.0.1", "port": far.port}
        self._station.add_outlet_device(evse.number, "meter", table, f"http://127.0.0.1:{far.port} ({model})")

    async def open_meter(self, evse: Evse) -> None:
        device = self._station.file.device_for(evse, "meter")
        if device is not None and device.options.get("model") in OUTLET_METERS and lacks_address(device, "meter_rest"):
            await self._open_rest_meter(evse, device)
        if "meter" in self._station.tables.evses[evse.number] or not lacks_address(device, "meter_modbus"):
            return
        label = {"class": "B"} if device is None and self._station.file.payment is not None else {}
        asked = {"map": "eastron_sdm630", "line": "rtu", "unit": 1, **label, **chosen_options(device)}
        meter = Meter(meter_family(asked["map"]), self._station.evses[evse.number], self._station.mains)
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
        table = {"driver": "meter_modbus", **asked, **address}
        where = f"{_place_of(address)} ({asked['line']}, {asked['map']}, unit {asked['unit']})"
        self._station.add_outlet_device(evse.number, "meter", table, where)

    async def _start_network_slave(self, device: SlaveDevice, line: str, unit: int = 1) -> NetworkSlave:
        slave = NetworkSlave(device, unit, line)
        self._slaves.append(slave)
        await slave.start()
        return slave


def _place_of(address: Table) -> str:
    return str(address.get("device") or f"{address['host']}:{address['port']}")

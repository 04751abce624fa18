"""Far ends of an energy manager: a controller on site that has the limit of the station in Modbus registers, or
publishes it by MQTT.

Source of the layout: the keys of its table in the station file; the defaults are those of docs/station-file.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from drivers.sim.modbus_slave import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    READ_HOLDING,
    READ_INPUT,
    ModbusException,
    NetworkSlave,
    NoAnswer,
)
from drivers.sim.mqtt import Broker

_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
RELEASED = {"u16": 0xFFFF, "i16": -1, "u32": 0xFFFF_FFFF, "i32": -1, "f32": -1}
"""The number of each type that means that there is no limit, unless the station file names another."""
_VOLTS, _PHASES = 230, 3
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "limit_modbus": {"register": 0, "table": "holding", "type": "u16", "scale": 1.0, "unit": 1, "line": "tcp"},
    "limit_mqtt": {"topic": "site/limit", "key": "", "every_s": 30.0},
}
"""By driver."""


class EnergyManager(ABC):
    """``max_a``: the limit of each phase; None: there is none. ``silent``: the controller gives no sign of life."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._per_a = _VOLTS * _PHASES if options.get("rate_unit") == "W" else 1
        self.max_a: float | None = None
        self.silent = False

    @property
    @abstractmethod
    def port(self) -> int:
        """The port on the loopback."""

    @abstractmethod
    async def start(self) -> None:
        """Open the port."""

    @abstractmethod
    async def close(self) -> None: ...

    @property
    def limit(self) -> float | None:
        """The limit in the unit of the station file."""
        return None if self.max_a is None else self.max_a * self._per_a


def make_energy_manager(driver: str, options: Mapping[str, Any]) -> EnergyManager:
    """Make the far end of this driver. Raises ``ValueError``."""
    if options.get("line", "tcp") == "rtu":
        raise ValueError("energy_manager.line: a simulated energy manager is on a network: tcp or rtu_tcp")
    return ModbusEnergyManager(options) if driver == "limit_modbus" else MqttEnergyManager(options)


class ModbusEnergyManager(EnergyManager):
    """The registers of a controller."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        table = {**DEFAULTS["limit_modbus"], **options}
        self._register, self._scale = int(table["register"]), float(table["scale"])
        self._function = READ_HOLDING if table["table"] == "holding" else READ_INPUT
        self._format = _FORMATS[table["type"]]
        self.released = int(table.get("released", RELEASED[table["type"]]))
        self._alive: int | None = table.get("alive")
        self._looks = 0
        self.slave = NetworkSlave(self, int(table["unit"]), table["line"])

    @property
    def port(self) -> int:
        return self.slave.port

    async def start(self) -> None:
        await self.slave.start()

    async def close(self) -> None:
        self.slave.close()

    def read_registers(self, function: int, address: int, count: int) -> list[int]:
        if self.silent:
            raise NoAnswer
        if function != self._function:
            raise ModbusException(ILLEGAL_FUNCTION)
        known = self._encoded_registers()
        if any(number not in known for number in range(address, address + count)):
            raise ModbusException(ILLEGAL_ADDRESS)
        return [known[number] for number in range(address, address + count)]

    def write_registers(self, address: int, values: list[int]) -> None:
        raise ModbusException(ILLEGAL_ADDRESS)

    def _encoded_registers(self) -> dict[int, int]:
        octets = self._encode_limit_number()
        words = [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]
        known = {self._register + i: word for i, word in enumerate(words)}
        if self._alive is not None:
            self._looks += 1
            known[self._alive] = self._looks & 0xFFFF
        return known

    def _encode_limit_number(self) -> bytes:
        if self.limit is None:
            return struct.pack(self._format, self.released)
        number = self.limit / self._scale
        if self._format == ">f":
            return struct.pack(self._format, number)
        highest = 2 ** (8 * struct.calcsize(self._format) - 1) - 2
        return struct.pack(self._format, min(round(number), highest))


class MqttEnergyManager(EnergyManager):
    """A controller with a broker of its own: it publishes the limit, changed or not, and the broker keeps it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        table = {**DEFAULTS["limit_mqtt"], **options}
        self._topic, self._key = str(table["topic"]), str(table["key"])
        self._pause_s = min(0.5, float(table["every_s"]) / 4)
        self._task: asyncio.Task[None] | None = None
        self.broker = Broker()

    @property
    def port(self) -> int:
        return self.broker.port

    async def start(self) -> None:
        await self.broker.start()
        self._task = asyncio.create_task(self._publish_limits(), name="energy manager")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.broker.close()

    async def _publish_limits(self) -> None:
        while True:
            if not self.silent:
                self.publish_payload(self.encode_payload())
            await asyncio.sleep(self._pause_s)

    def encode_payload(self) -> bytes:
        return json.dumps({self._key: self.limit} if self._key else self.limit).encode()

    def publish_payload(self, payload: bytes) -> None:
        self.broker.publish_message(self._topic, payload, retain=True)

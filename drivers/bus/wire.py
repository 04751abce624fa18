"""The only module that uses pymodbus: the connection and the frames of one line.

pymodbus brings the transports and the encoding. Which bytes count as an answer, time-outs, retries and reconnects are
ours (``frames``, ``actor``): the stock client accepts another function code, a shorter answer and a late one.
All checks sit in its public ``trace_packet`` hook, which may replace what the framer gets to see.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from drivers.bus.frames import ExpectedAnswer
from drivers.bus.line import (
    BITS,
    READ_COILS,
    READ_DISCRETE,
    READ_HOLDING,
    READ_INPUT,
    WRITE_COIL,
    WRITE_ONE,
    LineSettings,
    Request,
)

CONNECT_S = 2.0
HAND_ON_S = 1.0
"""Most time from the octets of an answer until pymodbus has returned it."""
_NEVER_S = 3600.0  # pymodbus' own time-outs must not fire before ours
_EXCEPTIONS = {
    1: "it does not know this function",
    2: "it has no such register: wrong map, or wrong firmware of the device?",
    3: "the value is out of its range",
    4: "it failed while doing it",
    5: "it is busy with a long order",
    6: "it is busy",
    8: "its memory check failed",
}
_GATEWAY = {10: "the gateway has no path to the device", 11: "the gateway got no answer from the device"}
_BUSY = (5, 6)


class ExceptionResponse(Refused):
    """A Modbus exception answer; ``busy`` ones may be tried again."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.busy = code in _BUSY


class PymodbusConnection:
    """One connection. Not re-entrant: its actor makes one transfer at a time."""

    def __init__(self, settings: LineSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._answer: ExpectedAnswer | None = None
        self._limit: asyncio.Timeout | None = None
        self._noise = False

    @property
    def is_connected(self) -> bool:
        return self._client is not None and bool(self._client.connected)

    async def open_connection(self) -> None:
        """Open the line, or open it again. Raises ``Unreachable``; ``Broken`` when a person has to allow or configure
        it."""
        self.close_connection()
        try:
            self._client = _create_client(self._settings, self._filter_packet)
            async with asyncio.timeout(CONNECT_S):
                open_now = await self._client.connect()
        except TimeoutError:
            open_now = False
        except ValueError as e:
            raise Broken(f"{self._settings.name}: {e}; correct the line settings") from e
        except Exception as e:  # termios has an error class of its own, for example for a parity that a pty cannot do
            self.close_connection()
            raise Unreachable(f"{self._settings.name}: cannot be opened ({e}); does it take these settings?") from e
        if not open_now:
            self.close_connection()
            raise self._connect_error()

    def close_connection(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def transfer_request(self, request: Request, timeout_s: float) -> list[int]:
        """Make one transfer. Return the registers read (none for a write). Raises ``Unreachable``, ``Garbled``,
        ``ExceptionResponse``."""
        self._noise = False
        where = f"{self._settings.name}: {request}"
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                response = await _call_pymodbus(self._client, request)
        except TimeoutError:
            raise self._no_answer_error(where, timeout_s) from None
        except Exception as e:  # pymodbus and pyserial throw what they like when a port vanishes
            self.close_connection()
            raise Unreachable(f"{where}: connection lost ({e}); check the cable and the adapter") from e
        finally:
            self._answer = self._limit = None
        return _check_response(response, request, where)

    def _filter_packet(self, sending: bool, data: bytes) -> bytes:
        """Filter both directions: learn the expected answer from the request, and hide everything else."""
        if sending:
            self._answer = ExpectedAnswer.for_request(data, rtu=self._settings.is_serial)
            return data
        frame = self._answer.find_frame(data) if self._answer else None
        self._noise = frame is None
        if frame is not None and self._limit is not None and not self._limit.expired():
            # The time may be over in this very turn of the loop, if an import has blocked it: the answer counts.
            self._limit.reschedule(asyncio.get_running_loop().time() + HAND_ON_S)
        return frame or b""

    def _no_answer_error(self, where: str, timeout_s: float) -> DeviceError:
        if not self.is_connected:
            self.close_connection()
            return Unreachable(f"{where}: connection lost; check the cable and the adapter")
        if self._noise:
            return Garbled(f"{where}: what came back is not the answer; check unit id, parity, termination, wiring")
        return Unreachable(f"{where}: no answer in {timeout_s:.2f} s; check power, wiring, unit id and baud rate")

    def _connect_error(self) -> DeviceError:
        s = self._settings
        if s.kind != "rtu":
            return Unreachable(f"{s.name}: connection refused or no route; check address, port and network cable")
        if not os.path.exists(s.device):
            return Unreachable(f"{s.device}: no such serial port; is the adapter plugged in?")
        if not os.access(s.device, os.R_OK | os.W_OK):
            # not Broken: udev sets the rights a moment after a hot plug
            return Unreachable(f"{s.device}: no permission; add the agent's user to the port's group (often dialout)")
        return Unreachable(f"{s.device}: cannot be opened; does another program use it?")


def _create_client(s: LineSettings, watch: Any) -> Any:
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
    from pymodbus.framer import FramerType

    # Every failure is raised to the caller in our words; its own lines would fill the log of a station for years.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    common: dict[str, Any] = {"timeout": _NEVER_S, "retries": 0, "reconnect_delay": 0, "trace_packet": watch}
    if s.kind == "rtu":
        return AsyncModbusSerialClient(
            s.device, framer=FramerType.RTU, baudrate=s.baud, parity=s.parity, stopbits=s.stopbits, **common
        )
    framer = FramerType.SOCKET if s.kind == "tcp" else FramerType.RTU
    return AsyncModbusTcpClient(s.host, port=s.port, framer=framer, **common)


async def _call_pymodbus(client: Any, r: Request) -> Any:
    if r.function == READ_HOLDING:
        return await client.read_holding_registers(r.address, count=r.count, device_id=r.unit)
    if r.function == READ_INPUT:
        return await client.read_input_registers(r.address, count=r.count, device_id=r.unit)
    if r.function == READ_COILS:
        return await client.read_coils(r.address, count=r.count, device_id=r.unit)
    if r.function == READ_DISCRETE:
        return await client.read_discrete_inputs(r.address, count=r.count, device_id=r.unit)
    if r.function == WRITE_COIL:
        return await client.write_coil(r.address, bool(r.values[0]), device_id=r.unit)
    if r.function == WRITE_ONE:
        return await client.write_register(r.address, r.values[0], device_id=r.unit)
    return await client.write_registers(r.address, list(r.values), device_id=r.unit)


def _check_response(response: Any, request: Request, where: str) -> list[int]:
    if response.isError():
        code = int(response.exception_code)
        if code in _GATEWAY:
            raise Unreachable(f"{where}: {_GATEWAY[code]}; check the device's power and wiring")
        raise ExceptionResponse(
            f"{where}: refused with exception {code}, {_EXCEPTIONS.get(code, 'not explained')}", code
        )
    if request.is_write:
        return []
    registers = (
        [int(b) for b in response.bits[: request.count]] if request.function in BITS else list(response.registers)
    )
    if response.function_code != request.function or len(registers) != request.count:
        raise Garbled(f"{where}: {len(registers)} registers came back")
    return registers

"""What a Modbus line is, which requests are sent on it, and which of them go first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum

KINDS = ("rtu", "rtu_tcp", "tcp")
READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY = 3, 4, 6, 16
READ_COILS, READ_DISCRETE, WRITE_COIL = 1, 2, 5
"""Function codes of the Modbus application protocol V1.1b3, section 6."""
BITS = (READ_COILS, READ_DISCRETE)


class Priority(IntEnum):
    """Smaller goes first. ``WITHDRAW``: taking a release away; ``BILLING``: begin and end of a transaction;
    ``CONTROL``: orders to a board; ``POLL``: live values; ``IDENTITY``: housekeeping."""

    WITHDRAW = 0
    BILLING = 1
    CONTROL = 2
    POLL = 3
    IDENTITY = 4


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A line, and how requests to this device are sent on it.

    ``kind``: "rtu" (serial ``device``), "rtu_tcp" (RTU frames through a serial server) or "tcp" (Modbus TCP). Devices
    with the same ``connection_key`` share one connection. ``timeout_s`` is the time that a device may take to answer;
    the time that the bytes need on a serial line is added. ``gap_s`` is the silence that the device wants before a
    request (serial lines only).
    """

    kind: str = "rtu"
    device: str = ""
    host: str = ""
    port: int = 502
    baud: int = 9600
    parity: str = "N"
    stopbits: int = 1
    timeout_s: float = 0.5
    gap_s: float = 0.0

    @property
    def connection_key(self) -> tuple[str, ...]:
        """Return the key of the physical line: two names of one serial port are one line."""
        if self.kind == "rtu":
            return ("rtu", os.path.realpath(self.device))
        return (self.kind, self.host, str(self.port))

    @property
    def name(self) -> str:
        """Name of the line for people and logs."""
        return self.device if self.kind == "rtu" else f"{self.host}:{self.port}"

    @property
    def serial_mode(self) -> str:
        return f"{self.baud} 8{self.parity}{self.stopbits}" if self.kind == "rtu" else self.kind

    @property
    def is_serial(self) -> bool:
        """True for a line without transaction numbers: a late answer looks like a timely one."""
        return self.kind != "tcp"

    def line_time_s(self, octets: int) -> float:
        """Return how long so many octets travel (11 bits each, as with parity or a second stop bit)."""
        return octets * 11 / self.baud if self.is_serial else 0.0

    def silence_s(self) -> float:
        """Return the silence before a frame: 3.5 characters, fixed 1.75 ms above 19200 baud (Modbus over serial line,
        2.5.1.1)."""
        if not self.is_serial:
            return 0.0
        return max(self.gap_s, 0.00175 if self.baud > 19200 else self.line_time_s(4))

    def list_complaints(self) -> list[str]:
        """List what a person has to correct in the station file."""
        if self.kind not in KINDS:
            return [f"line: must be one of {', '.join(KINDS)}, is {self.kind!r}"]
        if self.kind == "rtu" and not self.device:
            return ['device: is missing; a serial line needs the port, for example device = "/dev/ttyS1"']
        if self.kind != "rtu" and not self.host:
            return ['host: is missing; this line needs the address, for example host = "192.168.1.10"']
        if self.parity not in ("N", "E", "O"):
            return [f"parity: must be N, E or O, is {self.parity!r}"]
        return []


@dataclass(frozen=True, slots=True)
class Request:
    """One transfer: registers or bits to read (``count``) or to write (``values``; 0 or 1 for a coil), at 0-based
    protocol addresses."""

    unit: int
    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()

    @property
    def is_write(self) -> bool:
        return self.function in (WRITE_ONE, WRITE_MANY, WRITE_COIL)

    @property
    def octets_on_line(self) -> int:
        """Octets of request and answer together, in RTU framing."""
        return 8 + 9 + 2 * self.count if self.is_write else 8 + 5 + 2 * self.count

    def __str__(self) -> str:
        verb = "write" if self.is_write else "read"
        return f"unit {self.unit}, {verb} {self.count} at {self.address} (function {self.function})"

"""Modbus lines (RTU, RTU over TCP, Modbus TCP) shared by several devices.

pymodbus is imported when a line connects for the first time, not by importing this package.
"""

from __future__ import annotations

from drivers.bus.line import LineSettings, Priority
from drivers.bus.registry import ModbusLine, open_line

__all__ = ["LineSettings", "ModbusLine", "Priority", "open_line"]

"""What was looked at, and what of it cannot be true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent.ports import Garbled

MOST_V = 1500
"""The scope of EN 50470-4."""
MOST_A = 2000
DIGITS = 20
STEP_WH = 1.0
"""Both models show three decimals of a kWh."""


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    vendor: str
    model: str
    serial: str
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """``energy_wh``: the lifetime import register, floored."""

    energy_wh: int
    power_w: float
    voltage_v: float
    current_a: float
    export_wh: int | None = None


def text_value(table: Mapping[str, Any], key: str) -> str:
    """Return a text. Raises ``Garbled``."""
    value = table.get(key)
    if not isinstance(value, str):
        raise Garbled(f"{key} is {value!r}, a text is wanted")
    return value


def flag_value(table: Mapping[str, Any], key: str) -> bool:
    """Return a truth value. Raises ``Garbled``."""
    value = table.get(key)
    if not isinstance(value, bool):
        raise Garbled(f"{key} is {value!r}, true or false is wanted")
    return value


def object_value(outer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object. Raises ``Garbled``."""
    value = outer.get(key)
    if not isinstance(value, dict):
        raise Garbled(f"{key} is {value!r}, an object is wanted")
    return value


def number_value(table: Mapping[str, Any], key: str) -> Decimal:
    """Return an exact number. Raises ``Garbled``."""
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Garbled(f"{key} is {value!r}, a number is wanted")
    return bounded_number(Decimal(value), key)


def bounded_number(value: Decimal, what: str) -> Decimal:
    """Return the number if its size is plausible. Raises ``Garbled``."""
    if not value.is_finite() or (value and not -DIGITS < value.adjusted() < DIGITS):
        raise Garbled(f"{what} is {str(value)[:40]}, which no meter shows")
    return value


def whole_wh(kwh: Decimal, what: str) -> int:
    """Convert kWh to Wh, floored. Raises ``Garbled``."""
    if kwh < 0:
        raise Garbled(f"{what} is {kwh}, which no register shows")
    return int(kwh * 1000 // 1)


def check_plausible(look: Look) -> Look:
    """Compare the values with each other: volts and amperes are of the same moment as the power, or nearly. Raises
    ``Garbled``."""
    if abs(look.voltage_v) > MOST_V:
        raise Garbled(f"voltage {look.voltage_v:.4g} V is more than {MOST_V} V: wrong unit?")
    if abs(look.current_a) > MOST_A:
        raise Garbled(f"current {look.current_a:.4g} A is more than {MOST_A} A: wrong unit?")
    product_w = look.voltage_v * look.current_a
    if abs(product_w - look.power_w) > 0.5 * max(abs(product_w), abs(look.power_w)) + 500:
        raise Garbled(f"{look.voltage_v:.4g} V x {look.current_a:.4g} A is not {look.power_w:.4g} W: wrong unit?")
    return look


def public_key_hex(key: str) -> str:
    """Return a public key as lower-case hex; "" for anything else."""
    try:
        return bytes.fromhex(key).hex()
    except ValueError:
        return ""

"""The device's language: one line of text becomes numbers. No I/O, so that any nonsense can be tested."""

from __future__ import annotations

from dataclasses import dataclass

from agent.ports import Garbled

QUESTION = b"READ\n"
_MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class MeterLine:
    energy_wh: int
    power_w: float | None


def parse_line(raw: bytes) -> MeterLine:
    """Parse ``ENERGY_WH 123456 POWER_W 2300.5``. Other pairs are ignored. Raises ``Garbled``."""
    words = raw.decode("ascii", "replace").split()
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    energy = pairs.get("ENERGY_WH", "")
    if not (energy.isascii() and energy.isdigit() and len(energy) <= _MOST_DIGITS):
        raise Garbled(f"no energy in the line {raw[:40]!r}")
    return MeterLine(int(energy), _parse_power(pairs.get("POWER_W")))


def _parse_power(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        power_w = float(text)
    except ValueError:
        raise Garbled(f"power is not a number: {text[:20]!r}") from None
    if not abs(power_w) < 1e6:  # also catches NaN
        raise Garbled(f"power cannot be {power_w} W")
    return power_w

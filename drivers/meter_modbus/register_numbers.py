"""Registers to numbers, exactly: integers stay integers, floats become the fraction that they are.

A billed number never passes through a float multiplication: 0.001 has no binary representation.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from fractions import Fraction

from agent.ports import Garbled

_NAME = re.compile(r"(?:(u?int|float)(16|32|64)(?:_(be|wordswapped))?|ascii)")
_MANTISSA = {32: 24, 64: 53}


@dataclass(frozen=True, slots=True)
class NumberType:
    """How a number lies in registers. ``swapped``: the low word comes first (octets inside a word are big-endian)."""

    kind: str
    bits: int
    swapped: bool

    @classmethod
    def from_type_name(cls, name: str) -> NumberType:
        """Build the type from ``float32_be``, ``int32_wordswapped``, ``uint16``, ``ascii`` ... Raises
        ``ValueError``."""
        found = _NAME.fullmatch(name)
        if not found or (found[1] == "float" and found[2] == "16"):
            raise ValueError(
                f"unknown type {name!r}; known: uint16, int32_be, int32_wordswapped, float32_be, ascii ..."
            )
        if not found[1]:
            return cls("ascii", 0, False)
        return cls(found[1], int(found[2]), found[3] == "wordswapped")

    @property
    def register_count(self) -> int:
        return self.bits // 16

    def decode_words(self, words: list[int]) -> int | Fraction:
        """Decode a number. Raises ``Garbled`` for NaN and infinities, and when the number of registers is not the
        type's."""
        if len(words) != self.register_count:
            raise Garbled(f"{len(words)} registers for a number of {self.bits} bits")
        raw = b"".join(w.to_bytes(2, "big") for w in (reversed(words) if self.swapped else words))
        if self.kind != "float":
            return int.from_bytes(raw, "big", signed=self.kind == "int")
        value = struct.unpack(">f" if self.bits == 32 else ">d", raw)[0]
        if not math.isfinite(value):
            raise Garbled(f"the meter sent {value}")
        return Fraction(value)

    def marks_unavailable(self, raw: int | Fraction) -> bool:
        """Return whether this is a usual mark for "not available": all ones (unsigned), the greatest number
        (signed)."""
        if self.kind == "float":
            return False
        return raw == (1 << self.bits) - 1 if self.kind == "uint" else raw == (1 << (self.bits - 1)) - 1


def registers_to_text(words: list[int]) -> str:
    """Return two characters for each register, or one from the low octet (older meters), without the padding."""
    raw = b"".join(w.to_bytes(2, "big") for w in words)
    return raw.replace(b"\0", b"").decode("ascii", "replace").strip()


def exact_energy_wh(raw: int | Fraction, scale: Fraction, kept_as: NumberType) -> Fraction:
    """Return the Wh of one energy register, exact. A float32 cannot hold 123.456 kWh, it holds the nearest neighbour,
    0.000004 below or above: the floor of a neighbour below would lose a whole Wh. As long as neighbours are less than 1
    Wh apart, a whole number of Wh within half a step is therefore taken as what the meter meant. From then on (16.384
    MWh for float32 kWh) the value is taken as it is."""
    wh = Fraction(raw) * scale
    if kept_as.kind != "float":
        return wh
    half = float_step(raw, kept_as) * scale / 2
    whole = Fraction(round(wh))
    return whole if half < Fraction(1, 2) and abs(whole - wh) <= half else wh


def float_step(raw: int | Fraction, kept_as: NumberType) -> Fraction:
    """Return the distance to the next number that the type can hold."""
    if not raw:
        return Fraction(0)
    return Fraction(2) ** (math.frexp(float(raw))[1] - _MANTISSA[kept_as.bits])

"""A meter as data: the content of a map, in the words of this driver."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from agent.model.fastclass import frozen
from drivers.meter_modbus.register_numbers import NumberType

COARSEST_WH = 10
PHASED = ("voltage_v", "current_a", "power_phase_w")
SINGLE = ("power_w", "frequency_hz", "power_factor", "export_wh")
ENERGY = "energy_wh"
COPY = "energy_copy_wh"
NAMES = (ENERGY, *PHASED, *SINGLE, COPY)
CLASSES = ("A", "B", "C")
"""Accuracy classes of Directive 2014/32/EU, annex V (EN 50470-3; of DC meters, EN 50470-4)."""
MOST_REGISTERS = 125
SIGNING = ("", "em580")


@frozen
class Register:
    """``at``: 0-based protocol address. value = raw x ``scale``. ``most``: a greater raw value cannot be true.
    ``exponent_at``: a register that holds a power of ten by which the value is multiplied as well.
    ``tenth_above``: some firmware delivers ten times the value; a greater one is divided."""

    at: int
    type: NumberType
    scale: Fraction
    most: int | None = None
    tenth_above: Fraction | None = None
    exponent_at: int | None = None


@frozen
class Block:
    """Registers read in one transfer. ``optional``: not every model of the family has them."""

    function: int
    address: int
    count: int
    values: Mapping[str, tuple[Register, ...]]
    optional: bool = False


@frozen
class IdentityRegister:
    """An identity register: which meter this is. ``accept``: the values of the models that the map is for.
    ``zero_counts``: 0 is a word of its own here; elsewhere it means that the register was never written."""

    function: int
    address: int
    count: int
    type: NumberType
    accept: tuple[int | str, ...] = ()
    zero_counts: bool = False


@frozen
class MeterMap:
    """``blocks[0]`` is the billing block. ``marks_missing``: extreme values mean "not available". ``classes``: the
    accuracy classes that the model is sold in; ``mid_mark``: where a person finds its MID marking. ``sources``: how
    many independent sources agree on the billing register. ``unproven``: facts of this map that rest on memory or on
    one source, by their path in the file. ``never_bill``: registers that look like energy, and why they are not.
    ``signing``: how the meter signs its transactions, "" if it does not. ``reset``: what sets the billed count back."""

    name: str
    vendor: str
    model: str
    classes: tuple[str, ...]
    mid_mark: str
    current: str
    phases: int
    sources: int
    coarse: bool
    longest: int
    unit: int
    baud: int
    parity: str
    stopbits: int
    gap_s: float
    marks_missing: bool
    blocks: tuple[Block, ...]
    identity: Mapping[str, IdentityRegister]
    unproven: Mapping[str, str]
    signing: str
    reset: str
    never_bill: Mapping[int, str]

    @property
    def billing_block(self) -> Block:
        return self.blocks[0]

    @property
    def step_wh(self) -> Fraction:
        """Smallest change of the billing register that its scale allows; float registers may be coarser."""
        return min(r.scale if r.type.kind != "float" else Fraction(1) for r in self.billing_block.values[ENERGY])

    @property
    def copy_step_wh(self) -> Fraction:
        """Of the billing register's coarser copy; 0: the map knows none."""
        scales = [r.scale for b in self.blocks for r in b.values.get(COPY, ())]
        return max(scales, default=Fraction(0))

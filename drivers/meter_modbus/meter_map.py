"""A meter as data: reads and checks ``meters/<name>.toml``. Its keys are explained in ``meters/README.md``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from drivers.meter_modbus.numbers import NumberType

COARSEST_WH = 10
PHASED = ("voltage_v", "current_a", "power_phase_w")
SINGLE = ("power_w", "frequency_hz", "power_factor", "export_wh")
ENERGY = "energy_wh"
_MOST_REGISTERS = 125


class MapError(Exception):
    """What is wrong with a map, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Register:
    """``at``: 0-based protocol address. value = raw x ``scale``. ``most``: a greater raw value cannot be true.
    ``tenth_above``: some firmware delivers ten times the value; a greater one is divided."""

    at: int
    type: NumberType
    scale: Fraction
    most: int | None = None
    tenth_above: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Registers read in one transfer. ``optional``: not every model of the family has them."""

    function: int
    address: int
    count: int
    values: Mapping[str, tuple[Register, ...]]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """An identity register: who the meter is. ``accept``: the values of the models that the map is for."""

    function: int
    address: int
    count: int
    type: NumberType
    accept: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeterMap:
    """``blocks[0]`` is the billing block. ``marks_missing``: extreme values mean "not available"."""

    name: str
    vendor: str
    model: str
    accuracy_class: str
    baud: int
    parity: str
    stopbits: int
    gap_s: float
    marks_missing: bool
    blocks: tuple[Block, ...]
    identity: Mapping[str, Mark]

    @property
    def billing(self) -> Block:
        return self.blocks[0]

    @property
    def step_wh(self) -> Fraction:
        """Smallest change of the billing register that its scale allows; float registers may be coarser."""
        return min(r.scale if r.type.kind != "float" else Fraction(1) for r in self.billing.values[ENERGY])


def find(name: str, folders: Sequence[Path]) -> MeterMap:
    """The first ``meters/<name>.toml`` of the folders. Raises ``MapError``."""
    for folder in folders:
        path = folder / "meters" / f"{name}.toml"
        if path.is_file():
            return load(path)
    known = sorted({p.stem for f in folders for p in (f / "meters").glob("*.toml")})
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise MapError(f"meter map {name!r} not found in {', '.join(str(f / 'meters') for f in folders)}; {hint}")


def load(path: Path) -> MeterMap:
    """Read and check one map. Raises ``MapError``."""
    try:
        table = _Table(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise MapError(f"{path}: {e}") from e
    line = table.table("line")
    found = MeterMap(
        name=path.stem,
        vendor=table.take("vendor", str),
        model=table.take("model", str),
        accuracy_class=table.take("accuracy_class", str, ""),
        baud=line.take("baud", int, 9600),
        parity=line.take("parity", str, "N"),
        stopbits=line.take("stopbits", int, 1),
        gap_s=float(line.take("gap_s", (int, Decimal), 0)),
        marks_missing=table.take("marks_missing", bool, False),
        blocks=tuple(_block(t) for t in table.tables("block")),
        identity={n: _mark(t) for n, t in table.table("identity").named().items()},
    )
    line.done()
    table.done()
    _judge(found, path)
    return found


def _block(table: _Table) -> Block:
    block = Block(
        function=table.take("function", int),
        address=table.take("address", int),
        count=table.take("count", int),
        values={n: _registers(n, t) for n, t in table.table("values").named().items()},
        optional=table.take("optional", bool, False),
    )
    table.done()
    return block


def _registers(name: str, table: _Table) -> tuple[Register, ...]:
    if name not in (ENERGY, *PHASED, *SINGLE):
        raise MapError(f"{table.where}: unknown value; known: {', '.join((ENERGY, *PHASED, *SINGLE))}")
    addresses = _list(table.take("at", (int, list)))
    scales = _list(table.take("scale", (int, Decimal, list), 1))
    mosts = _list(table.take("most", (int, list), []))
    tenth = table.take("tenth_above", (int, Decimal), None)
    number = table.type()
    table.done()
    return tuple(
        Register(
            at,
            number,
            Fraction(scales[i] if len(scales) > 1 else scales[0]),
            mosts[i] if i < len(mosts) else None,
            None if tenth is None else Fraction(tenth),
        )
        for i, at in enumerate(addresses)
    )


def _mark(table: _Table) -> Mark:
    number = table.type()
    mark = Mark(
        table.take("function", int),
        table.take("address", int),
        table.take("count", int, number.registers),
        number,
        tuple(table.take("accept", list, [])),
    )
    table.done()
    return mark


def _judge(found: MeterMap, path: Path) -> None:
    holders = [b for b in found.blocks if ENERGY in b.values]
    if len(holders) != 1 or holders[0] is not found.blocks[0]:
        raise MapError(f"{path}: exactly the first [[block]] must have values.{ENERGY}, the register that is billed")
    if found.step_wh > COARSEST_WH:
        raise MapError(
            f"{path}: the billing register counts in steps of {float(found.step_wh):g} Wh; coarser than "
            f"{COARSEST_WH} Wh cannot be billed: use a finer register of the meter"
        )
    shapes: list[tuple[int, int]] = [(b.function, b.count) for b in found.blocks]
    shapes += [(m.function, m.count) for m in found.identity.values()]
    for shape in shapes:
        if shapes.count(shape) > 1:
            raise MapError(
                f"{path}: two reads with function {shape[0]} and count {shape[1]}: a late answer to one would pass "
                "for the other; pad one of them with a neighbouring register"
            )
    for block in found.blocks:
        _judge_block(block, path)


def _judge_block(block: Block, path: Path) -> None:
    where = f"{path}: block at {block.address}"
    if block.function not in (3, 4) or not 0 < block.count <= _MOST_REGISTERS:
        raise MapError(f"{where}: function must be 3 or 4 and count 1 to {_MOST_REGISTERS}")
    for name, registers in block.values.items():
        if name in PHASED and len(registers) not in (1, 3):
            raise MapError(f"{where}: {name} needs one register or three")
        for r in registers:
            if r.at < block.address or r.at + r.type.registers > block.address + block.count:
                raise MapError(f"{where}: {name} at {r.at} lies outside of the block")


class _Table:
    """A TOML table whose keys must all be used, so that a misspelt one is noticed."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self._raw = dict(raw)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        if key not in self._raw:
            if default:
                return default[0]
            raise MapError(f"{self.where}: {key} is missing")
        value = self._raw.pop(key)
        if not isinstance(value, kind):
            raise MapError(f"{self.where}: {key} cannot be {value!r}")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.take(key, dict, {}), f"{self.where}: {key}")

    def tables(self, key: str) -> list[_Table]:
        return [_Table(t, f"{self.where}: {key} {i}") for i, t in enumerate(self.take(key, list), 1)]

    def named(self) -> dict[str, _Table]:
        return {k: _Table(self.take(k, dict), f"{self.where}.{k}") for k in list(self._raw)}

    def type(self) -> NumberType:
        return self._try(NumberType.named, self.take("type", str))

    def done(self) -> None:
        if self._raw:
            raise MapError(f"{self.where}: unknown key {', '.join(map(repr, self._raw))}")

    def _try(self, make: Callable[[str], NumberType], value: str) -> NumberType:
        try:
            return make(value)
        except ValueError as e:
            raise MapError(f"{self.where}: {e}") from e


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""A meter as data: reads ``meters/<name>.toml``. Its keys are explained in ``meters/README.md``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from drivers.meter_modbus.map_rules import judge
from drivers.meter_modbus.register_layout import MOST_REGISTERS, NAMES, Block, Mark, MeterMap, Register
from drivers.meter_modbus.toml_table import MapError, Table

__all__ = ["Block", "MapError", "MeterMap", "find", "load"]


def find(name: str, folders: Sequence[Path]) -> MeterMap:
    """The first ``meters/<name>.toml`` of the folders. Raises ``MapError``."""
    for folder in folders:
        path = folder / "meters" / f"{name}.toml"
        if path.is_file():
            return load(path)
    known = sorted({p.stem for f in folders for p in (f / "meters").glob("*.toml")})
    from agent.station_file.parser import meant

    places = ", ".join(str(f / "meters") for f in folders)
    raise MapError(f"meter map {name!r} not found in {places}{meant(name, known, 'known')}")


def load(path: Path) -> MeterMap:
    """Read and check one map. Raises ``MapError``."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise MapError(f"{path}: {e}") from e
    table = Table(raw, str(path))
    line = table.table("line")
    found = MeterMap(
        name=path.stem,
        vendor=table.take("vendor", str),
        model=table.take("model", str),
        classes=tuple(table.take("classes", list, [])),
        mid_mark=table.take("mid_mark", str, "CE, M and the year on the type plate"),
        current=table.take("current", str, "AC"),
        phases=table.take("phases", int, 3),
        sources=table.take("sources", int, 1),
        coarse=table.take("coarse", bool, False),
        longest=table.take("longest", int, MOST_REGISTERS),
        unit=line.take("unit", int, 1),
        baud=line.take("baud", int, 9600),
        parity=line.take("parity", str, "N"),
        stopbits=line.take("stopbits", int, 1),
        gap_s=float(line.take("gap_s", (int, Decimal), 0)),
        marks_missing=table.take("marks_missing", bool, False),
        blocks=tuple(_block(t) for t in table.tables("block")),
        identity={n: _mark(n, t) for n, t in table.table("identity").named().items()},
        unproven=table.texts("unproven"),
        signing=table.take("signing", str, ""),
        reset=table.take("reset", str, ""),
        never_bill={_address(k, path): why for k, why in table.texts("never_bill").items()},
    )
    line.done()
    table.done()
    judge(found, path, raw)
    return found


def _address(key: str, path: Path) -> int:
    if not key.isdecimal():
        raise MapError(f"{path}: never_bill: {key!r} is no register address")
    return int(key)


def _block(table: Table) -> Block:
    block = Block(
        function=table.take("function", int),
        address=table.take("address", int),
        count=table.take("count", int),
        values={n: _registers(n, t) for n, t in table.table("values").named().items()},
        optional=table.take("optional", bool, False),
    )
    table.done()
    return block


def _registers(name: str, table: Table) -> tuple[Register, ...]:
    if name not in NAMES:
        raise MapError(f"{table.where}: unknown value; known: {', '.join(NAMES)}")
    addresses = _list(table.take("at", (int, list)))
    scales = _list(table.take("scale", (int, Decimal, list), 1))
    mosts = _list(table.take("most", (int, list), []))
    tenth = table.take("tenth_above", (int, Decimal), None)
    exponent = table.take("exponent_at", int, None)
    number = table.type()
    table.done()
    return tuple(
        Register(
            at,
            number,
            Fraction(scales[i] if len(scales) > 1 else scales[0]),
            mosts[i] if i < len(mosts) else None,
            None if tenth is None else Fraction(tenth),
            exponent,
        )
        for i, at in enumerate(addresses)
    )


def _mark(name: str, table: Table) -> Mark:
    number = table.type()
    mark = Mark(
        table.take("function", int),
        table.take("address", int),
        table.take("count", int, number.registers),
        number,
        tuple(table.take("accept", list, [])),
        zero_counts=name == "mid",
    )
    table.done()
    return mark


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""A meter as data: reads ``meters/<name>.toml``. Its keys are explained in ``meters/README.md``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from drivers.device_maps import MapError, find_map_file
from drivers.meter_modbus.map_rules import check_meter_map
from drivers.meter_modbus.register_layout import MOST_REGISTERS, NAMES, Block, IdentityRegister, MeterMap, Register
from drivers.meter_modbus.toml_table import MapTable

__all__ = ["Block", "MeterMap", "find_meter_map", "load_meter_map"]


def find_meter_map(name: str, folders: Sequence[Path]) -> MeterMap:
    """Read the first ``meters/<name>.toml`` of the folders. Raises ``MapError``."""
    return load_meter_map(find_map_file("meter", name, folders))


def load_meter_map(path: Path) -> MeterMap:
    """Read and check one map. Raises ``MapError``."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise MapError(f"{path}: {e}") from e
    table = MapTable(raw, str(path))
    line = table.take_table("line")
    found = MeterMap(
        name=path.stem,
        vendor=table.take_key("vendor", str),
        model=table.take_key("model", str),
        classes=tuple(table.take_key("classes", list, [])),
        mid_mark=table.take_key("mid_mark", str, "CE, M and the year on the type plate"),
        current=table.take_key("current", str, "AC"),
        phases=table.take_key("phases", int, 3),
        sources=table.take_key("sources", int, 1),
        coarse=table.take_key("coarse", bool, False),
        longest=table.take_key("longest", int, MOST_REGISTERS),
        unit=line.take_key("unit", int, 1),
        baud=line.take_key("baud", int, 9600),
        parity=line.take_key("parity", str, "N"),
        stopbits=line.take_key("stopbits", int, 1),
        gap_s=float(line.take_key("gap_s", (int, Decimal), 0)),
        marks_missing=table.take_key("marks_missing", bool, False),
        blocks=tuple(_parse_block(t) for t in table.take_tables("block")),
        identity={
            n: _parse_identity_register(n, t) for n, t in table.take_table("identity").take_named_tables().items()
        },
        unproven=table.take_texts("unproven"),
        signing=table.take_key("signing", str, ""),
        reset=table.take_key("reset", str, ""),
        never_bill={_parse_address(k, path): why for k, why in table.take_texts("never_bill").items()},
    )
    line.refuse_unknown_keys()
    table.refuse_unknown_keys()
    check_meter_map(found, path, raw)
    return found


def _parse_address(key: str, path: Path) -> int:
    if not key.isdecimal():
        raise MapError(f"{path}: never_bill: {key!r} is no register address")
    return int(key)


def _parse_block(table: MapTable) -> Block:
    block = Block(
        function=table.take_key("function", int),
        address=table.take_key("address", int),
        count=table.take_key("count", int),
        values={n: _parse_registers(n, t) for n, t in table.take_table("values").take_named_tables().items()},
        optional=table.take_key("optional", bool, False),
    )
    table.refuse_unknown_keys()
    return block


def _parse_registers(name: str, table: MapTable) -> tuple[Register, ...]:
    if name not in NAMES:
        raise MapError(f"{table.where}: unknown value; known: {', '.join(NAMES)}")
    addresses = _as_list(table.take_key("at", (int, list)))
    scales = _as_list(table.take_key("scale", (int, Decimal, list), 1))
    mosts = _as_list(table.take_key("most", (int, list), []))
    tenth = table.take_key("tenth_above", (int, Decimal), None)
    exponent = table.take_key("exponent_at", int, None)
    number = table.take_number_type()
    table.refuse_unknown_keys()
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


def _parse_identity_register(name: str, table: MapTable) -> IdentityRegister:
    number = table.take_number_type()
    mark = IdentityRegister(
        table.take_key("function", int),
        table.take_key("address", int),
        table.take_key("count", int, number.register_count),
        number,
        tuple(table.take_key("accept", list, [])),
        zero_counts=name == "mid",
    )
    table.refuse_unknown_keys()
    return mark


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""What a map must be, apart from readable: a wrong one bills wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.device_maps import MapError
from drivers.meter_modbus.register_layout import CLASSES, COARSEST_WH, ENERGY, PHASED, SIGNING, Block, MeterMap


def check_meter_map(found: MeterMap, path: Path, raw: Mapping[str, Any]) -> None:
    """Check the rules that a map has to keep. ``raw``: the file's own table, whose keys ``unproven`` names. Raises
    ``MapError``."""
    holders = [b for b in found.blocks if ENERGY in b.values]
    if len(holders) != 1 or holders[0] is not found.blocks[0]:
        raise MapError(f"{path}: exactly the first [[block]] must have values.{ENERGY}, the register that is billed")
    _check_words(found, path)
    _check_billing_register(found, path)
    _check_read_shapes(found, path)
    for block in found.blocks:
        _check_block(block, found.longest, path)
    for fact in found.unproven:
        _check_unproven_fact(fact, raw, path)


def _check_words(found: MeterMap, path: Path) -> None:
    if strange := [c for c in found.classes if c not in CLASSES]:
        raise MapError(f"{path}: classes: {strange[0]!r} is none of {', '.join(CLASSES)}")
    if found.current not in ("AC", "DC"):
        raise MapError(f"{path}: current: must be AC or DC, is {found.current!r}")
    if found.signing not in SIGNING:
        raise MapError(f"{path}: signing: must be one of {', '.join(filter(None, SIGNING))}, is {found.signing!r}")
    if found.phases not in (1, 3):
        raise MapError(f"{path}: phases: must be 1 or 3, is {found.phases}")


def _check_billing_register(found: MeterMap, path: Path) -> None:
    if found.step_wh > COARSEST_WH and not found.coarse:
        raise MapError(
            f"{path}: the billing register counts in steps of {float(found.step_wh):g} Wh; coarser than "
            f"{COARSEST_WH} Wh is hardly a bill: use a finer register of the meter, or set coarse = true"
        )
    for r in found.billing_block.values[ENERGY]:
        if why := found.never_bill.get(r.at):
            raise MapError(f"{path}: {ENERGY} at {r.at}: must not be billed ({why})")


def _check_read_shapes(found: MeterMap, path: Path) -> None:
    shapes: list[tuple[int, int]] = [(b.function, b.count) for b in found.blocks]
    shapes += [(m.function, m.count) for m in found.identity.values()]
    for shape in shapes:
        if shapes.count(shape) > 1:
            raise MapError(
                f"{path}: two reads with function {shape[0]} and count {shape[1]}: a late answer to one would pass "
                "for the other; pad one of them with a neighbouring register"
            )


def _check_block(block: Block, longest: int, path: Path) -> None:
    where = f"{path}: block at {block.address}"
    if block.function not in (3, 4) or not 0 < block.count <= longest:
        raise MapError(f"{where}: function must be 3 or 4 and count 1 to {longest}")
    for name, registers in block.values.items():
        if name in PHASED and len(registers) not in (1, 3):
            raise MapError(f"{where}: {name} needs one register or three")
        for r in registers:
            inside = range(block.address, block.address + block.count)
            if r.at not in inside or r.at + r.type.register_count - 1 not in inside:
                raise MapError(f"{where}: {name} at {r.at} lies outside of the block")
            if r.exponent_at is not None and r.exponent_at not in inside:
                raise MapError(f"{where}: the exponent of {name} at {r.exponent_at} lies outside of the block")


def _check_unproven_fact(fact: str, raw: Mapping[str, Any], path: Path) -> None:
    """Check that ``unproven`` names a key of the map, so that a fact that was proven later is not called unproven for
    ever."""
    known: set[str] = set(raw)
    known |= {f"{t}.{k}" for t in ("line", "identity") for k in raw.get(t, {})}
    known |= {k for b in raw["block"] for k in b.get("values", {})}
    if fact not in known:
        raise MapError(f"{path}: unproven: the map has no {fact!r}")

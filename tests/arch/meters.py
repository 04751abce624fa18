"""docs/meters.md: what the meter maps say, as a page for a person who chooses or buys a meter."""

from __future__ import annotations

from pathlib import Path

from drivers.meter_modbus import meter_map
from drivers.meter_modbus.register_layout import COARSEST_WH, ENERGY, NAMES, MeterMap
from drivers.meter_rest.settings import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "config"
SHORT = {
    "voltage_v": "V", "current_a": "A", "power_w": "W", "power_phase_w": "W per phase", "frequency_hz": "Hz",
    "power_factor": "PF", "export_wh": "export", "energy_copy_wh": "a coarse copy",
}  # fmt: skip
REST = {
    "lem_dcbm": "LEM DCBM 400/600",
    "isabellenhuette_iem": "Isabellenhuette IEM-DCR, IEM-DCC",
}
BILLABLE_WH = 100
"""The coarsest step that a station file can allow."""

HEAD = """\
# Billing meters

Generated from `config/meters/*.toml` by `make docs`; what the keys mean is in
[config/meters/README.md](../config/meters/README.md). A meter is named in the station file by its map:
`map = "eastron_sdm630"`.

* **step**: the resolution of the billed register. A bill is wrong by up to one step at each end. A float32 grows
  coarser with its value: in kWh it resolves 1 Wh at 10 MWh and 8 Wh at 100 MWh, in Wh exactly 1 Wh up to 16.7 MWh.
* **sources**: how many independent sources agree on the billed register. Every register was read right from a far end
  built from those sources (`tests/drivers/test_meter_maps.py`); none of these meters was on a bench here.
* **status**: *confirmed*: two sources or more. *one source*: compare a day's count with the meter's own display before
  it bills. *coarse*: the station file must allow it (`coarsest_wh`). *not for billing*: it can be read, and no session
  starts.
* **unproven**: what rests on memory or on one source alone. Each is a setting or a check: a line that does not answer
  says so at once, another meter than the map is for is refused.

"""

SIGNING = """
## Meters that sign

They get each transaction, and their OCMF records are passed on byte for byte
([decision 23](decisions/0023-signing-meters.md)). None of them was on a bench here: what is known comes from documents
and other projects.

"""


def text() -> str:
    maps = [meter_map.load_meter_map(p) for p in sorted((CONFIG / "meters").glob("*.toml"))]
    confirmed = sum(m.sources >= 2 for m in maps)
    said = f"{len(maps)} maps, {confirmed} of them with a billed register that at least two sources agree on.\n\n"
    facts = "\n## Unproven facts, and registers that are never billed\n\n" + _facts(maps)
    return HEAD + said + _table(maps) + facts + SIGNING + _signing(maps)


def _table(maps: list[MeterMap]) -> str:
    lines = [
        "| map | vendor, model | class | MID | billed register | step | phases | also reads | sources | status |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_row(m) for m in maps]) + "\n"


def _row(m: MeterMap) -> str:
    values = [n for n in NAMES if n != ENERGY and any(n in b.values for b in m.blocks)]
    cells = (
        f"`{m.name}`", f"{m.vendor} {m.model}", " or ".join(m.classes) or "none", m.mid_mark, _billed(m), _step(m),
        f"{m.current}, {m.phases}", ", ".join(SHORT[n] for n in values), str(m.sources), _status(m),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _billed(m: MeterMap) -> str:
    places = " + ".join(f"{r.at} x {float(r.scale):g} Wh" for r in m.billing_block.values[ENERGY])
    kind = m.billing_block.values[ENERGY][0].type
    order = ", low word first" if kind.swapped else ""
    return f"function {m.billing_block.function}, {places} ({kind.kind}{kind.bits}{order})"


def _step(m: MeterMap) -> str:
    grows = any(r.type.kind == "float" and r.type.bits == 32 for r in m.billing_block.values[ENERGY])
    return f"{float(m.step_wh):g} Wh{', growing' if grows else ''}"


def _status(m: MeterMap) -> str:
    if not m.classes or m.step_wh > BILLABLE_WH:
        return "not for billing"
    known = "confirmed" if m.sources >= 2 else "one source"
    return f"{known}, coarse" if m.step_wh > COARSEST_WH else known


def _facts(maps: list[MeterMap]) -> str:
    lines = ["| map | unproven | never billed | sets its count back |", "|---|---|---|---|"]
    for m in maps:
        doubts = "; ".join(f"`{fact}`: {why}" for fact, why in m.unproven.items())
        never = "; ".join(f"{at}: {why}" for at, why in m.never_bill.items())
        if doubts or never or m.reset:
            lines.append(f"| `{m.name}` | {doubts} | {never} | {m.reset} |")
    return "\n".join(lines) + "\n"


def _signing(maps: list[MeterMap]) -> str:
    lines = ["| driver | in the station file | meter | current | signs with |", "|---|---|---|---|---|"]
    lines += [
        f'| `meter_modbus` | `map = "{m.name}"` | {m.vendor} {m.model} | {m.current} | ECDSA, brainpool 256 or 384 |'
        for m in maps
        if m.signing
    ]
    lines += [
        f'| `meter_rest` | `model = "{model}"` | {about} | DC | ECDSA-secp256r1-SHA256 |'
        for model, about in REST.items()
    ]
    assert set(REST) == set(MODELS)
    return "\n".join(lines) + "\n"

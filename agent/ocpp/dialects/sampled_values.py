"""The values of a reading by configured measurand, in the words that every OCPP-J version
shares."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TypeAlias

from agent.model.types import Reading

_PHASES = ("L1", "L2", "L3")
DECIMAL_PLACES = {"Current.Import": 2, "Frequency": 2, "Power.Factor": 3, "SoC": 0}
"""How many decimals of a measurand are worth sending; of all others one."""

Measured: TypeAlias = tuple[str, str, float]
"""Measurand, phase and value. The phase is "" where the value does not belong to one."""

_FIELDS = {
    "Current.Offered": "offered_a",
    "Energy.Active.Export.Register": "export_wh",
    "Energy.Active.Import.Register": "energy_wh",
    "Frequency": "frequency_hz",
    "Power.Active.Import": "power_w",
    "Power.Factor": "power_factor",
    "Power.Offered": "offered_w",
    "SoC": "soc_percent",
}
"""Values that do not belong to a phase."""


def _values_per_phase(measurand: str, reading: Reading) -> tuple[float, ...]:
    if measurand == "Voltage":
        return reading.voltage_v
    return reading.current_a if measurand == "Current.Import" else reading.power_phase_w


@functools.lru_cache(maxsize=64)
def _split_phase(name: str) -> tuple[str, tuple[str, ...]]:
    """Split a name into the measurand and its requested phases."""
    head, _, tail = name.rpartition(".")
    phase = tail.removesuffix("-N")
    return (head, (phase,)) if phase in _PHASES else (name, _PHASES)


def measured_values(name: str, reading: Reading) -> Iterator[Measured]:
    """Return the values for a configured name such as ``Voltage``, ``Voltage.L1`` or
    ``Voltage.L1-N``. A three-phase total current does not exist: a bare Current.Import or
    Voltage is sent per phase. Direct current has none."""
    measurand, wanted = _split_phase(name)
    if wanted is _PHASES and measurand not in ("Voltage", "Current.Import"):
        value = getattr(reading, _FIELDS[measurand]) if measurand in _FIELDS else None
        if value is not None:
            yield measurand, "", value
        return
    if reading.dc:
        for value in _values_per_phase(measurand, reading)[:1] if wanted is _PHASES else ():
            yield measurand, "", value
        return
    for label, value in zip(_PHASES, _values_per_phase(measurand, reading), strict=False):
        if label in wanted:
            yield measurand, f"{label}-N" if measurand == "Voltage" else label, value

"""What a reading says of a configured measurand, in the words that every OCPP-J version shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agent.kinds import Reading

_PHASES = ("L1", "L2", "L3")
_DIGITS = {"Current.Import": 2, "Frequency": 2, "Power.Factor": 3, "SoC": 0}


class Measured(NamedTuple):
    """``phase`` "" where the value is no matter of a phase."""

    measurand: str
    phase: str
    value: float

    @property
    def digits(self) -> int:
        """How many decimals are worth telling."""
        return _DIGITS.get(self.measurand, 1)


def _whole(measurand: str, reading: Reading) -> float | None:
    """Values that are no matter of a phase."""
    values: dict[str, float | None] = {
        "Current.Offered": reading.offered_a,
        "Energy.Active.Export.Register": reading.export_wh,
        "Energy.Active.Import.Register": reading.energy_wh,
        "Frequency": reading.frequency_hz,
        "Power.Active.Import": reading.power_w,
        "Power.Factor": reading.power_factor,
        "Power.Offered": reading.offered_w,
        "SoC": reading.soc_percent,
    }
    return values.get(measurand)


def _per_phase(measurand: str, reading: Reading) -> tuple[float, ...]:
    if measurand == "Voltage":
        return reading.voltage_v
    return reading.current_a if measurand == "Current.Import" else reading.power_phase_w


def measured(name: str, reading: Reading) -> Iterator[Measured]:
    """Of a configured name such as ``Voltage``, ``Voltage.L1`` or ``Voltage.L1-N``. A three-phase total current does
    not exist: a bare Current.Import or Voltage is told per phase."""
    head, _, tail = name.rpartition(".")
    phase = tail.removesuffix("-N")
    measurand, wanted = (head, (phase,)) if phase in _PHASES else (name, _PHASES)
    if wanted is _PHASES and measurand not in ("Voltage", "Current.Import"):
        value = _whole(measurand, reading)
        if value is not None:
            yield Measured(measurand, "", value)
        return
    for label, value in zip(_PHASES, _per_phase(measurand, reading), strict=False):
        if label in wanted:
            yield Measured(measurand, f"{label}-N" if measurand == "Voltage" else label, value)

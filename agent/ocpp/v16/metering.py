"""MeterValues (OCPP 1.6 4.7, 7.43). Values are texts; Frequency and Power.Factor have no unit in the enumeration; a
three-phase total current does not exist, so a bare Current.Import or Voltage is told per phase."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agent.domain.messages import MeterSampled, Sample
from agent.kinds import Reading, ReadingContext
from agent.ocpp.dialect import Desk, Out, nothing
from agent.ocpp.times import rfc3339
from agent.ocpp.v16.ids import transaction_id

_PHASES = ("L1", "L2", "L3")
_UNITS = {
    "Current.Import": "A",
    "Current.Offered": "A",
    "Energy.Active.Export.Register": "Wh",
    "Energy.Active.Import.Register": "Wh",
    "Power.Active.Import": "W",
    "SoC": "Percent",
    "Voltage": "V",
}
_DIGITS = {"Current.Import": 2, "Frequency": 2, "Power.Factor": 3, "SoC": 0}


def number(value: float, digits: int = 1) -> str:
    """A plain decimal number without superfluous zeros."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _whole(measurand: str, reading: Reading) -> float | None:
    """Values that are no matter of a phase."""
    values: dict[str, float | None] = {
        "Current.Offered": reading.offered_a,
        "Energy.Active.Export.Register": reading.export_wh,
        "Energy.Active.Import.Register": reading.energy_wh,
        "Frequency": reading.frequency_hz,
        "Power.Active.Import": reading.power_w,
        "Power.Factor": reading.power_factor,
        "SoC": reading.soc_percent,
    }
    return values.get(measurand)


def _per_phase(measurand: str, reading: Reading) -> tuple[float, ...]:
    if measurand == "Voltage":
        return reading.voltage_v
    return reading.current_a if measurand == "Current.Import" else reading.power_phase_w


def _values(name: str, reading: Reading) -> Iterator[tuple[str, str, float]]:
    """(measurand, phase or "", value) for a configured name such as ``Voltage``, ``Voltage.L1`` or ``Voltage.L1-N``."""
    head, _, tail = name.rpartition(".")
    phase = tail.removesuffix("-N")
    measurand, wanted = (head, (phase,)) if phase in _PHASES else (name, _PHASES)
    if wanted is _PHASES and measurand not in ("Voltage", "Current.Import"):
        value = _whole(measurand, reading)
        if value is not None:
            yield measurand, "", value
        return
    for label, value in zip(_PHASES, _per_phase(measurand, reading), strict=False):
        if label in wanted:
            yield measurand, f"{label}-N" if measurand == "Voltage" else label, value


def _sampled(sample: Sample) -> list[dict[str, str]]:
    found = []
    for name in sample.measurands:
        for measurand, phase, value in _values(name, sample.reading):
            entry = {
                "value": number(value, _DIGITS.get(measurand, 1)),
                "context": sample.context.value,
                "measurand": measurand,
            }
            if phase:
                entry["phase"] = phase
            if measurand in _UNITS:
                entry["unit"] = _UNITS[measurand]
            if measurand == "SoC":
                entry["location"] = "EV"
            if entry not in found:
                found.append(entry)
    return found


def _timestamp(sample: Sample, desk: Desk) -> str:
    """Clock-aligned values lie on a whole second, whatever the clock has learned since."""
    utc_s = desk.clock.utc_s(sample.reading.at)
    return rfc3339(utc_s, whole_seconds=sample.context is ReadingContext.CLOCK)


def meter_values(samples: Iterable[Sample], desk: Desk) -> list[dict[str, Any]]:
    """``meterValue`` or ``transactionData``; samples of which nothing was measured are left out."""
    return [{"timestamp": _timestamp(s, desk), "sampledValue": values} for s in samples if (values := _sampled(s))]


def _meter(message: MeterSampled, desk: Desk) -> dict[str, Any] | None:
    values = meter_values(message.samples, desk)
    if not values:
        return None
    payload: dict[str, Any] = {"connectorId": message.evse, "meterValue": values}
    if message.session:
        payload["transactionId"] = transaction_id(message.session, desk)
    return payload


ROWS = (Out(MeterSampled, "MeterValues", _meter, nothing),)

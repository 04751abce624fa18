"""MeterValueType, and MeterValues for what belongs to no transaction (OCPP 2.0.1 J01, J02). Values are numbers."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from typing import Any

from agent.domain.messages import MeterSampled, Sample
from agent.domain.variables import ENERGY
from agent.model.types import ReadingContext, SignedReading
from agent.ocpp.dialects.dialect import Desk
from agent.ocpp.dialects.sampled_values import measured
from agent.ocpp.wire.timestamps import rfc3339

log = logging.getLogger(__name__)

MOST = {"signedMeterData": 2500, "signingMethod": 50, "encodingMethod": 50, "publicKey": 2500}
"""Characters (SignedMeterValueType)."""
_UNITS = {
    "Current.Import": "A",
    "Current.Offered": "A",
    "Energy.Active.Export.Register": "Wh",
    "Energy.Active.Import.Register": "Wh",
    "Frequency": "Hz",
    "Power.Active.Import": "W",
    "Power.Offered": "W",
    "SoC": "Percent",
    "Voltage": "V",
}
"""Power.Factor has none."""


def number(value: float, digits: int) -> int | float:
    rounded = round(float(value), digits)
    return int(rounded) if rounded.is_integer() else rounded


def _sampled(sample: Sample, desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    told = set()
    for name in sample.measurands:
        for one in measured(name, sample.reading):
            if one in told:  # Voltage and Voltage.L1
                continue
            told.add(one)
            entry: dict[str, Any] = {
                "value": number(one.value, one.digits),
                "context": sample.context.value,
                "measurand": one.measurand,
                "location": "EV" if one.measurand == "SoC" else "Outlet",
            }
            if one.phase:
                entry["phase"] = one.phase
            if one.measurand in _UNITS:
                entry["unitOfMeasure"] = {"unit": _UNITS[one.measurand]}
            if sample.reading.signed is not None and one.measurand in ENERGY:
                entry |= signed(sample.reading.signed, desk)
            found.append(entry)
    return found


def _timestamp(sample: Sample, desk: Desk) -> str:
    """Clock-aligned values lie on a whole second, whatever the clock has learned since."""
    utc_s = desk.clock.utc_s(sample.reading.at)
    return rfc3339(round(utc_s) if sample.context is ReadingContext.CLOCK else utc_s)


def meter_values(samples: Iterable[Sample], desk: Desk) -> list[dict[str, Any]]:
    """Samples of which nothing was measured are left out."""
    return [
        {"timestamp": _timestamp(s, desk), "sampledValue": values} for s in samples if (values := _sampled(s, desk))
    ]


def signed(record: SignedReading, desk: Desk) -> dict[str, dict[str, str]]:
    """``signedMeterValue`` with its SignedMeterValueType: the record byte for byte, in base64. Nothing where it is
    longer than the standard allows: a bill must not be refused for the record that goes with it."""
    told = desk.settings.flag("public_key_told")
    value = {
        "signedMeterData": _base64(record.data.encode("utf-8")),
        "signingMethod": record.method,
        "encodingMethod": record.encoding,
        "publicKey": _base64(bytes.fromhex(record.public_key)) if told else "",
    }
    if long := [name for name, text in value.items() if len(text) > MOST[name]]:
        log.error("a signed record is not told: %s is longer than OCPP 2.0.1 allows", long[0])
        return {}
    return {"signedMeterValue": value}


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def loose(message: MeterSampled, desk: Desk) -> dict[str, Any] | None:
    """MeterValues: of no transaction, or of one that is over (TransactionEvent could not tell more of it)."""
    values = meter_values(message.samples, desk)
    return {"evseId": message.evse, "meterValue": values} if values else None

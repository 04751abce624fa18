"""MeterValueType, and MeterValues for values outside a transaction (OCPP 2.0.1 J01, J02). Values
are numbers."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from typing import Any

from agent.domain.messages import MeterSampled, Sample
from agent.domain.variables import ENERGY
from agent.model.types import ReadingContext, SignedReading
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.dialects.sampled_values import DECIMAL_PLACES, measured_values
from agent.ocpp.wire.timestamps import format_rfc3339

log = logging.getLogger(__name__)

MOST = {"signingMethod": 50, "encodingMethod": 50, "publicKey": 2500}
"""Characters (SignedMeterValueType); those of ``signedMeterData`` depend on the version."""
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


def round_value(value: float, digits: int) -> int | float:
    rounded = round(float(value), digits)
    return int(rounded) if rounded.is_integer() else rounded


def _encode_sampled_values(sample: Sample, ctx: RowContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    encoded = set()
    for name in sample.measurands:
        for one in measured_values(name, sample.reading):
            if one in encoded:  # both Voltage and Voltage.L1 are configured
                continue
            encoded.add(one)
            measurand, phase, value = one
            entry: dict[str, Any] = {
                "value": round_value(value, DECIMAL_PLACES.get(measurand, 1)),
                "context": sample.context.value,
                "measurand": measurand,
                "location": "EV" if measurand == "SoC" else "Outlet",
            }
            if phase:
                entry["phase"] = phase
            if measurand in _UNITS:
                entry["unitOfMeasure"] = {"unit": _UNITS[measurand]}
            if sample.reading.signed is not None and measurand in ENERGY:
                entry |= encode_signed_value(sample.reading.signed, ctx)
            found.append(entry)
    return found


def _sample_timestamp(sample: Sample, ctx: RowContext) -> str:
    """Return the time of a sample. Clock-aligned values lie on a whole second, even if the clock
    was corrected since."""
    utc_s = ctx.clock.utc_s(sample.reading.at)
    return format_rfc3339(round(utc_s) if sample.context is ReadingContext.CLOCK else utc_s)


def encode_samples(samples: Iterable[Sample], ctx: RowContext) -> list[dict[str, Any]]:
    """Encode the samples; those without a measured value are left out."""
    return [
        {"timestamp": _sample_timestamp(s, ctx), "sampledValue": values}
        for s in samples
        if (values := _encode_sampled_values(s, ctx))
    ]


def encode_signed_value(record: SignedReading, ctx: RowContext) -> dict[str, dict[str, str]]:
    """Encode ``signedMeterValue`` with its SignedMeterValueType: the record byte for byte, in
    base64. Empty where the record is longer than the standard allows: a bill must not be refused
    because of its record."""
    with_key = ctx.settings.bool_value("public_key_told")
    value = {
        "signedMeterData": _encode_base64(record.data.encode("utf-8")),
        "signingMethod": record.method,
        "encodingMethod": record.encoding,
        "publicKey": _encode_base64(bytes.fromhex(record.public_key)) if with_key else "",
    }
    most = {**MOST, "signedMeterData": ctx.signed_data_max}
    if long := [name for name, text in value.items() if len(text) > most[name]]:
        log.error("a signed record is not sent: %s is longer than this version allows", long[0])
        return {}
    return {"signedMeterValue": value}


def _encode_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def encode_meter_values(message: MeterSampled, ctx: RowContext) -> dict[str, Any] | None:
    """Encode MeterValues: of no transaction, or of one that is over (TransactionEvent cannot
    report more of it)."""
    values = encode_samples(message.samples, ctx)
    return {"evseId": message.evse, "meterValue": values} if values else None

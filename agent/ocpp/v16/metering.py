"""MeterValues (OCPP 1.6 4.7, 7.43). Values are texts; Frequency and Power.Factor have no unit in
the enumeration. A three-phase total current does not exist, so a bare Current.Import or Voltage
is sent per phase."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from agent.domain.messages import MeterSampled, Sample, TransactionEnded
from agent.model.types import ReadingContext, SignedReading
from agent.ocpp.dialects.dialect import MessageMerging, MessageRow, RowContext, decode_empty_response
from agent.ocpp.dialects.sampled_values import DECIMAL_PLACES, measured_values
from agent.ocpp.v16.identifiers import VERSION, transaction_id
from agent.ocpp.wire.timestamps import format_rfc3339

_UNITS = {
    "Current.Import": "A",
    "Current.Offered": "A",
    "Energy.Active.Export.Register": "Wh",
    "Energy.Active.Import.Register": "Wh",
    "Power.Active.Import": "W",
    "Power.Offered": "W",
    "SoC": "Percent",
    "Voltage": "V",
}


def format_decimal(value: float, digits: int = 1) -> str:
    """Format a plain decimal number without superfluous zeros."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


@lru_cache(maxsize=64)
def _fixed_fields(measurand: str, phase: str) -> dict[str, str]:
    """Return what is the same in each sampled value of one measurand on one phase."""
    fields = {"measurand": measurand}
    if phase:
        fields["phase"] = phase
    if measurand in _UNITS:
        fields["unit"] = _UNITS[measurand]
    if measurand == "SoC":
        fields["location"] = "EV"
    return fields


def _encode_sampled_values(sample: Sample, ctx: RowContext) -> list[dict[str, str]]:
    found, encoded, context = [], set(), sample.context.value
    for name in sample.measurands:
        for one in measured_values(name, sample.reading):
            if one in encoded:  # both Voltage and Voltage.L1 are configured
                continue
            encoded.add(one)
            measurand, phase, value = one
            text = format_decimal(value, DECIMAL_PLACES.get(measurand, 1))
            found.append({"value": text, "context": context, **_fixed_fields(measurand, phase)})
    if sample.reading.signed is not None and found:
        found.append(_encode_signed_value(sample.reading.signed, sample.context, ctx))
    return found


def _sample_timestamp(sample: Sample, ctx: RowContext) -> str:
    """Return the time of a sample. Clock-aligned values lie on a whole second, even if the clock
    was corrected since."""
    utc_s = ctx.clock.utc_s(sample.reading.at)
    return format_rfc3339(utc_s, whole_seconds=sample.context is ReadingContext.CLOCK)


def encode_samples(samples: Iterable[Sample], ctx: RowContext) -> list[dict[str, Any]]:
    """Encode ``meterValue`` or ``transactionData``; samples without a measured value are left
    out."""
    return [
        {"timestamp": _sample_timestamp(s, ctx), "sampledValue": values}
        for s in samples
        if (values := _encode_sampled_values(s, ctx))
    ]


def encode_signed_record(message: TransactionEnded, ctx: RowContext) -> list[dict[str, Any]]:
    """Encode the signed record of the transaction, for ``transactionData``."""
    if message.signed is None:
        return []
    entry = _encode_signed_value(message.signed, ReadingContext.END, ctx)
    return [{"timestamp": format_rfc3339(ctx.clock.utc_s(message.at)), "sampledValue": [entry]}]


def _encode_signed_value(record: SignedReading, context: ReadingContext, ctx: RowContext) -> dict[str, str]:
    """Encode the JSON object of the OCA's note on signed meter values, in a value of format
    SignedData. The record itself is passed on byte for byte."""
    value = {
        "signedMeterData": record.data,
        "encodingMethod": record.encoding,
        "signingMethod": record.method,
        "publicKey": record.public_key if ctx.settings.bool_value("public_key_told") else "",
    }
    return {
        "value": json.dumps(value, separators=(",", ":")),
        "context": context.value,
        "format": "SignedData",
        "measurand": "Energy.Active.Import.Register",
    }


def encode_meter_values(message: MeterSampled, ctx: RowContext, version: str = VERSION) -> dict[str, Any] | None:
    values = encode_samples(message.samples, ctx)
    if not values:
        return None
    payload: dict[str, Any] = {"connectorId": message.evse, "meterValue": values}
    if message.session and message.authorized:
        payload["transactionId"] = transaction_id(message.session, ctx, version)
    return payload


def _is_same_transaction(first: MeterSampled, other: MeterSampled) -> bool:
    return (first.evse, first.authorized, other.late) == (other.evse, other.authorized, False)


ROWS = (
    MessageRow(
        MeterSampled,
        "MeterValues",
        encode_meter_values,
        decode_empty_response,
        merging=MessageMerging(_is_same_transaction, "meterValue"),
    ),
)

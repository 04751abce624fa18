"""Every measured value of a conversation in base units, whatever the version of OCPP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.matching import as_number
from agent.scenario.observation import ENERGY

SCALES = {"kWh": ("Wh", 1000.0), "kW": ("W", 1000.0), "kvar": ("var", 1000.0), "kVA": ("VA", 1000.0)}
BASE_UNITS = {"Energy": "Wh", "Power": "W", "Current": "A", "Voltage": "V", "SoC": "Percent", "Frequency": "Hz"}
"""By the first word of a measurand: the unit that is meant where a message names none."""


@frozen
class SampledValue:
    """``evse``: number of the outlet, 0 the station. ``phase``: "" for the whole. ``number``: None for signed data,
    whose text is in ``text``. ``timestamp``: as the station wrote it."""

    frame: Frame
    evse: int
    transaction: Any
    measurand: str
    phase: str
    context: str
    location: str
    unit: str
    number: float | None
    text: str
    timestamp: str


def sampled_values(frames: Iterable[Frame]) -> Iterator[SampledValue]:
    """Yield every value that the station reports, in the order of the frames. A frame of another shape has none."""
    known: dict[Any, tuple[int, Any]] = {}
    for frame in frames:
        if not frame.from_station:
            _learn_transaction(known, frame)
        elif frame.kind == CALL and isinstance(frame.payload, Mapping):
            try:
                yield from list(_values_of_request(frame, frame.payload, known))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue


def _learn_transaction(known: dict[Any, tuple[int, Any]], frame: Frame) -> None:
    """Learn the outlet of a transaction whose number an answer brings."""
    asked = frame.answers.payload if frame.kind == CALL_RESULT and frame.answers is not None else None
    if isinstance(asked, Mapping) and isinstance(frame.payload, Mapping) and "transactionId" in frame.payload:
        known[frame.payload["transactionId"]] = (asked.get("connectorId", 0), asked)


def _values_of_request(
    frame: Frame, payload: Mapping[str, Any], known: Mapping[Any, tuple[int, Any]]
) -> Iterator[SampledValue]:
    given = payload.get("transactionId") or (payload.get("transactionInfo") or {}).get("transactionId")
    transaction = given if isinstance(given, int | str) else None
    evse = payload.get("connectorId", payload.get("evseId"))
    if evse is None:
        evse = (payload.get("evse") or {}).get("id", known.get(transaction, (0, None))[0])
    place = (frame, int(evse), transaction)
    for key, context in (("meterStart", "Transaction.Begin"), ("meterStop", "Transaction.End")):
        if key in payload:
            number, text = as_number(payload[key]), str(payload[key])
            yield SampledValue(*place, ENERGY, "", context, "Outlet", "Wh", number, text, payload.get("timestamp", ""))
    for sample in (*(payload.get("meterValue") or ()), *(payload.get("transactionData") or ())):
        for value in sample["sampledValue"]:
            yield _read_value(place, value, str(sample.get("timestamp", "")))


def _read_value(place: tuple[Frame, int, Any], value: Mapping[str, Any], timestamp: str) -> SampledValue:
    measurand, text = value.get("measurand", ENERGY), str(value["value"])
    given = value.get("unitOfMeasure") or {}
    unit = str(value.get("unit") or given.get("unit") or BASE_UNITS.get(measurand.split(".")[0], ""))
    signed = value.get("format") == "SignedData" or "signedMeterValue" in value
    number = None if value.get("format") == "SignedData" else as_number(text)
    base, scale = SCALES.get(unit, (unit, 1.0))
    if number is not None:
        number *= scale * 10.0 ** given.get("multiplier", 0)
    if signed and "signedMeterValue" in value:
        text = str(value["signedMeterValue"].get("signedMeterData", text))
    return SampledValue(
        *place, measurand, value.get("phase", ""), value.get("context", "Sample.Periodic"),
        value.get("location", "Outlet"), base, number, text, timestamp,
    )  # fmt: skip

"""The words of OCPP 1.5, and what becomes of those of 1.6 that it does not know (decision 59)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import StatusChanged
from agent.ocpp.dialects.dialect import StatusProjection
from agent.ocpp.v16.status import project_status

JsonObject = dict[str, Any]

STATUSES = frozenset({"Available", "Faulted", "Occupied", "Reserved", "Unavailable"})
ERROR_CODES = frozenset({
    "ConnectorLockFailure", "GroundFailure", "HighTemperature", "Mode3Error", "NoError", "OtherError",
    "OverCurrentFailure", "PowerMeterFailure", "PowerSwitchFailure", "ReaderFailure", "ResetFailure", "UnderVoltage",
    "WeakSignal",
})  # fmt: skip
FIRMWARE_STATUSES = frozenset({"DownloadFailed", "Downloaded", "InstallationFailed", "Installed"})
FILE_STATUSES = frozenset({"UploadFailed", "Uploaded"})
CONTEXTS = frozenset({
    "Interruption.Begin", "Interruption.End", "Sample.Clock", "Sample.Periodic", "Transaction.Begin",
    "Transaction.End",
})  # fmt: skip
LOCATIONS = frozenset({"Body", "Inlet", "Outlet"})
MEASURANDS = frozenset({
    *(
        f"Energy.{kind}.{way}.{what}"
        for kind in ("Active", "Reactive")
        for way in ("Export", "Import")
        for what in ("Register", "Interval")
    ),
    *(f"Power.{kind}.{way}" for kind in ("Active", "Reactive") for way in ("Export", "Import")),
    "Current.Export", "Current.Import", "Temperature", "Voltage",
})  # fmt: skip
UNITS = frozenset({"Amp", "Celsius", "Volt", "W", "Wh", "kW", "kWh", "kvar", "kvarh", "var", "varh"})
_UNITS_OF_16: Mapping[str, str] = {"A": "Amp", "V": "Volt", "Celcius": "Celsius"}
"""Units with another spelling here."""
DEFAULT_MEASURAND = "Energy.Active.Import.Register"


# --- statuses --------------------------------------------------------------------------------------------------------


def project_status_15(message: StatusChanged) -> StatusProjection:
    """Return the status and the error in the words of 1.5. An error of 1.6 alone stays readable in ``info``."""
    of_16 = project_status(message)
    status = of_16.status if of_16.status in STATUSES else "Occupied"
    if of_16.error in ERROR_CODES:
        return StatusProjection(status, of_16.error, of_16.info, of_16.vendor_code)
    return StatusProjection(status, "OtherError", of_16.info or of_16.error, of_16.vendor_code)


def reduce_status_payload(payload: JsonObject) -> JsonObject:
    """Return the payload of a StatusNotification of 1.6 in the words of 1.5."""
    made = {**payload, "status": payload["status"] if payload["status"] in STATUSES else "Occupied"}
    if payload["errorCode"] not in ERROR_CODES:
        made |= {"errorCode": "OtherError", "info": payload.get("info") or payload["errorCode"]}
    return made


# --- meter values ----------------------------------------------------------------------------------------------------


def reduce_meter_values(moments: list[JsonObject]) -> list[JsonObject]:
    """Return the moments with the values that 1.5 has words for, without the moments that have none."""
    kept = [{**moment, "sampledValue": _reduce_sampled_values(moment["sampledValue"])} for moment in moments]
    return [moment for moment in kept if moment["sampledValue"]]


def _reduce_sampled_values(values: list[JsonObject]) -> list[JsonObject]:
    """Return the values of one moment. 1.5 has no phase: where a measurand has values of several, none can be named."""
    known = [v for v in values if v.get("measurand", DEFAULT_MEASURAND) in MEASURANDS and _has_known_unit(v)]
    measurands = [v.get("measurand", DEFAULT_MEASURAND) for v in known]
    return [
        _reduce_sampled_value(value)
        for value, measurand in zip(known, measurands, strict=True)
        if "phase" not in value or measurands.count(measurand) == 1
    ]


def _has_known_unit(value: JsonObject) -> bool:
    return "unit" not in value or _UNITS_OF_16.get(value["unit"], value["unit"]) in UNITS


def _reduce_sampled_value(value: JsonObject) -> JsonObject:
    made = {field: content for field, content in value.items() if field != "phase"}
    if "unit" in made:
        made["unit"] = _UNITS_OF_16.get(made["unit"], made["unit"])
    for field, words in (("context", CONTEXTS), ("location", LOCATIONS)):
        if made.get(field) not in words:
            made.pop(field, None)
    return made

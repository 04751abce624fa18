"""The requests of OCPP as forms: which side sends each, its JSON Schema in one piece, and an example.

The schemas are data of the ``ocpp`` package, which is not imported: only its folder is looked up.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from drivers.sim.checked_values import Unknown

Json: TypeAlias = dict[str, Any]

SCHEMA_FOLDERS: Mapping[str, tuple[str, str]] = {
    "1.6": ("v16", ""),
    "2.0.1": ("v201", "Request"),
    "2.1": ("v21", "Request"),
}
"""The versions whose messages can be composed: their folder, and the end of the name of a request."""
STATION, BACKEND = "station", "backend"
SENT_BY_STATION = frozenset({
    "Authorize", "BatterySwap", "BootNotification", "ClearedChargingLimit", "ClosePeriodicEventStream",
    "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Get15118EVCertificate",
    "GetCertificateChainStatus", "GetCertificateStatus", "Heartbeat", "LogStatusNotification", "MeterValues",
    "NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDERAlarm", "NotifyDERStartStop",
    "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "NotifyEvent",
    "NotifyMonitoringReport", "NotifyPriorityCharging", "NotifyReport", "NotifySettlement",
    "OpenPeriodicEventStream", "PublishFirmwareStatusNotification", "PullDynamicScheduleUpdate",
    "ReportChargingProfiles", "ReportDERControl", "ReservationStatusUpdate", "SecurityEventNotification",
    "SignCertificate", "SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification",
    "StopTransaction", "TransactionEvent", "VatNumberValidation",
})  # fmt: skip
"""Requests of the station in any version (OCPP 1.6, 4; 2.0.1 and 2.1, Part 2, 1). All others are of the backend."""
SENT_BY_BOTH = frozenset({"DataTransfer"})
LEFT_OUT = frozenset({"customData", "CustomDataType"})
"""Of an example and a form: any object of 2.x may have it, and it has no meaning in the standard."""
ANNOTATIONS = frozenset({"$schema", "$id", "id", "comment", "javaType", "definitions", "additionalItems", "title"})
CARD = "04A1B2C3D4E5F6"
EXAMPLES: Mapping[str, Any] = {
    "idTag": CARD, "idToken": CARD, "vendorId": "com.example", "vendorName": "Example", "chargePointVendor": "Example",
    "chargePointModel": "Model", "model": "Model", "connectorId": 1, "evseId": 1, "transactionId": "1", "uri": "",
    "requestId": 1, "meterStart": 0, "meterStop": 1000, "seqNo": 0, "chargingProfileId": 1, "stackLevel": 0,
    "startPeriod": 0, "limit": 16, "listVersion": 1, "reservationId": 1, "key": "HeartbeatInterval",
    "location": "https://example.com/file", "url": "https://example.com", "value": "1", "type": "ISO14443",
}  # fmt: skip
"""Values that say something, by the name of the key. One that does not fit the schema is not used."""
TEXT_OF_FORMAT: Mapping[str, Callable[[], str]] = {
    "date-time": lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "uri": lambda: "https://example.com/",
}


def message_senders(version: str) -> dict[str, list[str]]:
    """Return the actions of a version, each with the sides that send it. Raises ``Unknown``."""
    folder, suffix = _schema_folder(version)
    names = sorted(path.stem.removesuffix("Response") for path in folder.glob("*Response.json"))
    known = [name for name in names if (folder / f"{name}{suffix}.json").exists()]
    return {name: _senders_of_action(name) for name in known}


def _senders_of_action(action: str) -> list[str]:
    if action in SENT_BY_BOTH:
        return [BACKEND, STATION]
    return [STATION] if action in SENT_BY_STATION else [BACKEND]


def request_schema(version: str, action: str) -> Json:
    """Return the JSON Schema of a request, without references. Raises ``Unknown``."""
    if action not in message_senders(version):
        raise Unknown(f"OCPP {version} has no request {action!r}")
    return _read_request_schema(version, action)


@functools.lru_cache(maxsize=64)
def _read_request_schema(version: str, action: str) -> Json:
    folder, suffix = _schema_folder(version)
    document = json.loads((folder / f"{action}{suffix}.json").read_text("utf-8-sig"))
    schema: Json = _without_references(document, document.get("definitions", {}))
    return schema


def _schema_folder(version: str) -> tuple[Path, str]:
    if version not in SCHEMA_FOLDERS:
        raise Unknown(f"messages of OCPP {version!r} cannot be composed; those of {', '.join(SCHEMA_FOLDERS)} can")
    spec = importlib.util.find_spec("ocpp")
    if spec is None or not spec.submodule_search_locations:
        raise Unknown("the Python package 'ocpp' is not installed, which has the schemas")
    name, suffix = SCHEMA_FOLDERS[version]
    return Path(next(iter(spec.submodule_search_locations))) / name / "schemas", suffix


def _without_references(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """Return a schema with what it refers to in place. A definition inside itself becomes any object."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        if name in inside:
            return {"type": "object"}
        return _without_references(definitions[name], definitions, (*inside, name))
    plain = {key: value for key, value in schema.items() if key not in ANNOTATIONS}
    if "properties" in plain:
        plain["properties"] = {
            name: _without_references(value, definitions, inside)
            for name, value in plain["properties"].items()
            if name not in LEFT_OUT
        }
    if "items" in plain:
        plain["items"] = _without_references(plain["items"], definitions, inside)
    return plain


def example_payload(schema: Json) -> Json:
    """Return an example of a request that has what the schema requires."""
    example = _example_value("", schema)
    return example if isinstance(example, dict) else {}


def _example_value(name: str, schema: Json) -> Any:
    if "enum" in schema:
        wanted = EXAMPLES.get(name)
        return wanted if wanted in schema["enum"] else schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        required, properties = schema.get("required", ()), schema.get("properties", {})
        return {key: _example_value(key, properties.get(key, {})) for key in required if key not in LEFT_OUT}
    if kind == "array":
        return [_example_value(name, schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 1)))]
    return _example_scalar(name, kind, schema)


def _example_scalar(name: str, kind: Any, schema: Json) -> Any:
    wanted = EXAMPLES.get(name)
    if kind == "boolean":
        return False
    if kind in ("integer", "number"):
        number = wanted if isinstance(wanted, int) else 1
        return min(max(number, schema.get("minimum", number)), schema.get("maximum", number))
    if schema.get("format") in TEXT_OF_FORMAT:
        return TEXT_OF_FORMAT[schema["format"]]()
    text = wanted if isinstance(wanted, str) else "text"
    return text[: schema.get("maxLength", len(text))]

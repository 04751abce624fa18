"""The schemas of OCPP 1.5: those of 1.6 for the operations that 1.5 has, with the words and fields that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.model.fastclass import frozen
from agent.ocpp.v15.words import (
    CONTEXTS,
    ERROR_CODES,
    FILE_STATUSES,
    FIRMWARE_STATUSES,
    LOCATIONS,
    MEASURANDS,
    STATUSES,
    UNITS,
)
from agent.ocpp.wire.schema import Schemas, load_package_schemas

Document = dict[str, Any]

ACTIONS = frozenset({
    "Authorize", "BootNotification", "CancelReservation", "ChangeAvailability", "ChangeConfiguration", "ClearCache",
    "DataTransfer", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "GetConfiguration",
    "GetDiagnostics", "GetLocalListVersion", "Heartbeat", "MeterValues", "RemoteStartTransaction",
    "RemoteStopTransaction", "ReserveNow", "Reset", "SendLocalList", "StartTransaction", "StatusNotification",
    "StopTransaction", "UnlockConnector", "UpdateFirmware",
})  # fmt: skip
"""The ten of a station and the fifteen of a central system; DataTransfer is one of both."""
_YES_NO = frozenset({"Accepted", "Rejected"})


@frozen
class SchemaDifferences:
    """How the schemas of a version differ from those of its neighbour. The keys are documents: actions, and actions
    with ``Response``."""

    actions: frozenset[str]
    words: Mapping[str, Mapping[str, frozenset[str]]]
    """Enumerations by field."""
    gone: Mapping[str, tuple[str, ...]]
    added: Mapping[str, str]
    """Fields of text that the neighbour does not have."""
    value_fields: Mapping[str, frozenset[str] | None]
    """The fields of a sampled value: its words, or any text; others are gone."""
    values: Mapping[str, str]
    """The fields with sampled values."""
    optional: Mapping[str, tuple[str, ...]]
    """Fields that need not be there."""


OF_15 = SchemaDifferences(
    actions=ACTIONS,
    words={
        "BootNotificationResponse": {"status": _YES_NO},
        "ChangeConfigurationResponse": {"status": frozenset({"Accepted", "NotSupported", "Rejected"})},
        "DiagnosticsStatusNotification": {"status": FILE_STATUSES},
        "FirmwareStatusNotification": {"status": FIRMWARE_STATUSES},
        "SendLocalListResponse": {
            "status": frozenset({"Accepted", "Failed", "HashError", "NotSupported", "VersionMismatch"})
        },
        "StatusNotification": {"status": STATUSES, "errorCode": ERROR_CODES},
        "UnlockConnectorResponse": {"status": _YES_NO},
    },
    gone={"RemoteStartTransaction": ("chargingProfile",), "StopTransaction": ("reason",)},
    added={"SendLocalList": "hash", "SendLocalListResponse": "hash"},
    value_fields={
        "value": None,
        "context": CONTEXTS,
        "format": frozenset({"Raw", "SignedData"}),
        "location": LOCATIONS,
        "measurand": MEASURANDS,
        "unit": UNITS,
    },
    values={"MeterValues": "meterValue", "StopTransaction": "transactionData"},
    optional={},
)


def load_schemas() -> Schemas:
    """Return the schemas of 1.5."""
    return derive_schemas(load_package_schemas("v16").read_document, OF_15)


def derive_schemas(read_neighbour: Callable[[str], Document | None], differences: SchemaDifferences) -> Schemas:
    """Return the schemas of a version, made of those of its neighbour."""

    def read_altered(name: str) -> Document | None:
        document = read_neighbour(name) if name.removesuffix("Response") in differences.actions else None
        return None if document is None else _alter_document(document, name, differences)

    return Schemas(read_altered, lambda: frozenset(_document_names(differences.actions)))


def _document_names(actions: frozenset[str]) -> Iterator[str]:
    for action in actions:
        yield from (action, f"{action}Response")


def _alter_document(document: Document, name: str, differences: SchemaDifferences) -> Document:
    """Change a document, which is read from its file each time, in place."""
    fields = document["properties"]
    for field, words in differences.words.get(name, {}).items():
        fields[field] = _word_schema(words)
    for field in differences.gone.get(name, ()):
        del fields[field]
    if name in differences.added:
        fields[differences.added[name]] = {"type": "string"}
    if name in differences.values:
        moment = fields[differences.values[name]]["items"]["properties"]
        moment["sampledValue"]["items"]["properties"] = {
            field: {"type": "string"} if words is None else _word_schema(words)
            for field, words in differences.value_fields.items()
        }
    missing = differences.optional.get(name, ())
    return {**document, "required": [field for field in document.get("required", ()) if field not in missing]}


def _word_schema(words: frozenset[str]) -> Document:
    return {"type": "string", "enum": sorted(words)}

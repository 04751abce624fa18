"""The schemas of OCPP 1.2: those of 1.5 for the operations that 1.2 has, with the words and fields that differ."""

from __future__ import annotations

from agent.model.fastclass import replace
from agent.ocpp.v12.rows import ERROR_CODES, REQUESTS_OF_15, STATUSES
from agent.ocpp.v15 import schemas as schemas_15
from agent.ocpp.wire.schema import Schemas

OF_12 = replace(
    schemas_15.OF_15,
    actions=schemas_15.ACTIONS - frozenset(REQUESTS_OF_15),
    words={"StatusNotification": {"status": STATUSES, "errorCode": ERROR_CODES}},
    gone={
        "MeterValues": ("transactionId",),
        "StartTransaction": ("reservationId",),
        "StatusNotification": ("info", "timestamp", "vendorErrorCode", "vendorId"),
        "StopTransaction": ("transactionData",),
    },
    added={},
    value_fields={"value": None},
    values={"MeterValues": "meterValue"},
    optional={"BootNotificationResponse": ("currentTime", "interval")},
)


def load_schemas() -> Schemas:
    """Return the schemas of 1.2."""
    return schemas_15.derive_schemas(schemas_15.load_schemas().read_document, OF_12)

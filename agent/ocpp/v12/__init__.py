"""OCPP 1.2, which is spoken over SOAP only: 1.5 without what it does not know (decision 59).

Besides the losses of 1.5: of the readings the register alone, outside the messages of a transaction and without its
number; no reservations, no local list, no GetConfiguration, no DataTransfer; of a status no time and no text; eight
error codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.ocpp.dialects.dialect import Payload
from agent.ocpp.v12 import rows
from agent.ocpp.v12.schemas import load_schemas
from agent.ocpp.v15 import V15

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope


def fill_boot_answer(action: str, is_answer: bool, payload: Payload) -> Payload:
    """Return the answer to a boot with the fields that a backend of 1.2 may leave out: no time, and an interval that
    the station chooses."""
    if action == "BootNotification" and is_answer:
        return {"currentTime": "", "interval": 0, **payload}
    return payload


def _load_scope() -> BackendScope:
    from agent.ocpp.v12 import billing_scope

    return billing_scope.SCOPE


V12 = V15.without_rows(*rows.REQUESTS_OF_15).with_rows(
    *rows.ROWS,
    name="1.2",
    soap="agent.ocpp.v12.soap_tables:SERVICE",
    project_status=rows.project_status_12,
    feature_refusals={"FirmwareManagement": V15.feature_refusals["FirmwareManagement"]},
    schemas=load_schemas(),
    scope=_load_scope,
    preprocess_received=fill_boot_answer,
)

"""OCPP 1.5, which is spoken over SOAP only: 1.6 without what it does not know (decision 59).

Payloads have the field names of 1.6; ``soap_tables.py`` has those of the wire. Besides the losses of 1.6: one status
for an occupied connector whatever the vehicle does, no reason of a stop, no phases, thirteen error codes, and no
message in which a download or an upload is still going on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.ocpp.v15 import rows
from agent.ocpp.v15.schemas import load_schemas
from agent.ocpp.v15.words import project_status_15
from agent.ocpp.v16 import V16

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope

FEATURES = ("FirmwareManagement", "LocalAuthListManagement", "Reservation")
"""The feature profiles of 1.6 whose requests 1.5 has: the station file may switch them off."""
STATION_SAYS = frozenset({
    "Authorize", "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat",
    "MeterValues", "StartTransaction", "StatusNotification", "StopTransaction",
})  # fmt: skip


def _load_scope() -> BackendScope:
    from agent.ocpp.v15 import billing_scope

    return billing_scope.SCOPE


V15 = V16.without_rows(*rows.REQUESTS_OF_16).with_rows(
    *rows.ROWS,
    name="1.5",
    subprotocol="",
    soap="agent.ocpp.v15.soap_tables:SERVICE",
    project_status=project_status_15,
    feature_refusals={feature: V16.feature_refusals[feature] for feature in FEATURES},
    schemas=load_schemas(),
    scope=_load_scope,
    station_actions=STATION_SAYS,
)

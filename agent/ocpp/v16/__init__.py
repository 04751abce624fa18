"""OCPP 1.6, over a WebSocket (JSON) or SOAP: Core, LocalAuthListManagement, RemoteTrigger, Reservation and
SmartCharging.

What this version has no words for: EVSE and connector are one number; the charging state exists
only as connector status; one error code at a time; five words for the refusal of a token; of the
begin values of a transaction only the register; tokens above 20 characters
(``max_token_length``: refused at the station, never cut)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v16 import (
    authorization,
    boot,
    cost,
    data_transfer,
    files,
    identifiers,
    local_auth_list,
    metering,
    refusals,
    remote,
    reservation,
    security,
    settings,
    smart_charging,
    status,
    transactions,
)
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.schema import load_package_schemas

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope

CODES = {Code.FORMAT: "FormationViolation", Code.OCCURRENCE: "OccurenceConstraintViolation"}
"""1.6 spells two of them differently, one of them wrongly (JSON specification 4.2.3)."""

STATION_SAYS = frozenset({
    "Authorize", "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat",
    "LogStatusNotification", "MeterValues", "SecurityEventNotification", "SignCertificate",
    "SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification", "StopTransaction",
})  # fmt: skip


def _load_scope() -> BackendScope:
    from agent.ocpp.v16 import billing_scope

    return billing_scope.SCOPE


V16 = Dialect(
    name="1.6",
    subprotocol="ocpp1.6",
    soap="agent.ocpp.v16.soap_tables:SERVICE",
    rows=(
        *boot.ROWS,
        *authorization.ROWS,
        *transactions.ROWS,
        *metering.ROWS,
        *status.ROWS,
        *remote.ROWS,
        *smart_charging.ROWS,
        *settings.ROWS,
        *local_auth_list.ROWS,
        *reservation.ROWS,
        *data_transfer.ROWS,
        *cost.ROWS,
        *files.ROWS,
        *security.ROWS,
        *refusals.ROWS,
    ),
    project_status=status.project_status,
    feature_refusals=refusals.OFF,
    family="ocpp16",
    scope=_load_scope,
    vendor_length_max=boot.VENDOR_MAX,
    schemas=load_package_schemas("v16"),
    codes=CODES,
    max_token_length=identifiers.ID_TAG_MAX,
    station_actions=STATION_SAYS,
    mask_secrets=settings.mask_secrets,
)


PROFILES = ("Core", *(p for p in refusals.OFF if p not in refusals.NOT_YET))
"""The feature profiles of 6.1 that are offered. All but Core may be switched off in the station
file."""

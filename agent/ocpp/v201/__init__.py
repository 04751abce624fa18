"""OCPP 2.0.1: Core; local list, reservation, smart charging.

What this version has no words for: the station as a whole has no status message; TxResumed and
DirectPayment came with 2.1. One connector per EVSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v201 import (
    authorization,
    boot,
    certificates,
    cost,
    customer_information,
    data_transfer,
    display_messages,
    files,
    identifiers,
    local_auth_list,
    monitoring,
    network_profile,
    refusals,
    remote,
    reports,
    reservation,
    settings,
    smart_charging,
    status,
    transactions,
)
from agent.ocpp.wire.schema import load_package_schemas

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope

STATION_SAYS = frozenset({
    "Authorize", "BootNotification", "ClearedChargingLimit", "FirmwareStatusNotification", "Get15118EVCertificate",
    "GetCertificateStatus", "Heartbeat", "LogStatusNotification", "MeterValues", "NotifyChargingLimit",
    "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule",
    "NotifyEvent", "NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification",
    "ReportChargingProfiles", "ReservationStatusUpdate", "SecurityEventNotification", "SignCertificate",
    "StatusNotification", "TransactionEvent",
})  # fmt: skip


def _load_scope() -> BackendScope:
    from agent.ocpp.v201 import billing_scope

    return billing_scope.SCOPE


V201 = Dialect(
    name="2.0.1",
    subprotocol="ocpp2.0.1",
    rows=(
        *boot.ROWS,
        *authorization.ROWS,
        *transactions.ROWS,
        *status.ROWS,
        *remote.ROWS,
        *smart_charging.ROWS,
        *settings.ROWS,
        *network_profile.ROWS,
        *reports.ROWS,
        *monitoring.ROWS,
        *data_transfer.ROWS,
        *cost.ROWS,
        *customer_information.ROWS,
        *display_messages.ROWS,
        *local_auth_list.ROWS,
        *reservation.ROWS,
        *files.ROWS,
        *certificates.ROWS,
        *refusals.ROWS,
    ),
    project_status=status.project_status,
    feature_refusals=refusals.OFF,
    family="ocpp2",
    scope=_load_scope,
    schemas=load_package_schemas("v201", "Request"),
    max_token_length=identifiers.TOKEN_MAX,
    station_actions=STATION_SAYS,
    mask_secrets=settings.mask_secrets,
    admits_request=boot.admits_request,
    silent_when_rejected=False,
    backend_assigns_ids=False,
    resends_statuses=True,
    silence_is_attempt=True,
)

"""OCPP 2.1, derived from 2.0.1: the rows that differ, and nothing else (decision 60)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.ocpp.v21 import (
    authorization,
    cost,
    display_messages,
    identifiers,
    monitoring,
    payments,
    refusals,
    remote,
    smart_charging,
    tariffs,
    transactions,
)
from agent.ocpp.v201 import V201
from agent.ocpp.wire.rpc import Kind
from agent.ocpp.wire.schema import load_package_schemas

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope

STATION_SAYS = V201.station_actions | refusals.NOT_SENT.keys() | {"NotifySettlement", "VatNumberValidation"}


def _load_scope() -> BackendScope:
    from agent.ocpp.v21 import billing_scope

    return billing_scope.SCOPE


V21 = V201.with_rows(
    *authorization.ROWS,
    *transactions.ROWS,
    *remote.ROWS,
    *smart_charging.ROWS,
    *payments.ROWS,
    *monitoring.ROWS,
    *display_messages.ROWS,
    *tariffs.ROWS,
    *refusals.ROWS,
    name="2.1",
    subprotocol="ocpp2.1",
    shared_book=V201.name,
    limits_transactions=True,
    csms_settles=True,
    takes_tariffs=True,
    signed_data_max=32768,
    added_variables=(*payments.VARIABLES, *transactions.VARIABLES, *cost.VARIABLES),
    scope=_load_scope,
    kinds=frozenset(Kind),
    schemas=load_package_schemas("v21", "Request"),
    max_token_length=identifiers.TOKEN_MAX,
    station_actions=STATION_SAYS,
)

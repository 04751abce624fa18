"""What 2.1 sends to a backend that sees billing only, and what a second backend may request, besides 2.0.1. What is
known of a card is not for such a backend."""

from __future__ import annotations

from agent.model.fastclass import replace
from agent.ocpp.dialects.billing_scope import SETTLEMENT_FIELDS, AllowedFields
from agent.ocpp.v201.billing_scope import SCOPE as SCOPE_201

_TOKEN = frozenset({"idToken.idToken", "idToken.type"})
_EVENT_201 = SCOPE_201.sent["TransactionEvent"]
_EVENT = (
    (_EVENT_201.fields or frozenset()) - {"idToken"}
    | _TOKEN
    | {"costDetails", "transactionInfo.transactionLimit", "transactionInfo.tariffId"}
)

SCOPE = replace(
    SCOPE_201,
    sent={
        **SCOPE_201.sent,
        "Authorize": AllowedFields(_TOKEN),
        "TransactionEvent": AllowedFields(_EVENT, _EVENT_201.replacements),
        "NotifySettlement": SETTLEMENT_FIELDS,
    },
    read_only=SCOPE_201.read_only | {"GetPeriodicEventStream"},
)

"""What 1.5 sends to a backend that sees billing only, and what a second backend may request: as 1.6."""

from __future__ import annotations

from agent.model.fastclass import replace
from agent.ocpp.v16 import billing_scope

SCOPE = replace(
    billing_scope.SCOPE,
    withheld=frozenset({"GetDiagnostics", "UpdateFirmware"}),
    read_only=frozenset({"DataTransfer", "GetConfiguration", "GetDiagnostics", "GetLocalListVersion"}),
)

"""What 1.2 sends to a backend that sees billing only, and what a second backend may request: as 1.5."""

from __future__ import annotations

from agent.model.fastclass import replace
from agent.ocpp.v15 import billing_scope

SCOPE = replace(billing_scope.SCOPE, read_only=frozenset({"GetDiagnostics"}))

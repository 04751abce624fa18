"""Tokens in the requests of 2.1 (D01, H01, N09). That of RequestStartTransaction is in ``smart_charging.py``."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import Row
from agent.ocpp.v21.derivation import derive_request_row
from agent.ocpp.v21.identifiers import refuse_unknown_types

ROWS: tuple[Row, ...] = tuple(
    derive_request_row(action, refuse_unknown_types)
    for action in ("CustomerInformation", "ReserveNow", "SendLocalList")
)

"""A version as it is spoken over SOAP: without the messages that its tables do not have, and never silent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressible

_WHY = "SOAP has no such message in this version"


def speak_over_soap(dialect: Dialect, actions: Collection[str]) -> Dialect:
    """Return the dialect with the messages of these actions alone. A backend that has rejected the station gets faults
    instead of silence, which would hold its HTTP exchange."""

    def admits_request(boot: str | None, action: str) -> bool:
        return boot != "Rejected" and dialect.admits_request(boot, action)

    rows = tuple(_reduce_row(row, actions) for row in dialect.rows)
    return replace(dialect, rows=rows, silent_when_rejected=False, admits_request=admits_request)


def _reduce_row(row: Any, actions: Collection[str]) -> Any:
    if not isinstance(row, MessageRow):
        return row
    if row.action not in actions:
        return NotExpressible(row.message, _WHY)
    return replace(row, other=None) if row.other is not None and row.other.action not in actions else row

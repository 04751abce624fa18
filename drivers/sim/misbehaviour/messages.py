"""Requests of the station, and what is found in them in every version of OCPP."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Payload: TypeAlias = dict[str, Any]

ENERGY = "Energy.Active.Import.Register"
PERIODIC = ("MeterValuePeriodic", "MeterValueClock")
TOKEN_KEYS = ("idTag", "parentIdTag", "idToken")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class StationCall:
    """A request on its way to the backend. ``message_id``: that of the agent; "": the agent does not wait for it."""

    action: str
    payload: Payload
    version: str
    message_id: str = ""

    def with_payload(self, payload: Payload) -> StationCall:
        return replace(self, payload=payload)

    def as_copy(self) -> StationCall:
        """Return the same request once more, of which the agent does not know."""
        return replace(self, message_id="")

    @property
    def is_version_16(self) -> bool:
        return self.version == "1.6"

    @property
    def event_type(self) -> str:
        """Started, Updated or Ended of a TransactionEvent; "" for any other request."""
        return str(self.payload.get("eventType", "")) if self.action == "TransactionEvent" else ""

    @property
    def starts_transaction(self) -> bool:
        return self.action == "StartTransaction" or self.event_type == "Started"

    @property
    def ends_transaction(self) -> bool:
        return self.action == "StopTransaction" or self.event_type == "Ended"

    @property
    def is_reading(self) -> bool:
        """Whether it has readings of the meter and nothing else of weight."""
        periodic = self.event_type == "Updated" and self.payload.get("triggerReason") in PERIODIC
        return self.action == "MeterValues" or (periodic and "idToken" not in self.payload)


def change_values(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """Return a copy of a payload. ``change``: gets name and value of each text and number, returns the new value."""
    if isinstance(value, Mapping):
        return {name: change_values(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [change_values(item, change, key) for item in value]
    return change(key, value)


def change_instants(payload: Payload, change: Callable[[datetime], datetime]) -> Payload:
    """Return a payload whose instants are changed."""

    def changed_value(key: str, value: Any) -> Any:
        if not isinstance(value, str) or not _INSTANT.fullmatch(value):
            return value
        return instant_text(change(datetime.fromisoformat(value)))

    return dict(change_values(payload, changed_value))


def instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class BackendClock:
    """The time that the backend has given. ``time_rate``: how many times as fast as that of this machine it runs."""

    def __init__(self, time_rate: Callable[[], float] = lambda: 1.0) -> None:
        self._time_rate = time_rate
        self._instant, self._at_s = datetime.now(UTC), time.monotonic()

    def learn_time(self, payload: Mapping[str, Any]) -> None:
        """Learn from an answer to BootNotification or Heartbeat."""
        text = str(payload.get("currentTime", ""))
        if _INSTANT.fullmatch(text):
            self._instant, self._at_s = datetime.fromisoformat(text), time.monotonic()

    def present_time(self) -> datetime:
        return self._instant + timedelta(seconds=(time.monotonic() - self._at_s) * self._time_rate())

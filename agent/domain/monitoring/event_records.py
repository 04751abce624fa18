"""Events of monitors that wait for a backend, as the store keeps them from one process to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.domain.monitoring.monitoring_messages import VariableEvent
from agent.domain.monitoring.monitors import EventTrigger, Monitor, MonitorOrigin
from agent.model.fastclass import replace
from agent.model.types import Stamp

EVENTS_FACT = "monitor_events"
"""The kind of the facts in the store: by link."""


def events_to_record(events: Iterable[VariableEvent]) -> dict[str, Any]:
    return {"events": [_event_to_record(event) for event in events]}


def _event_to_record(event: VariableEvent) -> dict[str, Any]:
    return {
        "monitor": {**event.monitor.to_record(), "id": event.monitor.id, "origin": event.origin.value},
        "at": [event.at.boot, event.at.t_s],
        "trigger": event.trigger.value,
        "text": event.text,
        "cleared": event.cleared,
        "transaction": event.transaction,
    }


def read_waiting_events(record: Mapping[str, Any], numbers: Iterator[int]) -> tuple[VariableEvent, ...]:
    """Return the events with numbers of this process: those of the last one are given again. Which event caused
    another is forgotten with them. A record that cannot be read is no event."""
    try:
        return tuple(_read_waiting_event(item, next(numbers)) for item in record["events"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()


def _read_waiting_event(item: Mapping[str, Any], number: int) -> VariableEvent:
    kept = item["monitor"]
    monitor = replace(Monitor.from_record(int(kept["id"]), kept), origin=MonitorOrigin(kept["origin"]))
    boot, t_s = item["at"]
    return VariableEvent(
        number,
        Stamp(int(boot), float(t_s)),
        monitor,
        EventTrigger(item["trigger"]),
        str(item["text"]),
        bool(item["cleared"]),
        str(item["transaction"]),
    )

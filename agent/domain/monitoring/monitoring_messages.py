"""What a backend may ask about monitors, and what the station reports of them, without the words of a version.

``MonitoringRequest`` of ``requests.py`` carries one of these requests. The messages are in no list of ``messages.py``:
1.x has no monitors, and a message that a version has no row for is not sent."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import IdleMessage, Message
from agent.domain.monitoring.monitors import (
    EventTrigger,
    Monitor,
    MonitoredVariable,
    MonitoringBase,
    MonitorKind,
    MonitorOrigin,
)
from agent.model.fastclass import frozen
from agent.model.types import Stamp


@frozen
class MonitorWish:
    """One monitor that a backend wants. ``variable`` None: it cannot be monitored, or is not known (``unknown`` says in
    the standard's word what is not). ``id``: of the monitor that this one replaces."""

    variable: MonitoredVariable | None
    kind: MonitorKind
    value: float
    severity: int
    transaction: bool = False
    id: int | None = None
    unknown: str = ""


@frozen
class SetMonitors:
    """SetVariableMonitoring. ``data["answers"]`` of the reply: a ``MonitorAnswer`` for each wish."""

    wishes: tuple[MonitorWish, ...]


@frozen
class MonitorAnswer:
    """What became of a wish. ``status``: SetMonitoringStatusEnumType, ClearMonitoringStatusEnumType. ``reason``: a
    reason code of the standard, "" for none."""

    status: str
    id: int | None = None
    reason: str = ""


@frozen
class ClearMonitors:
    """ClearVariableMonitoring. ``data["answers"]`` of the reply: a ``MonitorAnswer`` for each id."""

    ids: tuple[int, ...]


@frozen
class SetBase:
    """SetMonitoringBase."""

    base: MonitoringBase


@frozen
class SetLevel:
    """SetMonitoringLevel."""

    severity: int


@frozen
class ListMonitors:
    """GetMonitoringReport. ``data["monitors"]`` of the reply: those of this backend that are active, by id."""


MonitoringAsk = SetMonitors | ClearMonitors | SetBase | SetLevel | ListMonitors


@frozen
class VariableEvent:
    """A monitor was triggered. ``text``: the value, "" for one that may not be read. ``cause``: the number of the
    event that has caused this one."""

    number: int
    at: Stamp
    monitor: Monitor
    trigger: EventTrigger
    text: str
    cleared: bool = False
    transaction: str = ""
    cause: int | None = None

    @property
    def origin(self) -> MonitorOrigin:
        return self.monitor.origin


@frozen
class VariableEvents(IdleMessage):
    """Monitors were triggered (NotifyEvent)."""

    events: tuple[VariableEvent, ...]


@frozen
class MonitorReport(Message):
    """A part of a report of monitors. ``data``: its entries, in the words of the version that was asked. ``more``:
    another part follows."""

    request: int
    part: int
    more: bool
    at: Stamp
    data: tuple[Any, ...]

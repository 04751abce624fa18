"""Monitors of variables, and when one of them is triggered. Pure arithmetic (OCPP 2.0.1 N04, N07).

An alert is raised when a value is beyond its threshold, not on it, and it is cleared once when the value is within
again (N07.FR.02, N07.FR.16, N07.FR.17). A change of a number counts when it is more than ``value`` away from the value
of the latest notice (N07.FR.18); of anything else every change counts (N07.FR.19)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.types import STATION, EvseId

WatchedValue: TypeAlias = float | bool | str
"""A number, or what has no order."""
SEVERITY_MOST = 9
"""0: danger ... 9: debugging (2.0.1 2.8, severity)."""


class Part(StrEnum):
    """What a variable belongs to."""

    STATION = "station"
    EVSE = "evse"
    CONNECTOR = "connector"


class MonitorKind(StrEnum):
    """MonitorEnumType of OCPP 2.x."""

    UPPER_THRESHOLD = "UpperThreshold"
    LOWER_THRESHOLD = "LowerThreshold"
    DELTA = "Delta"
    PERIODIC = "Periodic"
    PERIODIC_CLOCK_ALIGNED = "PeriodicClockAligned"


THRESHOLDS = (MonitorKind.UPPER_THRESHOLD, MonitorKind.LOWER_THRESHOLD)
PERIODS = (MonitorKind.PERIODIC, MonitorKind.PERIODIC_CLOCK_ALIGNED)


class MonitorOrigin(StrEnum):
    """Who has set a monitor, in the words of EventNotificationEnumType."""

    HARD_WIRED = "HardWiredMonitor"
    PRECONFIGURED = "PreconfiguredMonitor"
    CUSTOM = "CustomMonitor"


class MonitoringBase(StrEnum):
    """MonitoringBaseEnumType of OCPP 2.x."""

    ALL = "All"
    FACTORY_DEFAULT = "FactoryDefault"
    HARD_WIRED_ONLY = "HardWiredOnly"


class EventTrigger(StrEnum):
    """EventTriggerEnumType of OCPP 2.x."""

    ALERTING = "Alerting"
    DELTA = "Delta"
    PERIODIC = "Periodic"


@frozen
class MonitoredVariable:
    """A variable of the station without the words of a version. ``name``: of a value (``watched_values.py``) or of a
    setting. ``evse``: 0 for a variable of the station. ``instance``: of which of several parts."""

    part: Part
    name: str
    evse: EvseId = STATION
    instance: str = ""


@frozen
class Monitor:
    """A monitor. ``value``: the threshold or the change, in the unit of the variable, or the period in seconds.
    ``transaction``: it is active in transactions only. ``link``: the backend that its events go to."""

    id: int
    variable: MonitoredVariable
    kind: MonitorKind
    value: float
    severity: int
    transaction: bool = False
    link: str = ""
    origin: MonitorOrigin = MonitorOrigin.CUSTOM

    def to_record(self) -> dict[str, Any]:
        variable = self.variable
        return {
            "part": variable.part.value,
            "name": variable.name,
            "evse": variable.evse,
            "instance": variable.instance,
            "kind": self.kind.value,
            "value": self.value,
            "severity": self.severity,
            "transaction": self.transaction,
            "link": self.link,
        }

    @classmethod
    def from_record(cls, number: int, record: Mapping[str, Any]) -> Monitor:
        """Return a custom monitor. Raises ``ValueError`` for a record that cannot be read."""
        try:
            part, name, evse = Part(record["part"]), str(record["name"]), int(record["evse"])
            value = float(record["value"])
            if not math.isfinite(value):
                raise ValueError(f"a value of {value}")
            variable = MonitoredVariable(part, name, evse, str(record["instance"]))
            kind, severity = MonitorKind(record["kind"]), int(record["severity"])
            return cls(number, variable, kind, value, severity, bool(record["transaction"]), str(record["link"]))
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise ValueError(f"no record of a monitor ({type(e).__name__}: {e})") from e


@mutable
class MonitorState:
    """How far a monitor is triggered."""

    exceeded: bool = False
    """An alert was raised and is not cleared."""
    reference: WatchedValue | None = None
    """The value of the latest notice of a change, or when the monitor was set. None: it is not known yet."""
    transaction: str = ""
    """The transaction of the alert."""
    due_s: float = 0.0
    """When the next periodic notice is due."""
    saved_s: float | None = None
    """When the present process stored it last."""


@frozen
class MonitorFinding:
    """A monitor is triggered. ``cleared``: its alert is over."""

    trigger: EventTrigger
    cleared: bool = False


def judge_monitored_value(monitor: Monitor, state: MonitorState, value: WatchedValue) -> MonitorFinding | None:
    """Return whether the present value triggers the monitor, and note it in ``state``."""
    if monitor.kind in THRESHOLDS:
        return _judge_threshold_value(monitor, state, value)
    return _judge_changed_value(monitor, state, value) if monitor.kind is MonitorKind.DELTA else None


def _judge_threshold_value(monitor: Monitor, state: MonitorState, value: WatchedValue) -> MonitorFinding | None:
    if not is_ordered_value(value):
        return None
    number = float(value)
    is_beyond = number > monitor.value if monitor.kind is MonitorKind.UPPER_THRESHOLD else number < monitor.value
    if is_beyond is state.exceeded:
        return None
    state.exceeded = is_beyond
    return MonitorFinding(EventTrigger.ALERTING, cleared=not is_beyond)


def _judge_changed_value(monitor: Monitor, state: MonitorState, value: WatchedValue) -> MonitorFinding | None:
    before = state.reference
    if before is None:
        state.reference = value
        return None
    if is_ordered_value(value) and is_ordered_value(before):
        is_change = abs(float(value) - float(before)) > monitor.value
    else:
        is_change = value != before
    if not is_change:
        return None
    state.reference = value
    return MonitorFinding(EventTrigger.DELTA)


def is_ordered_value(value: WatchedValue | None) -> bool:
    """Return whether the value has an order. A truth value has none (N07.FR.19)."""
    return isinstance(value, int | float) and not isinstance(value, bool)

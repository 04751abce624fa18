"""The monitors of a station: which there are, how one is set, replaced and cleared, and what the store keeps of them
(OCPP 2.0.1 N03, N04, N06)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.domain.blocks.fault_reports import LOCK_SEVERITY
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded
from agent.domain.monitoring.monitoring_messages import MonitorAnswer, MonitorWish
from agent.domain.monitoring.monitors import (
    PERIODS,
    SEVERITY_MOST,
    THRESHOLDS,
    Monitor,
    MonitoredVariable,
    MonitoringBase,
    MonitorKind,
    MonitorOrigin,
    MonitorState,
    Part,
)
from agent.domain.monitoring.watched_values import (
    is_secret_value,
    is_variable_present,
    possible_monitor_kinds,
    threshold_limits,
)
from agent.domain.orders import Persist
from agent.model.types import EvseId

MONITORS_MOST = 200
"""Custom monitors of a station."""
PERIOD_LEAST_S, PERIOD_MOST_S = 1.0, 366 * 86400.0
FIRST_CUSTOM_ID = 1000
PRECONFIGURED_ID = 500
"""That of an EVSE is so much plus its number; the hard-wired one has the number itself."""
STATUS_SEVERITY = 6
"""A warning. It is none of the severities that operators use most (4, 7, 8, 9)."""
MONITOR_FACT = "monitor"
"""The kind of the facts in the store: by id the record of a custom monitor with its state, or ``{"cleared": true}`` of
a preconfigured one that a backend has cleared."""
CLEARED: Mapping[str, Any] = {"cleared": True}


class MonitorTable:
    """``monitors``: those that are active, by id. ``states``: of those that are evaluated here. The hard-wired ones are
    evaluated by ``blocks/fault_reports.py``, which reports faults anyway."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._first_link = site.config.links[0] if site.config.links else ""
        self._next_id = FIRST_CUSTOM_ID
        self._cleared: set[int] = set()
        """Preconfigured monitors that a backend has cleared."""
        self.states: dict[int, MonitorState] = {}
        self.monitors: dict[int, Monitor] = {m.id: m for m in self._hard_wired_monitors()}

    def _hard_wired_monitors(self) -> Iterator[Monitor]:
        for number in self._site.evses:
            variable = MonitoredVariable(Part.CONNECTOR, "lock_problem", number)
            yield self._make_factory_monitor(number, variable, LOCK_SEVERITY, MonitorOrigin.HARD_WIRED)

    def _preconfigured_monitors(self) -> Iterator[Monitor]:
        for number in self._site.evses:
            variable = MonitoredVariable(Part.EVSE, "status", number)
            yield self._make_factory_monitor(
                PRECONFIGURED_ID + number, variable, STATUS_SEVERITY, MonitorOrigin.PRECONFIGURED
            )

    def _make_factory_monitor(
        self, number: EvseId, variable: MonitoredVariable, severity: int, origin: MonitorOrigin
    ) -> Monitor:
        return Monitor(number, variable, MonitorKind.DELTA, 1.0, severity, link=self._first_link, origin=origin)

    @property
    def active_base(self) -> MonitoringBase:
        return MonitoringBase(self._site.settings.text_value("monitoring_base"))

    # --- the store -------------------------------------------------------------------------------------------------

    def restore_monitors(self, records: Mapping[str, Mapping[str, Any]]) -> Iterator[Yielded]:
        """Restore what the store has. A monitor of what is not here any more is forgotten (N04, remark)."""
        for key, record in records.items():
            try:
                number = int(key)
                if record.get("cleared"):
                    self._cleared.add(number)
                    continue
                monitor = Monitor.from_record(number, record)
            except ValueError as e:
                yield Persist("poisoned", f"{MONITOR_FACT}/{key}", {"record": record, "why": str(e)})
                yield Persist(MONITOR_FACT, key, None)
                continue
            if not is_variable_present(monitor.variable, self._site) or monitor.link not in self._site.config.links:
                yield Persist(MONITOR_FACT, key, None)
                continue
            self._activate_monitor(monitor, _restored_state(record))
        if self.active_base is not MonitoringBase.HARD_WIRED_ONLY:
            self._activate_preconfigured()

    def persist_monitor(self, number: int) -> Persist:
        """Return the order that stores a custom monitor with its state."""
        monitor, state = self.monitors[number], self.states[number]
        secret = is_secret_value(monitor.variable)
        kept = {"exceeded": state.exceeded, "in": state.transaction, "reference": None if secret else state.reference}
        return Persist(MONITOR_FACT, str(number), {**monitor.to_record(), **kept})

    # --- set and clear ---------------------------------------------------------------------------------------------

    def judge_monitor_wish(self, link: str, wish: MonitorWish) -> MonitorAnswer:
        """Return what becomes of the wish, without doing it. Only an accepted one has an id."""
        if wish.id is not None:
            old = self.monitors.get(wish.id)
            if old is None or old.link != link:
                return MonitorAnswer("Rejected", reason="NotFound")  # N04.FR.13
            if old.variable != wish.variable or old.origin is MonitorOrigin.HARD_WIRED:
                return MonitorAnswer("Rejected", reason="InvalidValue")  # N04.FR.16, N04.FR.18
        if wish.unknown:
            return MonitorAnswer(wish.unknown)
        if not 0 <= wish.severity <= SEVERITY_MOST:
            return MonitorAnswer("Rejected", reason="ValueOutOfRange")
        if wish.variable is None or wish.kind not in possible_monitor_kinds(wish.variable):
            return MonitorAnswer("UnsupportedMonitorType")
        if not self._is_value_in_range(wish.variable, wish.kind, wish.value):
            return MonitorAnswer("Rejected")
        if any(self._is_same_place(link, wish, other) for other in self.monitors.values()):
            return MonitorAnswer("Duplicate")  # N04.FR.10
        customs = sum(m.origin is MonitorOrigin.CUSTOM for m in self.monitors.values())
        if wish.id is None and customs >= MONITORS_MOST:
            return MonitorAnswer("Rejected", reason="TooManyElements")
        if not self._site.store_ok:
            return MonitorAnswer("Rejected", reason="InternalError")
        return MonitorAnswer("Accepted", self._next_id if wish.id is None else wish.id)

    def _is_value_in_range(self, variable: MonitoredVariable, kind: MonitorKind, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if kind in PERIODS:
            return PERIOD_LEAST_S <= value <= PERIOD_MOST_S
        if kind not in THRESHOLDS:
            return value >= 0.0  # N04.FR.14
        limits = threshold_limits(variable, self._site)
        return limits is None or limits[0] <= value <= limits[1]

    def _is_same_place(self, link: str, wish: MonitorWish, other: Monitor) -> bool:
        place = other.variable, other.kind, other.severity, other.link
        return place == (wish.variable, wish.kind, wish.severity, link) and other.id != wish.id

    def put_accepted_wish(self, link: str, wish: MonitorWish, number: int) -> Monitor:
        """Set the monitor of a wish that was accepted. A threshold that replaces one of its kind keeps its alert:
        whether the new one clears it is found out next (N07.FR.11)."""
        assert wish.variable is not None
        old, state = self.monitors.get(number), self.states.get(number)
        new = Monitor(number, wish.variable, wish.kind, wish.value, wish.severity, wish.transaction, link)
        keeps_alert = old is not None and old.kind is new.kind and new.kind in THRESHOLDS
        self._activate_monitor(new, state if keeps_alert and state is not None else MonitorState())
        return new

    def _activate_monitor(self, monitor: Monitor, state: MonitorState) -> None:
        self.monitors[monitor.id], self.states[monitor.id] = monitor, state
        if monitor.id >= self._next_id:
            self._next_id = monitor.id + 1

    def clear_monitor(self, link: str, number: int) -> tuple[MonitorAnswer, Persist | None]:
        """Clear a monitor. No event reports that its alert is over (N07.FR.12)."""
        monitor = self.monitors.get(number)
        if monitor is None or monitor.link != link:
            return MonitorAnswer("NotFound", number), None
        if monitor.origin is MonitorOrigin.HARD_WIRED:
            return MonitorAnswer("Rejected", number), None
        self._deactivate_monitor(number)
        is_factory_set = number in {m.id for m in self._preconfigured_monitors()}
        if is_factory_set:
            self._cleared.add(number)
        return MonitorAnswer("Accepted", number), Persist(
            MONITOR_FACT, str(number), CLEARED if is_factory_set else None
        )

    def _deactivate_monitor(self, number: int) -> None:
        del self.monitors[number], self.states[number]

    # --- the base --------------------------------------------------------------------------------------------------

    def apply_monitoring_base(self, base: MonitoringBase) -> Iterator[Persist]:
        """Activate a set of monitors of the first backend: those of another one stay. ``base`` of the settings is
        changed by the caller."""
        forgotten = [] if base is MonitoringBase.ALL else [*self._monitor_ids_of(MonitorOrigin.CUSTOM)]
        for number in forgotten:
            self._deactivate_monitor(number)
        for number in self._cleared.union(forgotten):
            yield Persist(MONITOR_FACT, str(number), None)
        self._cleared.clear()
        if base is not MonitoringBase.HARD_WIRED_ONLY:
            self._activate_preconfigured()
            return
        for number in [*self._monitor_ids_of(MonitorOrigin.PRECONFIGURED)]:
            self._deactivate_monitor(number)

    def _monitor_ids_of(self, origin: MonitorOrigin) -> Iterable[int]:
        return [m.id for m in self.monitors.values() if m.origin is origin and m.link == self._first_link]

    def _activate_preconfigured(self) -> None:
        """Activate those that a backend has neither replaced (N04.FR.15) nor cleared."""
        for monitor in self._preconfigured_monitors():
            if monitor.id not in self.monitors and monitor.id not in self._cleared:
                self._activate_monitor(monitor, MonitorState())


def _restored_state(record: Mapping[str, Any]) -> MonitorState:
    reference = record.get("reference")
    known = reference if isinstance(reference, int | float | str) else None
    return MonitorState(bool(record.get("exceeded")), known, str(record.get("in", "")))

"""Answer requests about monitors, watch the values while there are monitors, and report what triggers one
(OCPP 2.0.1 N02 to N08).

The values are looked at after each event, when all blocks have handled it (``functional_block.Blocks``). A monitor that
may not report now, because the backend is away or by its severity, is not evaluated: when it may again, the backend
learns what has changed since its latest notice (N07, remark)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.events import SituationChanged
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Watcher, Yielded
from agent.domain.messages import FaultNoted
from agent.domain.monitoring.event_records import EVENTS_FACT, events_to_record, read_waiting_events
from agent.domain.monitoring.monitor_table import MONITOR_FACT, MonitorTable
from agent.domain.monitoring.monitoring_messages import (
    ClearMonitors,
    ListMonitors,
    MonitoringAsk,
    SetBase,
    SetLevel,
    SetMonitors,
    VariableEvent,
    VariableEvents,
)
from agent.domain.monitoring.monitors import (
    PERIODS,
    SEVERITY_MOST,
    THRESHOLDS,
    EventTrigger,
    Monitor,
    MonitorFinding,
    MonitoringBase,
    MonitorKind,
    MonitorOrigin,
    MonitorState,
    Part,
    WatchedValue,
    judge_monitored_value,
)
from agent.domain.monitoring.watched_values import format_watched_value, read_watched_value
from agent.domain.orders import Order, Persist, Send, WakeMe
from agent.domain.sampling import next_mark_utc_s, next_sample_s
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, EvseId, Moment

EVENTS_PER_MESSAGE = 20
"""Some 8 kB, which a slow line carries within a call's time-out."""
EVENTS_KEPT = 100
"""Events that wait for one backend. Of more the oldest are given up."""
STATE_SAVED_S = 60.0
"""How far the writes of one monitor's state are apart: a value that chatters must not wear the flash."""


class VariableMonitoring:
    """``watchers``: of the blocks; this one is among them while there is something to evaluate. ``numbers``: of the
    events of this process. ``is_muted``: only what is billed, or asked for, may be sent."""

    def __init__(
        self,
        site: StationState,
        status: EvseStatus,
        watchers: list[Watcher],
        numbers: Iterator[int],
        is_muted: Callable[[], bool],
    ) -> None:
        self._site, self._status, self._watchers = site, status, watchers
        self._numbers, self._is_muted = numbers, is_muted
        self._table = MonitorTable(site)
        self._waiting: dict[str, deque[VariableEvent]] = {}
        """Events for backends that are away."""
        self._unsaved: set[int] = set()
        """Monitors whose state has changed since it was stored."""
        self._transactions: dict[EvseId, str] = {}
        """The open transactions at the previous look."""

    # --- the store and the clock -----------------------------------------------------------------------------------

    def restore_monitors(self, remembered: Mapping[str, Mapping[str, Any]], now: Moment) -> Iterator[Yielded]:
        """Restore the monitors, and the events that waited when the last process ended."""
        yield from self._table.restore_monitors(remembered.get(MONITOR_FACT, {}))
        for link, record in remembered.get(EVENTS_FACT, {}).items():
            events = read_waiting_events(record, self._numbers) if link in self._site.config.links else ()
            if events:
                self._waiting[link] = deque(events, maxlen=EVENTS_KEPT)
            yield Persist(EVENTS_FACT, link, None)
        for monitor in [*self._table.monitors.values()]:
            yield from self._arm_periodic_timer(monitor, now)
        self._watch_while_needed()

    def save_monitor_states(self) -> Iterator[Yielded]:
        """Store what has changed and what waits: the process ends. A loss of power forgets it."""
        for link, events in self._waiting.items():
            yield Persist(EVENTS_FACT, link, events_to_record(events))
        for number in sorted(self._unsaved & self._table.states.keys()):
            yield self._table.persist_monitor(number)
        self._unsaved.clear()

    def follow_trusted_clock(self, now: Moment) -> Iterator[Yielded]:
        """Arm the monitors that go by the clock on the wall: it is known, or was corrected."""
        for monitor in [*self._table.monitors.values()]:
            if monitor.kind is MonitorKind.PERIODIC_CLOCK_ALIGNED:
                yield from self._arm_periodic_timer(monitor, now)

    def _watch_while_needed(self) -> None:
        """Be called after each event as long as there is a monitor to evaluate or an event that waits."""
        needed = bool(self._table.states or self._waiting)
        is_there = self.watch_monitored_values in self._watchers
        if needed and not is_there:
            self._watchers.append(self.watch_monitored_values)
        elif is_there and not needed:
            self._watchers.remove(self.watch_monitored_values)

    # --- requests --------------------------------------------------------------------------------------------------

    def answer_request(self, ask: MonitoringAsk, reply: Replier, now: Moment) -> Iterator[Yielded]:
        match ask:
            case SetMonitors():
                yield from self._answer_set_monitors(ask, reply, now)
            case ClearMonitors():
                yield from self._answer_clear_monitors(ask, reply)
            case SetBase(base):
                yield from self._answer_monitoring_base(base, reply)
            case SetLevel(severity):
                yield from self._answer_monitoring_level(severity, reply)
            case ListMonitors():
                shown = sorted((m for m in self._table.monitors.values() if m.link == reply.link), key=lambda m: m.id)
                yield reply("Accepted", {"monitors": tuple(shown)})
        self._watch_while_needed()

    def _answer_set_monitors(self, ask: SetMonitors, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Set each monitor by itself. It is stored before it is accepted (N07.FR.13)."""
        answers = []
        for wish in ask.wishes:
            answer = self._table.judge_monitor_wish(reply.link, wish)
            answers.append(answer)
            if answer.id is not None:
                monitor = self._table.put_accepted_wish(reply.link, wish, answer.id)
                yield from self._begin_with_present_value(monitor, now)
                yield self._table.persist_monitor(monitor.id)
        yield reply("Accepted", {"answers": tuple(answers)})

    def _begin_with_present_value(self, monitor: Monitor, now: Moment) -> Iterator[Yielded]:
        """Begin with the present value: a change counts from now on (N07.FR.18)."""
        state = self._table.states[monitor.id]
        if monitor.kind is MonitorKind.DELTA:
            state.reference = self._read_value(monitor, now)
        yield from self._arm_periodic_timer(monitor, now)

    def _answer_clear_monitors(self, ask: ClearMonitors, reply: Replier) -> Iterator[Yielded]:
        answers = []
        for number in ask.ids:
            answer, order = self._table.clear_monitor(reply.link, number)
            answers.append(answer)
            if order is not None:
                self._unsaved.discard(number)
                yield order
                yield WakeMe(_periodic_timer_of(number), None)
        yield reply("Accepted", {"answers": tuple(answers)})

    def _answer_monitoring_base(self, base: MonitoringBase, reply: Replier) -> Iterator[Yielded]:
        """Only the first backend sets the base: it has the hard-wired and the preconfigured monitors."""
        if reply.link != self._site.config.links[0]:
            yield reply("Rejected")
            return
        before = set(self._table.monitors)
        yield from self._table.apply_monitoring_base(base)
        yield from self._keep_monitoring_setting("monitoring_base", base.value)
        for number in sorted(before - self._table.monitors.keys()):
            self._unsaved.discard(number)
            yield WakeMe(_periodic_timer_of(number), None)
        yield reply("Accepted")

    def _answer_monitoring_level(self, severity: int, reply: Replier) -> Iterator[Yielded]:
        if not 0 <= severity <= SEVERITY_MOST:
            yield reply("Rejected")
            return
        yield from self._keep_monitoring_setting("monitoring_level", severity)
        yield reply("Accepted")
        yield SituationChanged(STATION)  # faults of a level that was not wanted before

    def _keep_monitoring_setting(self, name: str, value: str | int) -> Iterator[Yielded]:
        """Change what the device model shows, over a restart too."""
        self._site.settings.put_value(name, value)
        yield Persist("setting", name, {"text": str(value)})

    # --- what triggers a monitor -----------------------------------------------------------------------------------

    def watch_monitored_values(self, orders: Sequence[Order], now: Moment) -> Iterator[Order]:
        """Look at the monitored values after an event that has brought these orders."""
        found: dict[str, list[VariableEvent]] = {}
        present = {n: evse.open_transaction_id for n, evse in self._site.evses.items()}
        for number, state in self._table.states.items():
            monitor = self._table.monitors[number]
            if monitor.kind in PERIODS:
                continue
            if monitor.transaction and not self._is_in_transaction(monitor, present):
                state.exceeded, state.reference = False, None  # each transaction begins for itself
                continue
            if not self._may_report_now(monitor):
                continue
            value = self._read_value(monitor, now)
            finding = None if value is None else judge_monitored_value(monitor, state, value)
            if value is not None and finding is not None:
                event = self._make_variable_event(monitor, state, finding, value, now, orders)
                found.setdefault(monitor.link, []).append(event)
                self._unsaved.add(number)
        self._transactions = present
        yield from self._report_variable_events(found)
        yield from self._save_changed_states(now)

    def _may_report_now(self, monitor: Monitor) -> bool:
        """Return whether an event of this monitor may be sent, or queued, now."""
        settings = self._site.settings
        if monitor.severity > settings.int_value("monitoring_level"):  # N07.FR.15
            return False
        if not settings.bool_value("monitoring_enabled") or self._is_muted():
            return False
        is_queued = monitor.severity <= settings.int_value("offline_event_severity")  # N07.FR.04
        return is_queued or self._site.link_up.get(monitor.link, False)

    def _is_in_transaction(self, monitor: Monitor, present: Mapping[EvseId, str]) -> bool:
        evse = monitor.variable.evse
        return any(present.values()) if evse == STATION else bool(present.get(evse))

    def _read_value(self, monitor: Monitor, now: Moment) -> WatchedValue | None:
        return read_watched_value(monitor.variable, self._site, self._status, now)

    def _make_variable_event(
        self,
        monitor: Monitor,
        state: MonitorState,
        finding: MonitorFinding,
        value: WatchedValue,
        now: Moment,
        orders: Sequence[Order] = (),
    ) -> VariableEvent:
        evse = monitor.variable.evse
        transaction = self._site.evses[evse].open_transaction_id if evse != STATION else ""
        transaction = transaction or self._transactions.get(evse, "")  # it has ended with this event
        if finding.cleared:
            transaction = transaction or state.transaction
        state.transaction = "" if finding.cleared or monitor.kind not in THRESHOLDS else transaction
        text, cause = format_watched_value(monitor.variable, value), _causing_fault_among(orders, monitor)
        number = next(self._numbers)
        return VariableEvent(number, now.stamp, monitor, finding.trigger, text, finding.cleared, transaction, cause)

    def _save_changed_states(self, now: Moment) -> Iterator[Order]:
        """Store the states that have changed, each of them seldom."""
        for number in sorted(self._unsaved):
            state = self._table.states.get(number)
            if state is None or self._table.monitors[number].origin is not MonitorOrigin.CUSTOM:
                self._unsaved.discard(number)
            elif state.saved_s is None or now.t_s - state.saved_s >= STATE_SAVED_S:
                state.saved_s = now.t_s
                self._unsaved.discard(number)
                yield self._table.persist_monitor(number)

    # --- what is reported ------------------------------------------------------------------------------------------

    def _report_variable_events(self, found: Mapping[str, Sequence[VariableEvent]]) -> Iterator[Order]:
        """Send events, or keep them for a backend that is away. What waited goes first."""
        for link in [*{*found, *self._waiting}]:
            if self._site.link_up.get(link) and not self._is_muted():
                events = (*self._waiting.pop(link, ()), *found.get(link, ()))
                for first in range(0, len(events), EVENTS_PER_MESSAGE):
                    yield Send(link, VariableEvents(events[first : first + EVENTS_PER_MESSAGE]))
            elif link in found:
                self._waiting.setdefault(link, deque(maxlen=EVENTS_KEPT)).extend(found[link])
        if not self._table.states:
            self._watch_while_needed()

    # --- periodic notices ------------------------------------------------------------------------------------------

    def _arm_periodic_timer(self, monitor: Monitor, now: Moment) -> Iterator[Yielded]:
        if monitor.kind not in PERIODS:
            return
        state, timer = self._table.states[monitor.id], _periodic_timer_of(monitor.id)
        if monitor.kind is MonitorKind.PERIODIC:  # N08.FR.06
            state.due_s = now.t_s + monitor.value
        elif now.utc_s is None:
            yield WakeMe(timer, None)
            return
        else:  # N08.FR.07
            state.due_s = now.t_s + next_mark_utc_s(int(monitor.value), now.utc_s) - now.utc_s
        yield WakeMe(timer, state.due_s)

    def report_periodic_value(self, number: int, now: Moment) -> Iterator[Yielded]:
        """Report the value of a periodic monitor, and arm it for its next time."""
        monitor, state = self._table.monitors.get(number), self._table.states.get(number)
        if monitor is None or state is None or monitor.kind not in PERIODS:
            return
        present = {n: evse.open_transaction_id for n, evse in self._site.evses.items()}
        is_active = not monitor.transaction or self._is_in_transaction(monitor, present)
        value = self._read_value(monitor, now)
        if is_active and value is not None and self._may_report_now(monitor):
            event = self._make_variable_event(monitor, state, MonitorFinding(EventTrigger.PERIODIC), value, now)
            yield from self._report_variable_events({monitor.link: [event]})
        if monitor.kind is MonitorKind.PERIODIC:
            state.due_s = next_sample_s(state.due_s, monitor.value, now.t_s)
            yield WakeMe(_periodic_timer_of(number), state.due_s)
        else:
            yield from self._arm_periodic_timer(monitor, now)


def _periodic_timer_of(number: int) -> Timer:
    return Timer(TimerKind.MONITOR_PERIOD, detail=str(number))


def _causing_fault_among(orders: Sequence[Order], monitor: Monitor) -> int | None:
    """Return the number of the fault that is reported with the same event at the same EVSE (N07.FR.05)."""
    if monitor.variable.part is Part.STATION:
        return None
    for order in orders:
        if isinstance(order, Send) and order.link == monitor.link and isinstance(order.message, FaultNoted):
            noted = order.message
            if noted.present and noted.evse == monitor.variable.evse:
                return noted.number
    return None

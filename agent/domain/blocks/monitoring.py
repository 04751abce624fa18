"""The way to the monitoring of variables (OCPP 2.x, N02 to N08). What it needs is loaded when a backend first asks for
it, or when the store has monitors: a station without monitors has no timer, and no event costs it more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.events import ClockTrusted, Started, StopRequested, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Watcher, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.requests import MonitoringRequest
from agent.domain.timers import TimerKind
from agent.model.types import Moment

if TYPE_CHECKING:
    from agent.domain.monitoring.variable_monitoring import VariableMonitoring


class Monitoring:
    """See ``VariableMonitoring`` for the parameters."""

    def __init__(
        self,
        site: StationState,
        status: EvseStatus,
        watchers: list[Watcher],
        numbers: Iterator[int],
        is_muted: Callable[[], bool],
    ) -> None:
        self._parameters = (site, status, watchers, numbers, is_muted)
        self._site = site
        self._monitoring: VariableMonitoring | None = None

    def _load_monitoring(self) -> VariableMonitoring:
        if self._monitoring is None:
            from agent.domain.monitoring.variable_monitoring import VariableMonitoring

            self._monitoring = VariableMonitoring(*self._parameters)
        return self._monitoring

    @handles_events(Started)
    def restore_monitors(self, event: Started, now: Moment) -> Iterator[Yielded]:
        has_monitors = event.remembered.get("monitor") or event.remembered.get("monitor_events")
        if has_monitors or self._site.settings["monitoring_base"] != "HardWiredOnly":
            yield from self._load_monitoring().restore_monitors(event.remembered, now)

    @answers_requests(MonitoringRequest)
    def answer_monitoring_request(self, request: MonitoringRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        yield from self._load_monitoring().answer_request(request.ask, reply, now)

    @handles_timer(TimerKind.MONITOR_PERIOD)
    def report_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._monitoring is not None:
            yield from self._monitoring.report_periodic_value(int(event.timer.detail), now)

    @handles_events(ClockTrusted)
    def follow_trusted_clock(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        if self._monitoring is not None:
            yield from self._monitoring.follow_trusted_clock(now)

    @handles_events(StopRequested)
    def save_monitor_states(self, event: StopRequested, now: Moment) -> Iterator[Yielded]:
        if self._monitoring is not None:
            yield from self._monitoring.save_monitor_states()

"""Send the extra meter values that a backend wants for the cost of a session (``Triggers``). Each
is a reading on demand, sent with the context Trigger."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.csms_cost import Triggers
from agent.domain.events import ClockTrusted, CostChanged, Event, MeterRead, SituationChanged, TimeCame
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import ChargingState
from agent.domain.orders import ReadMeter, WakeMe
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import replace
from agent.model.types import Moment

_HYSTERESIS = 0.05
"""A power this near to its threshold has not crossed it again."""


class CostTriggers:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._above_threshold: dict[int, bool] = {}
        self._last_states: dict[int, ChargingState] = {}

    @handles_events(CostChanged)
    def arm_new_triggers(self, event: CostChanged, now: Moment) -> Iterator[Yielded]:
        self._above_threshold.pop(event.evse, None)
        yield from self._arm_time_trigger(self._site.evses[event.evse], now)

    @handles_events(ClockTrusted)
    def arm_triggers_on_clock(self, event: Event, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            yield from self._arm_time_trigger(evse, now)

    def _arm_time_trigger(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        triggers = _active_triggers(evse, now)
        yield WakeMe(
            Timer(TimerKind.COST_TRIGGER, evse.number), stamp_time_of_utc(triggers.at_utc_s, now) if triggers else None
        )

    @handles_timer(TimerKind.COST_TRIGGER)
    def fire_time_trigger(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        triggers = _active_triggers(evse, now)
        if triggers is not None and triggers.at_utc_s is not None:
            yield from self._fire_trigger(evse, replace(triggers, at_utc_s=None))

    @handles_events(MeterRead)
    def check_reading_triggers(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        triggers = _active_triggers(evse, now)
        if triggers is None or evse.pricing.account is None or evse.session is None:
            return
        had_wh = event.reading.energy_wh - evse.pricing.account.start_wh
        if triggers.energy_wh is not None and had_wh >= triggers.energy_wh:
            yield from self._fire_trigger(evse, replace(triggers, energy_wh=None))
        if triggers.power_w is not None and event.reading.power_w is not None:
            yield from self._check_power_threshold(evse, triggers.power_w, event.reading.power_w)

    def _check_power_threshold(self, evse: EvseRecord, threshold_w: float, power_w: float) -> Iterator[Yielded]:
        before = self._above_threshold.get(evse.number)
        if before is None:
            self._above_threshold[evse.number] = power_w > threshold_w
        elif power_w < threshold_w * (1 - _HYSTERESIS) if before else power_w > threshold_w * (1 + _HYSTERESIS):
            self._above_threshold[evse.number] = not before
            yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.TRIGGERED))

    @handles_events(SituationChanged)
    def fire_state_triggers(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            state, before = _charging_state(evse), self._last_states.get(evse.number)
            self._last_states[evse.number] = state
            triggers = _active_triggers(evse, now)
            if triggers is not None and before is not None and state is not before and state in triggers.states:
                yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.TRIGGERED))

    def _fire_trigger(self, evse: EvseRecord, left: Triggers) -> Iterator[Yielded]:
        """Read the meter for a trigger. Triggers for a time or an energy fire once: the answer to
        the meter values brings the next ones."""
        account = evse.pricing.account
        assert account is not None
        assert account.cost is not None
        account.cost = replace(account.cost, triggers=left)
        yield from account.persist_while_plugged()
        yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.TRIGGERED))


def drop_reached_triggers(evse: EvseRecord, triggers: Triggers, now: Moment) -> Triggers:
    """Drop triggers that were reached already: their meter value would bring the same trigger
    again, without end."""
    reading, account = evse.metering.reading, evse.pricing.account
    had_wh = reading.energy_wh - account.start_wh if reading and account else 0
    if triggers.energy_wh is not None and triggers.energy_wh <= had_wh:
        triggers = replace(triggers, energy_wh=None)
    if triggers.at_utc_s is not None and now.utc_s is not None and triggers.at_utc_s <= now.utc_s:
        triggers = replace(triggers, at_utc_s=None)
    return triggers


def stamp_time_of_utc(utc_s: float | None, now: Moment) -> float | None:
    """Return when the stamp clock will show this time. A time that has passed is due at once."""
    return None if utc_s is None or now.utc_s is None else now.t_s + max(0.0, utc_s - now.utc_s)


def _active_triggers(evse: EvseRecord, now: Moment) -> Triggers | None:
    """Return the triggers of the session that is here, or whose vehicle was here until now."""
    account = evse.pricing.account
    if account is None or account.cost is None or account.cost.final:
        return None
    gone = account.unplugged_s is not None and account.unplugged_s < now.t_s
    return None if gone else account.cost.triggers


def _charging_state(evse: EvseRecord) -> ChargingState:
    if evse.state in (SessionState.ACTIVE, SessionState.ENDING):
        return evse.progress.charging
    return ChargingState.EV_CONNECTED if evse.board.vehicle_connected else ChargingState.IDLE

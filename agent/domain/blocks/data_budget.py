"""Keep the traffic of the month, and use less of it when a limit of the station file is reached (decision 45).

The soft limit stretches the meter values of a running transaction. Behind the hard limit only what is billed leaves,
what the state of the connectors is, and what the backend asks for. A bearer that is not metered is never limited.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    ClockTrusted,
    SessionClosed,
    Started,
    StopRequested,
    TrafficCounted,
    TransactionClosed,
)
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import LogNote, Persist
from agent.domain.traffic import MONTHS_KEPT, BudgetLevel, TrafficMonth, month_and_day, traffic_sum_of
from agent.model.traffic import DEFAULT_BEARER
from agent.model.types import STATION, EvseId, Moment, ReadingContext

STRETCH = 4
"""Behind the soft limit one of so many meter values is sent."""
UNSAVED_MOST = 262_144
"""So many bytes may be forgotten by a loss of power: a write for each report would wear the flash."""
INTERVALS = {ReadingContext.PERIODIC: "sample_interval_s", ReadingContext.CLOCK: "clock_aligned_interval_s"}
MEGABYTE = 1_000_000
NOTES = {
    BudgetLevel.SOFT: f"the soft limit is reached: one of {STRETCH} meter values between start and end is sent",
    BudgetLevel.HARD: "the hard limit is reached: only what is billed, the state of the connectors and what the backend"
    " asks for is sent",
    BudgetLevel.WITHIN: "below the limits again: everything is sent",
}


class DataBudget:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._unsaved_bytes = 0
        self._saved_month = ""
        self._sampled_s: dict[tuple[EvseId, ReadingContext], float] = {}

    # --- the tally ---------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_traffic(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for name, record in sorted(event.remembered.get("traffic", {}).items()):
            try:
                self._site.traffic.months[name] = TrafficMonth.from_record(record)
            except ValueError as e:
                yield LogNote(STATION, f"{name}: {e}: counted from zero", "data budget")
                yield Persist("traffic", name, None)
        self._site.traffic.present = max(self._site.traffic.months, default="")

    @handles_events(TrafficCounted)
    def count_traffic(self, event: TrafficCounted, now: Moment) -> Iterator[Yielded]:
        for count in event.counts:
            traffic_sum_of(self._site.traffic.undated, count.bearer, count.action).add_count(count)
        if now.utc_s is not None:
            yield from self._date_counts(now.utc_s)

    @handles_events(ClockTrusted)
    def date_early_counts(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        if now.utc_s is not None and self._site.traffic.undated:
            yield from self._date_counts(now.utc_s)

    def _date_counts(self, utc_s: float) -> Iterator[Yielded]:
        tally, before = self._site.traffic, self._site.traffic.level
        name, day = month_and_day(utc_s)
        if name != tally.present:
            yield from self._save_month()
            tally.present = name
        if name not in tally.months:
            tally.months[name] = TrafficMonth(utc_s)
            yield from self._forget_oldest_months()
        month = tally.months[name]
        self._unsaved_bytes += month.add_sums(tally.undated, day)
        tally.undated.clear()
        month.level = self._level_of(month)
        if month.level is not before:
            yield LogNote(STATION, self._crossing_note_of(month), "data budget")
        if month.level is not before or name != self._saved_month or self._unsaved_bytes >= UNSAVED_MOST:
            self._saved_month = name
            yield from self._save_month()

    def _forget_oldest_months(self) -> Iterator[Yielded]:
        months = self._site.traffic.months
        for name in sorted(months)[:-MONTHS_KEPT]:
            del months[name]
            yield Persist("traffic", name, None)

    def _save_month(self) -> Iterator[Yielded]:
        tally = self._site.traffic
        if self._unsaved_bytes and tally.present in tally.months:
            self._unsaved_bytes = 0
            yield Persist("traffic", tally.present, tally.months[tally.present].to_record())

    @handles_events(SessionClosed, TransactionClosed, StopRequested)
    def save_with_other_records(
        self, event: SessionClosed | TransactionClosed | StopRequested, now: Moment
    ) -> Iterator[Yielded]:
        """Save the tally when something else is written anyway."""
        yield from self._save_month()

    # --- the limits --------------------------------------------------------------------------------------------------

    def _level_of(self, month: TrafficMonth) -> BudgetLevel:
        plan = self._site.config.data_plan
        return BudgetLevel.WITHIN if plan is None else plan.level_of(month.used_bytes(plan.metered))

    def _crossing_note_of(self, month: TrafficMonth) -> str:
        plan = self._site.config.data_plan
        used = month.used_bytes(plan.metered if plan is not None else None)
        return f"{used / MEGABYTE:.1f} MB this month: {NOTES[month.level]}"

    @property
    def level_in_force(self) -> BudgetLevel:
        """Return the level that limits what is sent now, over the bearer in use."""
        plan = self._site.config.data_plan
        if plan is None:
            return BudgetLevel.WITHIN
        record = self._site.bearers.get(self._site.bearer_in_use)
        kind = str(record.config.kind) if record is not None else DEFAULT_BEARER
        return self._site.traffic.level if kind in plan.metered else BudgetLevel.WITHIN

    def is_exhausted(self) -> bool:
        """Return whether only what is billed, or asked for, may be sent."""
        return self.level_in_force is BudgetLevel.HARD

    def withholds_sample(self, evse: EvseId, context: ReadingContext, now: Moment) -> bool:
        """Return whether a meter value that is neither billed nor asked for is kept back. Behind the soft limit the
        call counts as the sending of one that is not."""
        level = self.level_in_force
        if level is BudgetLevel.WITHIN or context not in INTERVALS:
            return False
        if level is BudgetLevel.HARD:
            return True
        interval_s = self._site.settings.int_value(INTERVALS[context])
        before_s = self._sampled_s.get((evse, context))
        if before_s is not None and 0 <= now.t_s - before_s < (STRETCH - 0.5) * interval_s:
            return True
        self._sampled_s[evse, context] = now.t_s
        return False

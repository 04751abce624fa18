"""Read and send meter values: sampled, clock-aligned, on request, and the live reading for the
screen.

The session table reads the begin and the end of a transaction; this block reads what is between
(OCPP 1.6 3.16, 4.7)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from agent.domain.events import (
    ClockTrusted,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterRead,
    SessionClosed,
    SessionOpened,
    SettingChanged,
    SituationChanged,
    Started,
    TimeCame,
    TransactionClosed,
    TransactionOpened,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import MeterSampled, Sample
from agent.domain.orders import ReadMeter, WakeMe
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.sampling import LIVE_S, next_mark_utc_s, next_sample_s, thin_out
from agent.domain.session.common import with_offered_limit
from agent.domain.session.signed_readings import bill_of_reading
from agent.domain.session.tx_points import report_requested_event, reported_charging_state, send_to_backends
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import AS_UPDATED, ENERGY
from agent.model.fastclass import frozen, replace
from agent.model.types import EvseId, Fault, Moment, Reading, ReadingContext, Stamp

if TYPE_CHECKING:
    from agent.domain.register_snapshots import RegisterSnapshots

STOP_SAMPLES_MAX = 100


@frozen
class _Series:
    """Readings at an interval. ``interval``: its setting."""

    kind: ReadingKind
    timer: TimerKind
    interval: str


_SAMPLES = (
    _Series(ReadingKind.SAMPLED, TimerKind.SAMPLED_READING, "sample_interval_s"),
    _Series(ReadingKind.SAMPLED_END, TimerKind.SAMPLED_END_READING, "stop_sample_interval_s"),
)
_CLOCKS = (
    _Series(ReadingKind.ALIGNED, TimerKind.ALIGNED_READING, "clock_aligned_interval_s"),
    _Series(ReadingKind.ALIGNED_END, TimerKind.ALIGNED_END_READING, "stop_clock_interval_s"),
)
"""First the readings that are sent while a transaction lasts, then those that are kept for its end
where that has an interval of its own."""
_SERIES = {s.timer: s for s in (*_SAMPLES, *_CLOCKS)}


class MeterValues:
    """``withholds_sample``: whether the data budget keeps back a value that is neither billed nor
    asked for."""

    def __init__(self, site: StationState, withholds_sample: Callable[[EvseId, ReadingContext, Moment], bool]) -> None:
        self._site, self._withholds_sample = site, withholds_sample
        self._clock_marks: dict[ReadingKind, Stamp] = {}
        self._snapshots: RegisterSnapshots | None = None
        """Loaded with the first session."""

    # --- sampled values ----------------------------------------------------------------------------------------

    @handles_events(SessionOpened)
    def start_session_readings(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        yield from self._arm_samples(evse, now)
        if self._site.config.has_viewers:
            yield WakeMe(Timer(TimerKind.LIVE_READING, evse.number), now.t_s + LIVE_S * self._site.config.io_s)
        yield from self._load_snapshots().begin_snapshots(evse, now)

    def _load_snapshots(self) -> RegisterSnapshots:
        if self._snapshots is None:
            from agent.domain.register_snapshots import RegisterSnapshots

            self._snapshots = RegisterSnapshots(self._site)
        return self._snapshots

    def _arm_samples(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        for series in _SAMPLES:
            yield from self._arm_sample(series, evse, now)

    def _arm_sample(self, series: _Series, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        interval = self._site.settings.int_value(series.interval)
        session, timer = evse.session or evse.tx, Timer(series.timer, evse.number)
        if session is None or interval <= 0:
            yield WakeMe(timer, None)
            return
        same_boot = session.started.boot == now.stamp.boot
        started = session.started.t_s if same_boot else now.t_s
        yield WakeMe(timer, next_sample_s(started, interval, now.t_s))

    @handles_events(SessionClosed)
    def stop_session_readings(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        for kind in (TimerKind.LIVE_READING, TimerKind.REGISTER_SNAPSHOT):
            yield WakeMe(Timer(kind, event.evse), None)
        yield from self._arm_samples(self._site.evses[event.evse], now)

    @handles_events(TransactionOpened, TransactionClosed)
    def arm_samples_of_transaction(
        self, event: TransactionOpened | TransactionClosed, now: Moment
    ) -> Iterator[Yielded]:
        yield from self._arm_samples(self._site.evses[event.evse], now)

    @handles_timer(*(s.timer for s in _SAMPLES))
    def read_sample_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse, series = self._site.evses[event.timer.evse], _SERIES[event.timer.kind]
        if evse.session is not None or evse.tx is not None:
            if series.kind is ReadingKind.SAMPLED and self._snapshots is not None:
                self._snapshots.note_sample_ordered(evse)
            yield ReadMeter(evse.number, ReadingPurpose(series.kind))
            yield from self._arm_sample(series, evse, now)

    @handles_timer(TimerKind.LIVE_READING)
    def read_live_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if evse.session is not None:
            if evse.state is SessionState.ACTIVE:
                yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.LIVE))
            yield WakeMe(event.timer, now.t_s + LIVE_S * self._site.config.io_s)

    @handles_timer(TimerKind.REGISTER_SNAPSHOT)
    def store_register_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._snapshots is not None:
            yield from self._snapshots.store_on_timer(self._site.evses[event.timer.evse], now)

    # --- clock-aligned values ----------------------------------------------------------------------------------

    @handles_events(Started, ClockTrusted)
    def arm_clock_readings(self, event: Started | ClockTrusted, now: Moment) -> Iterator[Yielded]:
        yield from self._arm_clocks(now)

    def _arm_clocks(self, now: Moment) -> Iterator[Yielded]:
        for series in _CLOCKS:
            yield from self._arm_clock(series, now)

    def _arm_clock(self, series: _Series, now: Moment) -> Iterator[Yielded]:
        interval = self._site.settings.int_value(series.interval)
        if interval <= 0 or now.utc_s is None:
            self._clock_marks.pop(series.kind, None)
            yield WakeMe(Timer(series.timer), None)
            return
        ahead = next_mark_utc_s(interval, now.utc_s) - now.utc_s
        self._clock_marks[series.kind] = Stamp(now.stamp.boot, now.t_s + ahead)
        yield WakeMe(Timer(series.timer), now.t_s + ahead)

    @handles_timer(*(s.timer for s in _CLOCKS))
    def read_at_clock_mark(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        series = _SERIES[event.timer.kind]
        mark = self._clock_marks.get(series.kind)
        if mark is not None:
            for evse in self._site.evses.values():
                if self._wants_clock_reading(series.kind, evse):
                    yield ReadMeter(evse.number, ReadingPurpose(series.kind, mark_s=mark.t_s))
        yield from self._arm_clock(series, now)

    def _wants_clock_reading(self, kind: ReadingKind, evse: EvseRecord) -> bool:
        if kind is ReadingKind.ALIGNED_END:
            return bool(evse.open_transaction_id)
        return not (self._site.settings.bool_value("aligned_when_idle") and evse.open_transaction_id)

    @handles_events(SettingChanged)
    def apply_interval_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name in (s.interval for s in _SAMPLES):
            for evse in self._site.evses.values():
                yield from self._arm_samples(evse, now)
        elif event.name in (s.interval for s in _CLOCKS):
            yield from self._arm_clocks(now)

    # --- readings ----------------------------------------------------------------------------------------------

    @handles_events(MeterRead)
    def report_meter_reading(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        reading = with_offered_limit(evse, event.reading)
        yield from self._check_register_order(evse, reading)
        if evse.metering.reading is None or reading.energy_wh >= evse.metering.reading.energy_wh:
            evse.metering.keep_reading(reading)
        kind, only, is_stored = event.purpose.kind, event.purpose.detail, False
        if kind in (ReadingKind.ALIGNED, ReadingKind.ALIGNED_END):
            reading = replace(reading, at=Stamp(reading.at.boot, event.purpose.mark_s))
        if kind is ReadingKind.SAMPLED and _is_within_transaction(evse, reading):
            is_stored = yield from self._send_meter_values(
                now, evse, reading, ReadingContext.PERIODIC, "sampled_measurands"
            )
        elif kind is ReadingKind.ALIGNED:
            yield from self._send_meter_values(now, evse, reading, ReadingContext.CLOCK, "aligned_measurands")
        elif kind is ReadingKind.TRIGGERED:
            is_sent = yield from self._send_meter_values(
                now, evse, reading, ReadingContext.TRIGGER, "sampled_measurands", only=only
            )
            if not is_sent:
                yield from report_requested_event(self._site, evse, now, only)
        elif kind is ReadingKind.TRIGGERED_OUTSIDE:
            yield from self._send_meter_values(
                now, evse, reading, ReadingContext.TRIGGER, "aligned_measurands", loose=True, only=only
            )
        elif kind in (ReadingKind.LIVE, ReadingKind.END):
            yield SituationChanged(evse.number)
        if kind is self._kind_kept_from(*_SAMPLES):
            self._keep_for_transaction_end(evse, reading, ReadingContext.PERIODIC, "stop_sampled_measurands")
        elif kind is self._kind_kept_from(*_CLOCKS):
            self._keep_for_transaction_end(evse, reading, ReadingContext.CLOCK, "stop_aligned_measurands")
        if self._snapshots is not None:
            if is_stored:
                yield from self._snapshots.store_with_sample(evse, now)
            yield from self._snapshots.store_after_reading(evse, kind, now)

    @handles_events(MeterFailed)
    def report_without_reading(self, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
        """Report the transaction whose event was promised to a backend, without meter values."""
        if event.purpose.kind is ReadingKind.TRIGGERED:
            yield from report_requested_event(self._site, self._site.evses[event.evse], now, event.purpose.detail)

    def _kind_kept_from(self, sent: _Series, own: _Series) -> ReadingKind:
        """Return which readings are kept for the end: the ones that are sent, or ones of their
        own."""
        return sent.kind if self._site.settings.int_value(own.interval) == AS_UPDATED else own.kind

    def _check_register_order(self, evse: EvseRecord, reading: Reading) -> Iterator[Yielded]:
        """Check the order of the register. A lifetime register never runs backwards: otherwise the
        meter was exchanged or is broken, and must not bill."""
        floor = evse.session.last_wh if evse.session else None
        if floor is not None and reading.energy_wh < floor:
            yield FaultRaised(evse.number, Fault.METER_IMPLAUSIBLE)
        elif Fault.METER_IMPLAUSIBLE in evse.faults:
            yield FaultCleared(evse.number, Fault.METER_IMPLAUSIBLE)

    def _send_meter_values(
        self, now: Moment, evse: EvseRecord, reading: Reading, context: ReadingContext, names: str, loose: bool = False,
        only: str = "",
    ) -> Generator[Yielded, None, bool]:  # fmt: skip
        """Send meter values, of the session if it had begun by then. A register that ran backwards
        is not sent. ``only``: to this link; otherwise to all. Return whether they were sent."""
        measurands = self._site.settings.list_value(names)
        running = evse.session or evse.tx
        if not measurands or (running and reading.energy_wh < running.last_wh):
            return False
        wanted = "sign_aligned" if context is ReadingContext.CLOCK else "sign_samples"
        to_sign = bill_of_reading(self._site, evse, reading, wanted, "C", now) if ENERGY[0] in measurands else None
        is_signed = to_sign is not None or reading.signed is not None
        if not is_signed and self._withholds_sample(evse.number, context, now):
            return False
        session = evse.open_transaction_id if _is_within_transaction(evse, reading) and not loose else ""
        offline, charging = not self._site.backend_online, reported_charging_state(evse) if session else None
        authorized = not session or evse.tx is None or evse.tx.token is not None
        stop = evse.session.stop if evse.session else None
        at = min(now.stamp, stop.at) if stop else now.stamp  # readings that were sent until now came before the end
        samples = (Sample(context, reading, measurands),)
        message = MeterSampled(session, evse.number, samples, offline, charging, authorized, at=at)
        yield from send_to_backends(self._site, message, to_sign, (only,) if only else None)
        return True

    def _keep_for_transaction_end(
        self, evse: EvseRecord, reading: Reading, context: ReadingContext, names: str
    ) -> None:
        measurands = self._site.settings.list_value(names)
        running = evse.session or evse.tx
        if measurands and running and _is_within_transaction(evse, reading) and reading.energy_wh >= running.last_wh:
            kept = (*running.samples, Sample(context, reading, measurands))
            running.samples = thin_out(kept, STOP_SAMPLES_MAX, lambda s: s.reading.at.t_s)


def _is_within_transaction(evse: EvseRecord, reading: Reading) -> bool:
    """True if the reading belongs to the transaction. It ends when it is stopped; the register of
    the end is read a moment later."""
    session = evse.session
    if session is None:
        return evse.tx is not None and evse.tx.placed and reading.at >= evse.tx.started
    if not session.reported or reading.at < session.started:
        return False
    return session.stop is None or reading.at <= session.stop.at

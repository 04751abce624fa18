"""Check the meter's identity, and whether its readings may be billed: what a driver read becomes a
reading here, or a failure.

Nothing is corrected and nothing invented: a reading is believed as it is or not at all. Where it is
refused, the last believed one is used (decision 18)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterKnown,
    MeterRead,
    RawMeterReading,
    SituationChanged,
    Started,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.metrology import (
    MOST_V,
    NONSENSE,
    describe_exchange,
    has_same_serial,
    identity_from_record,
    identity_to_pin,
    identity_to_record,
    integrate_power,
    power_disagrees,
    why_exchange_refused,
    why_reading_untrue,
    why_register_frozen,
    why_unfit_for_billing,
)
from agent.domain.orders import LogNote, Persist
from agent.domain.session.signed_readings import restore_owed_record
from agent.model.types import Fault, MeterIdentity, Moment, Reading

FOREIGN = (Fault.METER_EXCHANGED, Fault.METER_UNFIT)


class Metrology:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(Started)
    def restore_meter_records(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            known = event.remembered.get("meter", {}).get(str(evse.number))
            if known:
                evse.metering.meter.pinned = identity_from_record(known)
            restore_owed_record(evse, event.remembered.get("owed", {}).get(str(evse.number), {}))
        yield from ()

    # --- the meter's identity ----------------------------------------------------------------------------------

    @handles_events(MeterKnown)
    def take_meter_identity(self, event: MeterKnown, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        evse.metering.meter.present = event.identity
        yield from self._judge_meter_identity(evse, event.identity)
        for other in self._site.evses.values():  # it may have been refused as this EVSE's meter
            if other is not evse and other.metering.meter.present is not None and Fault.METER_UNFIT in other.faults:
                yield from self._judge_meter_identity(other, other.metering.meter.present)

    def _judge_meter_identity(self, evse: EvseRecord, meter: MeterIdentity) -> Iterator[Yielded]:
        watch = evse.metering.meter
        if why := why_exchange_refused(watch, meter, _has_open_bill(evse)):
            yield from self._refuse_meter(evse, Fault.METER_EXCHANGED, why)
        elif why := why_unfit_for_billing(meter, watch.policy) or self._meter_used_elsewhere(evse, meter):
            yield from self._refuse_meter(evse, Fault.METER_UNFIT, why)
        else:
            yield from self._pin_meter(evse, meter)

    def _meter_used_elsewhere(self, evse: EvseRecord, meter: MeterIdentity) -> str:
        """Return why the meter is refused as another EVSE's. A meter that is reached by two
        addresses would put the same energy on two bills."""
        for other in self._site.evses.values():
            if (
                other is not evse
                and Fault.METER_SILENT not in other.faults
                and has_same_serial(other.metering.meter.present, meter)
            ):
                return f"it is the meter of EVSE {other.number}, reached by another address: each EVSE needs its own"
        return ""

    def _refuse_meter(self, evse: EvseRecord, fault: Fault, why: str) -> Iterator[Yielded]:
        yield from self._note_trouble_once(evse, why)
        yield FaultRaised(evse.number, fault)
        yield SituationChanged(evse.number)

    def _note_trouble_once(self, evse: EvseRecord, why: str) -> Iterator[Yielded]:
        """Log the reason once while it lasts; numbers in it may change."""
        if not evse.metering.meter.trouble:
            yield LogNote(evse.number, why)
        evse.metering.meter.trouble = why

    def _pin_meter(self, evse: EvseRecord, meter: MeterIdentity) -> Iterator[Yielded]:
        watch = evse.metering.meter
        watch.trouble = ""
        if Fault.METER_UNFIT in evse.faults:
            yield FaultCleared(evse.number, Fault.METER_UNFIT)
        pinned = identity_to_pin(watch.pinned, meter)
        if watch.pinned is None or identity_to_record(watch.pinned) != identity_to_record(pinned):
            watch.base = None  # readings of another meter are not compared with this register
            watch.restart_comparison(None)
            if watch.pinned is not None:
                yield LogNote(evse.number, f"taken into service: {describe_exchange(watch.pinned, pinned)}")
            yield Persist("meter", str(evse.number), dict(identity_to_record(pinned)))
        watch.pinned = pinned

    # --- readings ----------------------------------------------------------------------------------------------

    @handles_events(RawMeterReading)
    def judge_raw_reading(self, event: RawMeterReading, now: Moment) -> Iterator[Yielded]:
        evse, reading = self._site.evses[event.evse], event.reading
        if evse.faults.intersection(FOREIGN):
            yield MeterFailed(evse.number, event.purpose)
            return
        _begin_from_the_bill(evse)
        most_w = evse.config.max_a * evse.config.phases * MOST_V
        if why := why_reading_untrue(evse.metering.meter, reading, most_w) or self._not_counting(evse, reading):
            yield from self._refuse_reading(evse, event, why)
            if evse.metering.meter.refused >= NONSENSE and not _has_open_bill(evse):
                evse.metering.meter.accept_reading(
                    reading
                )  # no bill depends on it: what the meter reports from now on is the new base
        else:
            yield from self._believe_reading(evse, reading)
            yield MeterRead(evse.number, event.purpose, reading)

    def _not_counting(self, evse: EvseRecord, reading: Reading) -> str:
        """Return why the register does not count: it stands while power flows. The integral goes on
        while readings are refused."""
        if not evse.metering.meter.policy.checks_plausibility:
            return ""
        integrate_power(evse.metering.meter, reading)
        return why_register_frozen(evse.metering.meter, reading)

    def _refuse_reading(self, evse: EvseRecord, event: RawMeterReading, why: str) -> Iterator[Yielded]:
        """Refuse a reading. One is dropped; several in a row are a fault."""
        watch = evse.metering.meter
        watch.refused += 1
        yield from self._note_trouble_once(evse, why)
        yield MeterFailed(evse.number, event.purpose)
        if watch.refused >= NONSENSE:
            yield FaultRaised(evse.number, Fault.METER_IMPLAUSIBLE)

    def _believe_reading(self, evse: EvseRecord, reading: Reading) -> Iterator[Yielded]:
        watch = evse.metering.meter
        watch.base, watch.refused, watch.trouble = reading, 0, ""
        apart = power_disagrees(watch, reading) if watch.policy.checks_plausibility else None
        if apart:
            yield FaultRaised(evse.number, Fault.METER_DISAGREES)
        elif apart is False and Fault.METER_DISAGREES in evse.faults:
            yield FaultCleared(evse.number, Fault.METER_DISAGREES)


def _begin_from_the_bill(evse: EvseRecord) -> None:
    """Take the open bill as the base after a restart: the register must not be below it."""
    placed = evse.tx if evse.tx is not None and evse.tx.placed else None  # before that it has no register
    running = evse.session or placed
    if evse.metering.meter.base is None and running is not None:
        evse.metering.meter.base = Reading(running.started, running.last_wh)


def _has_open_bill(evse: EvseRecord) -> bool:
    return evse.session is not None or evse.tx is not None

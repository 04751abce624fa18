"""Estimate what a session that is paid for at a web page has cost so far, by the price that its
driver was shown. It is for the screen only, marked as an estimate: the backend charges, and the
cost that it reports replaces the estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.domain.driver_cost import DriverBill
from agent.domain.events import MeterRead, SessionClosed, SessionOpened, SituationChanged
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.local_time import clock_s, local_offset, passed_s
from agent.domain.messages import ChargingState, TriggerReason
from agent.model.types import EvseId, Moment

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.session_usage import Usage
    from agent.domain.tariff import Tariff


class WebPaymentEstimate:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._usages: dict[EvseId, tuple[Tariff, Usage]] = {}

    @handles_events(SessionOpened)
    def start_cost_estimate(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        """Start the estimate. Minutes before a restart are unknown: then only energy and fees that
        are due once can be estimated."""
        evse = self._site.evses[event.evse]
        evse.pricing.estimate = None
        self._usages.pop(event.evse, None)
        session = evse.session
        tariff = session.tariff if session is not None and session.web else None
        if session is None or tariff is None or (tariff.windows and now.utc_s is None):
            return
        if event.trigger == TriggerReason.TX_RESUMED and (tariff.windows or tariff.minute or tariff.occupancy):
            return
        utc_s = clock_s(now)
        usage = tariff.start_usage(local_offset(self._site.settings, utc_s, self._site.collaborators.local_offset))
        self._usages[event.evse] = tariff, usage.advance_to(utc_s, session.start_wh, None, now.stamp)
        yield from self._show_estimate(evse, session.id)

    @handles_events(MeterRead)
    def update_cost_estimate(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.session is None or evse.state is not SessionState.ACTIVE or evse.number not in self._usages:
            return
        tariff, usage = self._usages[evse.number]
        grown = usage.advance_to(clock_s(now), event.reading.energy_wh, counts_as_charging(evse), now.stamp)
        self._usages[evse.number] = tariff, grown
        yield from self._show_estimate(evse, evse.session.id)

    @handles_events(SessionClosed)
    def finish_cost_estimate(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        """Finish the estimate as the settlement of card payments does: time after the stop costs
        nothing."""
        if event.evse not in self._usages:
            return
        tariff, usage = self._usages[event.evse]
        if event.end_wh is not None:
            at = event.at or now.stamp
            usage = usage.advance_to(clock_s(now) - passed_s(at, now), event.end_wh, None, at)
        self._usages[event.evse] = tariff, usage
        yield from self._show_estimate(self._site.evses[event.evse], event.session, final=True)
        del self._usages[event.evse]

    def _show_estimate(self, evse: EvseRecord, session: str, final: bool = False) -> Iterator[Yielded]:
        tariff, usage = self._usages[evse.number]
        parts = tariff.parts_in_cents(usage) if final else ()
        evse.pricing.estimate = DriverBill(
            session,
            tariff.total_cents(usage),
            0,
            tariff.currency,
            final=final,
            tariff=tariff,
            parts=parts,
            estimated=True,
        )
        yield SituationChanged(evse.number)


def counts_as_charging(evse: EvseRecord) -> bool | None:
    """Return True for charging, False for idle, None for neither: what the station itself withholds
    costs no time."""
    if evse.progress.charging is ChargingState.CHARGING:
        return True
    return False if evse.progress.charging is ChargingState.SUSPENDED_EV and evse.board.vehicle_connected else None

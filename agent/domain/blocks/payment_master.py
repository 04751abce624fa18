"""Serve the outlets of other stations with this station's terminal (decision 73). What a satellite reports becomes an
event of the payment's table, as the events of an own session do; what the satellite must know goes to it when it is on
this station's disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.blocks.payment_ceiling import payment_age_s
from agent.domain.blocks.payment_settlement import PaymentSettlement, own_receipt_address
from agent.domain.events import CardRefused, ClockTrusted, Event, NoticeShown, SituationChanged, Started, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import LogNote, SendToSatellite, WakeMe
from agent.domain.payment import Payment, PaymentSessionBegun, PaymentWithdrawn, PayState
from agent.domain.payment_amount import describe_payment
from agent.domain.payment_journal import UNUSED_S, payment_timer
from agent.domain.payment_receipt import SuppliedEnergy
from agent.domain.payment_table import PaymentJournal
from agent.domain.repeated_card import UNENERGISED_S
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    EndNoted,
    Grant,
    GrantRefused,
    MasterMessage,
    MeteredReport,
    OutletNotice,
    OutletReport,
    OutletsReported,
    PaymentOutcome,
    SatelliteConnected,
    SatelliteLost,
    SatelliteMessageReceived,
    SessionConfirmed,
    SessionStopped,
)
from agent.domain.satellite_outlet import make_satellite_outlets, paid_outlet
from agent.domain.satellite_reports import outcome_of_payment
from agent.domain.timers import TimerKind
from agent.model.fastclass import replace
from agent.model.types import STATION, Moment

if TYPE_CHECKING:
    from agent.domain.session_usage import Usage

AWAY = "its satellite is away"
NEVER_BACK = "the satellite never reported the end"
REPORT_TIMES = 1.25
"""So many times the time of the hold after its card, the end of a session must have been reported. The terminal keeps
the hold for longer (``released_s``)."""


class PaymentMaster:
    def __init__(
        self, site: StationState, journal: PaymentJournal, settlement: PaymentSettlement, choice: OutletSelection
    ) -> None:
        self._site, self._journal, self._settlement, self._choice = site, journal, settlement, choice
        self._just_connected: set[str] = set()
        site.satellite_outlets = make_satellite_outlets(site.config.satellites)
        self._begun_s: dict[str, float] = {}
        """When the session of an unfinished payment was confirmed first."""

    # --- the connection ----------------------------------------------------------------------------------------------

    @handles_events(SatelliteConnected)
    def greet_satellite(self, event: SatelliteConnected, now: Moment) -> Iterator[Yielded]:
        self._site.satellites_online.add(event.satellite)
        self._just_connected.add(event.satellite)
        return iter(())

    @handles_events(SatelliteLost)
    def release_unused_holds(self, event: SatelliteLost, now: Moment) -> Iterator[Yielded]:
        """Release what no session has begun with: the satellite drops it as well. Sessions there go on."""
        self._site.satellites_online.discard(event.satellite)
        for outlet in self._site.satellite_outlets.values():
            if outlet.satellite == event.satellite:
                outlet.take_report(None, now, is_first=True)
        for p in self._payments_of(event.satellite, PayState.AUTHORIZED):
            yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, AWAY), now)
            yield CardRefused(STATION, "unavailable")
        yield SituationChanged(STATION)

    def _payments_of(self, satellite: str, *states: PayState) -> list[Payment]:
        return [p for p in self._journal.payments.values() if p.satellite == satellite and p.state in states]

    @handles_events(SatelliteMessageReceived)
    def take_satellite_message(self, event: SatelliteMessageReceived, now: Moment) -> Iterator[Yielded]:
        match event.message:
            case OutletsReported() as report:
                yield from self._take_outlets(event.satellite, report, now)
            case GrantRefused(payment, why):
                yield from self._take_refusal(event.satellite, payment, why, now)
            case BegunReport() as report:
                yield from self._begin_session(event.satellite, report, now)
            case MeteredReport() as report:
                yield from self._count_usage(event.satellite, report)
            case EndedReport() as report:
                yield from self._end_session(event.satellite, report, now)
            case _:
                pass

    def _take_outlets(self, satellite: str, report: OutletsReported, now: Moment) -> Iterator[Yielded]:
        is_first = satellite in self._just_connected
        self._just_connected.discard(satellite)
        reports = {one.evse: self._in_own_currency(one) for one in report.outlets}
        for number, outlet in self._site.satellite_outlets.items():
            if outlet.satellite == satellite and outlet.take_report(reports.get(outlet.evse), now, is_first):
                yield from self._choice.answer_by_cable(number)
        yield SituationChanged(STATION)

    def _in_own_currency(self, report: OutletReport) -> OutletReport:
        """Return the report, without a price that this terminal does not charge."""
        is_foreign = report.tariff is not None and report.tariff.currency != self._charged_currency()
        return replace(report, tariff=None, is_open=False) if is_foreign else report

    def _charged_currency(self) -> str:
        """Return the currency in which the terminal of the station charges: that of its outlets in the station file,
        whether or not they sell anything now."""
        offers = [self._site.evses[n].config.offer for n in self._journal.terms.terminals.get(STATION, ())]
        tariffs = [offer.tariff for offer in offers if offer is not None and offer.tariff is not None]
        return tariffs[0].currency if tariffs else self._site.settings.text_value("currency")

    # --- a grant -----------------------------------------------------------------------------------------------------

    def grant_charging(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Grant charging at the outlet of a satellite. The hold is on disk. It is released if no session begins."""
        outlet = paid_outlet(self._site, p)
        assert outlet is not None
        assert p.tariff is not None
        wait_s = float(self._site.settings.int_value("payment_connect_timeout_s"))
        yield WakeMe(payment_timer(TimerKind.PAYMENT_UNUSED, p), now.t_s + wait_s + UNUSED_S * self._journal.io_s)
        yield self._journal.persist_payment(p)
        left_s = self._journal.terms.hold_s - payment_age_s(p, now)
        grant = Grant(
            p.id, outlet.evse, p.token.value, p.tariff, p.held_cents, self._journal.terms.reserve_s, wait_s, left_s,
            describe_payment(self._site.settings, p), p.language,
        )  # fmt: skip
        yield SendToSatellite(p.satellite, grant)

    def act_on_repeated_card(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Act on the same card again: have its session ended, or show that it was understood."""
        begun_s = self._begun_s.get(p.id)
        if p.state is not PayState.ACTIVE:
            yield SituationChanged(STATION)
        elif begun_s is not None and now.t_s < begun_s + UNENERGISED_S * self._site.config.io_s:
            yield NoticeShown(tuple(self._site.evses), "just_begun")
        elif p.satellite in self._site.satellites_online:
            yield SendToSatellite(p.satellite, SessionStopped(p.id, p.session, by_driver=True))
        else:
            yield CardRefused(STATION, "offline")

    def notify_outlet(self, p: Payment, why: str) -> Iterator[Yielded]:
        """Show at the satellite's outlet, and at the terminal, why the card begins nothing."""
        outlet = paid_outlet(self._site, p)
        if outlet is not None:
            yield SendToSatellite(outlet.satellite, OutletNotice(outlet.evse, why))
        yield CardRefused(STATION, why)

    def _take_refusal(self, satellite: str, payment: str, why: str, now: Moment) -> Iterator[Yielded]:
        p = self._journal.payments.get(payment)
        if p is not None and p.satellite == satellite and p.state is PayState.AUTHORIZED:
            yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, why), now)
            yield CardRefused(STATION, "unavailable")

    # --- a session ---------------------------------------------------------------------------------------------------

    def _begin_session(self, satellite: str, report: BegunReport, now: Moment) -> Iterator[Yielded]:
        """Put the session into the journal, then let it have energy. A session of a payment that was given up, or of
        another outlet than the granted one, gets none."""
        p = self._journal.find_payment(report.payment)
        outlet = paid_outlet(self._site, p) if p is not None else None
        if p is None or p.satellite != satellite or outlet is None or outlet.evse != report.evse:
            yield SendToSatellite(satellite, SessionStopped(report.payment, report.session))
            return
        if p.state is PayState.AUTHORIZED and _is_priced_by(p, report.usage):
            p.usage = report.usage
            begun = PaymentSessionBegun(p.id, report.session, report.usage.wh)
            yield from self._journal.apply_payment_event(p, begun, now)
            self._begun_s = {k: s for k, s in self._begun_s.items() if k in self._journal.payments} | {p.id: now.t_s}
            yield self._time_limit(p, now)
        if p.state is PayState.ACTIVE and p.session == report.session:
            yield SendToSatellite(satellite, SessionConfirmed(p.id, p.session, p.held_cents))
        else:
            yield SendToSatellite(satellite, SessionStopped(p.id, report.session))

    def _time_limit(self, p: Payment, now: Moment) -> WakeMe:
        """Wake when the satellite must have reported the end."""
        left_s = self._journal.terms.hold_s * REPORT_TIMES - payment_age_s(p, now)
        return WakeMe(payment_timer(TimerKind.SATELLITE_SESSION, p), now.t_s + max(0.0, left_s))

    def _count_usage(self, satellite: str, report: MeteredReport) -> Iterator[Yielded]:
        p = self._journal.payments.get(report.payment)
        if p is None or p.satellite != satellite or p.state is not PayState.ACTIVE or p.session != report.session:
            yield SendToSatellite(satellite, SessionStopped(report.payment, report.session))
        elif _continues_known_usage(p, report.usage):
            p.usage = report.usage
            yield self._journal.persist_payment(p)

    def _end_session(self, satellite: str, report: EndedReport, now: Moment) -> Iterator[Yielded]:
        """Decide what the session costs, once. What was decided before is said again."""
        p = self._journal.find_payment(report.payment)
        if p is not None and p.satellite == satellite and p.state is PayState.AUTHORIZED:
            yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, "no energy was confirmed"), now)
        if p is None or p.satellite != satellite or p.session != report.session:
            yield from self._answer_unknown_end(satellite, p, report)
            return
        if p.state is PayState.ACTIVE:
            supplied = SuppliedEnergy(
                report.supply.begin_wh, report.supply.end_wh, None, now.stamp, report.supply.signed,
                began_utc_s=report.supply.began_utc_s, ended_utc_s=report.supply.ended_utc_s,
            )  # fmt: skip
            if _continues_known_usage(p, report.usage):
                p.usage = report.usage
            elif p.usage is not None:
                said = f"payment {p.id}: {satellite} has reported a final usage that does not continue the known one"
                yield LogNote(STATION, f"{said}: the last usage is charged", "payment")
                supplied = _supply_of_known_usage(p.usage, now)
            yield WakeMe(payment_timer(TimerKind.SATELLITE_SESSION, p), None)
            yield from self._settlement.charge_usage(p, supplied, now)
        elif p.usage is not None and report.usage.wh != p.usage.wh:
            more_wh = report.usage.energy_wh - p.usage.energy_wh
            yield LogNote(STATION, f"payment {p.id}: {more_wh} Wh were reported after it was charged", "payment")
        yield self._answer(p, EndNoted(p.id, p.session, p.cents or 0, own_receipt_address(self._site, p)))
        if p.is_finished:
            yield self._answer(p, outcome_of_payment(self._site, p))

    def _answer(self, p: Payment, message: MasterMessage) -> SendToSatellite:
        return SendToSatellite(p.satellite, message)

    def _answer_unknown_end(self, satellite: str, p: Payment | None, report: EndedReport) -> Iterator[Yielded]:
        """Answer the end of a session that is not in the journal. Without a confirmation it has had no energy; with
        energy its record was lost with the store, or is of a time long ago."""
        why = "does not know it" if p is None else "has not begun this session"
        if report.usage.energy_wh:
            said = f"{satellite}, session {report.session}: {report.usage.energy_wh} Wh are not charged"
            yield LogNote(STATION, f"{said}: payment {report.payment} is not in this journal", "payment")
        yield SendToSatellite(satellite, PaymentOutcome(report.payment, report.session, "", why=why))

    @handles_timer(TimerKind.SATELLITE_SESSION)
    def charge_abandoned_session(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """Charge what is known of a session whose satellite has not come back in the time of the hold."""
        p = self._journal.payments.get(event.timer.detail)
        if p is None or p.state is not PayState.ACTIVE or not p.satellite or p.usage is None:
            return
        said = f"payment {p.id}: {p.satellite} has not reported the end of its session: the last usage is charged"
        yield LogNote(STATION, said, "payment")
        yield from self._settlement.charge_usage(p, _supply_of_known_usage(p.usage, now), now, NEVER_BACK)

    # --- after a restart ---------------------------------------------------------------------------------------------

    @handles_events(Started, ClockTrusted)
    def await_satellite_sessions(self, event: Event, now: Moment) -> Iterator[Yielded]:
        """Wait for the ends of the sessions at satellites. After a boot only the clock knows how long they run, so the
        wait is reckoned again when the clock is known."""
        for p in self._journal.payments.values():
            if p.satellite and p.state is PayState.ACTIVE:
                yield self._time_limit(p, now)


def _is_priced_by(p: Payment, usage: Usage) -> bool:
    """Return whether the usage was counted by the tariff that was agreed. What another tariff has counted has no price
    here."""
    try:
        return p.tariff is not None and p.tariff.total_cents(usage) >= 0
    except ValueError:
        return False


def _continues_known_usage(p: Payment, usage: Usage) -> bool:
    """Return whether the usage has a price here and is not below what is known: a register and its energy only grow."""
    if not _is_priced_by(p, usage):
        return False
    return p.usage is None or (usage.wh >= p.usage.wh and usage.energy_wh >= p.usage.energy_wh)


def _supply_of_known_usage(usage: Usage, now: Moment) -> SuppliedEnergy:
    """Return what the receipt says when the satellite's own word about the energy is missing or not taken."""
    return SuppliedEnergy(usage.wh - usage.energy_wh, usage.wh, None, now.stamp)

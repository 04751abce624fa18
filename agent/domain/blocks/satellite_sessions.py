"""Count what a session uses that a grant of the payment master pays for, and report it (decision 73). Energy is
withheld until the master has the session in its journal, and ends before more is used than a bank holds."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.web_payment_estimate import counts_as_charging
from agent.domain.driver_cost import DriverBill, bill_so_far
from agent.domain.events import (
    MeterRead,
    SessionClosed,
    SessionOpened,
    SituationChanged,
    Started,
    StopWanted,
    TimeCame,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.local_time import age_s, clock_s, local_offset, passed_s
from agent.domain.messages import SettlementReported, SettlementStatus, StopReason, TriggerReason
from agent.domain.orders import InformSinks, LogNote, Persist, Send, SendToMaster, WakeMe
from agent.domain.payment import DAY_S
from agent.domain.payment_time import KEEP_S, ceiling_left_s
from agent.domain.satellite_grant import KIND, GrantBook, SatelliteGrant
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    EndNoted,
    MasterConnected,
    MasterMessageReceived,
    MeteredReport,
    PaymentOutcome,
    SessionConfirmed,
    SessionStopped,
    SupplyReport,
)
from agent.domain.serialization import UnreadableRecord
from agent.domain.session.active import restore_energy
from agent.domain.session_records import EnergyHolder
from agent.domain.tariff_cost import cap_bill_parts, final_usage, usage_after_absence
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import replace
from agent.model.types import STATION, Judge, Moment, Stamp

CONFIRM_S = 60.0
"""How long a session waits for the master's word, without energy (real seconds)."""
_BY_BANK = (Judge.BANK, Judge.BANK_AND_AUTHORIZE)
_UNPAID = (StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION)
_AMOUNT_REACHED = (StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.COST_LIMIT)
_TIME_REACHED = (StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.TIME_LIMIT)


class SatelliteSessions:
    def __init__(self, site: StationState, book: GrantBook) -> None:
        self._site, self._book = site, book

    @handles_events(MasterConnected)
    def report_unfinished_sessions(self, event: MasterConnected, now: Moment) -> Iterator[Yielded]:
        """Report all that is unfinished: either side may have lost what it knew of it."""
        for g in self._book.grants.values():
            yield from self._report_session(g)

    def _report_session(self, g: SatelliteGrant) -> Iterator[Yielded]:
        """Report the session as it is on the disk."""
        if g.usage is None or not g.session:
            return
        if g.supply is None:
            yield SendToMaster(BegunReport(g.payment, g.session, g.evse, g.usage))
        else:
            yield SendToMaster(EndedReport(g.payment, g.session, g.usage, g.supply))

    @handles_events(MasterMessageReceived)
    def obey_master(self, event: MasterMessageReceived, now: Moment) -> Iterator[Yielded]:
        match event.message:
            case SessionConfirmed(payment, session, held_cents):
                yield from self._give_confirmed_energy(payment, session, held_cents, now)
            case SessionStopped(payment, session, by_driver):
                yield from self._stop_session(payment, session, by_driver)
            case EndNoted(payment, session, _, receipt_url):
                yield from self._show_receipt(payment, session, receipt_url)
            case PaymentOutcome() as outcome:
                yield from self._take_outcome(outcome, now)
            case _:
                pass

    @handles_events(SessionOpened)
    def begin_granted_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        """Store the session with its grant, and report it. It gets energy when the master has it in its journal. A
        session with this token that was not granted (a remote start) ends."""
        evse = self._site.evses[event.evse]
        session = evse.session
        evse.pricing.bill = None
        g = self._book.grant_of_token(session.token) if session is not None else None
        if session is None or (g is None and session.judged_by not in _BY_BANK):
            return
        is_granted = session.judged_by in _BY_BANK and evse.number == (g.evse if g is not None else None)
        if g is None or g.supply is not None or g.session not in ("", session.id) or not is_granted:
            yield StopWanted(evse.number, *_UNPAID, note="fault")
            return
        if not g.session:
            here = local_offset(self._site.settings, clock_s(now), self._site.collaborators.local_offset)
            usage = g.tariff.start_usage(here)
            g.session, g.usage = session.id, usage.advance_to(clock_s(now), session.start_wh, None, now.stamp)
        yield self._persist_grant(g)
        yield from self._report_session(g)
        self._update_bill(evse, g)
        if g.is_confirmed:
            yield from restore_energy(self._site, evse, now, EnergyHolder.MASTER)
            yield from self._check_ceiling(evse, g, now, KEEP_S)
        else:
            yield WakeMe(_confirmation_timer(g), now.t_s + CONFIRM_S * self._site.config.io_s)

    def _persist_grant(self, g: SatelliteGrant) -> Persist:
        return Persist(KIND, g.payment, g.to_record())

    def _give_confirmed_energy(self, payment: str, session: str, held_cents: int, now: Moment) -> Iterator[Yielded]:
        """Give energy: the session is in the master's journal. The end of a session is not undone by a late word. A
        word that is repeated changes nothing: only a reading puts the ceiling off."""
        g = self._book.grants.get(payment)
        if g is None or g.session != session or g.supply is not None:
            return
        evse = self._site.evses[g.evse]
        yield WakeMe(_confirmation_timer(g), None)
        is_changed = not g.is_confirmed or g.held_cents != held_cents
        if is_changed:
            g.is_confirmed, g.held_cents = True, held_cents
            yield self._persist_grant(g)
            self._update_bill(evse, g)
        if evse.session is not None and evse.session.id == session:
            yield from restore_energy(self._site, evse, now, EnergyHolder.MASTER)
            if is_changed:
                yield from self._check_ceiling(evse, g, now)

    @handles_timer(TimerKind.MASTER_CONFIRMATION)
    def end_unconfirmed_session(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """End a session without energy: the master's word has not come, and its driver waits."""
        g = self._book.grants.get(event.timer.detail)
        if g is not None and g.is_running and not g.is_confirmed:
            yield LogNote(g.evse, "the payment master has not confirmed the session: it ends without energy", "payment")
            yield StopWanted(g.evse, *_UNPAID)

    def _stop_session(self, payment: str, session: str, by_driver: bool) -> Iterator[Yielded]:
        g = self._book.grants.get(payment)
        if g is None or g.session != session or not g.is_running:
            return
        if by_driver:
            yield StopWanted(g.evse, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, g.token)
        else:
            yield LogNote(g.evse, "the journal of the payment master does not know the session: it ends", "payment")
            yield StopWanted(g.evse, *_UNPAID)

    @handles_events(MeterRead)
    def count_session_usage(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        """Count what the session uses, and end it in time."""
        evse = self._site.evses[event.evse]
        g = self._book.grant_of_session(evse.session.id) if evse.session is not None else None
        if g is None or g.usage is None or evse.state is not SessionState.ACTIVE:
            return
        g.usage = g.usage.advance_to(clock_s(now), event.reading.energy_wh, counts_as_charging(evse), now.stamp)
        if now.t_s - g.stored_s >= KEEP_S:
            g.stored_s = now.t_s
            yield self._persist_grant(g)
            yield SendToMaster(MeteredReport(g.payment, g.session, g.usage))
        self._update_bill(evse, g)
        if g.is_confirmed:
            yield from self._check_ceiling(evse, g, now)

    def _update_bill(self, evse: EvseRecord, g: SatelliteGrant) -> None:
        """Show what the session comes to. What is charged is the master's to say."""
        assert g.usage is not None
        evse.pricing.bill = bill_so_far(g.session, g.tariff, g.usage, g.held_cents)

    def _check_ceiling(
        self, evse: EvseRecord, g: SatelliteGrant, now: Moment, unseen_s: float = 0.0
    ) -> Iterator[Yielded]:
        """Keep the session below what is held, also if no reading comes any more. ``unseen_s``: for so long energy may
        have flowed that only the meter knows."""
        assert g.usage is not None
        if evse.state is not SessionState.ACTIVE:
            return
        if age_s(g.at, g.utc_s, now) >= g.left_s:
            yield StopWanted(evse.number, *_TIME_REACHED)
            return
        headroom_s = g.tariff.headroom_s(g.usage, g.held_cents, evse.maximum_a * evse.watts_per_a)
        left_s = ceiling_left_s(headroom_s, g.reserve_s, unseen_s, self._site.config.io_s)
        if left_s <= 0:
            yield from self._stop_at_ceiling(evse)
        else:
            timer = Timer(TimerKind.PAYMENT_CEILING, evse.number)
            yield WakeMe(timer, now.t_s + left_s if left_s < DAY_S else None)

    def _stop_at_ceiling(self, evse: EvseRecord) -> Iterator[Yielded]:
        yield WakeMe(Timer(TimerKind.PAYMENT_CEILING, evse.number), None)
        if evse.state is SessionState.ACTIVE:
            yield StopWanted(evse.number, *_AMOUNT_REACHED)

    @handles_timer(TimerKind.PAYMENT_CEILING)
    def stop_at_ceiling_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if evse.session is not None and self._book.grant_of_session(evse.session.id) is not None:
            yield from self._stop_at_ceiling(evse)

    # --- the end -----------------------------------------------------------------------------------------------------

    @handles_events(SessionClosed)
    def report_ended_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        """Store what was supplied in the transaction that stores the end of the session, and report it."""
        yield WakeMe(Timer(TimerKind.PAYMENT_CEILING, event.evse), None)
        g = self._book.grant_of_session(event.session)
        if g is None or g.usage is None:
            return
        evse, at = self._site.evses[event.evse], event.at or now.stamp
        yield WakeMe(_confirmation_timer(g), None)
        if event.end_wh is not None:
            g.usage = final_usage(g.usage, event.end_wh, at, now)
        ended = evse.last_session
        if ended is not None and ended.id == g.session:
            began_utc_s, ended_utc_s = _utc_of(ended.started, now), _utc_of(ended.ended, now)
            end_wh = ended.start_wh + ended.energy_wh
            g.supply = SupplyReport(ended.start_wh, end_wh, began_utc_s, ended_utc_s, ended.signed)
        else:
            g.supply = _supply_of_usage(g)
        yield self._persist_grant(g)
        yield from self._report_session(g)
        cents = min(g.tariff.total_cents(g.usage), g.held_cents)
        parts = cap_bill_parts(g.tariff.parts_in_cents(g.usage), cents)
        evse.pricing.bill = DriverBill(g.session, cents, g.held_cents, g.tariff.currency, "", True, g.tariff, parts)

    def _show_receipt(self, payment: str, session: str, receipt_url: str) -> Iterator[Yielded]:
        g = self._book.grants.get(payment)
        evse = self._site.evses.get(g.evse) if g is not None else None
        bill = evse.pricing.bill if evse is not None else None
        if evse is not None and bill is not None and bill.final and bill.session == session and receipt_url:
            evse.pricing.bill = replace(bill, receipt=receipt_url)
            yield SituationChanged(evse.number)

    def _take_outcome(self, outcome: PaymentOutcome, now: Moment) -> Iterator[Yielded]:
        """Report to the backends what has become of the money, once, and forget the payment if that is the last word.
        A session that runs stays: the master speaks of what has ended."""
        g = self._book.grants.get(outcome.payment)
        if g is None or g.session != outcome.session or g.supply is None:
            return
        is_known, g.reported = outcome.status == g.reported, outcome.status
        if outcome.is_final:
            del self._book.grants[g.payment]
            yield Persist(KIND, g.payment, None)
        elif not is_known:
            yield self._persist_grant(g)
        if not outcome.status:
            yield LogNote(g.evse, f"payment {g.payment}: the payment master {outcome.why}", "payment")
        elif not is_known:
            yield from self._report_outcome(g, outcome, now)

    def _report_outcome(self, g: SatelliteGrant, outcome: PaymentOutcome, now: Moment) -> Iterator[Yielded]:
        report = SettlementReported(
            g.token.value, _settlement_status(outcome.status), outcome.cents, now.stamp, g.session, outcome.receipt,
            outcome.receipt_url, outcome.why,
        )  # fmt: skip
        for link in self._site.config.settlement_links:
            yield Send(link, report)
        if self._site.config.informs_sinks:
            yield InformSinks(report)

    # --- after a restart ---------------------------------------------------------------------------------------------

    @handles_events(Started)
    def resume_grants(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Go on with what is on the disk. A session whose record is lost, or whose outlet the station file no longer
        has, has used what was stored last: that is still to be paid. The session of a record that cannot be read
        ends."""
        open_sessions = {e.session.id: e for e in self._site.evses.values() if e.session is not None}
        for key, record in event.remembered.get(KIND, {}).items():
            try:
                g = SatelliteGrant.from_record(key, record)
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError) as e:
                yield Persist("poisoned", f"{KIND}/{key}", {"record": record, "why": str(e)})
                yield Persist(KIND, key, None)
                yield LogNote(STATION, f"the record of payment {key} cannot be read: it is set aside", "payment")
                continue
            self._book.grants[key] = g
            evse = open_sessions.get(g.session)
            if evse is not None and evse.session is not None and g.usage is not None:
                g.usage = usage_after_absence(g.usage, evse.session, now)
                evse.session.last_wh = max(evse.session.last_wh, g.usage.wh)
                self._update_bill(evse, g)  # its end may come before it is resumed
                if not g.is_confirmed:
                    yield WakeMe(_confirmation_timer(g), now.t_s + CONFIRM_S * self._site.config.io_s)
            elif g.supply is None:
                g.supply = _supply_of_usage(g)
                yield self._persist_grant(g)
        known = {g.session for g in self._book.grants.values()}
        for session, evse in open_sessions.items():
            if evse.session is not None and evse.session.judged_by in _BY_BANK and session not in known:
                yield StopWanted(evse.number, *_UNPAID, note="fault")


def _settlement_status(word: str) -> SettlementStatus:
    """Return the status in the words of NotifySettlement. What another program says in another word is not settled as
    far as this one knows."""
    try:
        return SettlementStatus(word)
    except ValueError:
        return SettlementStatus.FAILED


def _confirmation_timer(g: SatelliteGrant) -> Timer:
    return Timer(TimerKind.MASTER_CONFIRMATION, detail=g.payment)


def _supply_of_usage(g: SatelliteGrant) -> SupplyReport:
    """Return what was supplied as far as the usage says it: the record of the session is lost."""
    if g.usage is None:
        return SupplyReport(0, 0)
    return SupplyReport(max(0, g.usage.wh - g.usage.energy_wh), g.usage.wh, g.utc_s, None)


def _utc_of(at: Stamp, now: Moment) -> float | None:
    """Return when that was, if a clock is known and this boot has seen it."""
    if now.utc_s is None or at.boot != now.stamp.boot:
        return None
    return clock_s(now) - passed_s(at, now)

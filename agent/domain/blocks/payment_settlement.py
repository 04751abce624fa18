"""Settle card payments: the answers of the terminals, the cost of the session so far, the bill at its
end, and after a restart everything that was unfinished (decision 21)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.blocks.csms_settlement import is_left_to_csms, makes_receipts_elsewhere
from agent.domain.blocks.payment_ceiling import PaymentCeiling, payment_age_s
from agent.domain.blocks.web_payment_estimate import counts_as_charging
from agent.domain.driver_cost import DriverBill, bill_so_far
from agent.domain.events import (
    BoardOpened,
    ClockTrusted,
    FaultCleared,
    FaultRaised,
    HoldRaised,
    MeterFailed,
    MeterRead,
    ReceiptReceived,
    SessionClosed,
    SessionOpened,
    SituationChanged,
    Started,
    StopWanted,
    TimeCame,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.local_time import clock_s, local_offset
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import Persist, ReadMeter, WakeMe
from agent.domain.payment import (
    Payment,
    PaymentResumed,
    PaymentSessionBegun,
    PaymentSessionEnded,
    PayState,
    payment_reference,
)
from agent.domain.payment_journal import UNUSED_S, payment_timer
from agent.domain.payment_receipt import ReceiptSeries, SuppliedEnergy, energy_supplied
from agent.domain.payment_table import PaymentJournal
from agent.domain.payment_time import KEEP_S
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.serialization import UnreadableRecord
from agent.domain.session.resume import RECOVER_S
from agent.domain.session_records import Session
from agent.domain.tariff_cost import cap_bill_parts, final_usage, usage_after_absence
from agent.domain.terminal_messages import (
    PaymentCancelled,
    PaymentDeclined,
    PaymentRaised,
    PaymentReviewed,
    PaymentSettled,
    TerminalLost,
    TerminalOpened,
)
from agent.domain.timers import TIMERS_OF_ONE_PAYMENT, Timer, TimerKind
from agent.domain.web_payment import receipt_address, receipt_problem
from agent.model.fastclass import replace
from agent.model.types import STATION, Fault, Moment, Reading, Stamp

TRIES, RETRY_S = 3, 5.0
"""Readings of the register of a lost session."""
_UNPAID = (StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION)


class PaymentSettlement:
    def __init__(
        self, site: StationState, journal: PaymentJournal, ceiling: PaymentCeiling, series: ReceiptSeries | None = None
    ) -> None:
        self._site, self._journal, self._ceiling, self._series = site, journal, ceiling, series
        self._last_stored_s: dict[str, float] = {}
        self._lost_sessions: dict[str, int] = {}
        """Payments whose session is gone -> how often its register was asked for."""
        self._unreadable_records: dict[str, Mapping[str, Any]] = {}
        """Records that cannot be read and were not reviewed."""

    # --- answers of the terminals ------------------------------------------------------------------------------------

    @handles_events(TerminalOpened, TerminalLost)
    def resume_payments_of_terminal(self, event: TerminalOpened | TerminalLost, now: Moment) -> Iterator[Yielded]:
        if isinstance(event, TerminalOpened):
            self._journal.open[event.terminal] = event.identity.serial
        else:
            self._journal.open.pop(event.terminal, None)
        for p in list(self._journal.payments.values()):
            if p.terminal == event.terminal:
                yield from self._journal.apply_payment_event(p, event, now)
        yield from self._journal.seek_unreported_holds(event.terminal, now)
        yield from self._update_payment_fault(now)

    @handles_events(PaymentDeclined, PaymentCancelled, PaymentSettled)
    def apply_terminal_answer(self, event: Any, now: Moment) -> Iterator[Yielded]:
        p = self._journal.find_payment(event.payment)
        if p is not None:
            yield from self._journal.apply_payment_event(p, event, now)
        yield from self._update_payment_fault(now)

    # --- cost of a session -------------------------------------------------------------------------------------------

    @handles_events(SessionOpened)
    def begin_paid_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        session = evse.session
        evse.pricing.bill = None
        p = self._journal.payment_of_token(session.token) if session else None
        if session is None or p is None:
            return
        if p.state is PayState.AUTHORIZED and not p.satellite:
            assert p.tariff is not None  # agreed at the authorization
            utc_s = clock_s(now)
            here = local_offset(self._site.settings, utc_s, self._site.collaborators.local_offset)
            usage = p.tariff.start_usage(here)
            p.usage, p.evse = usage.advance_to(utc_s, session.start_wh, None, now.stamp), evse.number
            yield from self._journal.apply_payment_event(
                p, PaymentSessionBegun(p.id, session.id, session.start_wh), now
            )
        if p.state is PayState.ACTIVE and p.session == session.id:
            resumed = event.trigger is TriggerReason.TX_RESUMED
            self._update_bill(evse, p)
            self._ceiling.note_withheld_session(evse)
            yield from self._ceiling.check_ceiling(evse, p, now, KEEP_S if resumed else 0.0)
        else:
            yield StopWanted(evse.number, *_UNPAID, note="fault")

    @handles_events(MeterRead)
    def count_session_cost(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if event.purpose.kind is ReadingKind.PAYMENT:
            yield from self._charge_by_register(event.purpose.detail, event.reading, now)
        p = self._ceiling.active_payment(evse)
        if p is None or p.usage is None or evse.state is not SessionState.ACTIVE:
            return
        p.usage = p.usage.advance_to(clock_s(now), event.reading.energy_wh, counts_as_charging(evse), now.stamp)
        if now.t_s - self._last_stored_s.get(p.id, 0.0) >= KEEP_S:
            self._last_stored_s[p.id] = now.t_s
            yield self._journal.persist_payment(p)
        self._update_bill(evse, p)
        yield from self._ceiling.check_ceiling(evse, p, now)

    def _update_bill(self, evse: EvseRecord, p: Payment) -> None:
        assert p.tariff is not None
        assert p.usage is not None
        evse.pricing.bill = bill_so_far(p.session, p.tariff, p.usage, p.held_cents)

    @handles_events(PaymentRaised)
    def apply_raised_hold(self, event: PaymentRaised, now: Moment) -> Iterator[Yielded]:
        """Go on with what the bank holds now, and report it (C23.FR.02). Energy that the ceiling withheld is given
        again."""
        p = self._journal.payments.get(event.payment)
        if p is None:
            return
        before_cents = p.held_cents
        yield from self._journal.apply_payment_event(p, event, now)
        evse = self._site.evses.get(p.evse)
        if evse is None or p.held_cents == before_cents or self._ceiling.active_payment(evse) is not p:
            return
        self._update_bill(evse, p)
        yield HoldRaised(evse.number, p.session, p.held_cents)
        yield from self._ceiling.apply_higher_ceiling(evse, p, now)

    @handles_events(SessionClosed)
    def charge_closed_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        """Charge the payment and make the bill, in the same store transaction as the end of the
        session."""
        p = self._journal.payment_of_session(event.session)
        self._ceiling.forget_session(event.session)
        yield WakeMe(Timer(TimerKind.PAYMENT_CEILING, event.evse), None)
        if p is None:
            return
        # time after the stop costs nothing
        yield from self._charge_payment(p, event.end_wh, event.at or now.stamp, now)
        assert p.cents is not None
        assert p.tariff is not None
        assert p.usage is not None
        parts = cap_bill_parts(p.tariff.parts_in_cents(p.usage), p.cents)
        receipt = own_receipt_address(self._site, p)
        bill = DriverBill(p.session, p.cents, p.held_cents, p.tariff.currency, receipt, True, p.tariff, parts)
        self._site.evses[event.evse].pricing.bill = bill

    def _charge_payment(
        self, p: Payment, end_wh: int | None, at: Stamp, now: Moment, why: str = ""
    ) -> Iterator[Yielded]:
        assert p.usage is not None
        if end_wh is not None:
            p.usage = final_usage(p.usage, end_wh, at, now)
        self._last_stored_s.pop(p.id, None)
        session = self._site.evses[p.evse].last_session if p.evse in self._site.evses else None
        yield from self.charge_usage(p, energy_supplied(p, session, at), now, why)

    def charge_usage(self, p: Payment, supplied: SuppliedEnergy, now: Moment, why: str = "") -> Iterator[Yielded]:
        """Charge what was counted (``p.usage``), here or by a satellite, and issue the receipt."""
        assert p.tariff is not None
        assert p.usage is not None
        by_csms = is_left_to_csms(self._site, p)
        if self._series is not None and not by_csms and not makes_receipts_elsewhere(self._site):
            yield from self._series.issue_receipt(p, supplied, now)
        ended = PaymentSessionEnded(p.id, p.tariff.total_cents(p.usage), why, by_csms)
        yield from self._journal.apply_payment_event(p, ended, now)
        yield from self._arm_charge_alarm(p, now)
        yield from self._update_payment_fault(now)

    @handles_events(ClockTrusted)
    def arm_alarms_on_clock(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        """Arm the alarms by the real age of the payments: after a power cut it is not known before."""
        for p in self._journal.payments.values():
            yield from self._arm_charge_alarm(p, now)

    def _arm_charge_alarm(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Wake to check that the payment is charged in time."""
        if _is_charge_owed(p):
            yield WakeMe(
                payment_timer(TimerKind.PAYMENT_ALARM, p),
                now.t_s + max(0.0, self._journal.terms.alarm_s - payment_age_s(p, now)),
            )

    @handles_events(ReceiptReceived)
    def show_receipt_of_csms(self, event: ReceiptReceived, now: Moment) -> Iterator[Yielded]:
        """Show the receipt that the backend has made, if drivers may be led there."""
        if event.link != self._site.config.links[0] or receipt_problem(event.url, self._site.config.web_payment.hosts):
            return
        for evse in self._site.evses.values():
            bill = evse.pricing.bill
            if bill is not None and bill.final and bill.session == event.transaction:
                evse.pricing.bill = replace(bill, receipt=event.url)
                yield SituationChanged(evse.number)

    # --- timers ------------------------------------------------------------------------------------------------------

    @handles_timer(*TIMERS_OF_ONE_PAYMENT)
    def act_on_payment_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        kind, key = event.timer.kind, event.timer.detail
        if kind is TimerKind.PAYMENT_LOST_SESSION and key in self._lost_sessions:
            yield from self._ask_register(self._journal.payments[key], now)
        elif kind is TimerKind.PAYMENT_HOLD_SEARCH and key in self._journal.done:
            p = self._journal.done[key]
            if payment_age_s(p, now) < self._journal.terms.released_s:
                yield from self._journal.seek_hold_again(p, now)
                yield from self._update_payment_fault(now)
        elif kind is TimerKind.PAYMENT_UNUSED and has_authorization(self._site, self._journal.payments.get(key)):
            yield WakeMe(event.timer, now.t_s + UNUSED_S * self._journal.io_s)
        elif key in self._journal.payments:
            p = self._journal.payments[key]
            yield from self._journal.apply_payment_event(p, event, now)
            if kind is TimerKind.PAYMENT_AUTHORIZATION:
                yield from self._journal.seek_unreported_holds(p.terminal, now)
            yield from self._update_payment_fault(now)

    # --- after a restart ---------------------------------------------------------------------------------------------

    @handles_events(Started)
    def resume_payments(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Resume every unfinished payment by rule. A record that cannot be read is set aside and
        reported; the terminal releases its money by itself."""
        for key, record in event.remembered.get("poisoned", {}).items():
            kind, _, id_ = key.partition("/")
            if kind == "payment" and not record.get("reviewed"):
                yield from self._stop_unreadable_payment(id_, record)
        for key, record in event.remembered.get("payment", {}).items():
            try:
                p = Payment.from_record(key, record)
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError) as e:
                aside = {"record": record, "why": str(e)}
                yield Persist("poisoned", f"payment/{key}", aside)
                yield Persist("payment", key, None)
                yield from self._stop_unreadable_payment(key, aside)
                continue
            self._journal.add_payment(p)
        registers = _lost_registers(event.remembered.get("lost", {}))
        for p in list(self._journal.payments.values()):
            yield from self._journal.apply_payment_event(p, PaymentResumed(p.id), now)
            yield from self._arm_charge_alarm(p, now)
            if p.state is not PayState.ACTIVE or p.satellite:  # a satellite knows what its session has used
                continue
            session = _session_of_payment(self._site, p)
            if p.usage is not None:
                p.usage = usage_after_absence(p.usage, session, now)
            if session is None and registers is not None:  # the register may contain energy of other drivers by now
                wh = registers.get(p.session, 0)
                known = p.usage is not None and wh > p.usage.wh
                yield from self._charge_payment(p, wh if known else None, now.stamp, now, "session lost with the store")
            elif session is None:
                self._lost_sessions[p.id] = 0
                yield WakeMe(payment_timer(TimerKind.PAYMENT_LOST_SESSION, p), now.t_s + RECOVER_S)
            elif p.usage is not None:  # take the newer record: card and backend get one register
                session.last_wh = max(session.last_wh, p.usage.wh)
                self._update_bill(self._site.evses[session.evse], p)  # its end may come before it is resumed
        yield from self._update_payment_fault(now)

    def _stop_unreadable_payment(self, payment: str, record: Mapping[str, Any]) -> Iterator[Yielded]:
        """Stop the session of an unreadable payment: the held amount is unknown. The end of its
        token shows which session it is, whatever prefix the token has."""
        self._unreadable_records[payment] = record
        self._journal.blind = True
        for evse in self._site.evses.values():
            if evse.session is not None and evse.session.token.value.endswith(payment_reference("", payment)):
                yield StopWanted(evse.number, *_UNPAID, note="fault")

    @handles_events(BoardOpened)
    def ask_lost_registers(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Read the register: a session whose record was lost has had its energy, and the register
        shows how much."""
        for key in [k for k in self._lost_sessions if self._journal.payments[k].evse == event.evse]:
            yield from self._ask_register(self._journal.payments[key], now)

    def _ask_register(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Ask the register, unless another driver's energy has passed through it."""
        evse = self._site.evses.get(p.evse)
        if evse is None or evse.session is not None:
            yield from self._charge_without_register(p, now)
            return
        self._lost_sessions[p.id] += 1
        yield WakeMe(payment_timer(TimerKind.PAYMENT_LOST_SESSION, p), None)
        yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.PAYMENT, detail=p.id), billing=True)

    def _charge_by_register(self, key: str, reading: Reading, now: Moment) -> Iterator[Yielded]:
        if self._lost_sessions.pop(key, None) is not None:
            yield from self._charge_payment(
                self._journal.payments[key], reading.energy_wh, now.stamp, now, "session lost"
            )

    @handles_events(MeterFailed)
    def retry_lost_register(self, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
        key = event.purpose.detail
        if event.purpose.kind is not ReadingKind.PAYMENT or key not in self._lost_sessions:
            return
        if self._lost_sessions[key] < TRIES:
            yield WakeMe(Timer(TimerKind.PAYMENT_LOST_SESSION, detail=key), now.t_s + RETRY_S * self._journal.io_s)
        else:
            yield from self._charge_without_register(self._journal.payments[key], now)

    def _charge_without_register(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        del self._lost_sessions[p.id]
        yield from self._charge_payment(p, None, now.stamp, now, "session and register lost")

    # --- review by an operator ---------------------------------------------------------------------------------------

    def _update_payment_fault(self, now: Moment) -> Iterator[Yielded]:
        """Raise the payment fault while an operator has to act: review an uncertain payment, put
        back a terminal that holds money, or find out why a bill is still not charged."""
        unfinished, terms = self._journal.payments.values(), self._journal.terms
        doubtful = any(_is_uncertain(p) and not p.reviewed for p in self._journal.done.values())
        doubtful |= bool(self._unreadable_records) or any(p.terminal not in terms.terminals for p in unfinished)
        doubtful |= any(_is_charge_owed(p) and payment_age_s(p, now) >= terms.alarm_s for p in unfinished)
        raised = self._fault_raised
        doubtful |= raised and any(p.guessed for p in unfinished)  # until it is found again
        self._fault_raised = doubtful
        if doubtful != raised:
            yield (FaultRaised if doubtful else FaultCleared)(STATION, Fault.PAYMENT_UNCERTAIN)

    _fault_raised = False

    @handles_events(PaymentReviewed)
    def mark_payment_reviewed(self, event: PaymentReviewed, now: Moment) -> Iterator[Yielded]:
        p = self._journal.find_payment(event.payment)
        if p is not None and p.state is PayState.UNCERTAIN:
            p.reviewed = True
            yield self._journal.persist_payment(p)
        aside = self._unreadable_records.pop(event.payment, None)
        self._journal.blind = bool(self._unreadable_records)
        if aside is not None:
            yield Persist("poisoned", f"payment/{event.payment}", {**aside, "reviewed": True})
        yield from self._update_payment_fault(now)


def authorized_evses(site: StationState, p: Payment) -> list[EvseRecord]:
    """Return the EVSEs where the authorization of this payment waits."""
    return [
        e for e in site.evses.values() if e.authorization is not None and e.authorization.token.matches_token(p.token)
    ]


def has_authorization(site: StationState, p: Payment | None) -> bool:
    """True if a session may still begin with this payment: its held amount must not be released
    before the authorization ends."""
    return p is not None and bool(authorized_evses(site, p))


def own_receipt_address(site: StationState, p: Payment) -> str:
    """Return the address of the receipt; "" if nothing was paid, or as long as the backend is to make it."""
    url = "" if makes_receipts_elsewhere(site) else site.settings.text_value("receipt_url")
    return receipt_address(url, p.token.value, p.id, p.session) if p.cents else ""


def _session_of_payment(site: StationState, p: Payment) -> Session | None:
    sessions = (e.session for e in site.evses.values())
    return next((s for s in sessions if s is not None and s.id == p.session), None)


def _is_uncertain(p: Payment) -> bool:
    return p.state is PayState.UNCERTAIN


def _is_charge_owed(p: Payment) -> bool:
    """True if the amount is known and not charged yet."""
    return bool(p.cents) and not p.is_finished


def _lost_registers(remembered: Mapping[str, Any]) -> dict[str, int] | None:
    """Return session -> register (Wh) at its end, for sessions that the store lost; None: the store
    has lost nothing."""
    found = [record.get("registers") for record in remembered.values()]
    known = [one for one in found if isinstance(one, Mapping)]
    return {str(k): wh for one in known for k, wh in one.items() if isinstance(wh, int)} if found else None

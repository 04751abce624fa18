"""Take payments with a bank card at the station: when a terminal waits for a card, what a card is
for, and the authorization that comes of it. ``blocks/payment_settlement.py`` handles the money,
``payable_outlets.py`` knows where a card may pay, ``repeated_card.py`` what the same card again means.

A card that pays for a running session stops it (the terminal reports the same card), but not just
after the session has begun. Just after a card has stopped a session it begins no other: it may have
been held too long. A card whose authorization waits for its cable shows its screen again. Any other
card pays for an outlet, at the price of the outlet when the card is read: the outlet whose button
was pressed, otherwise the one that is plugged in, otherwise a free one. Where that is not clear, or
where the card may be a second one of a driver who is charging, the driver is asked before the bank
is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.blocks.payment_settlement import authorized_evses, has_authorization
from agent.domain.events import (
    AuthorizationDropped,
    ButtonPressed,
    CardRefused,
    Event,
    EvseEvent,
    NoticeShown,
    OutletMeant,
    SettingChanged,
    SituationChanged,
    StopRequested,
    StopWanted,
    StoreFailed,
    StoreRecovered,
    TimeCame,
    TokenAccepted,
    TokenAuthorized,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, LogNote, WakeMe
from agent.domain.outlet_claims import OutletClaims
from agent.domain.payable_outlets import PayableOutlets
from agent.domain.payment import Payment, PaymentPlaced, PaymentWithdrawn, PayState, payment_reference
from agent.domain.payment_amount import amounts_of_offer, describe_payment, payment_value_checks
from agent.domain.payment_journal import UNUSED_S, is_other_card, payment_timer
from agent.domain.payment_table import PaymentJournal
from agent.domain.repeated_card import RepeatedCards
from agent.domain.terminal_messages import (
    BankCardRead,
    CancelPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    TerminalEvent,
    TerminalLost,
    TerminalOpened,
)
from agent.domain.timers import PAYMENT_TIMERS, Timer, TimerKind
from agent.domain.variables import ValueChecks
from agent.model.types import (
    STATION,
    AuthorizationStatus,
    EvseId,
    Judge,
    Moment,
    Stamp,
    Token,
    TokenType,
    Verdict,
)

if TYPE_CHECKING:  # of the stations whose terminal serves others
    from agent.domain.blocks.payment_master import PaymentMaster

AGAIN_S = 1.0
"""Between the end of an offer and the next one, if we did not end it (real seconds)."""
PRICE_READ_S = 3.0
"""How long a price is on the screen before a terminal takes a card for it (real seconds)."""
PRICE_CHANGED = "the price has changed"
_OFFERED = (PayState.NEW, PayState.CARD_READ, PayState.AUTH_PENDING)
_ACCEPTED = Verdict(AuthorizationStatus.ACCEPTED)


class CardPayments:
    def __init__(
        self,
        site: StationState,
        journal: PaymentJournal,
        choice: OutletSelection,
        claims: OutletClaims,
        master: PaymentMaster | None = None,
    ) -> None:
        self._site, self._journal, self._outlet_selection, self._master = site, journal, choice, master
        self._outlets = PayableOutlets(site, journal, claims)
        self._repeated_cards = RepeatedCards(site, journal, self._outlets)
        self._next_offer_s: dict[EvseId, float] = {}
        self._withdrawn_by_us: set[str] = set()

    # --- the offer ---------------------------------------------------------------------------------------------------

    @handles_events(
        SituationChanged, SettingChanged, StoreFailed, StoreRecovered, StopRequested, TerminalOpened, ButtonPressed
    )
    def update_offers(self, event: Event, now: Moment) -> Iterator[Yielded]:
        waiting = self._outlet_selection.waiting_payment
        if waiting and self._journal.find_payment(waiting) is None:
            yield from self._outlet_selection.withdraw_question()
        for terminal in self._journal.terms.terminals:
            yield from self._update_offer(terminal, now)
            holds_other = isinstance(event, SettingChanged) and event.name.startswith("payment_")
            if holds_other or isinstance(event, TerminalOpened):  # what is held, and off line that cards are taken
                yield from self._refresh_screens(terminal)

    def _update_offer(self, terminal: EvseId, now: Moment) -> Iterator[Yielded]:
        """Start or withdraw the offer: compare what is wanted now with what the terminal does."""
        if self._outlets.note_presented_prices(terminal, now):
            self._next_offer_s[terminal] = until_s = now.t_s + PRICE_READ_S * self._journal.io_s
            yield WakeMe(Timer(TimerKind.CARD_OFFER, terminal), until_s)
        wanted = self._should_offer(terminal, now)
        offered = self._journal.payments_at_terminal(terminal, *_OFFERED)
        amounts = amounts_of_offer(self._site.settings, self._journal.terms)
        for p in (p for p in offered if p.state is PayState.NEW):
            is_repriced = not self._outlets.extend_offered_prices(p, now)
            is_outdated = p.language != self._site.language or (p.asked_cents, p.most_cents) != amounts
            if is_repriced or is_outdated or not wanted:
                yield from self._withdraw_payment(p, PRICE_CHANGED if is_repriced else "not wanted", now)
        if wanted and not offered and now.t_s >= self._next_offer_s.get(terminal, now.t_s):
            yield self._create_payment(terminal, now)

    def _withdraw_payment(self, p: Payment, why: str, now: Moment) -> Iterator[Yielded]:
        self._withdrawn_by_us.add(p.id)
        yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, why), now)

    def _create_payment(self, terminal: EvseId, now: Moment) -> OfferPayment:
        site, id_ = self._site, self._site.collaborators.new_id()
        token = Token(payment_reference(self._journal.terms.prefix, id_), TokenType.DIRECT_PAYMENT)
        amount_cents, most_cents = amounts_of_offer(site.settings, self._journal.terms)
        p = Payment(id_, terminal, token, amount_cents, now.stamp, most_cents=most_cents, language=site.language)
        p.prices = self._outlets.presented_prices[terminal]
        self._journal.payments[id_] = p
        self._outlets.asked.pop(terminal, None)
        return OfferPayment(terminal, id_, p.asked_cents, token.value, site.language)

    def value_checks(self) -> ValueChecks:
        return payment_value_checks(self._journal.terms)

    def _should_offer(self, terminal: EvseId, now: Moment) -> bool:
        """True if the terminal should wait for a card, to begin a session or to end one that a card
        began."""
        if terminal not in self._journal.open or self._site.stopping or not self._site.store_ok:
            return False
        if not self._journal.terms.amount_cents:
            return False
        is_paying = self._outlets.sessions_paid_here(terminal) or self._outlets.satellite_sessions(terminal)
        return bool(is_paying) or (self._outlets.may_begin() and bool(self._outlets.ranked_open_evses(terminal, now)))

    @handles_events(PaymentDeclined, PaymentCancelled, TerminalLost)
    def pause_next_offer(self, event: TerminalEvent, now: Moment) -> Iterator[Yielded]:
        ours = getattr(event, "payment", "") in self._withdrawn_by_us
        until_s = now.t_s + (0.0 if ours else AGAIN_S * self._journal.io_s)
        self._next_offer_s[event.terminal] = until_s = max(until_s, self._next_offer_s.get(event.terminal, until_s))
        self._withdrawn_by_us &= self._journal.payments.keys()
        yield WakeMe(Timer(TimerKind.CARD_OFFER, event.terminal), until_s)
        yield from self._refresh_screens(event.terminal)
        if isinstance(event, PaymentDeclined):
            for number in self._outlets.outlets_of_decline(event.terminal, now):
                yield CardRefused(self._outlets.screen_of(number), "declined")

    def _refresh_screens(self, terminal: EvseId) -> Iterator[Yielded]:
        yield from (SituationChanged(n) for n in self._journal.terms.terminals.get(terminal, ()))

    @handles_timer(TimerKind.CARD_OFFER)
    def renew_offer_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._update_offer(event.timer.evse, now)

    @handles_timer(*PAYMENT_TIMERS)
    def refresh_screens_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        for terminal in self._journal.terms.terminals:
            yield from self._refresh_screens(terminal)

    # --- a card ------------------------------------------------------------------------------------------------------

    @handles_events(BankCardRead)
    def assign_bank_card(self, event: BankCardRead, now: Moment) -> Iterator[Yielded]:
        p = self._journal.payments.get(event.payment)
        if p is None or p.state is not PayState.NEW:
            yield CancelPayment(event.terminal, event.payment)
            return
        yield from self._journal.apply_payment_event(p, event, now)
        own = self._repeated_cards.payment_of_same_card(p, now)
        if own is None and self._repeated_cards.has_just_ended_session(p, now):
            yield from self._withdraw_payment(p, "the card that has just ended a session", now)
            yield from self._refresh_screens(p.terminal)
            return
        if own is not None:
            yield from self._withdraw_payment(p, "the card of another payment", now)
            if self._master is not None and own.satellite:
                yield from self._master.act_on_repeated_card(own, now)
                self._repeated_cards.note_ending_card(own, now)
            else:
                yield from self._repeated_cards.act_on_repeated_card(own, now)
            return
        is_repriced = p.why == PRICE_CHANGED or self._outlets.is_repriced(p, now)
        may_begin = self._outlets.may_begin() and not p.withdrawn and not is_repriced
        evses = self._outlets.offered_evses(p, now) if may_begin else []
        if not evses:
            yield from self._withdraw_payment(p, "no outlet", now)
            first = self._journal.terms.terminals[p.terminal][0]
            yield CardRefused(first, "other_price" if is_repriced else "unavailable")
            return
        named = self._outlet_selection.find_chosen_outlet(self._outlets.nameable_evses(p.terminal, now), now)
        if named is not None and named not in evses:
            yield from self._withdraw_payment(p, "the chosen outlet is closed, or another driver's", now)
            yield CardRefused(self._outlets.screen_of(named.number), "unavailable")
            return
        why, among = (
            ("", evses) if named else self._outlets.question_for_payer(p, evses, self._outlet_selection.has_buttons)
        )
        if not why:
            yield from self._place_payment(p, named or evses[0], evses, now, named=named is not None)
        elif self._outlet_selection.is_asking:
            yield from self._withdraw_payment(p, "another card is being asked about", now)
            yield CardRefused(self._outlets.screen_of(evses[0].number), "concurrent")
        else:
            yield from self._outlet_selection.ask_payer_for_outlet(p.id, among, why, now)

    def _place_payment(
        self, p: Payment, evse: EvseRecord, evses: list[EvseRecord], now: Moment, named: bool
    ) -> Iterator[Yielded]:
        """Agree the price, and store it before the bank is asked. ``named``: the driver has chosen
        the outlet. Then a cable at another outlet does not move the payment: it may be another
        driver's."""
        p.tariff = p.prices[evse.number]
        p.satellite = self._outlets.satellite_of(evse)
        self._outlets.asked[p.terminal] = evse.number
        movable = len(evses) > 1 and not evse.board.vehicle_connected and not named
        yield from self._journal.apply_payment_event(p, PaymentPlaced(p.id, evse.number, movable), now)
        yield SituationChanged(self._outlets.screen_of(evse.number))

    @handles_events(OutletMeant)
    def place_payment_at_chosen_outlet(self, event: OutletMeant, now: Moment) -> Iterator[Yielded]:
        p = self._journal.payments.get(event.payment)
        if p is None or p.state is not PayState.CARD_READ or p.withdrawn:
            return
        evses = self._outlets.unclaimed_evses(p.terminal, now) if self._outlets.may_begin() else []
        evse = next((e for e in evses if e.number == event.evse), None)
        if event.evse == STATION:
            yield from self._withdraw_payment(p, "no outlet was chosen", now)
            yield NoticeShown(tuple(e.number for e in evses if e.number in self._site.evses), "not_chosen")
        elif evse is None:
            yield from self._withdraw_payment(p, "no outlet", now)
            yield CardRefused(self._outlets.screen_of(event.evse), "unavailable")
        elif self._outlets.known_tariff(evse, now) != p.prices.get(evse.number):
            yield from self._withdraw_payment(p, PRICE_CHANGED, now)
            yield CardRefused(self._outlets.screen_of(evse.number), "other_price")
        else:
            yield from self._place_payment(p, evse, evses, now, named=True)

    # --- the authorization -------------------------------------------------------------------------------------------

    @handles_events(PaymentApproved)
    def take_bank_approval(self, event: PaymentApproved, now: Moment) -> Iterator[Yielded]:
        p = self._journal.find_payment(event.payment) or self._journal.find_abandoned_payment(event)
        if self._journal.is_repeated_approval(event, p):
            yield from self._ignore_repeated_approval(event, p, now)
            return
        if p is None or p.reservation not in (None, event.reservation) or is_other_card(p, event):
            p = self._journal.add_unknown_payment(event, self._site.collaborators.new_id(), now)
        before = p.state
        yield from self._journal.apply_payment_event(p, event, now)
        if before is PayState.AUTH_PENDING and p.state is PayState.AUTHORIZED:
            yield from self._authorize_at_backend(p, now)
        elif before is PayState.AUTH_PENDING and not p.withdrawn:  # the bank holds too little
            yield CardRefused(self._outlets.screen_of(p.evse), "declined")
        yield from self._journal.seek_unreported_holds(event.terminal, now, event.reservation)
        yield from self._refresh_screens(event.terminal)

    def _ignore_repeated_approval(self, event: PaymentApproved, p: Payment | None, now: Moment) -> Iterator[Yielded]:
        """Keep the hold, on which a driver charges. The offer that it was reported for has ended at the terminal, but
        for one of another card."""
        yield LogNote(event.terminal, f"the hold {event.reservation} was reported again: ignored", "payment")
        if p is not None and p.state in (PayState.NEW, PayState.CARD_READ) and not is_other_card(p, event):
            yield from self._journal.apply_payment_event(p, PaymentCancelled(event.terminal, p.id), now)
        yield from self._refresh_screens(event.terminal)

    def _authorize_at_backend(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        asks = self._site.settings.bool_value("payment_authorize_first") and not p.satellite  # which asks its own
        if asks and self._site.backend_online:
            self._outlets.being_authorized.add(p.id)
            yield AuthorizeToken(
                self._site.config.links[0], f"payment:{p.id}", p.token, p.evse, describe_payment(self._site.settings, p)
            )
            yield WakeMe(payment_timer(TimerKind.PAYMENT_UNUSED, p), now.t_s + UNUSED_S * self._journal.io_s)
        elif asks and not self._site.settings.bool_value("offline_payments"):
            yield from self._refuse_payment(p, "offline", now)
        else:
            yield from self._authorize_charging(p, now)

    @handles_events(TokenAuthorized)
    def apply_payment_authorization(self, event: TokenAuthorized, now: Moment) -> Iterator[Yielded]:
        kind, _, id_ = event.request.partition(":")
        p = self._journal.payments.get(id_) if kind == "payment" else None
        self._outlets.being_authorized.discard(id_)
        if p is None or p.state is not PayState.AUTHORIZED:
            return
        yield from self._refresh_screens(p.terminal)
        if event.verdict is None and self._site.settings.bool_value("offline_payments"):
            yield from self._authorize_charging(p, now)
        elif event.verdict is None:
            yield from self._refuse_payment(p, "offline", now)
        elif not event.verdict.is_accepted:
            yield from self._refuse_payment(p, "invalid", now)
        else:
            p.csms_authorized = True
            yield self._journal.persist_payment(p)
            yield from self._authorize_charging(p, now, Judge.BANK_AND_AUTHORIZE)

    def _authorize_charging(self, p: Payment, now: Moment, judge: Judge = Judge.BANK) -> Iterator[Yielded]:
        """Authorize charging at the chosen outlet, or at the one that has taken its place while the
        bank answered."""
        here = [e for e in self._outlets.open_evses(p.terminal, now) if e.number == p.evse]
        others = self._outlets.unclaimed_evses(p.terminal, now) if p.movable else []
        plugged = [e for e in here if e.board.vehicle_connected] + [e for e in others if _plugged_since(e, p.at)]
        found = next(iter((*plugged, *here, *(e for e in others if not e.board.vehicle_connected))), None)
        if found is None or not self._outlets.costs_the_same(p, found, now):
            yield from self._refuse_payment(p, "unavailable" if found is None else "other_price", now)
            return
        p.evse, p.satellite = found.number, self._outlets.satellite_of(found)
        if self._master is not None and p.satellite:
            yield from self._master.grant_charging(p, now)
            return
        wait_s = float(self._site.settings.int_value("payment_connect_timeout_s"))
        yield WakeMe(payment_timer(TimerKind.PAYMENT_UNUSED, p), now.t_s + wait_s + UNUSED_S * self._journal.io_s)
        movable = p.movable and not found.board.vehicle_connected
        yield TokenAccepted(
            found.number, p.token, _ACCEPTED, "", movable, not self._site.backend_online, None, wait_s, judge, p.tariff,
            describe_payment(self._site.settings, p),
        )  # fmt: skip

    def _refuse_payment(self, p: Payment, why: str, now: Moment) -> Iterator[Yielded]:
        yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, why), now)
        if self._master is not None and p.satellite:
            yield from self._master.notify_outlet(p, why)
        else:
            yield CardRefused(p.evse, why)

    @handles_events(TokenAccepted)
    def track_authorized_payment(self, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
        """Follow the authorization. After a move it is valid at the new EVSE only. Without a free
        EVSE, or at another price, it is withdrawn. A payment that pays already, has paid, or is
        granted at a satellite authorizes nothing here."""
        p = self._journal.payment_of_token(event.token)
        if p is None:
            return
        used = _begins_nothing_here(p)
        for evse in authorized_evses(self._site, p):
            if used:
                yield StopWanted(evse.number, StopReason.DEAUTHORIZED, TriggerReason.DEAUTHORIZED)
            elif evse.number != event.evse:
                yield StopWanted(evse.number, StopReason.OTHER, TriggerReason.AUTHORIZED, note="moved")
        if used:
            return
        p.evse = event.evse
        if not self._outlets.costs_the_same(p, self._site.evses[event.evse], now):
            yield StopWanted(event.evse, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION)
            yield CardRefused(event.evse, "other_price")
        elif not has_authorization(self._site, p):
            yield from self._refuse_payment(p, "unavailable", now)
        else:
            yield from _show_agreed_price(self._site, p)

    def is_token_used_up(self, token: Token) -> bool:
        p = self._journal.payment_of_token(token)
        return p is not None and _begins_nothing_here(p)

    @handles_events(AuthorizationDropped)
    def withdraw_unused_payment(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        for p in list(self._journal.payments.values()):
            waits = p.state is PayState.AUTHORIZED and p.evse == event.evse
            if waits and p.id not in self._outlets.being_authorized and not has_authorization(self._site, p):
                yield from self._journal.apply_payment_event(p, PaymentWithdrawn(p.id, "no session was begun"), now)


def _show_agreed_price(site: StationState, p: Payment) -> Iterator[Yielded]:
    grant = site.evses[p.evse].authorization
    if grant is not None and grant.token.matches_token(p.token):
        grant.tariff, grant.payment = p.tariff, describe_payment(site.settings, p)
        yield SituationChanged(p.evse)


def _begins_nothing_here(p: Payment) -> bool:
    """True if the payment pays already, has paid, or is granted at a satellite, which may begin with it any moment."""
    return p.state is not PayState.AUTHORIZED or bool(p.satellite)


def _plugged_since(evse: EvseRecord, at: Stamp) -> bool:
    return evse.board.vehicle_connected and evse.board.plugged_at is not None and evse.board.plugged_at >= at

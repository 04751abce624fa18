"""A bank card that is presented again: it ends the session that it pays for, but not just after the
session has begun, and it begins none just after it has ended one."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import NoticeShown, SituationChanged, StopWanted
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.payable_outlets import PayableOutlets
from agent.domain.payment import Payment, PayState
from agent.domain.payment_table import PaymentJournal
from agent.domain.session.common import has_had_energy
from agent.model.types import EvseId, Moment

BEGUN_S, UNENERGISED_S = 10.0, 30.0
"""So long the card that has begun a session does not end it; the second value while no energy has
flowed. The first also: so long the card that has ended a session begins no other (real seconds)."""


class RepeatedCards:
    def __init__(self, site: StationState, journal: PaymentJournal, outlets: PayableOutlets) -> None:
        self._site, self._journal, self._outlets = site, journal, outlets
        self._last_ending_cards: dict[EvseId, tuple[str, float]] = {}
        """By terminal: the mark of the card that has ended a session there, and until when it
        begins none."""

    def payment_of_same_card(self, p: Payment, now: Moment) -> Payment | None:
        """Return a payment of the same card that charges or waits for its vehicle. A card without a
        mark has none."""
        held = self._journal.payments_at_terminal(p.terminal, PayState.ACTIVE, PayState.AUTHORIZED)
        return next(
            (o for o in held if p.card.mark and o.card.mark == p.card.mark and self._is_payment_alive(o, now)), None
        )

    def _is_payment_alive(self, p: Payment, now: Moment) -> bool:
        """Return whether the card may end this payment's session. One at a satellite that is away it may not: the card
        begins another where an outlet is open, if its driver says so."""
        if p.state is PayState.AUTHORIZED:
            return True
        if p.satellite:
            return p.satellite in self._site.satellites_online or not self._outlets.ranked_open_evses(p.terminal, now)
        return any(q is p for _, q in self._outlets.sessions_paid_here(p.terminal))

    def act_on_repeated_card(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Act on the same card again: end its session, or show that it was understood."""
        if p.state is not PayState.ACTIVE:
            yield SituationChanged(p.evse)
        elif self._has_session_just_begun(self._site.evses[p.evse], now):
            yield NoticeShown((p.evse,), "just_begun")
        else:
            self.note_ending_card(p, now)
            yield StopWanted(p.evse, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, p.token)

    def note_ending_card(self, p: Payment, now: Moment) -> None:
        """Note that this card has just ended its session: for a moment it begins no other."""
        self._last_ending_cards[p.terminal] = (p.card.mark, now.t_s + BEGUN_S * self._site.config.io_s)

    def has_just_ended_session(self, p: Payment, now: Moment) -> bool:
        """True if this card is ending its session, or ended it a moment ago: it may have been held
        too long."""
        mark, until_s = self._last_ending_cards.get(p.terminal, ("", 0.0))
        if not p.card.mark or p.card.mark != mark:
            return False
        ending = {e.session.id for e in self._site.evses.values() if e.session and e.state is SessionState.ENDING}
        active = self._journal.payments_at_terminal(p.terminal, PayState.ACTIVE)
        return now.t_s < until_s or any(o.card.mark == mark and o.session in ending for o in active)

    def _has_session_just_begun(self, evse: EvseRecord, now: Moment) -> bool:
        session = evse.session
        if session is None or session.started.boot != now.stamp.boot:
            return False
        wait_s = BEGUN_S if has_had_energy(evse) else UNENERGISED_S
        return now.t_s - session.started.t_s < wait_s * self._site.config.io_s

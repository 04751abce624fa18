"""Hold a session that is paid with a card below its ceiling: it ends, or pauses, before it costs
more than is held. Where the terminal can, the hold is raised before that, up to what the driver has seen (2.1 C23)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.cost_screen import Values
from agent.domain.events import StopWanted, TimeCame
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_timer
from agent.domain.local_time import age_s
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import WakeMe
from agent.domain.payment import DAY_S, Payment, PayState, RaiseWanted, parse_cents
from agent.domain.payment_amount import raise_step_cents
from agent.domain.payment_table import PaymentJournal
from agent.domain.payment_time import FIRST_S, ceiling_left_s
from agent.domain.session.active import restore_energy, withhold_energy
from agent.domain.session_records import EnergyHolder
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Fault, Moment

RAISE_AHEAD_S = 180.0
"""How long before the ceiling the bank is asked to hold more at the latest (real seconds)."""
_UNREAD = (Fault.METER_SILENT, Fault.METER_IMPLAUSIBLE)
"""With these no register is read: what the session has drawn since the last reading is not known."""
_AMOUNT_REACHED = (StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.COST_LIMIT)


class PaymentCeiling:
    def __init__(self, site: StationState, journal: PaymentJournal) -> None:
        self._site, self._journal = site, journal
        self._raised: set[str] = set()
        """Sessions that this ceiling withholds energy from, and whose hold may have been raised since."""

    def screen_values(self, evse: EvseRecord, now: Moment) -> Values:
        """Return what the bank of a card is being asked to hold for this EVSE, and up to how much that may be raised:
        its driver sees it before the grant, wherever the price was read."""
        waiting = self._journal.payments.values()
        p = next((p for p in waiting if p.evse == evse.number and p.state is PayState.AUTH_PENDING), None)
        if p is None or p.withdrawn or not p.most_cents or p.tariff is None:
            return {}
        amounts = {"hold_micro": p.asked_cents * 10**4, "hold_most_micro": p.most_cents * 10**4}
        return {**amounts, "tariff_currency": p.tariff.currency}

    def check_ceiling(self, evse: EvseRecord, p: Payment, now: Moment, unseen_s: float = 0.0) -> Iterator[Yielded]:
        """Check the ceiling. It is not passed even if no reading comes any more. ``unseen_s``: for so
        long energy may have flowed that only the meter knows; as long as that is not 0, no energy is given again."""
        assert p.tariff is not None
        assert p.usage is not None
        if evse.state is not SessionState.ACTIVE:
            return
        if payment_age_s(p, now) >= self._journal.terms.hold_s:
            yield StopWanted(evse.number, StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.TIME_LIMIT)
            return
        left_s = p.tariff.headroom_s(p.usage, p.held_cents, _most_w(evse))
        yield from self._raise_hold_in_time(evse, p, left_s, now)
        left_s = ceiling_left_s(left_s, self._journal.terms.reserve_s, unseen_s, self._journal.io_s)
        if left_s <= 0:
            yield from self.stop_at_ceiling(evse, now)
            return
        yield WakeMe(Timer(TimerKind.PAYMENT_CEILING, evse.number), now.t_s + left_s if left_s < DAY_S else None)
        if not unseen_s and p.session in self._raised:
            yield from self._give_energy_again(evse, now)

    def _raise_hold_in_time(self, evse: EvseRecord, p: Payment, left_s: float, now: Moment) -> Iterator[Yielded]:
        """Ask the bank to hold more, before what is held is used up. Never more than the driver has seen, nor more than
        the transaction may cost."""
        if not p.most_cents or p.raise_refused or p.raise_under_way or p.terminal not in self._journal.open:
            return
        step_cents = raise_step_cents(self._site.settings, self._journal.terms)
        if not step_cents or (p.raise_again_s is not None and now.t_s < p.raise_again_s):
            return
        total_cents = p.raising_cents or min(p.held_cents + step_cents, p.most_cents)
        transaction, limit_cents = evse.pricing.cost_limit
        if limit_cents is not None and transaction == p.session:
            total_cents = min(total_cents, limit_cents)
        if total_cents > p.held_cents and self._is_raise_due(p, left_s):
            yield from self._journal.apply_payment_event(p, RaiseWanted(p.id, total_cents), now)

    def _is_raise_due(self, p: Payment, left_s: float) -> bool:
        """Return whether the cost exceeds what is held less the threshold (C23.FR.01), or the hold is used up soon: a
        bank takes its time."""
        assert p.tariff is not None
        assert p.usage is not None
        threshold_cents = parse_cents(self._site.settings.text_value("payment_increment_threshold") or "0")
        ahead_s = (self._journal.terms.reserve_s + RAISE_AHEAD_S) * self._journal.io_s
        return left_s < ahead_s or p.tariff.total_cents(p.usage) > p.held_cents - threshold_cents

    def stop_at_ceiling(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Stop the energy: the authorized amount is reached."""
        yield WakeMe(Timer(TimerKind.PAYMENT_CEILING, evse.number), None)
        if self._site.settings.text_value("payment_at_ceiling") == "suspend":
            yield from withhold_energy(self._site, evse, now, TriggerReason.COST_LIMIT, by=EnergyHolder.CEILING)
        elif evse.state is SessionState.ACTIVE:
            yield StopWanted(evse.number, *_AMOUNT_REACHED)

    def apply_higher_ceiling(self, evse: EvseRecord, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Check against what is held now, and give energy again that this ceiling withheld. While no register is read
        the next reading gives it."""
        self.note_withheld_session(evse)
        is_unread = any(fault in evse.faults for fault in _UNREAD)
        yield from self.check_ceiling(evse, p, now, _unread_time_s(p, now) if is_unread else 0.0)

    def note_withheld_session(self, evse: EvseRecord) -> None:
        """Note a session that this ceiling withholds energy from, and whose hold was raised, perhaps by an earlier
        process."""
        if evse.session is not None and EnergyHolder.CEILING in evse.session.withheld_by:
            self._raised.add(evse.session.id)

    def _give_energy_again(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Give energy again, or with a later reading if this board has ended the session of its vehicle."""
        assert evse.session is not None
        yield from restore_energy(self._site, evse, now, EnergyHolder.CEILING)
        if EnergyHolder.CEILING not in evse.session.withheld_by:
            self.forget_session(evse.session.id)

    def forget_session(self, session: str) -> None:
        self._raised.discard(session)

    @handles_timer(TimerKind.PAYMENT_CEILING)
    def stop_at_ceiling_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if self.active_payment(evse) is not None:
            yield from self.stop_at_ceiling(evse, now)

    def active_payment(self, evse: EvseRecord) -> Payment | None:
        return self._journal.payment_of_session(evse.session.id) if evse.session is not None else None


def _most_w(evse: EvseRecord) -> float:
    """Return the power that the vehicle could draw from now on."""
    return evse.maximum_a * evse.watts_per_a


def _unread_time_s(p: Payment, now: Moment) -> float:
    """Return for how long no register was counted."""
    usage = p.usage
    if usage is None or usage.stamp is None or usage.stamp[0] != now.stamp.boot:
        return FIRST_S
    return max(0.0, now.t_s - usage.stamp[1] / 1000)


def payment_age_s(p: Payment, now: Moment) -> float:
    return age_s(p.at, p.utc_s, now)

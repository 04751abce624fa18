"""Hold a transaction to the limits that a backend sets for it (OCPP 2.1 E16), and to those that its driver has chosen
(C25): cost, energy, time. The lower one counts. A limit is confirmed once. When it is reached, energy is withheld, or
the transaction ends if its stop point is the end of energy. A higher limit gives energy again. What a bank holds for a
card is a limit of its own (``payment_ceiling.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.events import (
    CostChanged,
    EvseEvent,
    HoldRaised,
    LimitReceived,
    MeterRead,
    SessionClosed,
    SessionOpened,
    Started,
    StopWanted,
    TimeCame,
    TransactionClosed,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.local_time import passed_s
from agent.domain.messages import StopReason, TransactionUpdated, TriggerReason
from agent.domain.orders import Persist, WakeMe
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.session.active import restore_energy, withhold_energy
from agent.domain.session.tx_points import idle_charging_state, send_to_backends
from agent.domain.session_records import EnergyHolder
from agent.domain.timers import Timer, TimerKind
from agent.domain.transaction import TxPoint
from agent.model.fastclass import mutable, replace
from agent.model.types import Judge, Moment, TokenType, TransactionLimit

FACT = "tx_limit"
STOP_REASONS: Mapping[TriggerReason, StopReason] = {
    TriggerReason.COST_LIMIT: StopReason.LOCAL_OUT_OF_CREDIT,
    TriggerReason.ENERGY_LIMIT: StopReason.ENERGY_LIMIT,
    TriggerReason.TIME_LIMIT: StopReason.TIME_LIMIT,
}

_KINDS = ("cost_cents", "energy_wh", "time_s")


@mutable
class HeldLimit:
    """``limit``: of the backend; ``driver``: what the driver has chosen. ``withholds``: the session has no energy
    because of it. ``to_report``: what the driver has chosen, until the transaction has begun for the backend."""

    limit: TransactionLimit
    withholds: bool = False
    driver: TransactionLimit = TransactionLimit()
    to_report: TransactionLimit | None = None

    @property
    def lowest(self) -> TransactionLimit:
        """Return what counts: of each kind the lower one (E16.FR.04, C25.FR.60)."""
        return _lower_limits(self.limit, self.driver)

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("tx_limit", transaction, ...)``."""
        chosen = {} if self.driver == TransactionLimit() else {"driver": dump_record(self.driver)}
        return {"limit": dump_record(self.limit), "withholds": self.withholds, **chosen}

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> HeldLimit:
        """Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``."""
        driver = load_record(r["driver"], TransactionLimit) if "driver" in r else TransactionLimit()
        return cls(load_record(r["limit"], TransactionLimit), bool(r["withholds"]), driver)


class TransactionLimits:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._limits: dict[str, HeldLimit] = {}
        """By transaction."""

    # --- limits of the backend -----------------------------------------------------------------------------------

    @handles_events(LimitReceived)
    def set_transaction_limit(self, event: LimitReceived, now: Moment) -> Iterator[Yielded]:
        """Set the limit and confirm it. The same limit again is no change."""
        evse = next((e for e in self._site.evses.values() if event.session in _transactions_of(e)), None)
        if evse is None or event.link != self._site.config.links[0]:
            return
        held = self._limits.get(event.session) or HeldLimit(TransactionLimit())
        wanted = _merge_limits(held.limit, event.limit)
        if wanted == held.limit:
            return
        held.limit, self._limits[event.session] = wanted, held
        yield self._store_limit(evse, event.session)
        confirmed = _within_hold(evse, _limits_of_kinds(held.lowest, event.limit))
        yield from self._confirm_limit(evse, event.session, confirmed, now)
        yield from self._apply_limit(evse, now)

    def _store_limit(self, evse: EvseRecord, transaction: str) -> Persist:
        held = self._limits[transaction]
        evse.pricing.cost_limit = transaction, held.lowest.cost_cents
        return Persist(FACT, transaction, held.to_record())

    def _confirm_limit(
        self, evse: EvseRecord, transaction: str, limit: TransactionLimit, now: Moment
    ) -> Iterator[Yielded]:
        if evse.session is not None and not evse.session.reported:
            return
        is_placed = evse.session is not None or (evse.tx is not None and evse.tx.placed)
        state = evse.progress.charging if evse.session is not None else idle_charging_state(evse)
        yield from send_to_backends(self._site, TransactionUpdated(
            transaction, evse.number if is_placed else 0, now.stamp, TriggerReason.LIMIT_SET, state,
            offline=not self._site.backend_online, limit=limit,
        ))  # fmt: skip

    # --- limits of the driver, and of the bank -------------------------------------------------------------------

    @handles_events(SessionOpened)
    def take_driver_limit(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        """Take what the driver has chosen for a charge that is paid without a contract, and report it (E16.FR.01,
        C25.FR.04 to C25.FR.06)."""
        evse = self._site.evses[event.evse]
        session, chosen = evse.session, evse.driver_limit
        is_begin = session is not None and event.trigger is not TriggerReason.TX_RESUMED
        if session is None or chosen is None or chosen == TransactionLimit() or not is_begin:
            return
        is_bank_card = session.judged_by in (Judge.BANK, Judge.BANK_AND_AUTHORIZE)  # at the terminal of this station
        if not session.web and (is_bank_card or session.token.type is not TokenType.DIRECT_PAYMENT):
            return
        held = self._limits.setdefault(session.id, HeldLimit(TransactionLimit()))
        held.driver = held.to_report = chosen
        yield self._store_limit(evse, session.id)

    def _report_driver_limit(self, evse: EvseRecord, transaction: str, now: Moment) -> Iterator[Yielded]:
        """Report what the driver has chosen, once. A transaction may begin for the backend with its first energy."""
        held = self._limits.get(transaction)
        if held is not None and held.to_report is not None and evse.open_transaction_id == transaction:
            limit = _within_hold(evse, _limits_of_kinds(held.lowest, held.to_report))
            held.to_report = None
            yield from self._confirm_limit(evse, transaction, limit, now)

    @handles_events(HoldRaised)
    def report_raised_hold(self, event: HoldRaised, now: Moment) -> Iterator[Yielded]:
        """Report that a bank holds more for the transaction (C23.FR.02)."""
        evse = self._site.evses[event.evse]
        if evse.session is not None and evse.session.id == event.session:
            held = self._limits.get(event.session) or HeldLimit(TransactionLimit())
            limit = _lower_limits(TransactionLimit(event.held_cents), TransactionLimit(held.lowest.cost_cents))
            yield from self._confirm_limit(evse, event.session, limit, now)

    # --- when a limit is reached ---------------------------------------------------------------------------------

    @handles_events(SessionOpened, CostChanged, MeterRead)
    def check_transaction_limit(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        if not self._limits:
            return
        evse = self._site.evses[event.evse]
        if evse.session is not None:
            yield from self._report_driver_limit(evse, evse.session.id, now)
        yield from self._apply_limit(evse, now)

    @handles_timer(TimerKind.TRANSACTION_LIMIT)
    def check_time_limit(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._apply_limit(self._site.evses[event.timer.evse], now)

    def _apply_limit(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        session = evse.session
        held = self._limits.get(session.id) if session is not None else None
        if session is None or held is None or evse.state is not SessionState.ACTIVE:
            return
        reached = self._reached_limit(evse, held.lowest, now)
        if reached is None:
            yield from self._arm_time_limit(evse, held.lowest, now)
            if held.withholds and not evse.board.session_used:  # with a used session nothing could be given again
                held.withholds = False
                yield Persist(FACT, session.id, held.to_record())
                yield from restore_energy(self._site, evse, now, EnergyHolder.LIMIT)
        elif TxPoint.ENERGY in self._site.tx_stop_points():
            yield StopWanted(evse.number, STOP_REASONS[reached], reached)
        elif not held.withholds:
            held.withholds = True
            yield Persist(FACT, session.id, held.to_record())
            yield from withhold_energy(self._site, evse, now, reached, by=EnergyHolder.LIMIT)

    def _reached_limit(self, evse: EvseRecord, limit: TransactionLimit, now: Moment) -> TriggerReason | None:
        session = evse.session
        assert session is not None
        reading = evse.metering.reading
        register_wh = max(session.last_wh, reading.energy_wh if reading is not None else 0)
        if limit.energy_wh is not None and register_wh - session.start_wh >= limit.energy_wh:
            return TriggerReason.ENERGY_LIMIT
        if limit.time_s is not None and self._passed_s(evse, now) >= limit.time_s:
            return TriggerReason.TIME_LIMIT
        cents = _cost_cents(evse, register_wh, now)
        is_reached = limit.cost_cents is not None and (cents or 0) >= limit.cost_cents
        return TriggerReason.COST_LIMIT if is_reached else None

    def _passed_s(self, evse: EvseRecord, now: Moment) -> float:
        """Return the time since the start of the transaction (E16.FR.09)."""
        assert evse.session is not None
        return passed_s(evse.tx.started if evse.tx is not None else evse.session.started, now)

    def _arm_time_limit(self, evse: EvseRecord, limit: TransactionLimit, now: Moment) -> Iterator[Yielded]:
        if limit.time_s is not None:
            left_s = limit.time_s - self._passed_s(evse, now)
            yield WakeMe(Timer(TimerKind.TRANSACTION_LIMIT, evse.number), now.t_s + left_s)

    # --- end, restart --------------------------------------------------------------------------------------------

    @handles_events(SessionClosed, TransactionClosed)
    def forget_transaction_limit(self, event: SessionClosed | TransactionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        for transaction in [t for t in self._limits if t not in _open_transactions(self._site)]:
            del self._limits[transaction]
            yield Persist(FACT, transaction, None)
        if evse.session is None:
            yield WakeMe(Timer(TimerKind.TRANSACTION_LIMIT, evse.number), None)

    @handles_events(Started)
    def restore_transaction_limits(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the limits. One that cannot be read is the backend's to set again."""
        known = _open_transactions(self._site)
        for transaction, record in event.remembered.get(FACT, {}).items():
            try:
                if transaction in known:
                    self._limits[transaction] = held = HeldLimit.from_record(record)
                    known[transaction].pricing.cost_limit = transaction, held.lowest.cost_cents
                    continue
            except (UnreadableRecord, KeyError, TypeError):
                pass
            yield Persist(FACT, transaction, None)


def _transactions_of(evse: EvseRecord) -> set[str]:
    found = (evse.session.id if evse.session else "", evse.tx.id if evse.tx else "")
    return {transaction for transaction in found if transaction}


def _open_transactions(site: StationState) -> dict[str, EvseRecord]:
    return {transaction: evse for evse in site.evses.values() for transaction in _transactions_of(evse)}


def _merge_limits(known: TransactionLimit, wanted: TransactionLimit) -> TransactionLimit:
    """Return the limits after a change: one that is set cannot be unset (E16.FR.17)."""
    changes = {n: v for n in _KINDS if (v := getattr(wanted, n)) is not None}
    return replace(known, **changes)


def _lower_limits(one: TransactionLimit, other: TransactionLimit) -> TransactionLimit:
    """Return the lower limit of each kind; None is none."""
    pairs = ((n, [v for v in (getattr(one, n), getattr(other, n)) if v is not None]) for n in _KINDS)
    return TransactionLimit(**{n: min(values) for n, values in pairs if values})


def _limits_of_kinds(limit: TransactionLimit, kinds: TransactionLimit) -> TransactionLimit:
    """Return the limits of those kinds that ``kinds`` has."""
    return TransactionLimit(**{n: getattr(limit, n) for n in _KINDS if getattr(kinds, n) is not None})


def _within_hold(evse: EvseRecord, limit: TransactionLimit) -> TransactionLimit:
    """Return the limit, of the cost no more than what a bank holds."""
    bill = evse.pricing.bill
    if limit.cost_cents is None or bill is None or bill.final:
        return limit
    return replace(limit, cost_cents=min(limit.cost_cents, bill.held_cents))


def _cost_cents(evse: EvseRecord, register_wh: int, now: Moment) -> int | None:
    """Return what the session costs by now: what is computed here, what the backend has reported (E16.FR.15), or what
    the station reckons for a driver who pays at a web page. None: it is not known."""
    session, account = evse.session, evse.pricing.account
    assert session is not None
    for bill in (evse.pricing.bill, evse.pricing.priced):
        if bill is not None and bill.session == session.id:
            return bill.cents
    if account is not None and account.session == session.id and account.cost is not None:
        return account.cost.cost_at_register(register_wh, now.utc_s) // 10**4
    estimate = evse.pricing.estimate
    return estimate.cents if estimate is not None and estimate.session == session.id else None

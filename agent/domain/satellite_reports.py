"""What a satellite must know of a change that a payment has just made at its master (decision 73)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.payment_settlement import own_receipt_address
from agent.domain.events import Event
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import SettlementStatus
from agent.domain.orders import SendToSatellite
from agent.domain.payment import Payment, PayState
from agent.domain.satellite_messages import GrantWithdrawn, PaymentOutcome
from agent.domain.settlement_reports import report_settlement
from agent.model.types import Moment


def report_at_master(site: StationState, p: Payment, before: PayState, event: Event, now: Moment) -> Iterator[Yielded]:
    """Report a change to the station whose backends know the transaction: to a satellite, or to the own backends."""
    if not p.satellite:
        yield from report_settlement(site, p, before, event, now)
    elif before is PayState.AUTHORIZED and p.state not in (before, PayState.ACTIVE):
        yield SendToSatellite(p.satellite, GrantWithdrawn(p.id))
    elif p.is_finished and p.state is not before and p.session:
        yield SendToSatellite(p.satellite, outcome_of_payment(site, p))


def outcome_of_payment(site: StationState, p: Payment) -> PaymentOutcome:
    """Return what has become of the money, in the words of NotifySettlement."""
    if p.state is PayState.COMMITTED:
        address = own_receipt_address(site, p)
        receipt = p.receipt or (p.id if address else "")
        return PaymentOutcome(p.id, p.session, SettlementStatus.SETTLED, p.cents or 0, receipt, address)
    if p.state is PayState.VOIDED:
        return PaymentOutcome(p.id, p.session, SettlementStatus.CANCELED)
    is_final = p.state is not PayState.UNCERTAIN
    return PaymentOutcome(p.id, p.session, SettlementStatus.FAILED, p.cents or 0, why=p.why, is_final=is_final)

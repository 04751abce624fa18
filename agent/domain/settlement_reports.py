"""What a backend learns of the money of a card payment (OCPP 2.1 C19 to C22): NotifySettlement, by the change that a
payment has just made. A backend whose versions have no such message learns nothing; the sinks of the station do."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.csms_settlement import makes_receipts_elsewhere
from agent.domain.events import Event
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import SettlementReported, SettlementStatus
from agent.domain.orders import InformSinks, Send
from agent.domain.payment import Payment, PayState
from agent.domain.terminal_messages import PaymentSettled
from agent.domain.web_payment import receipt_address
from agent.model.bank_card import Settlement
from agent.model.types import Moment

REFUSED = "the terminal has refused the settlement; it is asked again"


def report_settlement(site: StationState, p: Payment, before: PayState, event: Event, now: Moment) -> Iterator[Yielded]:
    """Report what has become of the payment's money, if that has changed with this event. ``before``: its state
    before the event."""
    status = _status_of_change(p, before, event)
    if status is None:
        return
    settled = status is SettlementStatus.SETTLED
    url = site.settings.text_value("receipt_url") if settled and not makes_receipts_elsewhere(site) else ""
    report = SettlementReported(
        p.token.value, status, 0 if status is SettlementStatus.CANCELED else p.cents or 0, now.stamp,
        p.session or p.transaction,
        (p.receipt or (p.id if url else "")) if settled else "",
        receipt_address(url, p.token.value, p.id, p.session),
        REFUSED if status is SettlementStatus.REJECTED else p.why if status is SettlementStatus.FAILED else "",
        *(_vat_of_receipt(p) if settled else ()),
    )  # fmt: skip
    for link in site.config.settlement_links:
        yield Send(link, report)
    if site.config.informs_sinks:
        yield InformSinks(report)


def _vat_of_receipt(p: Payment) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the VAT number for the receipt and what is known of its company (C21.FR.02). A backend that has not judged
    the number yet judges it now; one that it has rejected is none."""
    return ("", ()) if p.vat_verdict == "rejected" else (p.vat_number, p.vat_company)


def _status_of_change(p: Payment, before: PayState, event: Event) -> SettlementStatus | None:
    """Return the word for the change; None: nothing that a backend must know. It knows of a payment
    that it has authorized, or that a transaction has named."""
    if isinstance(event, PaymentSettled) and event.outcome is Settlement.REFUSED and before is PayState.COMMIT_PENDING:
        return SettlementStatus.REJECTED if p.tries <= 1 else None
    if p.state is before:
        return None
    if p.state is PayState.COMMITTED:
        return SettlementStatus.SETTLED
    if p.state in (PayState.UNCERTAIN, PayState.WRITTEN_OFF) and p.cents:
        return None if before is PayState.UNCERTAIN else SettlementStatus.FAILED  # that was reported
    is_known = bool(p.csms_authorized or p.session or p.transaction)
    return SettlementStatus.CANCELED if p.state is PayState.VOIDED and p.reservation is not None and is_known else None

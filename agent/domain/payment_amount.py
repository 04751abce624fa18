"""What a bank is asked to hold for a card, and what a backend may know of the payment (2.1 C18)."""

from __future__ import annotations

from agent.domain.payment import MOST_CENTS, Payment, PaymentTerms, parse_cents
from agent.domain.variables import Settings, Value
from agent.model.types import DirectPayment


def amount_to_hold_cents(settings: Settings, terms: PaymentTerms) -> int:
    """Return the amount as a backend has set it, otherwise that of the station file."""
    text = settings.text_value("payment_amount")
    return parse_cents(text) if text else terms.amount_cents


def is_usable_amount(terms: PaymentTerms, value: Value) -> bool:
    """Return whether a session can be sold for it: a bank that holds less is let go. "": that of the station file."""
    return not value or terms.least_cents <= parse_cents(str(value)) <= MOST_CENTS


def describe_payment(settings: Settings, p: Payment) -> DirectPayment:
    """Return what a backend may know of the payment (``PaymentDetails``)."""
    known = (
        ("CardLast4Digits", p.card.last4),
        ("PaymentBrand", p.card.brand),
        ("SessionRef", "" if p.reservation is None else str(p.reservation)),
    )
    wanted = settings.list_value("payment_details")
    return DirectPayment(p.held_cents, tuple((k, v) for k, v in known if v and k in wanted))

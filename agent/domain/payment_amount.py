"""What a bank is asked to hold for a card, and what a backend may know of the payment (2.1 C18)."""

from __future__ import annotations

from functools import partial

from agent.domain.payment import MOST_CENTS, Payment, PaymentTerms, parse_cents
from agent.domain.variables import Settings, Value, ValueChecks
from agent.model.types import DirectPayment


def amount_to_hold_cents(settings: Settings, terms: PaymentTerms) -> int:
    """Return the amount as a backend has set it, otherwise that of the station file."""
    text = settings.text_value("payment_amount")
    return parse_cents(text) if text else terms.amount_cents


def raise_step_cents(settings: Settings, terms: PaymentTerms) -> int:
    """Return by how much a hold is raised, as a backend has set it, otherwise by the station file; 0: never."""
    text = settings.text_value("payment_increment")
    step_cents = parse_cents(text) if text else terms.raise_cents
    return step_cents if terms.raise_cents else 0


def most_to_hold_cents(settings: Settings, terms: PaymentTerms) -> int:
    """Return up to how much a hold may be raised, as the screen shows it; 0: it is not raised."""
    most_cents = terms.most_cents if raise_step_cents(settings, terms) else 0
    return most_cents if most_cents > amount_to_hold_cents(settings, terms) else 0


def amounts_of_offer(settings: Settings, terms: PaymentTerms) -> tuple[int, int]:
    """Return what is held for the next card, and up to how much."""
    return amount_to_hold_cents(settings, terms), most_to_hold_cents(settings, terms)


def payment_value_checks(terms: PaymentTerms) -> ValueChecks:
    return {
        "payment_amount": partial(is_usable_amount, terms),
        "payment_increment": partial(is_usable_increment, terms),
    }


def is_usable_increment(terms: PaymentTerms, value: Value) -> bool:
    """Return whether a hold can be raised by it (C23). 0: it is not raised. "": by what the station file says."""
    return not value or parse_cents(str(value)) <= terms.most_cents


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

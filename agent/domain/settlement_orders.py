"""What a person orders about a card payment that is not settled (``payments`` of the command line), and when that can
be followed."""

from __future__ import annotations

from agent.domain.payment import Payment, PaymentFact, PayState
from agent.model.fastclass import frozen


@frozen
class SettlementOrdered(PaymentFact):
    """A person decides about a payment that is not settled. ``why``: for the journal."""

    why: str = ""


@frozen
class PaymentRetryOrdered(SettlementOrdered):
    """The terminal is to be asked again now, with the same number and the same amount."""


@frozen
class PaymentVoidOrdered(SettlementOrdered):
    """The bill is given up and the hold is to be released."""


@frozen
class PaymentWriteOffOrdered(SettlementOrdered):
    """The terminal is to be asked no more; what it holds or has charged is settled elsewhere."""


ASKED_IN_VAIN = ("no answer within the schedule", "the terminal was never there")
"""What is first in the reason of an uncertain payment that the terminal may be asked about again."""
GIVEN_UP = "voided by a person: "
"""Comes before the reason of a person. It stays in the reason when the release becomes uncertain."""
_UNSETTLED = frozenset((PayState.FINAL_KNOWN, PayState.COMMIT_PENDING, PayState.VOID_PENDING))


def settlement_order_problem(p: Payment, order: SettlementOrdered) -> str:
    """Return why this order of a person cannot be followed; "": it can, unless the terminal is being asked in this
    moment. What was asked and not answered may be charged: it is asked again, and never released instead."""
    in_vain = p.state is PayState.UNCERTAIN and p.reservation is not None and p.why.startswith(ASKED_IN_VAIN)
    if isinstance(order, PaymentWriteOffOrdered):
        return "" if p.state in _UNSETTLED or p.state is PayState.UNCERTAIN else "nothing of it is open"
    if p.state not in _UNSETTLED and not in_vain:
        open_still = not p.is_finished or p.state is PayState.UNCERTAIN
        return "the terminal cannot be asked about it" if open_still else "nothing of it is open"
    if isinstance(order, PaymentRetryOrdered):
        return ""
    if p.state is PayState.VOID_PENDING:
        return "it is about to be released"
    if not p.cents:  # what was asked was a release
        return ""
    return "a charge was sent and not answered: it may have happened; retry it" if p.asked else ""


def write_off_payment(p: Payment, why: str) -> None:
    """Note that the terminal is asked no more about it."""
    p.state, p.guessed, p.why = PayState.WRITTEN_OFF, False, f"written off by a person: {why}"

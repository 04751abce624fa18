"""What is asked of a payment terminal and what it reports, in the domain's words (decision 21).
``terminal``: number of the EVSE that it belongs to, 0 for one that serves the station; ``payment``:
our id of a payment, the key of its record in the journal (``Persist("payment", id, ...)``)."""

from __future__ import annotations

from agent.domain.events import Event
from agent.domain.orders import Order
from agent.model.bank_card import AcquirerRecord, BankCard, Settlement, TerminalIdentity
from agent.model.fastclass import frozen
from agent.model.types import EvseId

# --- facts -----------------------------------------------------------------------------------------------------------


@frozen
class TerminalEvent(Event):
    terminal: EvseId


@frozen
class TerminalOpened(TerminalEvent):
    """It can be used. ``restarted``: it had lost its state meanwhile; the offer that was open is gone."""

    identity: TerminalIdentity
    restarted: bool = False


@frozen
class TerminalLost(TerminalEvent):
    """It does not answer. What was asked of it may or may not have happened."""


@frozen
class BankCardRead(TerminalEvent):
    payment: str
    card: BankCard


@frozen
class PaymentApproved(TerminalEvent):
    """The bank holds ``amount_cents`` under the terminal's number ``reservation``."""

    payment: str
    reservation: int
    amount_cents: int
    partial: bool = False
    card: BankCard | None = None
    acquirer: AcquirerRecord = AcquirerRecord()


@frozen
class PaymentDeclined(TerminalEvent):
    payment: str
    reason: str = ""


@frozen
class PaymentCancelled(TerminalEvent):
    """The offer is over, nothing is held."""

    payment: str


@frozen
class PaymentSettled(TerminalEvent):
    """The one answer to each ``CommitPayment`` and ``VoidPayment``, also when the terminal is lost or not there.
    ``outcome`` None: no answer came; it may have happened."""

    payment: str
    outcome: Settlement | None


@frozen
class PaymentRaised(TerminalEvent):
    """The one answer to each ``RaisePayment``. ``held_cents``: what the bank holds now; None: it refuses. ``answered``
    False: no answer came; it may have happened."""

    payment: str
    held_cents: int | None = None
    answered: bool = True


@frozen
class PaymentDocumented(TerminalEvent):
    """What the acquirer has said of the hold ``reservation`` came after its approval: receipt, record of the
    transaction."""

    reservation: int
    acquirer: AcquirerRecord


@frozen
class PaymentReviewed(Event):
    """A person has looked at a payment whose outcome is unknown."""

    payment: str


# --- orders ----------------------------------------------------------------------------------------------------------


@frozen
class TerminalOrder(Order):
    terminal: EvseId
    payment: str


@frozen
class OfferPayment(TerminalOrder):
    """Wait for a card; ``BankCardRead`` or ``PaymentCancelled`` comes back."""

    amount_cents: int
    reference: str = ""
    language: str = ""


@frozen
class AuthorizePayment(TerminalOrder):
    """``PaymentApproved`` or ``PaymentDeclined`` comes back."""


@frozen
class CancelPayment(TerminalOrder):
    """``PaymentCancelled`` comes back, or ``PaymentApproved`` if that was faster."""


@frozen
class CommitPayment(TerminalOrder):
    """``PaymentSettled`` comes back. The amount is on disk before this is said: it may have waited
    for the disk, and another terminal than the one with this serial number is not asked ("": not
    known)."""

    reservation: int
    amount_cents: int
    serial: str = ""


@frozen
class VoidPayment(TerminalOrder):
    """``PaymentSettled`` comes back. ``serial`` as in ``CommitPayment``."""

    reservation: int
    serial: str = ""


@frozen
class RaisePayment(TerminalOrder):
    """Have ``total_cents`` held in all. ``PaymentRaised`` comes back. ``serial`` as in ``CommitPayment``."""

    reservation: int
    total_cents: int
    serial: str = ""

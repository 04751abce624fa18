"""Port of a bank card terminal (contactless or chip; a Payter Apollo speaking PSP is the first)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.bank_card import AcquirerRecord, BankCard, Settlement, TerminalIdentity
from agent.model.fastclass import frozen


@frozen
class CardRead:
    """A card was read for what ``offer`` asked; the terminal waits for ``authorize`` or ``cancel``."""

    card: BankCard


@frozen
class Approved:
    """The bank holds ``amount_cents``; ``reservation`` is the terminal's number of it. ``partial``:
    less than asked. ``card`` as far as the terminal reports it here."""

    reservation: int
    amount_cents: int
    partial: bool = False
    card: BankCard | None = None
    acquirer: AcquirerRecord = AcquirerRecord()


@frozen
class Declined:
    """``reason``: one word for a technician, never for the driver's screen."""

    reason: str = ""


@frozen
class Cancelled:
    """The offer is over and nothing is held: on our wish, by the driver, or because its time was over."""


@frozen
class Restarted:
    """The terminal lost its state (power cycle) and is ready again. What the bank held before, it holds still; the
    offer that was open is gone."""


TerminalNews = CardRead | Approved | Declined | Cancelled | Restarted


class TerminalPort(Protocol):
    """Must: have one offer at a time; keep reservations over its own power cycle and ours, under
    their number. Void what times out by itself (never commit it). Must not: hold money that was not
    asked for; report a whole card number. Raises: ``Unreachable`` when no answer came (a commit or
    void may then have happened: ask again with the same number, never with another amount),
    ``Garbled``, ``Refused`` (not in this state), ``Broken``."""

    identity: TerminalIdentity

    def news(self) -> AsyncIterator[TerminalNews]:
        """What happens, in order. Ends only by raising."""
        ...

    async def offer(self, amount_cents: int, reference: str = "", language: str = "") -> None:
        """Wait for a card and show this amount. Ends in ``CardRead``, then ``Approved`` or ``Declined``, or in
        ``Cancelled``."""
        ...

    async def authorize(self) -> None:
        """The card that was read shall pay: ask its bank to hold the amount."""
        ...

    async def cancel(self) -> None:
        """Take the offer back. If the approval has crossed it, ``Approved`` comes nevertheless and must be voided."""
        ...

    async def commit(self, reservation: int, amount_cents: int) -> Settlement:
        """Charge this amount, at most what is held, and release the rest. 0 is not for here: ``void``."""
        ...

    async def void(self, reservation: int) -> Settlement:
        """Release all that is held."""
        ...


class RaisingTerminalPort(TerminalPort, Protocol):
    """A terminal whose bank may hold more for a card that has gone (incremental authorization). Others have no such
    method."""

    async def raise_hold(self, reservation: int, total_cents: int) -> int | None:
        """Ask the bank to hold so much in all, not so much more: to ask twice does no harm. Return what is held now,
        perhaps less than asked; None: the bank or the terminal refuses, and what was held is held. Other calls may come
        meanwhile. Raises as those of ``TerminalPort``: without an answer it may have happened."""
        ...

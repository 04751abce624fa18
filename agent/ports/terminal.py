"""Port of a bank card terminal (contactless or chip; a Payter Apollo speaking PSP is the first)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.bank_card import AcquirerRecord, BankCard, Settlement, TerminalIdentity
from agent.model.fastclass import frozen
from agent.model.types import Screen
from agent.ports.reader import Tap


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
    """``reason``: one word for a technician, never for the driver's screen. ``bank_reached`` False: that was not the
    bank's answer, the terminal has not reached it."""

    reason: str = ""
    bank_reached: bool = True


@frozen
class Cancelled:
    """The offer is over and nothing is held: on our wish, by the driver, or because its time was over."""


@frozen
class Restarted:
    """The terminal lost its state (power cycle) and is ready again. What the bank held before, it holds still; the
    offer that was open is gone."""


@frozen
class BadgeRead:
    """A card that is no bank card was held to the terminal. It is as good as one at a badge reader. The terminal ends
    an open offer by itself, and reports that."""

    tap: Tap


@frozen
class AcquirerReported:
    """What the acquirer has said of an approval that was reported before, as far as it was asked for only then."""

    reservation: int
    acquirer: AcquirerRecord


TerminalNews = CardRead | Approved | Declined | Cancelled | Restarted | BadgeRead | AcquirerReported


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


class ScreenTerminalPort(TerminalPort, Protocol):
    """A terminal that shows a driver more than its own payment. Others have no such method."""

    async def show_screens(self, first: Screen, /, *others: Screen) -> None:
        """Show what the outlets of this terminal show, the outlet of the newest act first, in ``first.language``. Must:
        leave a card alone that was read, and a bank that is asked; return soon where the terminal refuses or does not
        answer this. An offer that it ends to be seen is reported as ``Cancelled``. Raises as those of ``TerminalPort``
        where the line is lost."""
        ...


class UplinkTerminalPort(TerminalPort, Protocol):
    """A terminal that says something of its own connection. Others have no such field."""

    uplink: str
    """In the terminal's own words, for a technician; "": nothing."""

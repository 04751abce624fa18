"""Supervisor of a payment terminal: orders of the domain become calls of the port, news of the terminal become events
with the payment's id (decision 21)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from agent.domain.events import CardPresented, Event, FaultRaised
from agent.domain.orders import Order, Show
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    PaymentDocumented,
    PaymentRaised,
    PaymentSettled,
    RaisePayment,
    TerminalLost,
    TerminalOpened,
    TerminalOrder,
    VoidPayment,
)
from agent.model.bank_card import BankCard, Settlement, TerminalIdentity
from agent.model.types import EvseId, Fault
from agent.ports import DeviceError, Refused
from agent.ports.terminal import (
    AcquirerReported,
    Approved,
    BadgeRead,
    Cancelled,
    CardRead,
    Declined,
    Restarted,
    TerminalNews,
    TerminalPort,
)
from agent.services.devices.supervisor import DeviceSupervisor, NewestScreens, Opening

log = logging.getLogger(__name__)

REST_S = 0.5
"""How long to read news that a terminal sent before its connection failed."""
REFUSALS = 20
"""How many offers in a row a terminal may refuse before a fault is raised: such a terminal sells nothing, as if it did
not answer."""
SCREENS_EVERY_S = 2.0
"""How often screens are passed on. A terminal is no display: its line is for payments."""


class TerminalSupervisor(DeviceSupervisor):
    """Orders are carried out one after the other. Each commit and each void gets its ``PaymentSettled``, whatever
    becomes of the terminal; an offer that cannot be made is cancelled. Money that no offer
    of ours asked for is reported with the payment ""."""

    fault = Fault.TERMINAL_SILENT
    orders = (OfferPayment, AuthorizePayment, CancelPayment, CommitPayment, VoidPayment, RaisePayment, Show)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self.seen.set()  # a terminal that starts for minutes keeps no station from its badges
        self._orders: asyncio.Queue[TerminalOrder] = asyncio.Queue()
        self._known = self._serving = False
        self._payment = ""
        """The one that was offered last: an approval may cross the end of its offer."""
        self._offered = self._asked = False
        """Its end has not been reported; its card is being authorized by the bank."""
        self._ended = ""
        """The one whose end was reported last: a restart of the terminal ends an offer without a report."""
        self._card = BankCard("")
        self._identity = TerminalIdentity()
        self._settling = self._refusals = 0
        self._screens = NewestScreens()
        self._port: TerminalPort | None = None
        self._bank = ""

    def status_fields(self) -> dict[str, Any]:
        """Return what the terminal says of itself. ``bank``: whether the bank was reached for the last card
        (``answers``, ``silent``; "": none was asked)."""
        identity = {name: getattr(self._identity, name) for name in ("vendor", "model", "serial", "firmware")}
        return {"identity": identity, "uplink": str(getattr(self._port, "uplink", "")), "bank": self._bank}

    @property
    def has_pending_orders(self) -> bool:
        return self._settling > 0

    def places_of_orders(self, outlets: Collection[EvseId]) -> tuple[EvseId, ...]:
        return (self.evse,)  # an order names the terminal, not the outlet that is paid for

    def places_of_kind(self, kind: type[Order], outlets: Collection[EvseId]) -> tuple[EvseId, ...]:
        """Screens come from the outlets that the terminal serves."""
        return super().places_of_orders(outlets) if kind is Show else self.places_of_orders(outlets)

    def accept_order(self, order: TerminalOrder | Show) -> None:
        if isinstance(order, Show):
            self._screens.note_screen(order)
        elif self._serving:
            self._settling += isinstance(order, CommitPayment | VoidPayment)
            self._orders.put_nowait(order)
        elif not (isinstance(order, CancelPayment) and self._asked and order.payment == self._payment):
            answer_unserved(order, self._post)

    async def operate_device(self, port: TerminalPort) -> None:
        self._identity, self._port = port.identity, port
        self._screens.changed.set()
        self._post(TerminalOpened(self.evse, port.identity, restarted=self._known))
        self._known = self._serving = True
        self._offered = False
        self._refusals = 0
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive_news(port))
                group.create_task(self._carry_out_orders(port, group))
                group.create_task(self._pass_on_screens(port))
        finally:
            self._serving = False
            await self._receive_last_news(port)
            self._answer_queued_orders()
            self._post(TerminalLost(self.evse))

    async def _receive_last_news(self, port: TerminalPort) -> None:
        """Read on for a moment: an approval that came before the connection failed must not be lost with it."""
        try:
            async with asyncio.timeout(REST_S):
                await self._receive_news(port)
        except (TimeoutError, DeviceError):
            pass

    def _answer_queued_orders(self) -> None:
        """Answer the queued orders, which can no longer be carried out."""
        self._settling = 0
        while not self._orders.empty():
            self.accept_order(self._orders.get_nowait())

    # --- news of the terminal ----------------------------------------------------------------------------------------

    async def _receive_news(self, port: TerminalPort) -> None:
        async for news in port.news():
            self._report_news(port, news)

    def _report_news(self, port: TerminalPort, news: TerminalNews) -> None:
        match news:
            case Approved(reservation, cents, partial, card, acquirer):
                if card is None or not card.is_another(self._card):  # otherwise its own end is still to come
                    self._offered = self._asked = False
                    self._ended = self._payment
                self._bank = "answers"
                self._post(PaymentApproved(self.evse, self._payment, reservation, cents, partial, card, acquirer))
            case CardRead(card):
                self._card = card
                self._post(BankCardRead(self.evse, self._payment, card))
            case BadgeRead(tap):
                self._post(CardPresented(self.evse, tap.token, tap.reason))
            case AcquirerReported(reservation, acquirer):
                self._post(PaymentDocumented(self.evse, reservation, acquirer))
            case Declined(reason, bank_reached):
                if self._asked:
                    self._bank = "answers" if bank_reached else "silent"
                self._end_offer(PaymentDeclined(self.evse, self._payment, reason))
            case Cancelled():
                self._end_offer(PaymentCancelled(self.evse, self._payment))
            case Restarted():
                self._offered = False
                self._post(TerminalOpened(self.evse, port.identity, restarted=True))

    def _end_offer(self, event: PaymentDeclined | PaymentCancelled) -> None:
        """Report the end of an offer, once."""
        if self._offered:
            self._offered = self._asked = False
            self._ended = self._payment
            self._post(event)

    async def _pass_on_screens(self, port: TerminalPort) -> None:
        """Pass on what the outlets show, if the terminal can show it."""
        show_screens: Callable[..., Awaitable[None]] | None = getattr(port, "show_screens", None)
        while show_screens is not None:
            await self._screens.changed.wait()
            self._screens.changed.clear()
            if screens := self._screens.screens_in_order():
                await show_screens(*screens)
                await asyncio.sleep(SCREENS_EVERY_S)

    # --- orders to the terminal --------------------------------------------------------------------------------------

    async def _carry_out_orders(self, port: TerminalPort, group: asyncio.TaskGroup) -> None:
        while True:
            order = await self._orders.get()
            if isinstance(order, CommitPayment | VoidPayment):
                await self._settle_payment(port, order)
            elif isinstance(order, RaisePayment):  # a bank thinks as long as it likes: no other order waits for it
                raising = group.create_task(self._raise_hold(port, order))
                raising.add_done_callback(partial(self._report_raised_hold, order))
            else:
                await self._carry_out_offer(port, order)

    async def _settle_payment(self, port: TerminalPort, order: CommitPayment | VoidPayment) -> None:
        """Settle a payment. A missing answer is reported as well: the settlement may have happened."""
        outcome: Settlement | None = None
        try:
            if order.serial and port.identity.serial not in ("", order.serial):
                log.error("%s: it is another terminal than the one that holds the money", self.name)
            elif isinstance(order, CommitPayment):
                outcome = await port.commit(order.reservation, order.amount_cents)
            else:
                outcome = await port.void(order.reservation)
        except Refused:
            outcome = Settlement.REFUSED
        finally:
            self._settling -= 1
            self._post(PaymentSettled(self.evse, order.payment, outcome))

    async def _raise_hold(self, port: TerminalPort, order: RaisePayment) -> tuple[int | None, bool]:
        """Have more held, if the terminal can. Return what is held now, and whether that was answered. A missing answer
        ends nothing else: where the line is dead, the news end."""
        raise_hold: Callable[[int, int], Awaitable[int | None]] | None = getattr(port, "raise_hold", None)
        try:
            if order.serial and port.identity.serial not in ("", order.serial):
                log.error("%s: it is another terminal than the one that holds the money", self.name)
                return None, False
            held_cents = None if raise_hold is None else await raise_hold(order.reservation, order.total_cents)
        except DeviceError as e:
            log.warning("%s: %s", self.name, e)
            return None, isinstance(e, Refused)
        return held_cents, True

    def _report_raised_hold(self, order: RaisePayment, raising: asyncio.Task[tuple[int | None, bool]]) -> None:
        """Report the end of a raise, also of one that was cancelled before its first step: it may have happened."""
        has_failed = raising.cancelled() or raising.exception() is not None
        held_cents, answered = (None, False) if has_failed else raising.result()
        self._post(PaymentRaised(self.evse, order.payment, held_cents, answered))

    async def _carry_out_offer(self, port: TerminalPort, order: TerminalOrder) -> None:
        if isinstance(order, OfferPayment):
            self._payment, self._offered, self._asked, self._ended = order.payment, True, False, ""
            self._card = BankCard("")
            offer = port.offer(order.amount_cents, order.reference, order.language)
            taken = await self._unless_refused(offer)
            self._count_refusals(taken)
            if not taken:
                await self._abandon_offer(port)
        elif order.payment != self._payment:
            answer_unserved(order, self._post)
        elif isinstance(order, CancelPayment):
            await self._unless_refused(port.cancel())
        elif isinstance(order, AuthorizePayment):
            self._asked = True
            if not await self._unless_refused(port.authorize()):
                await self._abandon_offer(port)
                if self._ended != order.payment:  # no bank was asked: the domain must not wait for one
                    self._post(PaymentCancelled(self.evse, order.payment))

    def _count_refusals(self, taken: bool) -> None:
        if taken and self._refusals >= REFUSALS:
            self._clear_fault()
        self._refusals = 0 if taken else self._refusals + 1
        if self._refusals == REFUSALS and self._raised is None:
            self._raised, self.trouble = self.fault, f"{self.name}: it takes no offer"
            self._post(FaultRaised(self.evse, self.fault))

    async def _abandon_offer(self, port: TerminalPort) -> None:
        """End an offer that the terminal refused, and whatever it does instead."""
        await self._unless_refused(port.cancel())
        self._end_offer(PaymentCancelled(self.evse, self._payment))

    async def _unless_refused(self, call: Any) -> bool:
        try:
            await call
        except Refused as e:
            log.warning("%s: %s", self.name, e)
            return False
        return True


def answer_unserved(order: TerminalOrder, post: Callable[[Event], None]) -> None:
    """Answer an order that no terminal can carry out."""
    if isinstance(order, CommitPayment | VoidPayment):
        post(PaymentSettled(order.terminal, order.payment, None))
    elif isinstance(order, RaisePayment):
        post(PaymentRaised(order.terminal, order.payment, answered=False))
    else:
        post(PaymentCancelled(order.terminal, order.payment))

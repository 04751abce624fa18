"""A payment master and a satellite as two plays, with the network between them: messages pass through the codec of the
real one, and are lost while the network is cut."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CableRemoved,
    ContactorClosed,
    ContactorOpened,
    Event,
    LinkChanged,
    MeterRead,
    OfferChanged,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
)
from agent.domain.messages import Message
from agent.domain.orders import Order, ReadMeter, Send, SendToMaster, SendToSatellite
from agent.domain.payment import PaymentTerms
from agent.domain.satellite_messages import (
    MasterConnected,
    MasterLost,
    MasterMessage,
    MasterMessageReceived,
    SatelliteConnected,
    SatelliteLost,
    SatelliteMessage,
    SatelliteMessageReceived,
)
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    BankCardRead,
    CancelPayment,
    OfferPayment,
    PaymentApproved,
    PaymentCancelled,
    TerminalOpened,
)
from agent.model.bank_card import BankCard, TerminalIdentity
from agent.model.board import EvseTraits
from agent.services.satellites.message_codec import decode_message, encode_message
from tests.domain.playbook import EMPTY, LINK, PLUGGED, Playbook, make_site, wh
from tests.domain.test_plays_payment import TARIFF
from tests.support.domain_state import configure

AMOUNT_CENTS = 5000
NAME = "east"
NUMBER = 3
"""Of the satellite's first outlet, at the terminal."""
CARD = BankCard("m1", "1234", "VISA")
OPENED = TerminalOpened(0, TerminalIdentity("Fake", "T1"))


class SharedTerminal:
    """``master``: a station with one outlet and the terminal. ``satellite``: one with two outlets. Orders to the other
    side are delivered when ``deliver`` is called, while the network is there."""

    def __init__(
        self,
        tariff: Tariff = TARIFF,
        settings: dict[str, Any] | None = None,
        settlement_links: tuple[str, ...] = (),
        **terms: Any,
    ) -> None:
        self._ids = {name: itertools.count(1) for name in "ms"}
        paid = PaymentTerms(AMOUNT_CENTS, {0: (1,)}, prefix="PY", **terms)
        shared = {"satellites": {NAME: (NUMBER, NUMBER + 1)}, "payment_terms": paid}
        traits = EvseTraits(counts_plugged=True)
        self.master = Playbook(lambda: self._make_site("m", 1, tariff, **shared), traits=traits)
        self.satellite = Playbook(
            lambda: self._make_site("s", 2, tariff, settings, is_satellite=True, settlement_links=settlement_links),
            traits=traits,
        )
        self.register_wh, self.is_cut = 1000, True
        self._to_satellite: deque[str] = deque()
        self._to_master: deque[str] = deque()
        self._seen = {"m": 0, "s": 0}
        self.sent: list[MasterMessage | SatelliteMessage] = []
        self.feed_master(OPENED)
        self.join()

    def _make_site(self, owner: str, evses: int, tariff: Tariff, *args: Any, **options: Any) -> Any:
        site = make_site(evses, *args, new_id=lambda: f"{owner}{next(self._ids[owner])}", **options)
        for evse in site.evses.values():
            configure(evse, offer=AdhocTariff(tariff))
        return site

    # --- the network -------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """The satellite connects; what was on its way before is lost."""
        self._to_satellite.clear()
        self._to_master.clear()
        self.is_cut = False
        self.feed_master(SatelliteConnected(NAME))
        self.feed_satellite(MasterConnected())
        self.deliver()
        self.renew_offer()

    def cut(self) -> None:
        """The network is cut. Both sides notice."""
        self.is_cut = True
        self._to_satellite.clear()
        self._to_master.clear()
        self.feed_master(SatelliteLost(NAME))
        self.feed_satellite(MasterLost())

    def deliver(self, most: int = 1000) -> int:
        """Deliver what is on its way, at most so many messages. Returns how many were delivered."""
        for n in range(most):
            if self._to_satellite:
                message = decode_message(self._to_satellite.popleft(), MasterMessage)
                self.feed_satellite(MasterMessageReceived(message))
            elif self._to_master:
                message = decode_message(self._to_master.popleft(), SatelliteMessage)
                self.feed_master(SatelliteMessageReceived(NAME, message))
            else:
                return n
        return most

    def feed_master(self, event: Event) -> list[Order]:
        self.master.skip().feed(event)
        return self._collect_messages()

    def feed_satellite(self, event: Event) -> list[Order]:
        self.satellite.skip().feed(event)
        return self._collect_messages()

    def wait(self, seconds: float) -> None:
        """Time passes at both sides, without readings."""
        for play in (self.master, self.satellite):
            play.skip().wait(seconds)
        self._collect_messages()

    def _collect_messages(self) -> list[Order]:
        found: list[Order] = []
        for owner, play in (("m", self.master), ("s", self.satellite)):
            fresh, self._seen[owner] = play.log[self._seen[owner] :], len(play.log)
            found += fresh
            for order in fresh:
                if isinstance(order, SendToSatellite):
                    self.sent.append(order.message)
                    if not self.is_cut:
                        self._to_satellite.append(encode_message(order.message))
                elif isinstance(order, SendToMaster):
                    self.sent.append(order.message)
                    if not self.is_cut:
                        self._to_master.append(encode_message(order.message))
        return found

    # --- people and devices ------------------------------------------------------------------------------------------

    @property
    def offered(self) -> str:
        """The payment that the terminal was given last."""
        return [o for o in self.master.log if isinstance(o, OfferPayment)][-1].payment

    def renew_offer(self) -> None:
        """The terminal has given back what was withdrawn, and waits for a card again."""
        for order in [o for o in self.master.log if isinstance(o, CancelPayment)]:
            self.feed_master(PaymentCancelled(0, order.payment))
        self.wait(4)

    def plug(self, evse: int = 1) -> None:
        self.feed_satellite(CablePlugged(evse))
        self.feed_satellite(VehicleConnected(evse))
        self.deliver()

    def begin_charging(self) -> str:
        """Begin a session at the satellite that has energy. Returns its payment."""
        self.plug()
        payment = self.tap()
        self.deliver()
        self.energize()
        assert self.released()
        return payment

    def backend_messages(self, kind: type[Message]) -> list[Any]:
        """Return what the satellite has queued for its backend, of this kind."""
        sent = (o.message for o in self.satellite.log if isinstance(o, Send))
        return [m for m in sent if isinstance(m, kind)]

    def unplug(self, evse: int = 1) -> None:
        self.feed_satellite(VehicleLeft(evse))
        self.feed_satellite(ContactorOpened(evse))
        self.feed_satellite(CableRemoved(evse))
        self.answer_readings()
        self.deliver()

    def tap(self, card: BankCard = CARD, number: int = 7, amount_cents: int = AMOUNT_CENTS) -> str:
        """A card is read and its bank has approved. Nothing of what follows is delivered yet."""
        payment = self.offered
        self.feed_master(BankCardRead(0, payment, card))
        self.feed_master(PaymentApproved(0, payment, number, amount_cents))
        return payment

    def answer_readings(self) -> None:
        """The satellite's meter answers what it was asked last."""
        for order in [o for o in self.satellite.log if isinstance(o, ReadMeter)][-1:]:
            self.feed_satellite(MeterRead(order.evse, order.purpose, wh(self.register_wh)))

    def energize(self, evse: int = 1) -> None:
        """The meter has answered; the vehicle asks, and the contactor closes if release is given."""
        self.answer_readings()
        self.deliver()
        if self.released(evse):
            for event in (OfferChanged(evse, True), VehicleReady(evse), ContactorClosed(evse)):
                self.feed_satellite(event)
        self.deliver()

    def draw(self, more_wh: int, evse: int = 1) -> None:
        """Energy flows, if it may, and the meter shows it."""
        from tests.support.reading_purposes import LIVE

        if self.released(evse):
            self.register_wh += more_wh
        self.feed_satellite(MeterRead(evse, LIVE, wh(self.register_wh)))

    def released(self, evse: int = 1) -> bool:
        return self.satellite.evse(evse).release_order.given

    def restart_master(self) -> None:
        self.cut()
        self.master.skip().restart(state=EMPTY)
        self._collect_messages()
        self.feed_master(OPENED)

    def restart_satellite(self, plugged: bool = True) -> None:
        self.cut()
        self.satellite.skip().restart(state=None)
        for number in self.satellite.site.evses:
            seen = PLUGGED if plugged and number == 1 else EMPTY
            self.satellite.feed(BoardOpened(number, seen, EvseTraits(counts_plugged=False)))
        self._collect_messages()

    def payment(self, payment: str) -> dict[str, Any]:
        return dict(self.master.store["payment"][payment])

    def grants(self) -> dict[str, Any]:
        return dict(self.satellite.store.get("grant", {}))

    def lose_backend(self) -> None:
        self.feed_satellite(LinkChanged(LINK, False))

"""Random days on which a backend talks of money all the time: the promises of a session hold as ever, every place that
was left is sent once, and no driver is shown what another driver has paid."""

from __future__ import annotations

import random

from agent.domain.csms_cost import Cost, IdlePrice, NextPrice, Price, Triggers
from agent.domain.messages import ChargingState, ConnectorUnplugged, TransactionEnded
from agent.domain.requests import CostUpdatedRequest, DriverMessageRequest
from agent.model.types import MessageContent, ScreenName
from tests.domain.rig import FRIEND, GOOD, STRANGER
from tests.domain.test_session_properties import DEEDS, WHEN_GONE, Street, books, shape_of
from tests.domain.walks import next_deed

WALKS, STEPS = 40, 120


class Priced(Street):
    """``paid``: what a session is said to cost, a number of its own."""

    def price(self, draw: random.Random) -> None:
        sessions = [e.pricing.account.session for e in self.rig.site.evses.values() if e.pricing.account] or ["unknown"]
        session = draw.choice((*sessions, "s1", "s2"))
        utc_s = self.rig.now.utc_s or 0.0
        triggers = Triggers(
            draw.choice((None, utc_s + 20)), draw.choice((None, 100)), draw.choice((None, 100.0)), tuple(ChargingState)
        )
        cost = Cost(
            paid(session), final=draw.random() < 0.3, texts=(MessageContent(session),),
            meter_wh=draw.choice((None, 1000)), utc_s=draw.choice((None, utc_s)), idle=draw.random() < 0.3,
            price=draw.choice((None, Price(1000, 2000))), idle_price=draw.choice((None, IdlePrice(5000, 1))),
            next=draw.choice((None, NextPrice(utc_s + 30, Price(3000)))), triggers=draw.choice((None, triggers)),
        )  # fmt: skip
        self.rig.ask(CostUpdatedRequest(session, cost))
        self.rig.ask(DriverMessageRequest(draw.choice((GOOD, FRIEND, STRANGER)), (MessageContent("cheap"),)))

    def look(self) -> None:
        """Whose bill is on which screen?"""
        for number, screen in self.rig.screens.items():
            evse = self.rig.site.evses[number]
            if screen.values.get("cost_text"):
                assert evse.pricing.account is not None
                assert screen.values["cost_text"] == evse.pricing.account.session
                assert evse.session is None or evse.session.id == evse.pricing.account.session
                assert evse.authorization is None or screen.name is ScreenName.REFUSED


def paid(session: str) -> int:
    return 1_000_000 * (sum(map(ord, session)) % 1000)


def test_money_does_not_disturb_any_person() -> None:
    left, ended = 0, 0
    for n in range(WALKS):
        draw = random.Random(f"cost:{n}")
        shape = shape_of(draw)
        prices = {"offline_kwh_price": "0.4", "cost_display": True, "idle_fee_after_stop": True}
        street = Priced(**{**shape, "settings": {**shape["settings"], **prices}})
        for _ in range(STEPS):
            name, args = next_deed(street, draw, DEEDS, WHEN_GONE)
            getattr(street, name)(**args)
            if street.rig.alive and draw.random() < 0.4:
                street.price(draw)
            street.look()
            books(street)
        street.calm_down()
        street.rig.check_books()
        sent = [m for to, m in street.rig.sent_messages if to == street.rig.links[0]]
        left += sum(isinstance(m, ConnectorUnplugged) for m in sent)
        ended += sum(isinstance(m, TransactionEnded) for m in sent)
        here = {
            e.pricing.account.session
            for e in street.rig.site.evses.values()
            if e.pricing.account and e.pricing.account.unplugged_s is None
        }
        assert street.rig.store.get("account", {}).keys() == here
    assert left > 30
    assert ended >= left

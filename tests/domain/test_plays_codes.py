"""No QR code leads to a forbidden address, wherever the address was set: one gate before any is painted."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.csms_cost import Cost
from agent.domain.events import CostReceived, RequestReceived
from agent.domain.orders import LogNote, Response
from agent.domain.requests import CostUpdatedRequest, SetVariablesRequest
from agent.domain.web_payment import WebPaymentConfig
from agent.model.types import MessageContent, ScreenName
from tests.domain.playbook import LINK, Playbook, charging
from tests.domain.test_plays_cost import CENT, ask, stopped
from tests.domain.test_plays_payment import paid, till, unplugged

HOSTS = ("pay.example",)
PLAN = WebPaymentConfig(hosts=HOSTS)
WRONG = (
    "http://evil.example/pay-again",
    "http://pay.example/plain",
    "https://evil.example/pay-again",
    "https://pay.example.evil.example/",
    "https://pay.example@evil.example/",
    "https://pay.example\\@evil.example/",
)
RIGHT = "https://receipts.pay.example/r/1"


def put(play: Playbook, url: str) -> str:
    """What a backend is answered that sets the receipts' address."""
    (reply,) = [
        o
        for o in play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"receipt_url": url})))
        if isinstance(o, Response)
    ]
    return str(reply.data["receipt_url"])


def shown(play: Playbook) -> Any:
    return play.screens[1].values.get("qr_url")


@pytest.mark.parametrize("url", [*WRONG, RIGHT])
@pytest.mark.parametrize("how", ["FinalCost", "TransactionEventResponse"])
def test_a_receipt_of_the_backend(how: str, url: str) -> None:
    """The cost is shown all the same."""
    p = Playbook(settings={"cost_display": True}, web_payment=PLAN)
    charging(p)
    session = p.session().id
    stopped(p)
    bill = Cost(331 * CENT, final=True, texts=(MessageContent(url, "", "URI"),), qr=url)
    if how == "FinalCost":
        assert ask(p, CostUpdatedRequest(session, bill)) == "Accepted"
    else:
        p.feed(CostReceived(LINK, session, bill))
    assert (p.screens[1].name, p.screens[1].values["cost_micro"]) == (ScreenName.FINISHED, 331 * CENT)
    assert shown(p) == (url if url == RIGHT else "")
    notes = [o.text for o in p.log if isinstance(o, LogNote) and o.part == "display"]
    assert len(notes) == (url != RIGHT), "it is said why, once"


@pytest.mark.parametrize("url", WRONG)
def test_an_address_that_is_on_disk_since_before_hosts_were_named(url: str) -> None:
    p = Playbook(settings={"qr1_url": url}, web_payment=PLAN)
    assert (shown(p), p.screens[1].values.get("no_code")) == ("", "unavailable")


@pytest.mark.parametrize("url", [*WRONG[2:], "https://{reference}.example/", "https://evil.example/{reference}"])
def test_receipts_of_bank_cards_cannot_be_sent_elsewhere(url: str) -> None:
    play = till(web_payment=PLAN)
    assert put(play, url) == "Rejected"
    play = till(settings={"receipt_url": url}, web_payment=PLAN)
    paid(play)
    unplugged(play, 3000).skip()
    assert (play.screens[1].name, shown(play)) == (ScreenName.FINISHED, "")


def test_receipts_of_bank_cards() -> None:
    play = till(web_payment=PLAN)
    assert put(play, "https://pay.example/r/{reference}?p={payment}&s={session}") == "Accepted"
    paid(play.skip())
    unplugged(play, 3000).skip()
    assert str(shown(play)).startswith("https://pay.example/r/PY")


def test_where_no_hosts_are_named_any_but_only_https() -> None:
    for url, there in (("https://any.example/1", True), ("http://any.example/1", False)):
        p = Playbook(settings={"cost_display": True})
        charging(p)
        session = p.session().id
        stopped(p)
        p.feed(CostReceived(LINK, session, Cost(331 * CENT, final=True, qr=url)))
        assert bool(shown(p)) is there

"""What a backend says of the token of a bank card when a transaction begins: its driver has paid, and the token was
made here (decision 68)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import RequestReceived, TokenAuthorized, TransactionAcknowledged
from agent.domain.evse import SessionState
from agent.domain.orders import AuthorizeToken, LogNote
from agent.domain.requests import RemoteStartRequest
from agent.model.types import AuthorizationStatus, Token, TokenType, Verdict
from tests.domain.playbook import ACCEPTED, LINK, Playbook, charging
from tests.domain.test_plays_payment import PLUG, energised, tapped, till

S = AuthorizationStatus
UNKNOWN = (S.INVALID, S.UNKNOWN)
KNOWN = (S.BLOCKED, S.EXPIRED, S.CONCURRENT_TX, S.NO_CREDIT)


def answered(status: AuthorizationStatus, heeds: str = "", first: bool = False) -> Playbook:
    """A session that a bank card pays, and the answer to its start."""
    settings: dict[str, Any] = {"payment_authorize_first": first}
    if heeds:
        settings["payment_heed_start_verdict"] = heeds
    play = till(settings=settings)
    (play >> PLUG).skip()
    tapped(play)
    for order in [o for o in play.log if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    energised(play.skip())
    play.feed(TransactionAcknowledged(LINK, play.session().id, "42", Verdict(status)))
    return play.skip()


@pytest.mark.parametrize("status", UNKNOWN)
def test_a_backend_that_does_not_know_the_token_ends_no_paid_session(status: AuthorizationStatus) -> None:
    play = answered(status)
    assert play.state() is SessionState.ACTIVE
    assert [o.part for o in play.log if isinstance(o, LogNote)][-1] == "backend"


@pytest.mark.parametrize("status", KNOWN)
def test_a_backend_that_knows_it_and_refuses_ends_the_session(status: AuthorizationStatus) -> None:
    assert answered(status).state() is SessionState.ENDING


@pytest.mark.parametrize("status", UNKNOWN)
def test_a_backend_that_was_asked_before_knows_the_token(status: AuthorizationStatus) -> None:
    assert answered(status, first=True).state() is SessionState.ENDING


@pytest.mark.parametrize("status", [*UNKNOWN, *KNOWN])
def test_what_is_heeded_can_be_set(status: AuthorizationStatus) -> None:
    assert answered(status, "all").state() is SessionState.ENDING
    assert answered(status, "none").state() is SessionState.ACTIVE
    assert answered(status, "none", first=True).state() is SessionState.ACTIVE


@pytest.mark.parametrize("status", UNKNOWN)
def test_a_backend_that_could_not_be_asked_before_does_not_know_the_token(status: AuthorizationStatus) -> None:
    """The bank alone has decided: the backend gave no answer."""
    play = till(settings={"payment_authorize_first": True, "offline_payments": True})
    (play >> PLUG).skip()
    tapped(play)
    (order,) = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(order.request, order.token, None))
    energised(play.skip())
    play.feed(TransactionAcknowledged(LINK, play.session().id, "42", Verdict(status)))
    assert play.skip().state() is SessionState.ACTIVE


@pytest.mark.parametrize("heeds", ["known", "none"])
def test_a_payment_that_the_backend_has_started_is_judged_by_it(heeds: str) -> None:
    """No bank of this station has decided about it."""
    play = till(settings={"payment_heed_start_verdict": heeds})
    (play >> PLUG).skip()
    token = Token("ELSEWHERE", TokenType.DIRECT_PAYMENT)
    play.feed(RequestReceived(LINK, "q1", RemoteStartRequest(1, token, "77", asks=False)))
    energised(play.skip())
    play.feed(TransactionAcknowledged(LINK, play.session().id, "42", Verdict(S.INVALID)))
    assert play.skip().state() is SessionState.ENDING


def test_a_badge_that_is_unknown_ends_its_session() -> None:
    play = charging(till().skip())
    play.feed(TransactionAcknowledged(LINK, play.session().id, "42", Verdict(S.INVALID)))
    assert play.skip().state() is SessionState.ENDING


def test_the_setting_travels_by_its_name() -> None:
    from agent.ocpp.dialects.device_model_v2x import NAMES
    from agent.ocpp.dialects.keys_v1x import list_keys_16

    assert "PaymentCtrlr.HeedStartVerdict" in {k.key for k in list_keys_16()}
    assert ("PaymentCtrlr", "HeedStartVerdict") in {(n.component, n.variable) for n in NAMES}

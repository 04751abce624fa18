"""What is known of a customer, and forgetting it."""

from __future__ import annotations

import pytest

from agent.domain.events import CardPresented, RequestReceived, StoreFailed, TokenAuthorized, TransactionAcknowledged
from agent.domain.orders import AuthorizeToken, Persist, Response
from agent.domain.requests import CustomerInformationRequest, ReserveNowRequest, SendLocalListRequest
from agent.model.types import AuthorizationStatus, Token, Verdict
from tests.domain.playbook import ACCEPTED, CARD_A, LINK, A, B, Playbook, charging

FAMILY = Verdict(AuthorizationStatus.ACCEPTED, "FAMILY")


def known(play: Playbook, token: Token | None = A, report: bool = True, clear: bool = False) -> Response:
    orders = play.feed(RequestReceived(LINK, "1", CustomerInformationRequest(token, report, clear)))
    play.skip()
    (reply,) = [o for o in orders if isinstance(o, Response)]
    return reply


def everywhere() -> Playbook:
    play = charging(Playbook(evses=2), A, 1)
    play.feed(RequestReceived(LINK, "1", SendLocalListRequest(3, True, ((A.value, FAMILY), (B.value, ACCEPTED)))))
    play.feed(RequestReceived(LINK, "1", ReserveNowRequest(7, 2, A, (play.now.utc_s or 0.0) + 100)))
    return play.skip()


def test_all_of_it_and_nothing_of_others() -> None:
    play = everywhere()
    mine = known(play, Token(A.value.lower())).data
    assert mine == {"cache": ACCEPTED, "list": FAMILY, "reservations": [f"{LINK}/7"], "evses": [1]}
    assert known(play, B).data == {"list": ACCEPTED}
    assert known(play, None).data == {}
    assert known(play, report=False, clear=False).data == {}


@pytest.mark.parametrize("is_reported", [True, False])
def test_what_is_cleared_is_off_the_disk_and_what_is_owed_stays(is_reported: bool) -> None:
    """The local list stays: the backend alone changes it (N10.FR.03, N10.FR.06)."""
    play = everywhere()
    present = known(play, report=is_reported, clear=True).data.keys()
    assert present == ({"cache", "list", "reservations", "evses"} if is_reported else set())
    assert known(play).data.keys() == {"list", "reservations", "evses"}
    assert CARD_A not in play.store["cache"]
    assert play.store["list"].keys() == {A.value.casefold(), B.value.casefold()}
    assert play.store["list_version"]["now"] == {"version": 3, "entries": 2}


def test_the_answer_to_a_message_that_waited_brings_nothing_back() -> None:
    """Until the backend is asked about the card again."""
    play = charging(Playbook(evses=2), A, 1)
    known(play, clear=True)
    play.feed(TransactionAcknowledged(LINK, "s1", "42", FAMILY, A))
    assert known(play.skip()).data.get("cache") is None
    play.feed(CardPresented(2, A))
    (order,) = [o for o in play.log if isinstance(o, AuthorizeToken)][-1:]
    play.feed(TokenAuthorized(order.request, A, ACCEPTED))
    assert known(play.skip()).data["cache"] == ACCEPTED
    play.feed(TransactionAcknowledged(LINK, "s1", "42", FAMILY, A))
    assert known(play.skip()).data["cache"] == FAMILY


def test_a_second_time_nothing_is_written() -> None:
    play = everywhere()
    known(play, clear=True)
    assert not [
        o
        for o in play.feed(RequestReceived(LINK, "1", CustomerInformationRequest(A, False, True)))
        if isinstance(o, Persist)
    ]


def test_with_a_disk_that_takes_nothing_nothing_is_promised() -> None:
    play = everywhere()
    play.feed(StoreFailed())
    assert known(play, clear=True).status == "Rejected"
    assert known(play).data["list"] == FAMILY

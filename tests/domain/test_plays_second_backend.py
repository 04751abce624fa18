"""A second backend gets the state of its own connection and its own requests, not those of the first."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import (
    CardPresented,
    ContactorOpened,
    LinkChanged,
    MeterRead,
    RequestReceived,
    VehicleConnected,
)
from agent.domain.messages import MeterSampled, TransactionEnded, TransactionStarted, TransactionUpdated
from agent.domain.orders import Send
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import RemoteStartRequest
from tests.domain.playbook import LINK, A, Playbook, charging, energised, wh
from tests.support.reading_purposes import SAMPLED

OTHER = "owner"


def play_of_two_backends(first_up: bool, other_up: bool) -> Playbook:
    settings = {"offline_tx_for_unknown_id": True}
    play = Playbook(links=(LINK, OTHER), settings=settings, online=first_up)
    play.feed(LinkChanged(OTHER, other_up))
    return play.skip()


def sent_messages(play: Playbook, link: str, *kinds: type[Any]) -> list[Any]:
    return [o.message for o in play.log if isinstance(o, Send) and o.link == link and isinstance(o.message, kinds)]


@pytest.mark.parametrize(("first_up", "other_up"), [(False, True), (True, False), (True, True), (False, False)])
def test_each_backend_learns_whether_it_was_off_line(first_up: bool, other_up: bool) -> None:
    play = charging(play_of_two_backends(first_up, other_up))
    for event in (MeterRead(1, SAMPLED, wh(1500)), CardPresented(1, A), ContactorOpened(1)):
        play.feed(event)
    play.feed(MeterRead(1, end_reading(1), wh(2000)))
    kinds = TransactionStarted, TransactionUpdated, MeterSampled, TransactionEnded
    for link, is_up in ((LINK, first_up), (OTHER, other_up)):
        messages = sent_messages(play, link, *kinds)
        assert {type(m) for m in messages} == {*kinds}
        assert {m.offline for m in messages} == {not is_up}


def test_a_session_is_the_same_for_both_backends_but_for_that() -> None:
    play = charging(play_of_two_backends(True, True))
    first, other = (sent_messages(play, link, TransactionStarted, TransactionUpdated) for link in (LINK, OTHER))
    assert first == other


@pytest.mark.parametrize("link", [LINK, OTHER])
def test_a_remote_start_is_named_with_the_backend_that_has_asked(link: str) -> None:
    play = play_of_two_backends(True, True)
    play.feed(RequestReceived(link, "q1", RemoteStartRequest(1, A, "7", asks=False)))
    play.skip().feed(VehicleConnected(1))
    energised(play.skip())
    for to in (LINK, OTHER):
        (started,) = sent_messages(play, to, TransactionStarted)
        assert started.remote_id == f"{link}/7"

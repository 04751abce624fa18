"""A card that was faster than the boards: the agent has only just started."""

from __future__ import annotations

from dataclasses import replace

from agent.domain.blocks.startup_taps import OPENING_S
from agent.domain.events import BoardOpened, CardPresented, FaultRaised, LinkChanged, Started
from agent.domain.evse import SessionState
from agent.domain.orders import AuthorizeToken, SetRelease
from agent.model.board import EvseTraits
from agent.model.types import Fault, ScreenName
from tests.domain.playbook import CARD_B, EMPTY, LINK, PLUGGED, A, B, Playbook, charging

TRAITS = EvseTraits(tethered=False)


def started(evses: int = 1) -> Playbook:
    play = Playbook(cold=True, evses=evses)
    play.feed(Started({}))
    play.feed(LinkChanged(LINK, True))
    return play.skip()


def test_a_card_waits_for_the_board_of_its_outlet() -> None:
    play = started() >> CardPresented(1, A)
    assert play.wait(1)
    play = play >> BoardOpened(1, PLUGGED, TRAITS)
    assert play.wait(0) << AuthorizeToken(LINK, "token:1", A, 1)


def test_a_card_at_the_stations_reader_finds_the_plug_that_is_reported_last() -> None:
    play = started(2) >> BoardOpened(1, EMPTY, TRAITS) >> CardPresented(0, A)
    play = play >> BoardOpened(2, PLUGGED, TRAITS)
    assert play.wait(0) << AuthorizeToken(LINK, "token:1", A, 2)


def test_a_board_that_does_not_come_refuses_the_card_in_the_end() -> None:
    play = started() >> CardPresented(1, A)
    assert play.wait(OPENING_S - 0.1)
    assert play.screens[1].name is not ScreenName.REFUSED
    assert play.wait(0.2)
    assert play.screens[1].name is ScreenName.REFUSED


def test_a_board_that_does_not_come_keeps_no_one_from_the_other_outlet() -> None:
    play = started(2) >> BoardOpened(1, PLUGGED, TRAITS) >> CardPresented(0, A)
    assert play.wait(OPENING_S - 0.1)
    assert play.wait(0.2) << AuthorizeToken(LINK, "token:1", A, 1)


def test_a_board_that_is_broken_is_not_waited_for() -> None:
    play = started(2) >> BoardOpened(1, PLUGGED, TRAITS)
    play.feed(FaultRaised(2, Fault.BOARD_SILENT))
    assert play.skip() >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)


def test_the_latest_card_counts() -> None:
    play = started() >> CardPresented(1, A) >> CardPresented(1, B)
    play = play >> BoardOpened(1, PLUGGED, TRAITS)
    assert play.wait(0) << AuthorizeToken(LINK, "token:1", B, 1)


def test_a_card_that_stops_what_its_board_has_just_resumed_takes_its_release_back() -> None:
    """By an event of its own."""
    settings = {"master_group": "M", "local_pre_authorize": True}
    cached = {"cache": {CARD_B: {"$": "Verdict", "status": "Accepted", "group": "M"}}}
    play = charging(Playbook(settings=settings, store=cached)).restart(5).skip() >> CardPresented(1, B)
    resumed = play.feed(BoardOpened(1, replace(PLUGGED, plugged_s=600.0), TRAITS))
    assert [o.on for o in resumed if isinstance(o, SetRelease)] == [True]
    play.skip().wait(0).skip()
    assert (play.state(), play.evse().release_order.given) == (SessionState.ENDING, False)

"""A card that was faster than the boards: the agent has only just started."""

from __future__ import annotations

from agent.domain.blocks.early import OPENING_S
from agent.domain.events import BoardOpened, CardPresented, FaultRaised, LinkChanged, Started
from agent.domain.orders import JudgeToken
from agent.kinds import EvseTraits, Fault, ScreenName
from tests.domain.playbook import EMPTY, LINK, PLUGGED, A, B, Playbook

TRAITS = EvseTraits(tethered=False)


def started(evses: int = 1) -> Playbook:
    play = Playbook(cold=True, evses=evses)
    play.feed(Started({}))
    play.feed(LinkChanged(LINK, True))
    return play.skip()


def test_a_card_waits_for_the_board_of_its_outlet() -> None:
    play = started() >> CardPresented(1, A)
    assert play.wait(1)
    assert play >> BoardOpened(1, PLUGGED, TRAITS) << JudgeToken(LINK, "token:1", A, 1)


def test_a_card_at_the_stations_reader_finds_the_plug_that_is_told_last() -> None:
    play = started(2) >> BoardOpened(1, EMPTY, TRAITS) >> CardPresented(0, A)
    assert play >> BoardOpened(2, PLUGGED, TRAITS) << JudgeToken(LINK, "token:1", A, 2)


def test_a_board_that_does_not_come_refuses_the_card_in_the_end() -> None:
    play = started() >> CardPresented(1, A)
    assert play.wait(OPENING_S - 0.1)
    assert play.screens[1].name is not ScreenName.REFUSED
    assert play.wait(0.2)
    assert play.screens[1].name is ScreenName.REFUSED


def test_a_board_that_does_not_come_keeps_nobody_from_the_other_outlet() -> None:
    play = started(2) >> BoardOpened(1, PLUGGED, TRAITS) >> CardPresented(0, A)
    assert play.wait(OPENING_S - 0.1)
    assert play.wait(0.2) << JudgeToken(LINK, "token:1", A, 1)


def test_a_board_that_is_broken_is_not_waited_for() -> None:
    play = started(2) >> BoardOpened(1, PLUGGED, TRAITS)
    play.feed(FaultRaised(2, Fault.BOARD_SILENT))
    assert play.skip() >> CardPresented(0, A) << JudgeToken(LINK, "token:1", A, 1)


def test_the_latest_card_counts() -> None:
    play = started() >> CardPresented(1, A) >> CardPresented(1, B)
    assert play >> BoardOpened(1, PLUGGED, TRAITS) << JudgeToken(LINK, "token:1", B, 1)

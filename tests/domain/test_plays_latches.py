"""Faults that somebody has to look at: what outlives a restart, and what it takes to be in order again."""

from __future__ import annotations

from dataclasses import replace

from agent.domain.asks import AskReset
from agent.domain.events import Asked, BoardChanged, BoardOpened, CardPresented
from agent.domain.messages import ConnectorStatus
from agent.domain.orders import ClearFaults, Reply, Restart
from agent.kinds import Fault, ScreenName
from tests.domain.playbook import EMPTY, LINK, A, Like, Playbook, forgotten, kept

WELDED = replace(EMPTY, faults=frozenset({Fault.CONTACTOR_WELDED}))


def welded() -> Playbook:
    """The board has shown it once, and shows it no more."""
    play = Playbook() >> BoardChanged(1, WELDED) << kept("latched", "1", faults=["ContactorWelded"])
    play = play >> BoardChanged(1, EMPTY)
    assert play
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    return play


def reset(play: Playbook, ask: AskReset) -> Playbook:
    """The station starts anew, as the order that ended it says."""
    assert play >> Asked(LINK, "9", ask) << Like(Reply) << Like(Restart, hard=ask.hard)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": ask.hard}
    return play.restart(5, state=EMPTY).skip()


def test_a_latched_fault_outlives_crash_and_power_cut_and_soft_reset() -> None:
    play = welded().restart(5, state=EMPTY).skip()
    assert play.statuses[1].faults == (Fault.CONTACTOR_WELDED,)
    play = play.restart(3600, new_boot=True, state=EMPTY).skip().wait(60).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.skip() >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.REFUSED
    play = reset(play, AskReset(hard=False)).wait(60).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED


def test_a_hard_reset_acknowledges_what_the_board_no_longer_shows() -> None:
    play = reset(welded(), AskReset(hard=True))
    assert play.statuses[1].connector is ConnectorStatus.FAULTED, "not before the board was looked at for a while"
    assert play.wait(6) << forgotten("latched")
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert play.restart(5, state=EMPTY).skip().statuses[1].connector is ConnectorStatus.AVAILABLE


def test_a_hard_reset_does_not_talk_away_what_is_there() -> None:
    """And what goes by itself an hour later was looked at by nobody."""
    play = welded()
    assert play >> Asked(LINK, "9", AskReset(hard=True)) << Like(Reply) << Like(Restart)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": True}
    play = play.restart(5, state=WELDED).skip()
    for _ in range(12):
        play.wait(6).skip()
    assert play.statuses[1].faults == (Fault.CONTACTOR_WELDED, Fault.RESET_FAILURE)
    play = (play.skip() >> BoardChanged(1, EMPTY)).skip().wait(3600).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED


def test_a_reset_of_the_evse_acknowledges_too() -> None:
    play = welded().skip() >> Asked(LINK, "9", AskReset(evse=1)) << Like(Reply) << ClearFaults(1)
    assert play.wait(6) << forgotten("latched")
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE


def test_a_board_that_takes_its_time_after_the_reset_is_asked_all_the_same() -> None:
    play = welded()
    assert play >> Asked(LINK, "9", AskReset(hard=True)) << Like(Reply) << Like(Restart)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": True}
    play = play.restart(5).skip()
    for _ in range(12):
        play.wait(6).skip()
    assert Fault.CONTACTOR_WELDED in play.evse().faults
    play = (play >> BoardOpened(1, EMPTY, play.traits)).skip().wait(6).skip()
    assert play.evse().faults == set()

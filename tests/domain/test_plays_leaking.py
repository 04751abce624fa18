"""Energy flows though nothing is released: whatever the board says of its contactor, the meter has seen it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    FaultRaised,
    FaultsAcknowledged,
    RawMeterReading,
    StopWanted,
)
from agent.domain.evse import ServiceState, SessionState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import LogNote, ReadMeter
from agent.domain.reading_purposes import end_reading
from agent.model.board import EvseState, EvseTraits
from agent.model.types import Fault, Reading
from tests.domain.playbook import CHARGING, EMPTY, PLUGGED, Playbook, charging
from tests.support.reading_purposes import FAULT_RESET, POLL

IDLE_S = 10.0
"""How often the keeper looks at a meter that has no queries."""
EMPTY_OUTLET = replace(EMPTY, contactor=False)


def looked(play: Playbook, seconds: float, power_w: float | None = None, *current_a: float) -> Playbook:
    """So long, looked at every ten seconds."""
    for _ in range(round(seconds / IDLE_S) + 1):
        play.feed(RawMeterReading(1, POLL, Reading(play.now.stamp, 1000, power_w=power_w, current_a=current_a)))
        play = play.skip().wait(IDLE_S).skip()
    return play


def ended() -> Playbook:
    """A session that was ended by its card; the vehicle is still there, the board says that its contactor is open."""
    play = charging(Playbook()).skip() >> StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
    play = play.skip() >> BoardChanged(1, replace(CHARGING, contactor=False, released=False))
    play = play.skip() >> RawMeterReading(1, end_reading(1), Reading(play.now.stamp, 1500))
    assert play.state() is SessionState.ENDED
    return play.skip()


@pytest.mark.parametrize("seen", [(None, 16.0, 15.9, 16.1), (None, 0.0, 6.0), (3680.0,)])
def test_current_without_release_is_a_contactor_that_does_not_open(seen: tuple[float | None, ...]) -> None:
    play = looked(ended(), 60, *seen)  # type: ignore[arg-type]
    assert play.evse().faults == {Fault.CONTACTOR_WELDED}
    assert play.site.service_state(play.evse()) is ServiceState.FAULTED
    assert play.store["latched"]["1"] == {"faults": ["ContactorWelded"]}
    said = [o.text for o in play.log if isinstance(o, LogNote) and o.part != "outlet"]
    assert len(said) == 1
    assert "nothing is released" in said[0]


def test_an_outlet_where_no_one_has_charged_is_watched_too() -> None:
    """A board that its own settings release without us: nothing of it would be billed."""
    play = looked(Playbook() >> BoardChanged(1, EMPTY_OUTLET), 60, None, 16.0)
    assert play.evse().faults == {Fault.CONTACTOR_WELDED}


def test_in_a_pause_it_ends_the_session() -> None:
    play = charging(Playbook()).skip()
    play.evse().release_order.given = False  # as a pause has it
    play = looked(play >> BoardChanged(1, replace(CHARGING, contactor=False)), 60, None, 16.0)
    assert play.state() is SessionState.ENDING


@pytest.mark.parametrize("seen", [(40.0, 0.2, 0.2, 0.2), (None, 1.0), (None,), (150.0,), (-3000.0, 0.0)])
def test_what_the_station_itself_takes_is_nothing(seen: tuple[float | None, ...]) -> None:
    assert not looked(ended(), 3600, *seen).evse().faults  # type: ignore[arg-type]


def test_what_lasts_less_is_a_contactor_on_its_way() -> None:
    play = looked(ended(), 10, None, 16.0)
    assert not play.evse().faults
    play = looked(looked(play, 10, None, 0.0), 10, None, 16.0)
    assert not play.evse().faults


def test_while_released_it_is_a_session() -> None:
    play = looked(charging(Playbook()).skip(), 600, 11000.0, 16.0, 16.0, 16.0)
    assert play.state() is SessionState.ACTIVE
    assert not play.evse().faults


def test_a_board_that_no_one_can_ask_is_another_fault() -> None:
    """One without a watchdog goes on: the line is to be mended, not the contactor."""
    play = ended() >> FaultRaised(1, Fault.BOARD_SILENT)
    assert looked(play.skip(), 60, None, 16.0).evse().faults == {Fault.BOARD_SILENT}


def test_a_board_that_was_just_opened_has_time_to_open_its_contactor() -> None:
    play = looked(ended(), 10, None, 16.0)
    play = play >> BoardOpened(1, replace(CHARGING, released=False), EvseTraits())
    play = looked(play.skip(), 10, None, 16.0)
    assert Fault.CONTACTOR_WELDED not in play.evse().faults


def test_a_contactor_that_the_board_sees_closed_needs_no_current() -> None:
    play = ended() >> BoardChanged(1, replace(EMPTY_OUTLET, contactor=True))
    play = looked(play.skip(), 60, 0.0, 0.0)
    assert play.evse().faults == {Fault.CONTACTOR_STUCK_CLOSED}


def test_with_a_current_it_is_welded_and_a_person_has_to_look() -> None:
    play = ended() >> BoardChanged(1, replace(EMPTY_OUTLET, contactor=True))
    play = looked(play.skip(), 60, None, 16.0)
    assert Fault.CONTACTOR_WELDED in play.evse().faults
    play = looked(play >> BoardChanged(1, EMPTY_OUTLET), 60, None, 0.0)
    assert play.evse().faults == {Fault.CONTACTOR_WELDED}


def test_after_a_restart_an_empty_board_is_no_news() -> None:
    assert not looked(Playbook() >> BoardOpened(1, EvseState(), EvseTraits()), 60, 0.0, 0.0).evse().faults


def test_who_acknowledges_it_while_the_current_flows_has_not_mended_it() -> None:
    """Free vending would begin at once, and what is released is not looked at."""
    play = looked(Playbook(free_vending=True) >> BoardChanged(1, EMPTY_OUTLET), 60, None, 16.0)
    play = looked(play >> BoardChanged(1, PLUGGED), 0, None, 16.0) >> FaultsAcknowledged(1)
    play = looked(play.skip(), 60, None, 16.0)
    assert [o.purpose for o in play.log if isinstance(o, ReadMeter)] == [FAULT_RESET]
    assert Fault.CONTACTOR_WELDED in play.evse().faults
    play = looked(play, 20, None, 0.0) >> FaultsAcknowledged(1)
    assert play.skip().wait(5.1).evse().faults == set()


def test_nor_by_a_reset_of_the_station() -> None:
    """A meter without queries is looked at only later."""
    play = looked(Playbook() >> BoardChanged(1, EMPTY_OUTLET), 60, None, 16.0)
    play.store["restart"] = {"ordered": {"reason": "RemoteReset", "hard": True}}
    play.restart(state=EMPTY_OUTLET)
    assert [o.purpose for o in play.unclaimed if isinstance(o, ReadMeter)] == [FAULT_RESET]
    play.skip().feed(RawMeterReading(1, FAULT_RESET, Reading(play.now.stamp, 1000, current_a=(16.0,))))
    play.skip().wait(5.1).skip()
    assert play.evse().faults == {Fault.CONTACTOR_WELDED}

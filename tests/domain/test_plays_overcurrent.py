"""More current than is offered: what is tolerated, what ends the session, and what it takes to be in order again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.domain.charging.external_limit import ExternalLimitConfig
from agent.domain.events import BoardChanged, ContactorOpened, ExternalLimitReported, RawMeterReading, VehicleLeft
from agent.domain.evse import SessionState
from agent.domain.messages import ConnectorStatus, StopReason
from agent.domain.orders import SetRelease
from agent.model.board import EvseState
from agent.model.types import Fault, Reading, ScreenName
from tests.domain.playbook import CHARGING, Playbook, charging, kept
from tests.support.reading_purposes import LIVE

LIMIT_A = 32.0
MOST_A = LIMIT_A * 1.1 + 0.5


def looked(play: Playbook, *current_a: float) -> Playbook:
    return play >> RawMeterReading(1, LIVE, Reading(play.now.stamp, 1000, current_a=current_a))


def drawing(play: Playbook, seconds: float, *current_a: float, every_s: float = 2.0) -> Playbook:
    """So long, looked at every two seconds."""
    for _ in range(round(seconds / every_s)):
        play = looked(play, *current_a).skip().wait(every_s).skip()
    return play


def energised() -> Playbook:
    return charging(Playbook()).skip()


@pytest.mark.parametrize("current_a", [(16.0, 16.0, 16.0), (MOST_A, 0.0, 0.0), ()])
def test_what_is_offered_and_a_little_more_is_drawn_for_hours(current_a: tuple[float, ...]) -> None:
    play = drawing(energised(), 3600, *current_a, every_s=30)
    assert play.state() is SessionState.ACTIVE
    assert not play.evse().faults


def test_one_line_above_it_for_seven_seconds_ends_the_session() -> None:
    play = drawing(energised(), 6, 16.0, MOST_A + 0.1, 16.0)
    assert play.state() is SessionState.ACTIVE
    play = looked(play, 16.0, MOST_A + 0.1, 16.0).wait(2).skip()
    assert play.state() is SessionState.ACTIVE, "6 s"
    play = looked(play, 16.0, MOST_A + 0.1, 16.0) << SetRelease(1, False) << kept("session")
    assert play
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.evse().faults == {Fault.OVER_CURRENT}
    assert play.evse().session is not None
    assert play.evse().session.stop is not None
    assert play.evse().session.stop.reason is StopReason.OVERCURRENT_FAULT


def test_what_lasts_less_is_a_vehicle_that_follows() -> None:
    """The offer goes down; it has 5 s. And one reading within bounds begins again."""
    play = energised()
    for _ in range(20):
        play = looked(drawing(play, 6, MOST_A + 5.0), 16.0).skip().wait(2).skip()
    assert play.state() is SessionState.ACTIVE


FALL_S = 18
"""From 16 to 7 A by half an ampere each second."""


def offered_in_fall(second: float) -> float:
    return 16.0 - 0.5 * min(max(second, 0.0), FALL_S)


def lowered(play: Playbook, limit_a: float) -> Playbook:
    """The energy manager reports a limit."""
    play.skip().feed(ExternalLimitReported(limit_a))
    return play.skip()


def managed() -> Playbook:
    """A vehicle that charges at a station with an energy manager, at 16 A for a while."""
    play = lowered(charging(Playbook(external_limit=ExternalLimitConfig())), 16.0)
    return drawing(play, 20, 16.0, every_s=10)


def fall_of_offer(current_a: Callable[[float], float], every_s: int) -> Playbook:
    """An energy manager that lowers its limit each second. ``current_a``: what the vehicle draws in each."""
    play = managed()
    for second in range(FALL_S + 22):
        lowered(play, offered_in_fall(second))
        if second % every_s == 1 % every_s:
            looked(play, current_a(second)).skip()
        play.wait(1).skip()
    return play


@pytest.mark.parametrize("every_s", [1, 2, 10])
@pytest.mark.parametrize("late_s", [0, 4, 5, 6])
def test_a_vehicle_that_follows_a_falling_offer_is_in_order(late_s: float, every_s: int) -> None:
    """It has 5 s for each step, and the meter shows it a second later."""
    play = fall_of_offer(lambda second: offered_in_fall(second - late_s), every_s)
    assert (play.state(), play.evse().faults) == (SessionState.ACTIVE, set())


def test_steps_between_two_looks_at_an_idle_meter_are_known() -> None:
    """16, 14 and 12 A, ten seconds apart. Each look comes a second after a step."""
    play = managed()
    for before_a, offered_a in ((16.0, 14.0), (14.0, 12.0), (12.0, 10.0)):
        lowered(play, offered_a).wait(1)
        looked(play.skip(), before_a).skip().wait(9)
    assert (play.state(), play.evse().faults) == (SessionState.ACTIVE, set())


@pytest.mark.parametrize("every_s", [1, 2, 10])
@pytest.mark.parametrize("current_a", [lambda s: 16.0, lambda s: offered_in_fall(s) * 1.1 + 6.0])
def test_too_much_of_a_falling_offer_is_too_much(current_a: Callable[[float], float], every_s: int) -> None:
    """A vehicle that follows nothing, and one that stays far above while it follows."""
    play = fall_of_offer(current_a, every_s)
    assert Fault.OVER_CURRENT in play.evse().faults


def test_a_lower_offer_that_is_not_followed_ends_the_session_after_seven_seconds() -> None:
    play = drawing(lowered(managed(), 10.0), 7, 16.0, every_s=1)
    assert play.state() is SessionState.ACTIVE
    assert looked(play, 16.0).skip().state() is not SessionState.ACTIVE


def test_a_board_that_offers_less_than_was_ordered_is_believed() -> None:
    play = energised() >> BoardChanged(
        1, replace(CHARGING, offered_a=10.0, faults=frozenset({Fault.TEMPERATURE_DERATING}))
    )
    play = drawing(play.skip(), 6, 11.5)
    assert play.state() is SessionState.ACTIVE
    assert drawing(play, 10, 11.6).state() is not SessionState.ACTIVE


def test_what_flows_while_nothing_is_offered_is_another_matter() -> None:
    """A contactor that is about to open, or does not: not the vehicle's fault."""
    play = energised() >> BoardChanged(1, replace(CHARGING, contactor=False))
    assert drawing(play.skip(), 20, 60.0).evse().faults == set()


def test_the_fault_goes_with_the_vehicle() -> None:
    play = drawing(energised(), 10, 60.0).skip() >> ContactorOpened(1)
    play = play.skip().wait(60).skip()
    assert play.screens[1].name in (ScreenName.OUT_OF_SERVICE, ScreenName.PREPARING)
    assert Fault.OVER_CURRENT in play.evse().faults
    play = (play >> BoardChanged(1, EvseState())).skip()
    assert play.evse().faults == set()


def test_one_that_the_board_sees_too_stays_as_long_as_it_says() -> None:
    hot = frozenset({Fault.OVER_CURRENT})
    play = drawing(energised(), 10, 60.0).skip() >> BoardChanged(1, replace(CHARGING, contactor=False, faults=hot))
    play = (play.skip() >> VehicleLeft(1)).skip()
    assert play.evse().faults == hot


def test_it_is_reported_in_the_words_of_the_fault() -> None:
    play = drawing(energised(), 10, 60.0)
    assert play.statuses[1].faults == (Fault.OVER_CURRENT,)

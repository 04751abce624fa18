"""What the meter sees of the grid: a phase that is missing, a neutral that is broken."""

from __future__ import annotations

import pytest

from agent.domain.events import BoardChanged, RawMeterReading
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason
from agent.model.board import EvseState
from agent.model.types import Fault, Reading
from tests.domain.playbook import Playbook, charging
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE


def looked(play: Playbook, seconds: float, *volts: float, every_s: float = 2.0, dc: bool = False) -> Playbook:
    for _ in range(round(seconds / every_s) + 1):
        play.feed(RawMeterReading(1, LIVE, Reading(play.now.stamp, 1000, voltage_v=volts, dc=dc)))
        play = play.skip().wait(every_s).skip()
    return play


def energised() -> Playbook:
    return charging(Playbook()).skip()


@pytest.mark.parametrize(
    ("volts", "fault"),
    [
        ((230.0, 0.0, 231.0), Fault.UNDER_VOLTAGE),
        ((230.0, 229.0, 120.0), Fault.UNDER_VOLTAGE),
        ((120.0, 350.0, 395.0), Fault.OVER_VOLTAGE),
        ((285.0, 231.0, 229.0), Fault.OVER_VOLTAGE),
    ],
)
def test_what_no_grid_is_ends_the_session(volts: tuple[float, ...], fault: Fault) -> None:
    """Also for the bill: a phase that the meter does not see, it does not count."""
    play = looked(energised(), 6, *volts)
    assert fault in play.evse().faults
    assert play.state() is SessionState.ENDING
    stop = play.session().stop
    assert stop is not None
    assert stop.reason is StopReason.POWER_QUALITY


@pytest.mark.parametrize("volts", [(), (207.0, 253.0, 230.0), (160.0, 275.0, 230.0), (0.0, 0.0, 0.0)])
def test_what_a_grid_may_be_or_a_power_cut(volts: tuple[float, ...]) -> None:
    play = looked(energised(), 600, *volts, every_s=10)
    assert play.evse().faults == set()


def test_one_look_is_none() -> None:
    play = energised()
    for _ in range(20):
        play = looked(looked(play, 2, 230.0, 0.0, 231.0), 2, 230.0, 230.0, 231.0)
    assert play.evse().faults == set()


def test_it_is_over_when_the_grid_has_been_back_for_a_while() -> None:
    play = looked(energised(), 6, 230.0, 0.0, 231.0) >> BoardChanged(1, EvseState())
    play = looked(play.skip(), 2, 230.0, 230.0, 231.0)
    assert play.evse().faults == {Fault.UNDER_VOLTAGE}
    play = looked(play, 10, 230.0, 230.0, 231.0)
    assert play.evse().faults == set()


def test_what_the_board_says_too_stays_as_long_as_it_says() -> None:
    low = frozenset({Fault.UNDER_VOLTAGE})
    play = looked(energised(), 6, 230.0, 0.0, 231.0) >> BoardChanged(1, EvseState(faults=low))
    assert looked(play.skip(), 30, 230.0, 230.0, 231.0).evse().faults == low


def test_phases_that_the_outlet_does_not_have_count_for_nothing() -> None:
    play = energised()
    configure(play.evse(), phases=1)
    assert looked(play, 30, 230.0, 0.0, 0.0).evse().faults == set()


def test_the_voltage_of_direct_current_is_the_vehicles() -> None:
    play = energised()
    configure(play.evse(), dc=True)
    assert looked(play, 30, 400.0, dc=True).evse().faults == set()


def test_what_the_board_takes_back_is_reported_again_while_the_meter_sees_it() -> None:
    """Board and meter reported the same; a board looks at what it is wired to."""
    low = 230.0, 229.0, 20.0
    play = Playbook() >> BoardChanged(1, EvseState(faults=frozenset({Fault.UNDER_VOLTAGE})))
    play = looked(play.skip(), 20, *low) >> BoardChanged(1, EvseState())
    play = looked(play.skip(), 20, *low)
    assert play.evse().faults == {Fault.UNDER_VOLTAGE}
    assert looked(play, 20, 230.0, 229.0, 231.0).evse().faults == set()

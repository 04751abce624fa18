"""ResetRetries: a reset that did not help is tried again, so often and no more."""

from __future__ import annotations

import pytest

from agent.domain.blocks.fault_reset import LOOK_S
from agent.domain.events import FaultCleared, FaultRaised, RequestReceived
from agent.domain.orders import ClearFaults, Response
from agent.domain.requests import ResetRequest
from agent.model.types import Fault
from tests.domain.playbook import EMPTY, LINK, Playbook


def faulted(retries: int, fault: Fault = Fault.HIGH_TEMPERATURE) -> Playbook:
    return Playbook(settings={"reset_retries": retries}) >> FaultRaised(1, fault)


def tries(play: Playbook) -> int:
    return play.log.count(ClearFaults(1))


def reset(play: Playbook) -> Playbook:
    return (
        play >> RequestReceived(LINK, "q1", ResetRequest(evse=1)) << Response(LINK, "q1", "Accepted") << ClearFaults(1)
    )


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_so_many_retries_then_it_is_reported(retries: int) -> None:
    play = reset(faulted(retries))
    for n in range(1, retries + 1):
        play.wait(LOOK_S).skip()
        assert tries(play) == 1 + n
    play.wait(10 * LOOK_S).skip()
    assert tries(play) == 1 + retries
    assert Fault.RESET_FAILURE in play.evse().faults


def test_a_reset_that_helped_is_not_tried_again() -> None:
    play = reset(faulted(3, Fault.EMERGENCY_STOP)) >> FaultCleared(1, Fault.EMERGENCY_STOP)
    play.wait(10 * LOOK_S).skip()
    assert tries(play) == 1
    assert play.evse().faults == set()


def test_the_failure_is_over_when_the_outlet_is_in_order() -> None:
    play = reset(faulted(0, Fault.EMERGENCY_STOP))
    play.wait(2 * LOOK_S).skip()
    assert play.evse().faults == {Fault.EMERGENCY_STOP, Fault.RESET_FAILURE}
    assert play >> FaultCleared(1, Fault.EMERGENCY_STOP)
    assert play.evse().faults == set()


def test_what_does_not_stop_any_person_is_no_failure_of_the_reset() -> None:
    play = reset(faulted(3, Fault.READER_SILENT))
    play.wait(10 * LOOK_S).skip()
    assert tries(play) == 1


@pytest.mark.parametrize(
    ("reason", "count"), [("RemoteReset", 3), ("ScheduledReset", 3), ("FirmwareUpdate", 0), ("", 0)]
)
def test_after_a_reset_of_the_station_the_boards_are_ordered_too(reason: str, count: int) -> None:
    """A start for another reason leaves the boards alone."""
    play = Playbook(settings={"reset_retries": 2}, cold=True)
    play.store = {"restart": {"ordered": {"reason": reason}}} if reason else {}
    play.restart(5, state=EMPTY).skip()
    assert play >> FaultRaised(1, Fault.MREC19)
    play.wait(10 * LOOK_S).skip()
    assert tries(play) == count

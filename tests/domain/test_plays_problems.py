"""What a backend gets of faults: each once, when it comes and when it is over, and nothing while it cannot hear."""

from __future__ import annotations

from agent.domain.events import FaultCleared, FaultRaised, LinkChanged
from agent.domain.messages import FaultNoted
from agent.domain.orders import Send
from agent.model.types import STATION, Fault
from tests.domain.playbook import LINK, Playbook

LOCK, DOOR = Fault.LOCK_FAILURE, Fault.DOOR_OPEN


def noted(play: Playbook) -> list[FaultNoted]:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, FaultNoted)]


def test_when_it_comes_and_when_it_is_over() -> None:
    play = Playbook(evses=2)
    for event in (FaultRaised(1, LOCK), FaultRaised(1, LOCK), FaultRaised(1, DOOR), FaultCleared(1, LOCK)):
        play.feed(event)
    assert [(n.evse, n.fault, n.present, set(n.faults), n.number) for n in noted(play)] == [
        (1, LOCK, True, {LOCK}, 1), (1, DOOR, True, {LOCK, DOOR}, 2), (1, LOCK, False, {DOOR}, 3),
    ]  # fmt: skip


def test_of_every_outlet_what_is_wrong_with_the_station() -> None:
    play = Playbook(evses=2)
    play.feed(FaultRaised(STATION, Fault.POWER_LOSS))
    assert [n.evse for n in noted(play)] == [1, 2]


def test_a_cable_that_does_not_fit_is_the_drivers_matter() -> None:
    play = Playbook()
    play.feed(FaultRaised(1, Fault.CABLE_REJECTED))
    assert noted(play) == []


def test_off_line_nothing_is_kept_but_the_difference_is_told() -> None:
    play = Playbook()
    play.feed(FaultRaised(1, LOCK))
    play.feed(LinkChanged(LINK, False))
    for _ in range(3):
        play.feed(FaultRaised(1, DOOR))
        play.feed(FaultCleared(1, DOOR))
    play.feed(FaultCleared(1, LOCK))
    assert len(noted(play)) == 1
    play.feed(LinkChanged(LINK, True))
    assert [(n.fault, n.present) for n in noted(play)] == [(LOCK, True), (LOCK, False)]

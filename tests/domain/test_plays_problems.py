"""What a backend gets of faults: each once, when it comes and when it is over, and nothing while it cannot hear."""

from __future__ import annotations

from agent.domain.events import FaultCleared, FaultRaised, LinkChanged, StoreFailed, StoreRecovered
from agent.domain.messages import FaultNoted
from agent.domain.orders import LogNote, Send
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


def test_off_line_nothing_is_kept_but_the_difference_is_reported() -> None:
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


# --- the log ---------------------------------------------------------------------------------------------------------


def notes(play: Playbook) -> list[tuple[int, str]]:
    return [(o.evse, o.text) for o in play.log if isinstance(o, LogNote) and o.part == "outlet"]


def test_an_outlet_that_becomes_faulted_is_noted_once_with_what_and_where() -> None:
    """The log had nothing of it: a technician saw a status at the backend, and no reason here."""
    play = Playbook(evses=2, online=False)
    for _ in range(3):
        play.feed(FaultRaised(2, DOOR))
    assert notes(play) == [(2, "Faulted: DoorOpen")]
    play.feed(FaultRaised(2, LOCK))
    play.feed(FaultCleared(2, DOOR))
    play.feed(FaultRaised(1, Fault.METER_DISAGREES))
    assert notes(play)[1:] == [(2, "Faulted: ConnectorLockFailure")], "a warning takes no outlet out of service"
    play.feed(FaultCleared(2, LOCK))
    assert notes(play)[2:] == [(2, "not Faulted any more: ConnectorLockFailure")]


def test_what_is_wrong_with_the_station_is_noted_for_each_outlet() -> None:
    play = Playbook(evses=2)
    play.feed(FaultRaised(STATION, Fault.POWER_LOSS))
    assert notes(play) == [(1, "Faulted: PowerLoss"), (2, "Faulted: PowerLoss")]


def test_a_store_that_takes_nothing_is_noted_too() -> None:
    play = Playbook()
    play.feed(StoreFailed())
    assert notes(play) == [(1, "Faulted: StoreFailed")]
    play.feed(StoreRecovered())
    assert notes(play)[1:] == [(1, "not Faulted any more: StoreFailed")]

"""How the handlers of a block are found and ordered."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pytest

from agent.domain import blocks
from agent.domain.events import ClockTrusted, Event, TimeCame
from agent.domain.functional_block import Blocks, handles_events, handles_timer
from agent.domain.orders import LogNote
from agent.domain.timers import PAYMENT_TIMERS, Timer, TimerKind
from agent.model.types import Moment, Stamp

NOW = Moment(Stamp(1, 0.0))


class TwoHandlers:
    @handles_events(ClockTrusted)
    def note_the_first(self, event: ClockTrusted, now: Moment) -> Iterator[LogNote]:
        yield LogNote(1, "first")

    @handles_events(ClockTrusted)
    def append_the_second(self, event: ClockTrusted, now: Moment) -> Iterator[LogNote]:
        yield LogNote(1, "second")


class OneTimer:
    @handles_timer(TimerKind.FULL_MINUTE)
    @handles_events(ClockTrusted)
    def note_the_evse(self, event: Event, now: Moment) -> Iterator[LogNote]:
        yield LogNote(event.timer.evse if isinstance(event, TimeCame) else 0, "time")


def test_handlers_of_one_event_are_called_in_the_order_of_their_definition() -> None:
    """Not in that of their names: another name must not change what a station does."""
    orders = Blocks([TwoHandlers()]).handle_event(ClockTrusted(), NOW)
    assert orders == [LogNote(1, "first"), LogNote(1, "second")]


def test_a_timer_goes_to_the_handlers_of_its_kind() -> None:
    board = Blocks([TwoHandlers(), OneTimer()])
    assert board.handle_event(TimeCame(Timer(TimerKind.FULL_MINUTE, 2)), NOW) == [LogNote(2, "time")]
    assert board.handle_event(TimeCame(Timer(TimerKind.DRIVER_NOTICE, 2)), NOW) == []


def test_a_handler_of_all_timers_is_refused() -> None:
    with pytest.raises(TypeError, match="handles_timer"):
        handles_events(ClockTrusted, TimeCame)


def test_every_kind_of_timer_has_its_owner() -> None:
    """A settled charging state also changes the limits of the other EVSEs; the guard of the contactor sees the release
    that the end of a pause gives; a timer of a payment also
    changes the screens of its terminal. The ceiling of a session whose terminal is that of another station has a block
    of its own, in the place of that of a terminal of its own."""
    owners: Counter[TimerKind] = Counter()
    for module in pkgutil.iter_modules(blocks.__path__):
        for thing in vars(importlib.import_module(f"{blocks.__name__}.{module.name}")).values():
            if isinstance(thing, type) and thing.__module__.endswith(f".{module.name}"):
                marked = (vars(m)["marks"] for m in vars(thing).values() if callable(m) and hasattr(m, "marks"))
                owners.update(kind for kinds, _ in marked for kind in kinds if isinstance(kind, TimerKind))
    assert set(TimerKind) - owners.keys() == {TimerKind.STORE_RETRY}
    assert {k for k, n in owners.items() if n > 1} == {
        TimerKind.STATE_SETTLED,
        TimerKind.PAUSE_END,
        *PAYMENT_TIMERS,
    }
    assert {k: n for k, n in owners.items() if n > 2} == {TimerKind.PAYMENT_CEILING: 3}

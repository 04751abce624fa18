"""How the handlers of a block are found and ordered."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import TimeCame
from agent.domain.functional_block import Blocks, handles_events
from agent.domain.orders import LogNote
from agent.model.types import Moment, Stamp


class TwoHandlers:
    @handles_events(TimeCame)
    def note_the_first(self, event: TimeCame, now: Moment) -> Iterator[LogNote]:
        yield LogNote(1, "first")

    @handles_events(TimeCame)
    def append_the_second(self, event: TimeCame, now: Moment) -> Iterator[LogNote]:
        yield LogNote(1, "second")


def test_handlers_of_one_event_are_called_in_the_order_of_their_definition() -> None:
    """Not in that of their names: another name must not change what a station does."""
    orders = Blocks([TwoHandlers()]).handle_event(TimeCame("key"), Moment(Stamp(1, 0.0)))
    assert orders == [LogNote(1, "first"), LogNote(1, "second")]

"""A card that comes while the agent has only just started: some boards take seconds to tell of a plug that has been in
for long. The card waits for them, and is then judged by what is there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BoardOpened, CardPresented, Started, TimeCame
from agent.domain.evse import Site
from agent.domain.functional_block import Yielded, on
from agent.domain.orders import WakeMe
from agent.model.types import STATION, Moment

OPENING_S = 10.0
"""After its start, in real seconds: a board that has not told by then is broken or not fitted."""


class Early:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._until_s = 0.0
        self._cards: list[CardPresented] = []

    @on(Started)
    def started(self, event: Started, now: Moment) -> Iterator[Yielded]:
        self._until_s = now.t_s + OPENING_S * self._site.io_s
        return iter(())

    def is_early(self, card: CardPresented, now: Moment) -> bool:
        """May a board that has not told yet decide what this card is for?"""
        meant = [e for e in self._site.evses.values() if card.evse in (STATION, e.number)]
        opening = any(not e.known and self._site.in_order(e) for e in meant)
        return opening and now.t_s < self._until_s and not self._site.stopping

    def keep(self, card: CardPresented) -> Iterator[Yielded]:
        """A reader's latest card counts, as it would if it had been judged at once."""
        self._cards = [c for c in self._cards if c.evse != card.evse] + [card]
        yield WakeMe("early:", self._until_s)

    @on(BoardOpened)
    def opened(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Judged by an event of its own: what the board's session was resumed for may be stopped by this card, and no
        event gives release and takes it."""
        if any(not self.is_early(c, now) for c in self._cards):
            yield WakeMe("early:", now.t_s)

    @on(TimeCame)
    def due(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if event.key == "early:":
            due = [c for c in self._cards if not self.is_early(c, now)]
            self._cards = [c for c in self._cards if c not in due]
            yield WakeMe("early:", self._until_s if self._cards else None)
            yield from due

"""Hold cards that are presented just after the start. Some boards take seconds to report a plug
that has been in for long. The card waits for the boards, and is then authorized by what is
there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BoardOpened, CardPresented, Started, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Moment

OPENING_S = 10.0
"""After the start, in real seconds: a board that has not reported by then is broken or not
fitted."""


class StartupTaps:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._waits_until_s = 0.0
        self._waiting_cards: list[CardPresented] = []

    @handles_events(Started)
    def start_waiting_time(self, event: Started, now: Moment) -> Iterator[Yielded]:
        self._waits_until_s = now.t_s + OPENING_S * self._site.config.io_s
        return iter(())

    def is_early(self, card: CardPresented, now: Moment) -> bool:
        """True while a board that has not reported yet may decide what this card is for."""
        meant = [e for e in self._site.evses.values() if card.evse in (STATION, e.number)]
        opening = any(not e.board.known and self._site.is_in_order(e) for e in meant)
        return opening and now.t_s < self._waits_until_s and not self._site.stopping

    def keep_early_card(self, card: CardPresented) -> Iterator[Yielded]:
        """Keep the card. A reader's latest card counts, as it would if it had been authorized at
        once."""
        self._waiting_cards = [c for c in self._waiting_cards if c.evse != card.evse] + [card]
        yield WakeMe(Timer(TimerKind.STARTUP_TAPS), self._waits_until_s)

    @handles_events(BoardOpened)
    def wake_when_boards_known(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Present the card with an event of its own: it may stop the session that the board's event
        resumes, and one event must not both give and withdraw release."""
        if any(not self.is_early(c, now) for c in self._waiting_cards):
            yield WakeMe(Timer(TimerKind.STARTUP_TAPS), now.t_s)

    @handles_timer(TimerKind.STARTUP_TAPS)
    def present_waiting_cards(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        due = [c for c in self._waiting_cards if not self.is_early(c, now)]
        self._waiting_cards = [c for c in self._waiting_cards if c not in due]
        yield WakeMe(Timer(TimerKind.STARTUP_TAPS), self._waits_until_s if self._waiting_cards else None)
        yield from due

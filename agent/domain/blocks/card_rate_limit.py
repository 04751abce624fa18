"""Limit refused cards at a reader: a person may be trying cards, or a card lies before the reader.
After ``refused_cards_per_min`` refusals within a minute further cards are not authorized. So no
valid card is found by trying, and the backend is not asked without end. Known good cards, and cards
that are in use here, are not limited."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded
from agent.domain.orders import LogNote
from agent.model.types import STATION, EvseId, Moment

WINDOW_S, NOTED_S = 60.0, 600.0
"""Seconds that count, and seconds between two log lines."""


class CardRateLimit:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._refusal_times: dict[EvseId, deque[float]] = {}
        self._last_note_s: dict[EvseId, float] = {}
        self._is_reader_shared = False

    def is_limit_reached(self, reader: EvseId, now: Moment) -> bool:
        """True if too many cards were refused here. The first card shows whether one reader serves
        all EVSEs; after a question to the driver the card carries the chosen EVSE."""
        self._is_reader_shared = self._is_reader_shared or reader == STATION
        most = self._site.settings.int_value("refused_cards_per_min")
        return bool(most) and len(self._recent_refusals(reader, now)) >= most

    def count_refused_card(self, reader: EvseId, now: Moment) -> Iterator[Yielded]:
        late = self._recent_refusals(reader, now)
        late.append(now.t_s)
        if self.is_limit_reached(reader, now) and now.t_s - self._last_note_s.get(reader, -NOTED_S) >= NOTED_S:
            self._last_note_s[reader] = now.t_s
            yield LogNote(
                reader,
                f"{len(late)} cards were refused within a minute: further cards are not authorized for now",
                "reader",
            )

    def _recent_refusals(self, reader: EvseId, now: Moment) -> deque[float]:
        times = self._refusal_times.setdefault(STATION if self._is_reader_shared else reader, deque())
        while times and now.t_s - times[0] >= WINDOW_S:
            times.popleft()
        return times

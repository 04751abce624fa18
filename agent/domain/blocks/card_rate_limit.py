"""Cards that were refused at a reader within the last minute: somebody who tries cards, or one that lies before it.
Above so many (``refused_cards_per_min``) the next ones are not judged, so that nobody finds a good one by trying and no
backend is asked without end. Who is known as good, or is here already, is not held up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.domain.evse import Site
from agent.domain.functional_block import Yielded
from agent.domain.orders import Note
from agent.model.types import STATION, EvseId, Moment

WINDOW_S, NOTED_S = 60.0, 600.0
"""Seconds that count, and between two lines in the journal."""


class Tries:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._refused: dict[EvseId, deque[float]] = {}
        self._noted: dict[EvseId, float] = {}
        self._shared = False

    def over(self, reader: EvseId, now: Moment) -> bool:
        """One reader for all outlets is told by its first card; a driver who had to choose names one of them."""
        self._shared = self._shared or reader == STATION
        most = self._site.settings.number("refused_cards_per_min")
        return bool(most) and len(self._late(reader, now)) >= most

    def refused(self, reader: EvseId, now: Moment) -> Iterator[Yielded]:
        late = self._late(reader, now)
        late.append(now.t_s)
        if self.over(reader, now) and now.t_s - self._noted.get(reader, -NOTED_S) >= NOTED_S:
            self._noted[reader] = now.t_s
            yield Note(reader, f"{len(late)} cards were refused within a minute: no more are judged for now", "reader")

    def _late(self, reader: EvseId, now: Moment) -> deque[float]:
        times = self._refused.setdefault(STATION if self._shared else reader, deque())
        while times and now.t_s - times[0] >= WINDOW_S:
            times.popleft()
        return times

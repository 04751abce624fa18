"""What each backend calls the sessions: running ones, and the latest of those that it knows to be over."""

from __future__ import annotations

from collections.abc import Iterable

from agent.ports.store import Put
from agent.services import forms

RUNNING, ENDED = "transaction", "ended"
"""Kinds of facts; the key is ``link/session``, the value has the ``id``, of ended ones also a running number ``n``."""
ENDED_KEPT = 64


class Ids:
    """A copy in memory of what the store holds; ``learn`` keeps it so."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], str] = {}
        self._ended: dict[tuple[str, str], tuple[int, str]] = {}

    def learn(self, puts: Iterable[Put]) -> None:
        for put in puts:
            link, _, session = put.key.partition("/")
            if put.kind == RUNNING:
                self._running.pop((link, session), None)
                if put.value is not None:
                    self._running[link, session] = str(put.value["id"])
            elif put.kind == ENDED:
                self._ended.pop((link, session), None)
                if put.value is not None and isinstance(number := put.value.get("n"), int):
                    self._ended[link, session] = (number, str(put.value["id"]))

    def over(self, link: str, session: str) -> list[Put]:
        """The backend has the end of it: what its place costs may still be told for a while."""
        puts = [Put(RUNNING, f"{link}/{session}", None)]
        known = self._running.get((link, session))
        if known is None:
            return puts
        oldest_first = sorted(self._ended.items(), key=lambda item: item[1])
        number = oldest_first[-1][1][0] + 1 if oldest_first else 1
        gone = [key for key, _ in oldest_first[: max(0, len(oldest_first) - ENDED_KEPT + 1)]]
        puts += [Put(ENDED, "/".join(key), None) for key in gone]
        return [*puts, Put(ENDED, f"{link}/{session}", {"id": known, "n": number})]

    def of(self, link: str, session: str) -> str | None:
        return self._running.get((link, session)) or self._ended.get((link, session), (0, None))[1]

    def session_of(self, link: str, id_: str) -> str | None:
        """The latest one with this id: a backend may begin to count anew."""
        running = (s for (name, s), known in reversed(self._running.items()) if name == link and known == id_)
        ended = [(number, s) for (name, s), (number, known) in self._ended.items() if name == link and known == id_]
        return next(running, None) or (max(ended)[1] if ended else None)

    def keep(self, keys: set[str]) -> None:
        """Only these running ones are left (``forms.safe`` keys)."""
        for link, session in [k for k in self._running if forms.safe("/".join(k)) not in keys]:
            del self._running[link, session]

"""What each backend calls the sessions: running ones, and the latest of those that it knows to be over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.ports.store import Put
from agent.services.store import encoding

RUNNING, ENDED = "transaction", "ended"
"""Kinds of facts; the key is ``link/session``, the value has the latest ``id`` and the ``ids`` by version of OCPP, of
ended ones also a running number ``n``."""
ENDED_KEPT = 64
PLACES_KEPT: Mapping[str, Any] = {"id": "", "ids": {}}
"""The record of a session of which nothing else is known: what waits of it has its own places, and saves none (decision
44). Without a record places could be saved that were used before."""
_SAVED_PLACES = ("from", "saved")


class TransactionIds:
    """A copy in memory of what the store holds; ``learn_facts`` keeps it so."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._ended: dict[tuple[str, str], Mapping[str, Any]] = {}

    def learn_facts(self, puts: Iterable[Put]) -> None:
        for put in puts:
            link, _, session = put.key.partition("/")
            if put.kind == RUNNING:
                before = self.running_record(link, session)
                if put.value is None or put.value["id"] != before.get("id"):  # the latest start is the last one here
                    self._running.pop((link, session), None)
                if put.value is not None:
                    self._running[link, session] = put.value
            elif put.kind == ENDED:
                self._ended.pop((link, session), None)
                if put.value is not None and isinstance(put.value.get("n"), int):
                    self._ended[link, session] = put.value

    def facts_of_end(self, link: str, session: str) -> list[Put]:
        """Return the facts to store when the backend has the end of a session. Its id is kept for a while: the cost
        of the occupied place may still be reported."""
        puts = [Put(RUNNING, f"{link}/{session}", None)]
        known = self._running.get((link, session))
        if known is None or not known["id"]:
            return puts
        oldest_first = sorted(self._ended.items(), key=lambda item: int(item[1]["n"]))
        number = int(oldest_first[-1][1]["n"]) + 1 if oldest_first else 1
        gone = [key for key, _ in oldest_first[: max(0, len(oldest_first) - ENDED_KEPT + 1)]]
        puts += [Put(ENDED, "/".join(key), None) for key in gone]
        kept = {name: known[name] for name in ("id", "ids") if name in known}
        return [*puts, Put(ENDED, f"{link}/{session}", {**kept, "n": number})]

    def running_record(self, link: str, session: str) -> Mapping[str, Any]:
        """Return the record of a running session."""
        return self._running.get((link, session), {})

    def running_records(self, link: str) -> dict[str, Mapping[str, Any]]:
        return {session: known for (name, session), known in list(self._running.items()) if name == link}

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        for known in (self._running.get((link, session)), self._ended.get((link, session))):
            ids = known.get("ids") if known else None
            found = ids.get(version) if isinstance(ids, Mapping) else known["id"] if known else None
            if found:
                return str(found)
        return None

    def session_of(self, link: str, id_: str) -> str | None:
        """Return the latest session with this id: a backend may start counting again from the beginning."""
        running = [s for s, known in self.running_records(link).items() if id_ in _ids_of_all_versions(known)]
        if running:
            return running[-1]
        ended = [
            (int(known["n"]), session)
            for (name, session), known in self._ended.items()
            if name == link and id_ in _ids_of_all_versions(known)
        ]
        return max(ended)[1] if ended else None

    def keep_running(self, keys: set[str]) -> None:
        """Keep only the running sessions of these keys, which are as ``encoding.escape_surrogates`` writes them. One
        that is new has got its record with the return of a dead letter."""
        known = {encoding.escape_surrogates("/".join(k)): k for k in list(self._running)}
        for key in known.keys() - keys:
            del self._running[known[key]]
        self.learn_facts(Put(RUNNING, key, PLACES_KEPT) for key in sorted(keys - known.keys()))


def without_saved_places(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a session whose messages keep their places from now on, and save none."""
    return {name: value for name, value in record.items() if name not in _SAVED_PLACES}


def _ids_of_all_versions(known: Mapping[str, Any]) -> set[str]:
    ids = known.get("ids")
    return {str(known["id"]), *map(str, ids.values() if isinstance(ids, Mapping) else ())}

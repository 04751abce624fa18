"""What a backend has to know of a session before anything else of it: its start, who got the right, its latest charging
state (decision 8).

These messages stay with the session's id at the backend when they have left, until the end has left too: who goes on in
another version of OCPP is told them there. So the end finds its start in whichever version it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from agent.domain.messages import TransactionAuthorised, TransactionStarted, TransactionUpdated
from agent.domain.record import Poisoned, dump, load
from agent.frozen import frozen
from agent.ports.store import OutboxRow, Put, ids_by_version

FACT = "transaction"
OPENING = (TransactionStarted, TransactionAuthorised, TransactionUpdated)


@frozen
class Kept:
    """A message at its place of the queue. ``left``: the versions in which it has left it, said or not."""

    seq: int
    number: int
    message: Any
    left: tuple[str, ...] = ()


@frozen
class Known:
    """``ids``: what the session is called, by version. ``ending``: the version in which the end was sent and nothing
    has been heard of it."""

    id: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    opening: tuple[Kept, ...] = ()
    ending: str = ""

    @property
    def versions(self) -> frozenset[str]:
        """In which something of it may have been told."""
        return frozenset(self.ids).union(*(k.left for k in self.opening))

    def named(self, id_: str, version: str) -> Known:
        return replace(self, id=id_, ids={**self.ids, version: id_})

    def has_left(self, row: OutboxRow, version: str) -> bool:
        return any(k.seq == row.seq and version in k.left for k in self.opening)

    def unsaid(self, version: str) -> tuple[Kept, ...]:
        """What this version has not heard; nothing if the end may have been told in another."""
        if self.ending not in ("", version):
            return ()
        return tuple(k for k in self.opening if version not in k.left)

    def leaving(self, row: OutboxRow, version: str) -> Known:
        """A row leaves the queue. Of the charging states only the latest is kept."""
        if not isinstance(row.message, OPENING):
            return self
        is_state = isinstance(row.message, TransactionUpdated)
        if is_state and not self.opening:  # a letter that was resent after the end
            return self
        states = [k for k in self.opening if is_state and isinstance(k.message, TransactionUpdated)]
        if any(k.seq > row.seq for k in states):
            return self
        before = next((k for k in self.opening if k.seq == row.seq), Kept(row.seq, row.number, row.message))
        kept = replace(before, left=tuple(sorted({*before.left, version})))
        others = [k for k in self.opening if k.seq != row.seq and k not in states]
        return replace(self, opening=tuple(sorted((*others, kept), key=lambda k: k.seq)))


def known_of(value: Mapping[str, Any], session: str) -> Known:
    """The fact as it was read back."""
    return Known(
        str(value.get("id", "")),
        ids_by_version(value, session),
        tuple(_kept(value.get("opening") or ())),
        str(value.get("ending", "")),
    )


def _kept(records: Any) -> list[Kept]:
    """What cannot be read is left out: it may be told no more, but must not stop the rest."""
    found = []
    for r in records:
        try:
            found.append(Kept(int(r["seq"]), int(r["number"]), load(r["message"]), tuple(map(str, r["left"]))))
        except (Poisoned, KeyError, TypeError, ValueError):
            continue
    return found


def put(link: str, session: str, known: Known) -> Put:
    value: dict[str, Any] = {"id": known.id, "ids": dict(known.ids)}
    if known.opening:
        value["opening"] = [
            {"seq": k.seq, "number": k.number, "left": list(k.left), "message": dump(k.message)} for k in known.opening
        ]
    if known.ending:
        value["ending"] = known.ending
    return Put(FACT, f"{link}/{session}", value)

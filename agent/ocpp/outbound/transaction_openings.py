"""What a backend must know of a session before any other message of it: its start, its token, its
latest charging state (decision 8).

These messages are kept with the session's id at the backend after they have left, until the end
has left too. A session that continues in another version of OCPP is opened there with them. So
the end finds its start in whichever version it leaves."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.domain.messages import TransactionAuthorized, TransactionStarted, TransactionUpdated
from agent.domain.serialization import dump_record, stored_class_name
from agent.model.fastclass import frozen, replace
from agent.ports.store import OutboxRow, Put

FACT = "transaction"
_OPENING_MESSAGES = (TransactionStarted, TransactionAuthorized, TransactionUpdated)
_STATE = stored_class_name(TransactionUpdated)
_OPENING = tuple(stored_class_name(c) for c in _OPENING_MESSAGES)


def is_opening_message(message: Any) -> bool:
    return type(message) in _OPENING_MESSAGES


@frozen
class OpeningMessage:
    """A message (``body``, as stored) at its place in the queue. ``left``: the versions in which
    it left the queue, sent or not. ``given_up``: the versions in which it became a dead letter
    and is one still."""

    seq: int
    number: int
    body: Mapping[str, Any]
    left: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()

    @property
    def is_state(self) -> bool:
        return bool(self.body["$"] == _STATE)


@frozen
class TransactionRecord:
    """What is known of a session at one backend.

    ``id``: the latest of ``ids``, which hold the session's id by version. ``ending``: the
    version in which the end was sent and not answered yet. ``left_to_person``: the end is a dead
    letter for that reason, and a person decides. ``sent_in_versions``: the versions in which
    part of the opening has left or was given up. ``mute``: the version that cannot express its
    token; its dead letters wait for another version. ``refused``: the version in which the
    backend has refused its start for good; the rest is sent there without a number. ``closed``:
    the backend received the end in this way. ``numbers_saved``: so many places fewer than in the
    queue have the messages on the wire, because samples travelled in one message, from the place
    ``numbers_from`` in the queue on; None: nothing may be saved (a record of an older release, or
    renumbered for another version)."""

    id: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    opening: tuple[OpeningMessage, ...] = ()
    ending: str = ""
    left_to_person: bool = False
    sent_in_versions: tuple[str, ...] = ()
    mute: str = ""
    refused: str = ""
    closed: bool = False
    numbers_saved: int = 0
    numbers_from: int | None = None

    def number_on_wire(self, number: int) -> int:
        """Return the place (2.x ``seqNo``) of a message with this place in the queue. What has left
        the queue and is back in it has the place that it had on the wire."""
        is_behind = self.numbers_from is not None and number >= self.numbers_from
        return number - self.numbers_saved if is_behind else number

    def can_save_numbers(self, number: int) -> bool:
        """Return whether nothing behind this place has left: then the next messages may follow the
        merged one without a gap."""
        return self.numbers_from is not None and number >= self.numbers_from

    def with_numbers_left(self, last: int, saved: int = 0) -> TransactionRecord:
        """Return the record after the queue has lost the rows up to this place."""
        if self.numbers_from is None:
            return self
        return replace(self, numbers_from=max(self.numbers_from, last + 1), numbers_saved=self.numbers_saved + saved)

    def with_transaction_id(self, id_: str, version: str) -> TransactionRecord:
        return replace(self, id=id_, ids={**self.ids, version: id_})

    def has_left_queue(self, row: OutboxRow, version: str) -> bool:
        return any(k.seq == row.seq and version in k.left for k in self.opening)

    def unsent_messages(self, version: str) -> tuple[OpeningMessage, ...]:
        """Return the messages that this version has not sent yet; none while the end may have
        been sent in another version."""
        if self.is_doubtful(version):
            return ()
        return tuple(k for k in self.opening if version not in k.left + k.given_up)

    def is_doubtful(self, version: str) -> bool:
        """Return whether the end may have been sent in another version without a decision of a
        person since."""
        return self.ending not in ("", version) and not self.left_to_person

    def with_message_left(self, row: OutboxRow, version: str, dead: bool = False) -> TransactionRecord:
        """Return the record after a row has left the queue. Of the charging states only the
        latest is kept."""
        is_state = type(row.message) is TransactionUpdated
        if not is_opening_message(row.message) or (
            is_state and not self.opening
        ):  # a dead letter that was resent after the end
            return self
        states = [k for k in self.opening if is_state and k.is_state]
        if any(k.seq > row.seq for k in states):
            return self
        before = next((k for k in self.opening if k.seq == row.seq), None)
        kept = before or OpeningMessage(row.seq, row.number, dump_record(row.message))
        if dead:
            kept = replace(kept, given_up=tuple(sorted({*kept.given_up, version})))
        else:
            kept = replace(kept, left=tuple(sorted({*kept.left, version})), given_up=())
        others = [k for k in self.opening if k.seq != row.seq and k not in states]
        opening = tuple(sorted((*others, kept), key=lambda k: k.seq))
        return replace(self, opening=opening, sent_in_versions=tuple(sorted({*self.sent_in_versions, version})))


def decode_record(value: Mapping[str, Any], session: str) -> TransactionRecord:
    """Decode the stored record. An unreadable message of the opening is not sent again, but must
    not stop the rest."""
    kept = [k for r in _decompress_messages(value.get("opening")) if (k := _decode_message(r))]
    ending, asked = str(value.get("ending", "")), value.get("asked") is True
    ids = _decode_ids(value, session)
    sent_in = value.get("told") if isinstance(value.get("told"), list) else ids
    mute, refused = str(value.get("mute", "")), str(value.get("refused", ""))
    sent_in = tuple(map(str, sent_in or ()))
    closed = value.get("closed") is True
    saved, first = (number if type(number) is int else None for number in (value.get("saved"), value.get("from")))
    return TransactionRecord(
        str(value.get("id", "")), ids, tuple(kept), ending, asked, sent_in, mute, refused, closed, saved or 0, first
    )


def compress_messages(records: list[Any]) -> str:
    """Compress the messages. Thousands of sessions with an undelivered end may keep them: in the
    store, where a fact of more than 1,000 bytes takes a page of its own, and in memory, where
    they take ten times as much once decoded."""
    text = json.dumps(records, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _decompress_messages(text: Any) -> list[Any]:
    try:
        records = json.loads(zlib.decompress(base64.b64decode(text)))
    except (TypeError, ValueError, zlib.error):
        return []
    return records if isinstance(records, list) else []


def _decode_ids(value: Mapping[str, Any], session: str) -> dict[str, str]:
    """Decode the ids. An older release stored the latest id alone: the session's own id is that
    of 2.0.1."""
    ids, id_ = value.get("ids"), str(value.get("id", ""))
    if isinstance(ids, Mapping):
        return {str(version): str(name) for version, name in ids.items()}
    return {"2.0.1" if id_ == session else "1.6": id_} if id_ else {}


def _decode_message(record: Any) -> OpeningMessage | None:
    try:
        versions = [tuple(map(str, record.get(name, ()))) for name in ("left", "given_up")]
        kept = OpeningMessage(int(record["seq"]), int(record["number"]), record["message"], *versions)
        return kept if kept.body["$"] in _OPENING else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def encode_record(link: str, session: str, known: TransactionRecord) -> Put:
    """Encode the record for the store. ``seq``: the last place of the kept messages, so that
    taken places can be found."""
    value: dict[str, Any] = {"id": known.id, "ids": dict(known.ids), "told": list(known.sent_in_versions)}
    if known.opening:
        value["seq"] = max(k.seq for k in known.opening)
        value["opening"] = compress_messages([_encode_message(k) for k in known.opening])
    if known.ending:
        value["ending"] = known.ending
    if known.left_to_person:
        value["asked"] = True
    if known.mute:
        value["mute"] = known.mute
    if known.refused:
        value["refused"] = known.refused
    if known.closed:
        value["closed"] = True
    if known.numbers_from is not None:
        value["from"] = known.numbers_from
    if known.numbers_saved:
        value["saved"] = known.numbers_saved
    return Put(FACT, f"{link}/{session}", value)


def _encode_message(kept: OpeningMessage) -> dict[str, Any]:
    record = {"seq": kept.seq, "number": kept.number, "message": kept.body, "left": list(kept.left)}
    return {**record, "given_up": list(kept.given_up)} if kept.given_up else record

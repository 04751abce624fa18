"""What is different in two payloads, of which one was recorded: times are the moment's, numbers of transactions are
those that the backend has given."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from agent.model.fastclass import frozen
from agent.model.secret_texts import HIDDEN
from agent.scenario.frames import CALL_ERROR, Frame

ABSENT = "(absent)"
"""Stands for a value that is not there."""
TRANSACTION = "transactionId"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?")
"""An instant of RFC 3339, also one without a zone."""


@frozen
class PayloadDifference:
    """``path``: names and positions with dots between them, "" for the whole payload."""

    path: str
    recorded: Any
    present: Any


class TransactionIds:
    """Ids of transactions of the recording and those of now: numbers that a backend of OCPP 1.6 gives, and texts of a
    station of OCPP 2.x if they are to be new ones."""

    def __init__(self) -> None:
        self._present: dict[int | str, int | str] = {}
        self._recorded: dict[int | str, int | str] = {}

    def learn_numbers(self, recorded: Any, present: Any) -> None:
        """Learn from the two answers to one StartTransaction."""
        pair = [payload.get(TRANSACTION) if isinstance(payload, Mapping) else None for payload in (recorded, present)]
        if type(pair[0]) is int and type(pair[1]) is int:
            self._pair_ids(pair[0], pair[1])

    def renew_texts(self, payload: Any) -> None:
        """Give a new id to each transaction in a payload of the station that has none yet."""
        if isinstance(payload, Mapping):
            text = payload.get(TRANSACTION)
            if isinstance(text, str) and text not in self._present:
                self._pair_ids(text, str(uuid.uuid4()))
        for item in payload.values() if isinstance(payload, Mapping) else payload if isinstance(payload, list) else ():
            self.renew_texts(item)

    def _pair_ids(self, recorded: int | str, present: int | str) -> None:
        self._present[recorded], self._recorded[present] = present, recorded

    def as_present(self, payload: Any) -> Any:
        """Return a recorded payload with the ids of now."""
        return _with_ids(payload, self._present)

    def as_recorded(self, payload: Any) -> Any:
        """Return a payload of now with the ids of the recording."""
        return _with_ids(payload, self._recorded)


def _with_ids(value: Any, ids: Mapping[int | str, int | str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: ids.get(item, item) if key == TRANSACTION and type(item) in (int, str) else _with_ids(item, ids)
            for key, item in value.items()
        }
    return [_with_ids(item, ids) for item in value] if isinstance(value, list) else value


def compare_answers(
    action: str, recorded: Frame, present: Frame, ids: TransactionIds, ignored: Sequence[str] = ()
) -> list[PayloadDifference]:
    """Return what is different in two answers to the same request, without the ``ignored`` paths."""
    if CALL_ERROR in (recorded.kind, present.kind):  # the words of a description are free
        words = [_answer_in_words(frame) for frame in (recorded, present)]
        return [] if words[0] == words[1] else [PayloadDifference("", *words)]
    return compare_payloads(action, recorded.payload, ids.as_recorded(present.payload), ignored)


def _answer_in_words(frame: Frame) -> str:
    return f"error {frame.payload['error']}" if frame.kind == CALL_ERROR else "an answer"


def compare_payloads(action: str, recorded: Any, present: Any, ignored: Sequence[str] = ()) -> list[PayloadDifference]:
    """Return the differences. ``ignored``: patterns of ACTION.PATH, ``*`` stands for any text."""
    return [
        difference
        for difference in _value_differences("", recorded, present)
        if not any(fnmatchcase(f"{action}.{difference.path}", pattern) for pattern in ignored)
    ]


def _value_differences(path: str, recorded: Any, present: Any) -> Iterator[PayloadDifference]:
    if isinstance(recorded, Mapping) and isinstance(present, Mapping):
        for key in dict.fromkeys((*recorded, *present)):
            yield from _value_differences(
                f"{path}.{key}" if path else str(key), recorded.get(key, ABSENT), present.get(key, ABSENT)
            )
    elif isinstance(recorded, list) and isinstance(present, list):
        yield from _list_differences(path, recorded, present)
    elif not _are_equal_values(recorded, present):
        yield PayloadDifference(path, recorded, present)


def _list_differences(path: str, recorded: list[Any], present: list[Any]) -> Iterator[PayloadDifference]:
    for number in range(max(len(recorded), len(present))):
        pair = [side[number] if number < len(side) else ABSENT for side in (recorded, present)]
        yield from _value_differences(f"{path}.{number}" if path else str(number), *pair)


def _are_equal_values(recorded: Any, present: Any) -> bool:
    """Return whether two values say the same. An instant is that of its run; what a recording hides may be anything."""
    if recorded == HIDDEN and present != ABSENT:
        return True
    if isinstance(recorded, str) and isinstance(present, str):
        return recorded == present or bool(_INSTANT.fullmatch(recorded) and _INSTANT.fullmatch(present))
    if isinstance(recorded, bool) != isinstance(present, bool):  # True is 1 for Python, and not for JSON
        return False
    return bool(recorded == present)

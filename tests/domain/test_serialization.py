"""Whatever is queued is read back as it was: a message that is not is a bill that is lost."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

import pytest

from agent.domain.messages import MESSAGES, Message
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.model.fastclass import field_specs, is_record_class
from agent.model.string_enum import StrEnum


def made_of(hint: Any) -> Any:
    """A value of the type that is no default of any field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return made_of(next(a for a in args if a is not type(None)))
    if origin is tuple:
        return (made_of(args[0]),) * 2 if args[-1] is Ellipsis else tuple(map(made_of, args))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return list(hint)[-1]
    if isinstance(hint, type) and is_record_class(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: made_of(hints[name]) for name in field_specs(hint)})
    return {bool: True, int: 77, float: 1.5, str: "text"}[hint]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_field_of_every_message_is_read_back(kind: type[Message]) -> None:
    """Tuples of fields of several types were not: the cost of a transaction, and with it its end."""
    message = made_of(kind)
    assert load_record(json.loads(json.dumps(dump_record(message)))) == message


def test_a_tuple_of_another_length_is_unreadable() -> None:
    cost = dump_record(made_of(next(k for k in MESSAGES if k.__name__ == "TransactionEnded")))
    cost["cost"]["parts"] = [["kwh", 1, 2]]
    with pytest.raises(UnreadableRecord):
        load_record(json.loads(json.dumps(cost)))

"""Frozen dataclasses to JSON objects and back, for what is stored. The class name travels as ``"$"``.

A stored message outlives the program that wrote it: a field added later has a default and may be missing in an old
record; an unknown field is ignored; an unknown class is a ``UnreadableRecord``. A program that
comes back after an update in vain reads what the newer one has stored: a word that it does not know stands beside one
that it does (``_EARLIER_WORDS``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain import csms_cost, messages, security_events
from agent.domain.charging import profiles
from agent.model import types as kinds
from agent.model.fastclass import field_specs, is_record_class
from agent.model.string_enum import StrEnum


class UnreadableRecord(Exception):
    """A stored record that cannot be read back."""


_STORED_CLASS_NAMES = {"TransactionAuthorized": "TransactionAuthorised"}
"""Names of classes in the store, where the program has better ones."""
_STORED_FIELD_NAMES = {"authorized": "authorised"}
"""Names of fields in the store, likewise."""


_EARLIER_WORDS: Mapping[type[StrEnum], Mapping[StrEnum, StrEnum]] = {
    messages.TriggerReason: {
        messages.TriggerReason.COST_LIMIT: messages.TriggerReason.ENERGY_LIMIT,
        messages.TriggerReason.LIMIT_SET: messages.TriggerReason.CHARGING_STATE_CHANGED,
        messages.TriggerReason.SIGNED_DATA_RECEIVED: messages.TriggerReason.AUTHORIZED,
        messages.TriggerReason.TARIFF_CHANGED: messages.TriggerReason.CHARGING_STATE_CHANGED,
    },
    messages.StopReason: {
        messages.StopReason.ENERGY_LIMIT: messages.StopReason.LOCAL_OUT_OF_CREDIT,
        messages.StopReason.TIME_LIMIT: messages.StopReason.LOCAL_OUT_OF_CREDIT,
    },
    kinds.TokenType: {
        kinds.TokenType.EVCCID: kinds.TokenType.CENTRAL,
        kinds.TokenType.VIN: kinds.TokenType.CENTRAL,
    },
}
"""Words that an earlier program refuses, and what it reads instead, by their lists: two lists may have one word."""
_LATER_WORDS = "later_words"
"""The field with the true words, by the names of their fields."""


def earlier_word(word: StrEnum) -> StrEnum | None:
    """Return what an earlier program reads instead of a word that it refuses; None: it knows the word."""
    return _EARLIER_WORDS.get(type(word), {}).get(word)


def stored_class_name(cls: type[Any]) -> str:
    """Return the name by which the store knows the class."""
    return _STORED_CLASS_NAMES.get(cls.__name__, cls.__name__)


_CLASSES: dict[str, type[Any]] = {
    stored_class_name(c): c
    for c in (
        *messages.MESSAGES,
        messages.Sample,
        messages.TransactionCost,
        kinds.Reading,
        kinds.SignedReading,
        kinds.Stamp,
        kinds.Token,
        kinds.DirectPayment,
        kinds.TransactionLimit,
        kinds.Verdict,
        profiles.Profile,
        profiles.Schedule,
        profiles.Period,
        kinds.MessageContent,
        csms_cost.Cost,
        csms_cost.Price,
        csms_cost.IdlePrice,
        csms_cost.NextPrice,
        csms_cost.Triggers,
        security_events.Noted,
    )
}


_AS_IT_IS = (str, int, float, bool, type(None))


def dump_record(value: Any) -> Any:
    """Return a copy that can be written as JSON."""
    cls: Any = type(value)
    if cls in _AS_IT_IS:
        return value
    if is_record_class(cls):
        out: dict[str, Any] = {"$": stored_class_name(cls)}
        for name, stored_name, default in _stored_fields(cls):
            item = getattr(value, name)
            if default is not dataclasses.MISSING and item == default:
                continue
            earlier = earlier_word(item) if isinstance(item, StrEnum) else None
            if earlier is not None:
                out.setdefault(_LATER_WORDS, {})[stored_name] = item.value
            out[stored_name] = dump_record(item if earlier is None else earlier)
        return out
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list | frozenset):
        return [dump_record(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): dump_record(v) for k, v in value.items()}
    return value


@functools.cache
def _stored_fields(cls: type[Any]) -> tuple[tuple[str, str, Any], ...]:
    return tuple((f.name, _STORED_FIELD_NAMES.get(f.name, f.name), f.default) for f in field_specs(cls).values())


def load_record(data: Any, wanted: type[Any] = object) -> Any:
    """Return the object that ``dump_record`` was given, which must be a ``wanted``. Raises
    ``UnreadableRecord``."""
    try:
        cls = _CLASSES[data["$"]]
        if not issubclass(cls, wanted):
            raise ValueError(f"{wanted.__name__} expected, is {cls.__name__}")
        return _class_loader(cls)(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        raise UnreadableRecord(f"stored record cannot be read back: {type(e).__name__}: {e}") from e


_LOADERS: dict[type[Any], Callable[[Any], Any]] = {}


def _class_loader(cls: Any) -> Callable[[Any], Any]:
    if cls in _LOADERS:
        return _LOADERS[cls]
    hints = typing.get_type_hints(cls)
    fields = {stored: (name, _field_converter(hints[name])) for name, stored, _ in _stored_fields(cls)}

    def load_object(data: Any) -> Any:
        if data.get("$") != stored_class_name(cls):
            raise ValueError(f"{cls.__name__} expected, is {data.get('$')!r}")
        values = {fields[k][0]: fields[k][1](v) for k, v in data.items() if k in fields}
        for k, word in data.get(_LATER_WORDS, {}).items():
            with contextlib.suppress(KeyError, ValueError):  # a word or a field that is newer still
                values[fields[k][0]] = fields[k][1](word)
        return cls(**values)

    _LOADERS[cls] = load_object
    return load_object


def _field_converter(hint: Any) -> Callable[[Any], Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = _field_converter(next(a for a in args if a is not type(None)))
        return lambda v: None if v is None else inner(v)
    if origin is tuple and args[-1] is not Ellipsis:
        items = [_field_converter(arg) for arg in args]
        return lambda v: tuple(convert(i) for convert, i in zip(items, v, strict=True))
    if origin is tuple:
        item = _field_converter(args[0])
        return lambda v: tuple(item(i) for i in v)
    if isinstance(hint, type) and is_record_class(hint):
        return _class_loader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    if hint is float:
        return float
    return lambda v: _checked_value(hint, v)


def _checked_value(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and not isinstance(value, hint):
        raise ValueError(f"{hint.__name__} expected, is {type(value).__name__}")  # the value may be a card's number
    return value

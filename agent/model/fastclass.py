"""Value classes and records that cost a fiftieth of a dataclass to make.

An agent has some 200 small classes; ``dataclasses`` compiles up to six methods for each at every start, which was half
of the time until BootNotification. ``@frozen`` and ``@mutable`` share all methods but ``__init__``, which is compiled
when there are some instances (``UNCOMPILED``). To readers, type checkers (PEP 681) and ``dataclasses`` (``fields``,
``replace``) the results are a ``dataclass(frozen=True, slots=True)``, which compares by class and content, hashes, and
matches by position, and a ``dataclass(slots=True)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, Field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:  # whose arguments the type checker knows
    from dataclasses import replace

T = TypeVar("T")

_put = object.__setattr__

__all__ = ["field_specs", "frozen", "is_record_class", "mutable", "replace"]


def is_record_class(cls: type[Any]) -> bool:
    """One of ours, or any other dataclass."""
    return hasattr(cls, "__slots_all__") or dataclasses.is_dataclass(cls)


def field_specs(cls: type[Any]) -> dict[str, Field[Any]]:
    """By name: type and default of each field, for who wants no more. ``dataclasses.fields`` makes a class for it."""
    if not hasattr(cls, "__slots_all__"):
        return {f.name: f for f in dataclasses.fields(cls)}
    found = {}
    for name in cls.__slots_all__:
        found[name] = spec = _field_spec(cls.__frozen_defaults__.get(name, MISSING))
        spec.name, spec.type = name, cls.__frozen_types__[name]
    return found


if not TYPE_CHECKING:

    def replace(record: T, /, **changes: Any) -> T:
        """``dataclasses.replace``, which makes a class of ours the first time and takes twice as long ever after."""
        if not hasattr(record, "__slots_all__"):
            return dataclasses.replace(record, **changes)
        for name in record.__slots_all__:
            if name not in changes:
                changes[name] = getattr(record, name)
        return record.__class__(**changes)


class _Fields:
    """``__dataclass_fields__``, made when it is first asked for."""

    def __get__(self, instance: object, owner: type[Any]) -> dict[str, Field[Any]]:
        types, defaults = owner.__frozen_types__, owner.__frozen_defaults__
        wanted = [(n, types[n], _field_spec(defaults.get(n, MISSING))) for n in owner.__slots_all__]
        plain: dict[str, Any] = {
            "init": False,
            "repr": False,
            "eq": False,
            "namespace": {"__doc__": "nothing compiled"},
        }
        made = dataclasses.make_dataclass(owner.__name__, wanted, **plain)
        out: dict[str, Field[Any]] = made.__dict__["__dataclass_fields__"]
        owner.__dataclass_fields__ = out
        return out


class _Signature:
    """``inspect.signature(cls)`` shows the arguments of ``__init__`` even while no instance was made."""

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        import inspect

        whole = inspect.signature(_compile_init(owner))
        return whole.replace(parameters=[p for name, p in whole.parameters.items() if name != "self"])


def _field_spec(default: Any) -> Any:
    if isinstance(default, Field):
        return dataclasses.field(default_factory=default.default_factory)
    return dataclasses.field() if default is MISSING else dataclasses.field(default=default)


def _shared_eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values_of = self.__frozen_values__
    return bool(values_of(self) == values_of(other))


def _shared_hash(self: Any) -> int:
    return hash((self.__class__, self.__frozen_values__(self)))


def _shared_repr(self: Any) -> str:
    shown = (n for n in self.__slots_all__ if n not in self.__frozen_quiet__)
    return f"{self.__class__.__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"


def _refuse_change(self: object, name: str, value: object = None) -> None:
    raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")


def _pickle_state(self: Any) -> list[Any]:
    return [getattr(self, n) for n in self.__slots_all__]


def _restore_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__slots_all__, state, strict=True):
        _put(self, name, value)


_FIELDS = _Fields()
_SHARED: dict[str, Any] = {"__eq__": _shared_eq, "__repr__": _shared_repr, "__signature__": _Signature()}
_FROZEN: dict[str, Any] = {
    **_SHARED,
    "__hash__": _shared_hash,
    "__setattr__": _refuse_change,
    "__delattr__": _refuse_change,
    "__getstate__": _pickle_state,
    "__setstate__": _restore_state,
}
_MUTABLE: dict[str, Any] = {**_SHARED, "__hash__": None}


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: type[T]) -> type[T]:
    """Class decorator; see the module. Defaults are plain values or ``dataclasses.field(default_factory=...)``."""
    return _make_slotted(cls, _FROZEN)


@dataclass_transform(field_specifiers=(dataclasses.field,))
def mutable(cls: type[T]) -> type[T]:
    """Class decorator: the same for a record whose fields change; it compares by class and content and has no hash."""
    return _make_slotted(cls, _MUTABLE)


class _RecordType(type):
    """The type of our classes. A class gets its slots when it is made, so one that extends none of ours is made twice:
    by Python without slots, and by its decorator with them. One that extends another is made once."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        base = next((b for b in bases if b.__class__ is mcs), _Bare)
        return super().__new__(mcs, name, bases, _slotted_body(name, base, body))


def _make_slotted(cls: type[T], shared: dict[str, Any]) -> type[T]:
    found: Any = cls
    if not isinstance(found, _RecordType):
        found = _RecordType(cls.__name__, cls.__bases__, {**shared, **cls.__dict__})
    elif (found.__setattr__ is _refuse_change) != (shared is _FROZEN):
        raise TypeError(f"{cls.__name__} cannot be frozen and extend a class that is not, or the reverse")
    made: type[T] = found
    return made


def _slotted_body(class_name: str, base: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    new = own.get("__annotations__", {})
    defaults = {**base.__frozen_defaults__}
    quiet = base.__frozen_quiet__
    body = {"__dataclass_fields__": _FIELDS, **own, "__init__": _uncompiled_init()}
    for name in new:
        if name in own:
            default = body.pop(name)
            if isinstance(default, Field):
                quiet = quiet if default.repr else quiet | {name}
                if default.default is MISSING and default.default_factory is MISSING:
                    defaults.pop(name, None)
                    continue
                if default.default is not MISSING:
                    default = default.default
            if default.__class__ in _SHARED_BY_ALL:
                raise TypeError(f"{class_name}.{name}: all instances would share this default: use default_factory")
            defaults[name] = default
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    inherited = base.__slots_all__
    slots = tuple([n for n in new if n not in inherited] if inherited else new)
    body["__slots__"] = slots
    body["__slots_all__"] = body["__match_args__"] = inherited + slots
    body["__frozen_values__"] = attrgetter(*(body["__slots_all__"] or ("__class__",)))
    body["__frozen_types__"] = {**base.__frozen_types__, **new} if inherited else new
    body["__frozen_defaults__"], body["__frozen_quiet__"] = defaults, quiet
    return body


_SHARED_BY_ALL = (list, dict, set)


class _Bare:
    """What a class begins with that extends no other of ours."""

    __slots_all__: tuple[str, ...] = ()
    __frozen_types__: Mapping[str, Any] = {}
    __frozen_defaults__: Mapping[str, Any] = {}
    __frozen_quiet__: frozenset[str] = frozenset()


UNCOMPILED = 64
"""How many instances are made without: to compile costs as much as some hundred of them, and most classes have few."""


def _uncompiled_init() -> Any:
    left = UNCOMPILED

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal left
        left -= 1
        cls = self.__class__
        if left < 0 or not _fill_fields(self, cls, args, kwargs):
            cls.__init__ = made = _compile_init(cls)
            made(self, *args, **kwargs)  # whatever is wrong with the arguments is said by Python

    return __init__


def _fill_fields(record: Any, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return False if these are not the arguments of the record."""
    names, defaults = cls.__slots_all__, cls.__frozen_defaults__
    given, named = len(args), 0
    for place, name in enumerate(names):
        if name in kwargs:
            value = kwargs[name]
            named += 1
            if place < given:
                return False
        elif place < given:
            value = args[place]
        elif name not in defaults:
            return False
        else:
            default = defaults[name]
            make: Any = default.default_factory if isinstance(default, Field) else None
            value = default if make is None else make()
        _put(record, name, value)
    return given <= len(names) and named == len(kwargs)


def _compile_init(cls: type[Any]) -> Any:
    """The real one, compiled."""
    defaults: dict[str, Any] = cls.__frozen_defaults__
    scope: dict[str, Any] = {}
    fixed = cls.__setattr__ is _refuse_change
    put = " _put_{name}(self, {value})" if fixed else " self.{name} = {value}"
    arguments, lines = [], []
    for name in cls.__slots_all__:
        scope[f"_put_{name}"] = getattr(cls, name).__set__
        default = defaults.get(name, MISSING)
        if isinstance(default, Field):
            scope[f"_make_{name}"] = default.default_factory
            scope["_none"] = MISSING
            arguments.append(f"{name}=_none")
            lines.append(put.format(name=name, value=f"_make_{name}() if {name} is _none else {name}"))
            continue
        if default is not MISSING:
            scope[f"_of_{name}"] = default
            arguments.append(f"{name}=_of_{name}")
        else:
            arguments.append(name)
        lines.append(put.format(name=name, value=name))
    exec("\n".join([f"def __init__(self, {', '.join(arguments)}):", *(lines or [" pass"])]), scope)
    made = scope["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made

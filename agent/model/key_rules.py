"""What a value in the station file may be: its range, its choices, its form. A key says so by its type::

    port: Annotated[int, Between(1, 65535)] = 502

The agent's own tables and the settings classes of drivers are judged by the same rules, by
``check`` and by ``run``. A rule is any object with ``value_problem(value)``: what is wrong with the
value, or "".
"""

from __future__ import annotations

import ipaddress
import re
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import Field
from typing import Annotated, Any, Protocol, TypeAlias

from agent.model.fastclass import field_specs, frozen


class Rule(Protocol):
    def value_problem(self, value: Any) -> str: ...


@frozen
class Between:
    """A number from ``low`` to ``high``, both possible. ``unit``: for a person."""

    low: float
    high: float
    unit: str = ""

    def value_problem(self, value: Any) -> str:
        if self.low <= value <= self.high:  # not a number is neither
            return ""
        return f"must be {self}, is {_number_text(value)}"

    def __str__(self) -> str:
        return f"{_number_text(self.low)} to {_number_text(self.high)}{self.unit and f' ({self.unit})'}"


@frozen
class OneOf:
    choices: tuple[Any, ...]

    def value_problem(self, value: Any) -> str:
        return "" if value in self.choices else f"must be {self}, is {value!r}"

    def __str__(self) -> str:
        return f"one of {', '.join(map(repr, self.choices))}"


@frozen
class Text:
    """A text of ``shortest`` to ``longest`` characters that can be shown on one line. ``form``: a regular expression
    for the whole of it; ``like``: the same for a person."""

    longest: int = 200
    shortest: int = 0
    form: str = ""
    like: str = ""

    def value_problem(self, value: Any) -> str:
        if not value.isprintable():
            return f"must be printable characters on one line, is {_quote_text(value)}"
        if self.form and re.fullmatch(self.form, value) is None:
            return f"must be {self.like}, is {_quote_text(value)}"
        if not self.shortest <= len(value) <= self.longest:
            return f"must have {self._length_text()}, has {len(value)}: {_quote_text(value)}"
        return ""

    def __str__(self) -> str:
        return f"{self.like}, {self._length_text()}" if self.like else self._length_text()

    def _length_text(self) -> str:
        return f"{f'{self.shortest} to' if self.shortest else 'at most'} {self.longest} characters"


def _quote_text(value: str) -> str:
    """Quote a text for the journal, unless it is an address that may hold a password."""
    return "one with a user and a password" if "//" in value and "@" in value else repr(value[:60])


@frozen
class Entries:
    """How many entries a list has; no entry comes twice unless ``repeats``."""

    least: int = 0
    most: int = 100
    repeats: bool = True

    def value_problem(self, value: Any) -> str:
        if not self.least <= len(value) <= self.most:
            return f"must have {self}, has {len(value)}"
        twice = [] if self.repeats else [v for v in dict.fromkeys(value) if value.count(v) > 1]
        return f"has {twice[0]!r} twice" if twice else ""

    def __str__(self) -> str:
        return f"{self.least} to {self.most} entries"


@frozen
class HostLabels:
    """A host name or an IP address whose labels have a length that DNS permits (RFC 1035, 2.3.4). The resolver of
    Python answers another one with ``UnicodeError``, which no code that connects expects; "": none."""

    def value_problem(self, value: Any) -> str:
        if not value or all(0 < len(label) < 64 for label in value.removesuffix(".").split(".")):
            return ""
        return f"must be {self}, is {_quote_text(value)}"

    def __str__(self) -> str:
        return "a host with 1 to 63 characters between its dots"


@frozen
class IpAddress:
    """An address of IPv4 or IPv6 in figures, no name."""

    def value_problem(self, value: Any) -> str:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            return f"must be {self}, is {_quote_text(value)}"
        return ""

    def __str__(self) -> str:
        return "an IP address"


@frozen
class IpNetwork:
    """A network of IPv4 or IPv6 in the notation of CIDR, or an address."""

    def value_problem(self, value: Any) -> str:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            return f"must be {self}, is {_quote_text(value)}"
        return ""

    def __str__(self) -> str:
        return 'an IP address or a network such as "10.0.0.0/24"'


# --- types that many tables use --------------------------------------------------------------------------------------

TcpPort: TypeAlias = Annotated[int, Between(1, 65535)]
Seconds: TypeAlias = Annotated[float, Between(0.01, 86_400, "seconds")]
HostName: TypeAlias = Annotated[
    str,
    Text(253, form=r"[A-Za-z0-9._-]*|\[?[0-9A-Fa-f:.]+(%[A-Za-z0-9.]+)?\]?", like="a host name or an IP address"),
    HostLabels(),
]
CodeHost: TypeAlias = Annotated[
    str, Text(260, 1, r"(http://)?([A-Za-z0-9._-]+|[0-9A-Fa-f:.]+)", "a host name, an IP address or http://HOST")
]
"""Where a QR code may lead; with ``http://`` without encryption."""
OneLine: TypeAlias = Annotated[str, Text()]
DevicePath: TypeAlias = Annotated[str, Text(4000, form=r"[^\0]*", like="a path")]
"""Of a device file, as text; "": none."""
BAUD_RATES = (300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
"""Those that termios(3) names on every Linux."""
BaudRate: TypeAlias = Annotated[int, OneOf(BAUD_RATES)]
Parity: TypeAlias = Annotated[str, OneOf(("N", "E", "O"))]
ModbusUnit: TypeAlias = Annotated[int, Between(0, 255)]
"""1 to 247 on a serial line; some gateways use the others."""


# --- judging --------------------------------------------------------------------------------------------------------


def key_type(cls: type[Any], key: Field[Any]) -> Any:
    """Return the type of one key; ``typing.get_type_hints`` compiles those of all keys, of which a
    file has few."""
    if not isinstance(key.type, str):
        return key.type
    home = next(c for c in cls.__mro__ if key.name in getattr(c, "__annotations__", {}))
    return eval(key.type, dict(vars(sys.modules[home.__module__])))  # written by the class's author, not by the file's


def split_type_and_rules(hint: Any) -> tuple[Any, tuple[Rule, ...]]:
    """Return a type without its rules and without None, and the rules."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *rules = typing.get_args(hint)
        base, more = split_type_and_rules(inner)
        return base, (*more, *rules)
    if origin in (typing.Union, types.UnionType):
        return split_type_and_rules(next(a for a in typing.get_args(hint) if a is not type(None)))
    return hint, ()


def first_problem(rules: tuple[Rule, ...], value: Any) -> str:
    return next((said for rule in rules if (said := rule.value_problem(value))), "")


def without_value(problem: str) -> str:
    """Return what a rule asks for, without the value that breaks it."""
    return re.split(", is |, has ", problem)[0]


def settings_problems(settings: Any) -> list[str]:
    """Return what breaks the rules of the settings' class, one line each, the key first: for
    settings that no file was read for."""
    return [f"{where}: {said}" for where, said in _broken_rules(settings, "")]


def _broken_rules(settings: Any, above: str) -> Iterator[tuple[str, str]]:
    for name, key in field_specs(type(settings)).items():
        value = getattr(settings, name)
        base, rules = split_type_and_rules(key_type(type(settings), key))
        if value is None:
            continue
        items, of_items = (
            (value, split_type_and_rules(typing.get_args(base)[0])[1]) if typing.get_origin(base) is tuple else ((), ())
        )
        found = [(f"[{i}]", said) for i, v in enumerate(items) if (said := first_problem(of_items, v))]
        if said := first_problem(rules, value):
            found.append(("", said))
        shown = ((index, said if key.repr else without_value(said)) for index, said in found)
        yield from ((f"{above}{name}{index}", said) for index, said in shown)
        if hasattr(value, "__dataclass_fields__"):
            yield from _broken_rules(value, f"{above}{name}.")


def _number_text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"

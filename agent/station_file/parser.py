"""Tables of a TOML file to frozen dataclasses. Every problem is one line that names the path and helps."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.model.fastclass import field_specs, frozen
from agent.model.key_rules import first_problem, key_type, split_type_and_rules, without_value

T = TypeVar("T")


class SettingsError(Exception):
    """Everything that is wrong with a station file, one line each. ``file``: what could be read of it all the same, for
    who judges it further; it is no station's."""

    def __init__(self, problems: list[str], file: Any = None) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.file = problems, file


@frozen
class Device:
    """A device's table: its driver and the driver's own keys, judged by the driver's settings class."""

    driver: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a PIN or a password

    def without_keys(self, *keys: str) -> Device:
        """Return the device without the keys that are the agent's own."""
        return Device(self.driver, {k: v for k, v in self.options.items() if k not in keys})


MADE_FIELDS = {
    ("Backend", "charge_point_id_in_url"),
    ("Backend", "subprotocol_echo"),
    ("Backend", "interface"),
    ("Evse", "devices"),
    ("MeterPolicy", "sells"),
}
"""Fields that are made here and are no keys of the file."""
_SECRET = {"password", "pin"}
"""Keys whose value no message repeats."""


def build_table(
    cls: type[T],
    raw: Any,
    where: str,
    wrong: list[str],
    base: Path = Path(),
    given: Mapping[str, Any] | None = None,
    others: typing.Collection[str] = (),
) -> T:
    """Build a frozen dataclass from a TOML table. Problems are added to ``wrong``; a wrong value is
    replaced by the default so that the rest of the file is judged too. Drivers' settings classes
    are built by the same rules. ``others``: keys of the table that the caller reads."""
    if not isinstance(raw, Mapping):
        wrong.append(f"[{where}]: must be a table")
        raw = {}
    known = {n: f for n, f in field_specs(cls).items() if (cls.__name__, n) not in MADE_FIELDS}
    values: dict[str, Any] = dict(given or {})
    for key, value in raw.items():
        if key in others:
            continue
        if key not in known:
            wrong.append(f"{where}.{key}: unknown key{did_you_mean_key(key, (*known, *others))}")
            continue
        try:
            values[key] = _convert_value(key_type(cls, known[key]), value, f"{where}.{key}", wrong, base)
        except ValueError as e:
            said = without_value(str(e)) if key in _SECRET or not known[key].repr else str(e)
            wrong.append(f"{where}.{key}{'' if said.startswith('[') else ': '}{said}")
    for name, f in known.items():
        if name not in values and f.default is MISSING and f.default_factory is MISSING:
            if name not in raw:
                wrong.append(f"{where}.{name}: is missing")
            values[name] = _EMPTY.get(split_type_and_rules(key_type(cls, f))[0], "")
    for name in ("state_dir",):
        if name in known and name not in values:
            values[name] = base / typing.cast(Any, known[name].default)
    return cls(**values)


_EMPTY: dict[Any, Any] = {int: 0, float: 0.0, str: "", bool: False, Path: Path()}


def _convert_value(hint: Any, value: Any, where: str, wrong: list[str], base: Path) -> Any:
    """Convert a value to the key's type and check its rules. Raises ``ValueError``."""
    plain, rules = split_type_and_rules(hint)
    converted = _typed_value(plain, value, where, wrong, base)
    if said := first_problem(rules, converted):
        raise ValueError(said)
    return converted


def _typed_value(hint: Any, value: Any, where: str, wrong: list[str], base: Path) -> Any:
    origin = typing.get_origin(hint)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        items = value if isinstance(value, list) else [value] if _stands_alone(item, value) else None
        if items is None:
            raise ValueError(f"must be a list, is {value!r}")
        return tuple(_list_entry(item, v, i, where, wrong, base) for i, v in enumerate(items))
    if is_dataclass(hint):
        return build_table(typing.cast(Any, hint), value, where, wrong, base)
    if hint is Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(f"must be a path in quotes, is {value!r}")
        return base / value
    if hint is float and type(value) in (int, float):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("is too large a number") from None
    if hint is Any or type(value) is hint:
        return value
    if origin in (Mapping, dict, types.MappingProxyType) or hint in (dict, Mapping):
        if isinstance(value, dict):
            return value
        raise ValueError(f"must be a table, is {value!r}")
    names = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
    raise ValueError(f"must be {names.get(hint, hint)}, is {value!r}")


def _list_entry(hint: Any, value: Any, index: int, where: str, wrong: list[str], base: Path) -> Any:
    try:
        return _convert_value(hint, value, f"{where}[{index}]", wrong, base)
    except ValueError as e:
        raise ValueError(f"[{index}]{'' if str(e).startswith('[') else ': '}{e}") from None


def _stands_alone(item: Any, value: Any) -> bool:
    """Return whether the value needs no list: one path."""
    return item is Path and isinstance(value, str)


def device_of(raw: Any, where: str, wrong: list[str]) -> Device | None:
    """Return a device's table; None: it names no driver (a problem)."""
    if not isinstance(raw, dict) or not isinstance(raw.get("driver"), str):
        wrong.append(f'{where}: a device needs driver = "..." in its table')
        return None
    return Device(raw["driver"], {k: v for k, v in raw.items() if k != "driver"})


def nearest_words(word: str, known: typing.Iterable[str]) -> list[str]:
    """Return what was probably meant: the word most alike, or else those of which ``word`` is a
    part."""
    import difflib

    known = list(known)
    return difflib.get_close_matches(word, known, 1) or [k for k in known if len(word) > 2 and word.lower() in k][:4]


def did_you_mean_key(key: str, known: typing.Iterable[str]) -> str:
    """Return the end of a complaint about an unknown key."""
    return did_you_mean(key, known, "known")


def did_you_mean(word: str, known: typing.Iterable[str], others: str) -> str:
    """Return the end of a complaint about ``word``: what was probably meant, or (``others``: all
    that there is)."""
    near = nearest_words(word, known)
    return f" (did you mean {near[0]!r}?)" if near else f"; {others}: {', '.join(sorted(known))}"

"""``chargy-agent drivers``: the installed drivers, their packages, and the keys of their tables in a station file."""

from __future__ import annotations

import argparse
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

from agent.model.command import Command
from agent.model.fastclass import frozen
from agent.model.key_rules import key_type, split_type_and_rules
from agent.ports.driver import Driver
from agent.services.devices.configured import GROUP

SOME_BROKEN = 1

ABOUT = """\
List the installed drivers, each with its role, its package, and the keys of its table in a station file. Keys without =
are required, the others show their default. For a missing package it
shows the command that installs it.

  chargy-agent drivers              as text
  chargy-agent drivers --json       as JSON, with the range or the choices of each key ("rules")

Exit code: 0 all drivers can be used, 1 an installed driver cannot be used.
"""


@frozen
class Setting:
    """A key of the device's table.

    ``default`` None: the key is ``required``, or its default is nothing. ``rules``: its range or choices, in words.
    """

    name: str
    type: str
    required: bool
    default: Any = None
    rules: tuple[str, ...] = ()


@frozen
class Row:
    """One driver.

    ``missing``: requirements of the driver's extras that are not installed. ``trouble``: why it cannot be used.
    ``lacks``: the module that is not installed, and the command that installs it.
    """

    name: str
    role: str = ""
    package: str = ""
    version: str = ""
    settings: tuple[Setting, ...] = ()
    missing: tuple[str, ...] = ()
    trouble: str = ""
    lacks: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns 0, or 1 if an installed driver cannot be used."""
    rows = installed_drivers()
    if options.json:
        print(json.dumps({"v": 1, "drivers": [_json_row(r) for r in rows]}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_text_lines(rows)))
    return SOME_BROKEN if any(r.trouble or r.missing for r in rows) else 0  # an unused extra is not a defect


def installed_drivers() -> list[Row]:
    """Return a row for every registered driver, by name. A broken driver has a row too and does not affect others."""
    return [driver_row(e) for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)]


def driver_row(entry: EntryPoint) -> Row:
    package, its_version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
    missing = tuple(_missing_requirements(entry))
    try:
        driver = entry.load()
    except Exception as e:  # noqa: BLE001  the code of another distribution may raise anything while it is imported
        trouble = f"{entry.value} cannot be imported ({e}); install what it needs, or correct the entry point"
        return Row(entry.name, "", package, its_version, (), missing, trouble)
    if not isinstance(driver, Driver):
        return Row(entry.name, "", package, its_version, (), missing, f"{entry.value} is no agent.ports.driver.Driver")
    settings = tuple(_setting_row(driver.settings, f) for f in fields(driver.settings))
    return Row(entry.name, driver.role, package, its_version, settings, missing, lacks=driver.missing_dependency())


def _setting_row(settings: type[Any], f: Field[Any]) -> Setting:
    hint = key_type(settings, f)
    kind, rules = _type_name(hint), tuple(map(str, split_type_and_rules(hint)[1]))
    if f.default is not MISSING:
        return Setting(f.name, kind, False, f.default, rules)
    made = f.default_factory() if f.default_factory is not MISSING else None
    return Setting(f.name, kind, f.default_factory is MISSING, made, rules)


def _type_name(hint: Any) -> str:
    """Return the type as it is written, without its rules."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join(_type_name(a) for a in typing.get_args(hint))
    base, _ = split_type_and_rules(hint)
    inner = typing.get_args(base)
    if inner:
        return f"{base.__name__}[{', '.join('...' if a is ... else _type_name(a) for a in inner)}]"
    return "None" if base is type(None) else str(getattr(base, "__name__", base))


def _missing_requirements(entry: EntryPoint) -> Iterator[str]:
    """Yield missing requirements of the entry point's extras (``name = "module:DRIVER [extra]"``)."""
    for requirement in _requirements_of_extras(entry.dist, entry.extras) if entry.dist and entry.extras else ():
        try:
            version(requirement)
        except PackageNotFoundError:
            yield requirement


def _requirements_of_extras(package: Distribution, extras: list[str]) -> Iterator[str]:
    for text in package.requires or ():
        extra = re.search(r"""extra\s*==\s*["']([^"']+)""", text)
        name = re.match(r"[A-Za-z0-9._-]+", text)
        if extra and name and extra[1] in extras:
            yield name[0]


def _json_row(r: Row) -> dict[str, Any]:
    settings = [
        {
            "name": s.name,
            "type": s.type,
            "required": s.required,
            **({} if s.required else {"default": _json_value(s.default)}),
            **({"rules": list(s.rules)} if s.rules else {}),
        }
        for s in r.settings
    ]
    return {
        "name": r.name, "role": r.role, "package": r.package, "version": r.version, "settings": settings,
        "missing": list(r.missing), "trouble": r.trouble, "lacks": r.lacks,
    }  # fmt: skip


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple | frozenset):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else str(value)


def _text_lines(rows: list[Row]) -> Iterator[str]:
    yield f"{'driver':<20} {'role':<9} package"
    for r in rows:
        yield f"{r.name:<20} {r.role or '?':<9} {r.package} {r.version}"
        for part in _wrap_words(s.name if s.required else f"{s.name} = {_default_text(s.default)}" for s in r.settings):
            yield f"    {part}"
        if r.missing:
            yield f"    not installed: {', '.join(r.missing)}; without it the device cannot be opened"
        if r.lacks:
            yield f"    {r.lacks}"
        if r.trouble:
            yield f"    {r.trouble}"
    if not rows:
        yield "none: nothing registers an entry point chargy_agent.drivers; is the package installed?"
    else:
        yield "keys without = must be given in the device's table; the others show their default"


def _default_text(value: Any) -> str:
    return "(none)" if value is None else json.dumps(_json_value(value), ensure_ascii=False)


def _wrap_words(words: Iterator[str], width: int = 100) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > width:
            yield line
            line = ""
        line += f", {word}" if line else word
    if line:
        yield line


COMMAND = Command(
    "drivers", "List the installed drivers: role, package, settings with defaults.", add_arguments, run, ABOUT
)

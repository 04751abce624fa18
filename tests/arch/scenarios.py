"""The tables of ``docs/scenarios.md``, made of the grammar of the scenario language: ``make docs``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.commands.scenario.stations import library_folder
from agent.scenario.grammar import COMMON, HEAD, KINDS, NEEDS, Group, Key
from agent.scenario.operations import OPERATIONS, SETTINGS
from agent.scenario.scenario_file import load_scenario
from agent.scenario.versions import VERSIONS, find_operation_form

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "scenarios.md"
MARK = "<!-- The rest is generated from the grammar: make docs -->\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _key_text(key: Key) -> str:
    choices = f": {', '.join(f'`{c}`' for c in key.choices)}" if key.choices else ""
    return f"`{key.name}` ({key.form}) {_cell(key.meaning)}{choices}"


def _key_rows(keys: Iterable[Key]) -> Iterator[str]:
    yield "| key | holds | meaning |\n|---|---|---|\n"
    for key in keys:
        yield f"| `{key.name}`{' (needed)' if key.required else ''} | {key.form} | {_cell(key.meaning)} |\n"


def _step_tables() -> Iterator[str]:
    for group in Group:
        yield f"\n### Steps: {group}\n\n| step | what it does | options |\n|---|---|---|\n"
        for kind in (k for k in KINDS.values() if k.group is group):
            options = "<br>".join(map(_key_text, kind.options))
            yield f"| {_key_text(kind.key)} | {_cell(kind.meaning)} | {options} |\n"


def _operation_rows() -> Iterator[str]:
    yield "| operation | what it does | OCPP 1.6 | OCPP 2.0.1 | `with` (in brackets: may be left out) |\n"
    yield "|---|---|---|---|---|\n"
    for row in OPERATIONS.values():
        actions = " | ".join(
            f"`{form.action}`" if (form := find_operation_form(v, row.name)) else "-" for v in VERSIONS
        )
        parameters = [*(f"`{p}`" for p in row.required), *(f"[`{p}`]" for p in row.optional)]
        yield f"| `{row.name}` | {_cell(row.meaning)} | {actions} | {' '.join(parameters)} |\n"


def _library_rows() -> Iterator[str]:
    yield "| scenario | sentence | OCPP | needs |\n|---|---|---|---|\n"
    for path in sorted(library_folder().glob("*.toml")):
        one = load_scenario(path)
        yield f"| `{one.id}` | {_cell(one.title)} | {', '.join(one.versions)} | {', '.join(one.needs)} |\n"


def text() -> str:
    """The page: what is written by hand, and the tables below it."""
    parts = [PAGE.read_text("utf-8").partition(MARK)[0], MARK, "\n## Grammar\n\n### A file\n\n", *_key_rows(HEAD)]
    parts += ["\n### Keys of every step\n\n", *_key_rows(COMMON), *_step_tables()]
    parts += ["\n## Operations\n\n", *_operation_rows()]
    settings = ", ".join(f"`{s}`" for s in SETTINGS)
    parts += [f"\nNames of settings that do not depend on the version: {settings}.\n"]
    parts += ["Others as in OCPP: `HeartbeatInterval`, `OCPPCommCtrlr.HeartbeatInterval`.\n"]
    parts += [
        "\n## Needs\n\n| need | the station has |\n|---|---|\n",
        *(f"| `{n}` | {m} |\n" for n, m in NEEDS.items()),
    ]
    parts += ["\n## The library\n\n", *_library_rows()]
    return "".join(parts)

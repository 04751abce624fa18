"""Documents name commands, actions and options that exist; every command teaches: examples, and its exit codes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import _build_parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "config").rglob("*.md")),
    *sorted((ROOT / "systemd").iterdir()),
    *sorted(p for p in (ROOT / "deb").iterdir() if p.is_file()),
]
NOT_YET = ("field page",)
"""Names of things that do not exist: none of them is promised."""
GROUPS = {"dialout", "video", "input", "gpio", "i2c", "spi", "chargy"}
"""Names that follow the account ``chargy-agent`` in commands of the system."""
CALL = re.compile(r"(?<![/@\w.-])chargy-agent +([a-z]+)\b([^\n`|]*)")


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = _build_parser([])
    found = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


COMMANDS = commands()


def code(text: str) -> Iterator[str]:
    """What stands in fences and between backticks."""
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    yield from fences
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def unknown(text: str) -> Iterator[str]:
    for part in code(text):
        for name, rest in CALL.findall(part):
            if name in GROUPS:
                continue
            if name not in COMMANDS:
                yield f"chargy-agent {name}"
                continue
            options = set(option_strings(COMMANDS[name]))
            call = re.split(r"  +|#", rest)[0]
            yield from (
                f"chargy-agent {name} {o}" for o in re.findall(r"(?<!\S)--[a-z0-9-]+", call) if o not in options
            )


def option_strings(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a command and of all its actions."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from option_strings(inner)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_document_names_no_command_that_does_not_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    assert list(unknown(text)) == []
    assert [word for word in NOT_YET if re.search(rf"`{word}`|chargy-agent {word}\b|\b{word}\b(?= page)", text)] == []


def test_a_command_or_an_option_that_does_not_exist_is_found() -> None:
    assert list(unknown("`chargy-agent squadron x.toml`")) == ["chargy-agent squadron"]
    assert list(unknown("```\nchargy-agent check --yaml x.toml\n```")) == ["chargy-agent check --yaml"]
    assert list(unknown("`chargy-agent check x.toml --json`")) == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_teaches(name: str) -> None:
    said = COMMANDS[name].format_help()
    assert "Exit code: 0 " in said
    assert f"chargy-agent {name}" in said.partition("\n\n")[2], "an example"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_every_example_as_it_is_called(name: str) -> None:
    assert list(unknown(f"```\n{COMMANDS[name].format_help()}\n```")) == []


def test_the_first_help_names_every_command_and_the_exit_codes() -> None:
    said = _build_parser([]).format_help()
    assert "Exit code" in said
    assert [name for name in COMMANDS if f"chargy-agent {name}" not in said] == []

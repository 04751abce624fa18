"""Every reason for which a card can be refused has words on the screen: the reasons are read out of the sources, so
that a new one without words fails here."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ports.reader import Tap
from tests.drivers.screens import CONFIG, LANGUAGES

ROOT = Path(__file__).parents[2]
GIVERS = {"CardRefused": 1, "Tap": 1, "_refuse_payment": 1, "_refuse_bad_card": 2}
"""Calls that give a reason, and which argument it is."""
HANDED_ON = {"why", "reason"}
"""Names of a reason that another place has given: that place is found, too."""


def tables(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Names at module level with the texts they stand for: constants, and the values of tables."""
    found: dict[str, list[ast.expr]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            found[node.targets[0].id] = value.values if isinstance(value, ast.Dict) else [value]
    return found


def reasons_of(expression: ast.expr, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    """What a reason may be. Raises ``AssertionError`` for one that cannot be seen from here."""
    match expression:
        case ast.Constant(value=str(text)):
            yield text
        case ast.BoolOp(values=values):
            yield from (r for v in values for r in reasons_of(v, names))
        case ast.IfExp(body=body, orelse=other):
            yield from (r for v in (body, other) for r in reasons_of(v, names))
        case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, default]) if table in names:
            yield from (r for v in (*names[table], default) for r in reasons_of(v, names))
        case ast.Name(id=name) if name in names:
            yield from (r for v in names[name] for r in reasons_of(v, names))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            assert name in HANDED_ON, f"line {expression.lineno}: where does the reason {name} come from?"
        case _:
            raise AssertionError(f"line {expression.lineno}: a reason of a kind that this test cannot read")


def reasons(source: str, imported: dict[str, list[ast.expr]] | None = None) -> Iterator[str]:
    tree = ast.parse(source)
    names = {**(imported or {}), **tables(tree)}
    of_cards = "CardRefused" in source  # a meter can be refused, too
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in GIVERS and len(node.args) > GIVERS[name] and (of_cards or name == "Tap"):
            yield from reasons_of(node.args[GIVERS[name]], names)
        for keyword in node.keywords:
            if name in ("CardRefused", "Tap") and keyword.arg in ("why", "reason"):
                yield from reasons_of(keyword.value, names)


def given() -> dict[str, set[str]]:
    """Reason -> files that give it."""
    sources = {p: p.read_text("utf-8") for folder in ("agent/domain", "drivers") for p in (ROOT / folder).rglob("*.py")}
    found: dict[str, set[str]] = {}
    for path, source in sources.items():
        beside = [tables(ast.parse(sources[p])) for p in sources if p.parent == path.parent and "Tap(" in source]
        imported = {name: values for table in beside for name, values in table.items() if name.isupper()}
        for reason in reasons(source, imported):
            found.setdefault(reason, set()).add(path.relative_to(ROOT).as_posix())
    return found


def promised() -> set[str]:
    """What the port lets any reader say."""
    text = Tap.__doc__ or ""
    return {word for n, word in enumerate(text.split("``")) if n % 2 and word.islower()} - {"token", "reason"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words(language: str) -> None:
    words = tomllib.loads((CONFIG / "texts" / f"{language}.toml").read_text("utf-8"))["refused"]
    everything = given()
    assert {"random_uid", "not_genuine", "unreadable", "wrong_card", "blocked", "offline", "reserved"} <= set(
        everything
    )
    assert {"random_uid", "phone_at_terminal", "unreadable", "not_genuine", "too_many_cards"} == promised()
    for reason in (set(everything) | promised()) - {""}:
        own = words.get(reason, {})
        assert own.get("title"), f"{language}: [refused.{reason}] has no title; given by {everything.get(reason)}"
        assert own.get("line"), f"{language}: [refused.{reason}] has no line; given by {everything.get(reason)}"


def test_the_reading_of_sources_can_fail() -> None:
    assert set(reasons("WHY = {1: 'a'}\nCardRefused(n, WHY.get(s, 'b'))\nTap(None, reason='c')")) == {"a", "b", "c"}
    assert set(reasons("x._refuse_payment(p, 'd' if y else 'e', now); CardRefused(1, event.reason or 'f')")) == {
        "d",
        "e",
        "f",
    }
    with pytest.raises(AssertionError, match="where does the reason cause come from"):
        list(reasons("CardRefused(1, cause)"))
    with pytest.raises(AssertionError, match="cannot read"):
        list(reasons("CardRefused(1, f'{x}')"))

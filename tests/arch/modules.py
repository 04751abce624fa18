"""The table of all modules in ``docs/architecture.md``: what each is, by the first sentence of its docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
MARK = "<!-- The rest is generated from the modules' docstrings: make docs -->\n"
SENTENCE_END = re.compile(r"(?<=[.:])\s")


def modules() -> list[Path]:
    """All modules with text in them; a package stands for its ``__init__.py``."""
    found = (p for room in ("agent", "drivers") for p in (ROOT / room).rglob("*.py"))
    return sorted(p for p in found if p.read_text("utf-8").strip())


def first_sentence(path: Path) -> str:
    """Of the module's docstring, on one line. Empty: it has none."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split())
    return SENTENCE_END.split(text, maxsplit=1)[0].rstrip(":").replace("|", "\\|")


def rows() -> Iterator[str]:
    """One table a folder."""
    folder = None
    for path in sorted(modules(), key=lambda p: (str(p.parent), p.name != "__init__.py", p.name)):
        if path.parent != folder:
            folder = path.parent
            yield f"\n### `{folder.relative_to(ROOT)}/`\n\n| module | what it is |\n|---|---|\n"
        yield f"| `{path.name}` | {first_sentence(path)} |\n"


def text() -> str:
    """The page: what is written by hand, and the tables below it."""
    by_hand = PAGE.read_text("utf-8").partition(MARK)[0]
    return by_hand.rstrip("\n") + f"\n\n{MARK}\n## Modules\n" + "".join(rows())

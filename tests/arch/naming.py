"""Names of functions and words of texts, counted: ``python -m tests.arch.naming``.

A name counts once, however many functions bear it, and without leading underscores. Names to which Python gives a
meaning (``__init__``) do not count.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agent", "drivers")
INDEFINITE = ("no" + "body", "some" + "body", "any" + "body", "who" + "ever", "a" + "new")
TOLD = ("to" + "ld",)
FORBIDDEN = re.compile(rf"\b({'|'.join((*INDEFINITE, *TOLD))})\b", re.IGNORECASE)
"""``told`` stands for sent, reported, shown and known at once; the others say that the writer did not say who."""

QUOTED = re.compile(rf"`+[^`]*`+|\"({'|'.join((*INDEFINITE, *TOLD))})\"")
"""Names in backticks, and stored or public keys: a text that is nothing but the word."""


@dataclass(frozen=True)
class NameCount:
    """Of the distinct names of all functions."""

    distinct: int
    one_word: int
    mean_length: float

    @property
    def one_word_share(self) -> float:
        return self.one_word / self.distinct


def function_names(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not re.fullmatch(r"__\w+__", node.name):
            yield node.name.strip("_")


def count_names(sources: list[str]) -> NameCount:
    names = {name for source in sources for name in function_names(source)} - {""}
    return NameCount(len(names), sum("_" not in n for n in names), sum(map(len, names)) / len(names))


def product_sources() -> list[str]:
    return [p.read_text("utf-8") for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]


def texts_of_code(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each comment and each string, docstrings included."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type in (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for offset, line in enumerate(token.string.split("\n")):
                yield token.start[0] + offset, line


def forbidden_words(path: Path) -> Iterator[str]:
    """``path:line: text`` of each forbidden word in a module's texts or in a document."""
    source = path.read_text("utf-8")
    lines = texts_of_code(source) if path.suffix == ".py" else enumerate(source.split("\n"), 1)
    for number, line in lines:
        prose = QUOTED.sub("", line)
        if FORBIDDEN.search(prose):
            yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


def prose_files() -> list[Path]:
    """Where people read: the product, its configuration, its tests, the documents."""
    found = [
        p
        for room in (*ROOMS, "config", "tests", "deb", "systemd")
        for end in ("*.py", "*.toml", "*.md", "*.html")
        for p in (ROOT / room).rglob(end)
    ]
    return sorted([*found, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def main() -> int:
    count = count_names(product_sources())
    print(f"{count.distinct} names of functions, {100 * count.one_word_share:.1f} % of one word, mean length ", end="")
    print(f"{count.mean_length:.1f}")
    found = [hit for path in prose_files() for hit in forbidden_words(path)]
    print("\n".join(found) or "no forbidden word")
    return 0


if __name__ == "__main__":
    sys.exit(main())

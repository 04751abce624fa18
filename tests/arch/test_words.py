"""No file of the project names the machine that it was written on. The words are built here so as not to match."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("agent", "drivers", "config", "docs", "tests", "examples", "systemd", "deb", ".ci", "campaign")
FILES = (
    "Dockerfile",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "pyproject.toml",
    "requirements.lock",
)
WORDS = ["/" + "root" + "/", "/" + "work" + "/", "." + "library", "sub" + "agent", "." + "pyenv/"]
FORBIDDEN = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, WORDS)) + ")")


def texts() -> list[Path]:
    """What git tracks or would track, so that caches and environments are not looked at."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *PLACES, *FILES], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    return [p for place in PLACES for p in (ROOT / place).rglob("*.*") if p.is_file() and "__pycache__" not in p.parts]


def hits(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    return [
        f"{path.relative_to(ROOT)}:{n}: {line.strip()[:100]}"
        for n, line in enumerate(lines, 1)
        if FORBIDDEN.search(line)
    ]


def test_no_file_names_the_place_it_was_written_in() -> None:
    files = texts()
    assert len(files) > 20
    assert [hit for path in files for hit in hits(path)] == []


@pytest.mark.parametrize("word", WORDS)
def test_the_words_are_found(word: str) -> None:
    assert FORBIDDEN.search(f'path = "{word}x"')
    assert not FORBIDDEN.search("https://example.org" + word)

"""Generated documents are never stale."""

from __future__ import annotations

from pathlib import Path

from tests.arch.generated import DOCUMENTS, stale, write


def test_no_generated_document_is_stale() -> None:
    assert stale(DOCUMENTS) == [], "run: make docs"


def test_a_stale_document_is_found_and_written_again(tmp_path: Path) -> None:
    documents = {"docs/platform.txt": "platform:python_version"}
    assert stale(documents, tmp_path) == ["docs/platform.txt"]
    assert write(documents, tmp_path) == ["docs/platform.txt"]
    assert stale(documents, tmp_path) == []
    (tmp_path / "docs/platform.txt").write_text("old")
    assert write(documents, tmp_path) == ["docs/platform.txt"]

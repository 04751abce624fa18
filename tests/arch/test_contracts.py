"""Which way imports run: the contracts of pyproject.toml, judged by import-linter."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]


def test_every_import_contract_is_kept() -> None:
    judged = subprocess.run(LINT, cwd=ROOT, capture_output=True, text=True, timeout=stretched(100))
    assert judged.returncode == 0, judged.stdout[-4000:] + judged.stderr[-2000:]


def test_a_broken_contract_is_found(tmp_path: Path) -> None:
    """The judge itself: a street-side import in the heart must not pass."""
    for package in ("agent", "drivers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "agent" / "heart.py").write_text("import drivers\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_packages = ["agent", "drivers"]\n[[tool.importlinter.contracts]]\nname = "x"\n'
        'type = "forbidden"\nsource_modules = ["agent"]\nforbidden_modules = ["drivers"]\n'
    )
    judged = subprocess.run(
        LINT, cwd=tmp_path, capture_output=True, text=True, timeout=stretched(100), env={"PYTHONPATH": "."}
    )
    assert judged.returncode == 1
    assert "agent.heart -> drivers" in judged.stdout


def import_circle(*packages: str) -> list[str]:
    """Return the modules of one circle of imports, in the order in which they import each other; [] if there is none.
    Imports for the type checker alone do not count: they are not carried out."""
    graph = grimp.build_graph(*packages, cache_dir=None, exclude_type_checking_imports=True)
    try:
        TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert import_circle("agent", "drivers") == []


def test_a_circle_of_imports_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, other in (("first", "second"), ("second", "third"), ("third", "first")):
        (tmp_path / "ring").mkdir(exist_ok=True)
        (tmp_path / "ring" / "__init__.py").write_text("")
        (tmp_path / "ring" / f"{name}.py").write_text(f"import ring.{other}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(import_circle("ring")) == {"ring.first", "ring.second", "ring.third"}

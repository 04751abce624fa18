"""The wheel carries bytecode that Python believes, so that a read-only board does not compile at every start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
BUILD_FOLDERS = ("agent", "drivers", "config")
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
UNCHECKED_HASH = 0b01
"""PEP 552: bit 0 says hash instead of time, bit 1 that the source must be looked at."""


@pytest.fixture(scope="module")
def source_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree: a build in the tree itself would leave its folders there."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    for name in BUILD_FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, tree)
    return tree


def build_in(tree: Path, what: str) -> None:
    """Have setuptools build beside the tree, without fetching anything. ``what``: its hook (PEP 517)."""
    code = f"from setuptools.build_meta import {what}; {what}({str(tree.parent)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=stretched(100)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def installed(source_tree: Path) -> Path:
    """The wheel of the copy, unpacked."""
    build_in(source_tree, "build_wheel")
    assert not list(source_tree.glob("agent/**/*.pyc")), "bytecode beside the sources would win over an edit"
    folder = source_tree.parent
    (wheel,) = folder.glob("*.whl")
    place = folder / "site"
    zipfile.ZipFile(wheel).extractall(place)
    return place


def test_the_source_distribution_has_all_that_the_wheel_has(source_tree: Path, installed: Path) -> None:
    build_in(source_tree, "build_sdist")
    (sdist,) = source_tree.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    parts = [p.relative_to(installed) for p in installed.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    wanted = {str(p) for p in parts if p.parts[0] in BUILD_FOLDERS} | set(BUILD_FILES)
    assert len(wanted) > 1000
    assert wanted - names == set()


def test_other_projects_see_its_types(installed: Path) -> None:
    """PEP 561: without the mark a type checker takes everything of ``agent.desk`` as unknown."""
    assert (installed / "agent" / "py.typed").exists()
    assert (installed / "drivers" / "py.typed").exists()


def test_every_module_has_its_bytecode_unchecked(installed: Path) -> None:
    modules = [m for top in BUILD_FOLDERS for m in (installed / top).rglob("*.py")]
    assert len(modules) > 150
    for module in modules:
        head = Path(importlib.util.cache_from_source(str(module))).read_bytes()[:8]
        assert head[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(head[4:8], "little") == UNCHECKED_HASH, module


def test_nothing_is_compiled_although_every_time_is_wrong(installed: Path) -> None:
    for module in installed.rglob("*.py"):
        os.utime(module, (0, 0))
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [
        sys.executable,
        "-v",
        "-c",
        "import agent.assembly.station, agent.ocpp.v16; print(agent.assembly.station.__file__)",
    ]
    done = subprocess.run(argv, cwd=installed, env=env, capture_output=True, text=True, timeout=stretched(60))
    assert done.stdout.strip() == str(installed / "agent" / "assembly" / "station.py"), done.stderr[-500:]
    code = [line for line in done.stderr.splitlines() if line.startswith("# code object from") and "/agent/" in line]
    assert len(code) > 50
    assert [line for line in code if ".pyc" not in line] == []


def test_a_tree_is_not_compiled_by_an_editable_install() -> None:
    """What a developer has is written by Python itself, with the source's time in it (pytest has files of its own)."""
    found = importlib.util.find_spec("agent")
    assert found is not None
    assert found.origin == str(ROOT / "agent" / "__init__.py")
    for pyc in (ROOT / "agent").rglob(f"*.{sys.implementation.cache_tag}.pyc"):
        flags = int.from_bytes(pyc.read_bytes()[4:8], "little")
        assert flags == 0, f"{pyc}: made by a build, not by Python: remove it"

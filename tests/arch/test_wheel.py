"""The wheel carries bytecode that Python believes, so that a read-only board does not compile at every start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
UNCHECKED_HASH = 0b01
"""PEP 552: bit 0 says hash instead of time, bit 1 that the source must be looked at."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this tree, unpacked. (A build in the tree itself would leave its folders there.)"""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("agent", "drivers", "config"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=stretched(100)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert not list(tree.glob("agent/**/*.pyc")), "bytecode beside the sources would win over an edit"
    (wheel,) = folder.glob("*.whl")
    place = folder / "site"
    zipfile.ZipFile(wheel).extractall(place)
    return place


def test_every_module_has_its_bytecode_unchecked(installed: Path) -> None:
    modules = [m for top in ("agent", "drivers", "config") for m in (installed / top).rglob("*.py")]
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

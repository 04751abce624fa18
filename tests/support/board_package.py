"""The Debian package as ``make deb`` builds it, for tests: what it needs, and another version of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
CANNOT_FETCH = 3


def build_deb(folder: Path, **env: str) -> Path:
    """Build it into the folder. Skips where that is impossible: no dpkg, or wheels that cannot be fetched."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    argv = [sys.executable, "-m", "deb.build", "--out", str(folder), "--compression", "quick"]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(240), env={**os.environ, **env}
    )
    if done.returncode == CANNOT_FETCH:
        pytest.skip(f"a wheel cannot be fetched: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def newer_version(deb: Path, folder: Path) -> Path:
    """The same package with a higher revision, and another text in one of its modules."""
    tree = folder / "tree"
    run_dpkg_deb("-R", deb, tree)
    control = tree / "DEBIAN" / "control"
    text = control.read_text()
    version = re.search(r"^Version: (.*)-1\+", text, re.MULTILINE)
    assert version is not None
    control.write_text(text.replace(f"{version[1]}-1+", f"{version[1]}-2+"))
    (tree / "usr/share/doc/chargy-agent/NEWS").write_text("the second\n")
    made = folder / "newer.deb"
    run_dpkg_deb("--root-owner-group", "-Znone", "--build", tree, made)
    shutil.rmtree(tree)
    return made


def broken_version(deb: Path, folder: Path) -> Path:
    """The same package again, but dpkg cannot install it: it fails before its files are there."""
    tree = folder / "tree"
    run_dpkg_deb("-R", deb, tree)
    script = tree / "DEBIAN" / "preinst"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    made = folder / "broken.deb"
    run_dpkg_deb("--root-owner-group", "-Znone", "--build", tree, made)
    shutil.rmtree(tree)
    return made


def run_dpkg_deb(*words: str | Path) -> str:
    done = subprocess.run(
        ["dpkg-deb", *map(str, words)], capture_output=True, text=True, timeout=stretched(60), check=True
    )
    return done.stdout

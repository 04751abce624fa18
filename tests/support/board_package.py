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


def later_versions(deb: Path, folder: Path) -> tuple[Path, Path]:
    """The same package with a higher revision and one more file; and one that dpkg cannot install, since it fails
    before its files are there."""
    tree = folder / "tree"
    run_dpkg_deb("-R", deb, tree)
    control = tree / "DEBIAN" / "control"
    text, changed = re.subn(r"^(Version: .*)-1\+", r"\1-2+", control.read_text(), flags=re.MULTILINE)
    assert changed == 1
    control.write_text(text)
    (tree / "usr/share/doc/chargy-agent/NEWS").write_text("the second\n")
    run_dpkg_deb("--root-owner-group", "-Znone", "--build", tree, folder / "newer.deb")
    (tree / "DEBIAN" / "preinst").write_text("#!/bin/sh\nexit 1\n")
    (tree / "DEBIAN" / "preinst").chmod(0o755)
    run_dpkg_deb("--root-owner-group", "-Znone", "--build", tree, folder / "broken.deb")
    shutil.rmtree(tree)
    return folder / "newer.deb", folder / "broken.deb"


def run_dpkg_deb(*words: str | Path) -> str:
    done = subprocess.run(
        ["dpkg-deb", *map(str, words)], capture_output=True, text=True, timeout=stretched(60), check=True
    )
    return done.stdout

"""The package, built once for all tests of this folder, whichever worker runs them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.support.board_package import build_deb


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers of this run
    with (folder / "deb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = sorted((folder / "deb").glob("*.deb"))
        return built[0] if built else build_deb(folder / "deb")

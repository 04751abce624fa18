"""The package, built once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.board_package import build_deb


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_deb(tmp_path_factory.mktemp("deb"))

"""Fixtures of the tests of the integration kit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.kit_files import write_kit, write_station


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "stick")


@pytest.fixture
def station(tmp_path: Path) -> Path:
    return write_station(tmp_path / "board")

"""Fixtures of the tests of audits: folders as the command leaves them, and the browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.commands.audit.report import write_report
from tests.audit import sample_records
from tests.page.conftest import browser

__all__ = ["browser", "dc_folder", "dc_folder_as_written"]
NAME = "AUDIT-0042-20260310-0930"


@pytest.fixture(scope="session")
def dc_folder_as_written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit that manufacturer and operator have to sign, with its reports. Not to be changed."""
    folder = sample_records.write_folder(tmp_path_factory.mktemp("written") / NAME, sample_records.dc_record())
    write_report(folder)
    return folder


@pytest.fixture
def dc_folder(dc_folder_as_written: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(dc_folder_as_written, tmp_path / NAME))

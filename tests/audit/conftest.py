"""Fixtures of the tests of audits: folders as the command leaves them, and the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.commands.audit.report import write_report
from tests.audit import sample_records
from tests.page.conftest import browser

__all__ = ["browser", "dc_folder"]


@pytest.fixture
def dc_folder(tmp_path: Path) -> Path:
    """An audit that manufacturer and operator have to sign, with its reports."""
    folder = sample_records.write_folder(tmp_path / "AUDIT-0042-20260310-0930", sample_records.dc_record())
    write_report(folder)
    return folder

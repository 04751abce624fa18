"""Fixtures of all tests of drivers."""

from __future__ import annotations

import pytest

from drivers.evse_modbus import registers
from drivers.evse_modbus.write_wear import WriteWear


@pytest.fixture(autouse=True)
def _new_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boards of each test are new. Writes to worn memory are counted by address for the whole process, and the
    system may give the port of an earlier test's board to this one's."""
    monkeypatch.setattr(registers, "WRITE_WEAR", WriteWear())

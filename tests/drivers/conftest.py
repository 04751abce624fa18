"""Fixtures of all tests of drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from drivers.evse_modbus import registers
from drivers.evse_modbus.write_wear import WriteWear
from tests.support.steady_clock import SteadyClockLoop


@pytest.fixture(autouse=True)
def _new_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boards of each test are new. Writes to worn memory are counted by address for the whole process, and the
    system may give the port of an earlier test's board to this one's."""
    monkeypatch.setattr(registers, "WRITE_WEAR", WriteWear())


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Choose the event loop of a test: one whose far end answers by timers is marked ``steady_clock``."""
    return {"loop": SteadyClockLoop if item.get_closest_marker("steady_clock") else asyncio.new_event_loop}

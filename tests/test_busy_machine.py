"""The deadlines of the tests themselves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support import busy_machine
from tests.support.busy_machine import CORES, USUAL_PER_CORE, Deadline, busy_factor, deadline, stretched


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says, as a file of ours."""
    file = tmp_path / "loadavg"
    monkeypatch.setattr(busy_machine, "LOAD", file)
    file.write_text("0.10 0.20 0.30 1/160 24494\n")
    return file


def crowded(times: float) -> str:
    return f"{CORES * USUAL_PER_CORE * times:.2f} 0.00 0.00 1/900 7\n"


async def passed_s(seconds: float) -> float:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with deadline(seconds):
            await asyncio.sleep(60)
    return time.monotonic() - began


async def test_a_deadline_lasts_as_long_as_said_and_longer_on_a_busy_machine(load: Path) -> None:
    assert await passed_s(0.2) >= 0.2
    load.write_text(crowded(4))  # noqa: ASYNC240
    assert busy_factor() == pytest.approx(4)
    assert await passed_s(0.2) >= 0.8


async def test_who_is_in_time_is_not_disturbed(load: Path) -> None:
    async with deadline(5):
        await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="of the body"):
        async with deadline(5):
            raise ValueError("of the body")


def test_a_polled_deadline_and_one_said_beforehand(load: Path) -> None:
    assert stretched(10) == 10
    load.write_text(crowded(2.5))
    assert stretched(10) == pytest.approx(25)
    patience = Deadline(0.05)
    began = time.monotonic()
    while not patience.over:
        time.sleep(0.005)
    assert time.monotonic() - began >= 0.125


@pytest.mark.parametrize("text", ["", "nonsense", "1.0"])
def test_a_system_that_does_not_say_is_not_busy(load: Path, text: str) -> None:
    load.write_text(text)
    assert busy_factor() == 1


def test_deadlines_of_a_slowed_station_last_longer_on_an_idle_machine_too(
    load: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy_machine, "slowed_stations", [1.0, 3.0])
    assert stretched(10) == pytest.approx(30)
    load.write_text(crowded(4))
    assert stretched(10) == pytest.approx(40)

"""The buzzer over a FIFO that takes the records of an input device, heard by the simulated far end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from drivers.buzzer_evdev import DRIVER, list_complaints
from drivers.buzzer_evdev.settings import BuzzerSettings
from drivers.sim.buzzer import Buzzer
from drivers.testkit.buzzer import check_buzzer

WHERE = Where(0, "buzzer", lambda: (1, 0.0), ())


@pytest.fixture
def buzzer(tmp_path: Path) -> Iterator[Buzzer]:
    far_end = Buzzer(tmp_path / "buzzer")
    far_end.start()
    yield far_end
    far_end.close()


def heard(buzzer: Buzzer) -> list[int]:
    buzzer.read_tones()
    return list(buzzer.heard)


async def test_the_contract(buzzer: Buzzer) -> None:
    await check_buzzer(lambda: DRIVER.open(BuzzerSettings(str(buzzer.path)), WHERE), lambda: heard(buzzer))
    assert heard(buzzer) == [2400, 600, 0, 2400, 0, 2400, 0]


async def test_a_bell_is_on_or_off(buzzer: Buzzer) -> None:
    """Another code on the wire, which a device of tones does not understand."""
    async with DRIVER.open(BuzzerSettings(str(buzzer.path), bell=True), WHERE) as port:
        await port.tone(2400)
    assert heard(buzzer) == []


async def test_no_device_and_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nowhere"):
        async with DRIVER.open(BuzzerSettings(str(tmp_path / "nowhere")), WHERE):
            pass
    (tmp_path / "file").write_text("")
    with pytest.raises(Broken, match="is no input device"):
        async with DRIVER.open(BuzzerSettings(str(tmp_path / "file")), WHERE):
            pass
    assert list_complaints(BuzzerSettings(""))


async def test_a_buzzer_that_goes_away_is_reported(buzzer: Buzzer) -> None:
    with pytest.raises(Unreachable):
        async with DRIVER.open(BuzzerSettings(str(buzzer.path)), WHERE) as port:
            buzzer.close()
            await port.tone(600)

"""The status lamp over files as the kernel's LED class shows them, looked at by the simulated far end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.model.types import Lamp as Colour
from agent.model.types import Light
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from drivers.lamp_leds import DRIVER, list_complaints
from drivers.lamp_leds.settings import LampSettings
from drivers.sim.lamp import MOST, Lamp
from drivers.testkit.lamp import check_lamp

WHERE = Where(1, "lamp", lambda: (1, 0.0), ())


@pytest.fixture
def lamp(tmp_path: Path) -> Iterator[Lamp]:
    far_end = Lamp(tmp_path / "leds", 1)
    far_end.start()
    yield far_end
    far_end.close()


def opened(lamp: Lamp, *colours: str) -> Any:
    names = {c: lamp.names[c] for c in colours or lamp.names}
    return DRIVER.open(LampSettings(folder=str(lamp.folder), **names), WHERE)


async def test_the_contract(lamp: Lamp) -> None:
    await check_lamp(
        lambda: opened(lamp), lambda: Colour(lamp.seen_color()), lambda: lamp.read_brightness("green") / MOST
    )


async def test_the_kernel_blinks_no_more_by_itself(lamp: Lamp) -> None:
    async with opened(lamp):
        assert all((lamp.folder / n / "trigger").read_text().startswith("none\n") for n in lamp.names.values())


@pytest.mark.parametrize(
    ("fitted", "shown"),
    [
        (("red", "green"), {"green": "green", "blue": "green", "yellow": "yellow", "red": "red"}),
        (("green",), {"green": "green", "blue": "green", "yellow": "green", "red": "off"}),
        (("red",), {"green": "off", "blue": "off", "yellow": "off", "red": "red"}),
    ],
)
async def test_fewer_colours_never_say_the_opposite(lamp: Lamp, fitted: tuple[str, ...], shown: dict[str, str]) -> None:
    async with opened(lamp, *fitted) as port:
        for ordered, seen in shown.items():
            await port.show(Light(Colour(ordered)))
            assert lamp.seen_color() == seen


async def test_one_led_that_is_missing_is_reported(lamp: Lamp) -> None:
    (lamp.folder / lamp.names["blue"] / "max_brightness").unlink()
    with pytest.raises(Unreachable, match="outlet1:blue:status"):
        async with opened(lamp):
            pass


async def test_a_lamp_that_goes_away_is_reported_and_closes_without_noise(lamp: Lamp) -> None:
    with pytest.raises(Unreachable):
        async with opened(lamp) as port:
            (lamp.folder / lamp.names["red"] / "brightness").unlink()
            await port.show(Light(Colour.RED))


@pytest.mark.parametrize("wrong", [{}, {"green": "../x"}, {"green": "a", "red": "a"}])
async def test_settings_are_judged(wrong: dict[str, str]) -> None:
    assert list_complaints(LampSettings(**wrong))
    with pytest.raises(Broken):
        async with DRIVER.open(LampSettings(**wrong), WHERE):
            pass

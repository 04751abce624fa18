"""One display of two outlets is one picture on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import at, visited
from tests.scenarios.control_rig import simulated, write_station
from tests.support.simulated_station import USUAL_PANEL

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_screen_is_shown_once(browser: Any, tmp_path: Path, shared: bool) -> None:
    path = write_station(tmp_path, panel=USUAL_PANEL)
    if shared:
        with path.open("a", encoding="utf-8") as file:
            file.write('\n[display]\ndriver = "display_framebuffer"\n')
    with simulated(str(path), "--port", "0") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation) as page:
            page.wait_for_selector("[data-testid=screen-1] image[href]", state="attached")
            assert at(page, "screen-1").is_visible()
            assert at(page, "screen-2").is_visible() is not shared
            label = at(page, "screen-1").get_attribute("aria-label")
            assert label.endswith("the screen of outlets 1, 2" if shared else "the screen of outlet 1")
            other = page.locator("[data-testid=bay-2] .screen-elsewhere").text_content()
            assert other == ("screen: at outlet 1" if shared else "")

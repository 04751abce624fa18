"""The page that describes the control API: readable for all, at every width, and its forms make the calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import judged, patience_ms
from tests.scenarios.control_rig import simulated, write_station
from tests.support.simulated_station import USUAL_PANEL

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]


def test_calls_are_explained_and_made(browser: Any, tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path, panel=USUAL_PANEL)), "--port", "0", "--headless") as simulation:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(patience_ms())
        complaints: list[str] = []
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(simulation.url)  # without the station's own page this one is shown
        assert page.url.endswith("/api/v1/")
        judged(page, "closed")
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        call = page.locator("#plug_in_vehicle")
        call.locator("input[name=n]").fill("2")
        call.locator("textarea").fill('{"car": {"soc": 33}}')
        call.get_by_role("button", name="Send").click()
        call.locator("output", has_text="202").wait_for()
        assert simulation.evse(2)["soc"] == 33
        asked = page.locator("#get_evse")
        asked.locator("input[name=n]").fill("2")
        asked.get_by_role("button", name="Send").click()
        asked.locator("output", has_text='"soc": 33').wait_for()
        judged(page, "open, with an answer")
        page.emulate_media(color_scheme="dark")
        judged(page, "in the dark")
        page.close()
        assert complaints == []

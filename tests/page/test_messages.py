"""A message for drivers is set in the backend's panel of the page, and stands on the display of the station."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import at, frame, has, judged, visited
from tests.scenarios.control_rig import simulated, wait_for

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
versions = [{versions}]
[[evse]]
number = 1
[simulation]
port = 0
state_dir = "world"
"""


def station_file(folder: Path, versions: str) -> str:
    path = folder / "station.toml"
    path.write_text(STATION.format(versions=versions), "utf-8")
    return str(path)


def test_a_message_is_set_and_removed(browser: Any, tmp_path: Path) -> None:
    with simulated(station_file(tmp_path, '"2.0.1"'), "--port", "0") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation) as page:
            has(page, "backend", "Accepted")
            at(page, "message-text").fill("Fermé ce soir à 22 h")
            at(page, "message-priority").select_option("InFront")
            at(page, "message-show").click()
            frame(page, "SetDisplayMessage", "out", "result")
            wait_for(lambda: simulation.evse(1)["messages"] == ["Fermé ce soir à 22 h"], "the message on the display")
            judged(page, "the form of messages")
            at(page, "message-clear").click()
            frame(page, "ClearDisplayMessage", "out", "result")
            wait_for(lambda: simulation.evse(1)["messages"] == [], "the display without it")


def test_1_6_has_no_messages(browser: Any, tmp_path: Path) -> None:
    with simulated(station_file(tmp_path, '"1.6"'), "--port", "0") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation) as page:
            has(page, "backend", "Accepted")
            assert at(page, "message-show").is_hidden()
            assert at(page, "request-start").is_visible()

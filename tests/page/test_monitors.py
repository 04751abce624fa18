"""A monitor is set in the backend's panel of the page, and what it finds comes as NotifyEvent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page.test_messages import station_file
from tests.page.visiting import at, frame, has, judged, visited
from tests.scenarios.control_rig import simulated

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]


def test_a_monitor_is_set_and_removed(browser: Any, tmp_path: Path) -> None:
    with simulated(station_file(tmp_path, '"2.0.1"'), "--port", "0") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation) as page:
            has(page, "backend", "Accepted")
            at(page, "monitor-set").click()
            frame(page, "SetVariableMonitoring", "out", "result")
            assert simulation.post("evses/1/plug", {"ready": False}) == 202
            frame(page, "NotifyEvent", "out")
            judged(page, "the form of monitors")
            at(page, "monitor-clear").click()
            frame(page, "SetMonitoringBase", "out", "result")

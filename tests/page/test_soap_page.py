"""The page of a station that speaks OCPP 1.5: the conversation shows envelopes of SOAP as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.page.visiting import frame, has, visited
from tests.scenarios.control_rig import Simulation, simulated

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
versions = ["1.5"]
[[evse]]
number = 1
[simulation]
port = 0
state_dir = "world"
"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = tmp_path_factory.mktemp("soap") / "station.toml"
    path.write_text(STATION, "utf-8")
    with simulated(str(path), "--port", "0", "--speed", "20") as s:
        yield s


def test_envelopes_are_shown_as_messages(browser: Any, simulation: Simulation) -> None:
    with visited(browser, simulation) as page:
        has(page, "backend", "Accepted")
        sent = frame(page, "BootNotification", "out").first
        assert "SimStation" in sent.locator(".gist").text_content()
        answered = frame(page, "BootNotification", "in", "result").first
        assert "Accepted" in answered.locator(".gist").text_content()
        sent.locator("summary").click()
        sent.get_by_text("chargePointVendor").first.wait_for()
        assert "urn:" not in sent.text_content()
        has(page, "reported-1", "Available")
        frame(page, "StatusNotification", "out")
        frame(page, "StatusNotification", "in", "result")

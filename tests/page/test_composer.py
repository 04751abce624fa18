"""Messages are composed by clicks, the conversation is filtered, paused and downloaded, and the plots are drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.commands.replay.recorded_conversation import load_recording
from tests.page.visiting import at, frame, has, judged, visited
from tests.scenarios.control_rig import Simulation, simulated, wait_for

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
CHARGES = "() => /Outlet 1: [1-9]/.test(document.querySelector('[data-testid=plot-says]').textContent)"
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
versions = ["2.0.1"]
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
port = 0
state_dir = "world"
"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = tmp_path_factory.mktemp("composer") / "station.toml"
    path.write_text(STATION, "utf-8")
    with simulated(str(path), "--port", "0") as s:
        s.wait_healthy(120)
        yield s


@pytest.fixture(scope="module")
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation, accept_downloads=True) as page:
        has(page, "backend", "Accepted")
        at(page, "composer-open").click()
        yield page


def chosen(page: Any, sender: str, action: str) -> None:
    """Chooses a request, and waits for its form."""
    at(page, "composer-sender").select_option(sender)
    at(page, "composer-action").locator(f'option[value="{action}"]').wait_for(state="attached")
    at(page, "composer-action").select_option(action)
    page.wait_for_selector(f'[data-testid=composer-form][data-action="{action}"]')


def payload_shown(page: Any) -> Any:
    return json.loads(at(page, "composer-json").input_value())


def sent(page: Any, simulation: Simulation, button: str, state: str) -> Any:
    """Sends what is composed, and returns it with its answers."""
    before = len(simulation.get("composer")["messages"])
    at(page, button).click()
    wait_for(lambda: len(simulation.get("composer")["messages"]) > before, "a message that was sent")
    number = simulation.get("composer")["messages"][-1]["number"]
    page.wait_for_selector(f"[data-testid=composed-{number}][data-state={state}]")
    return simulation.get("composer")["messages"][-1]


def test_a_request_is_filled_in_and_sent_to_the_backend(page: Any, simulation: Simulation) -> None:
    has(page, "composer-says", "2.0.1")
    chosen(page, "station", "StatusNotification")
    at(page, "composer-field-connectorStatus").select_option("Faulted")
    at(page, "composer-field-evseId").fill("2")
    payload = payload_shown(page)
    assert (payload["connectorStatus"], payload["evseId"]) == ("Faulted", 2)
    message = sent(page, simulation, "composer-send", "result")
    assert json.loads(message["text"])[2:] == ["StatusNotification", payload]
    marked = page.locator('[data-testid=frame][data-composed=true][data-action="StatusNotification"]')
    marked.nth(1).wait_for(state="attached")
    assert "composed" in marked.first.text_content()


def test_fields_come_and_go(page: Any, simulation: Simulation) -> None:
    """Also those of lists, and of objects in them."""
    chosen(page, "backend", "GetVariables")
    at(page, "composer-field-getVariableData.0.component.name").fill("ClockCtrlr")
    at(page, "composer-field-getVariableData.0.variable.name").fill("DateTime")
    at(page, "composer-add-getVariableData.0").select_option("attributeType")
    at(page, "composer-field-getVariableData.0.attributeType").select_option("Actual")
    at(page, "composer-item-getVariableData").click()
    assert len(payload_shown(page)["getVariableData"]) == 2
    at(page, "composer-remove-getVariableData.1").click()
    assert payload_shown(page) == {
        "getVariableData": [
            {"component": {"name": "ClockCtrlr"}, "variable": {"name": "DateTime"}, "attributeType": "Actual"}
        ]
    }
    message = sent(page, simulation, "composer-send", "result")
    assert json.loads(message["answers"][0]["text"])[2]["getVariableResult"][0]["attributeStatus"] == "Accepted"


def test_json_and_form_are_one(page: Any) -> None:
    chosen(page, "station", "Authorize")
    at(page, "composer-json").fill('{"idToken": {"idToken": "BEEF", "type": "ISO14443"}}')
    assert at(page, "composer-field-idToken.idToken").input_value() == "BEEF"
    at(page, "composer-json").fill('{"idToken": ')
    assert at(page, "composer-json").get_attribute("aria-invalid") == "true"
    at(page, "composer-reset").click()
    page.wait_for_function("() => document.getElementById('composer-json').getAttribute('aria-invalid') === 'false'")


def test_wrong_on_purpose_and_by_hand(page: Any, simulation: Simulation) -> None:
    chosen(page, "backend", "ChangeAvailability")
    at(page, "composer-malformed").select_option("missing_field")
    message = sent(page, simulation, "composer-send", "error")
    assert message["malformed"] == "missing_field"
    at(page, "composer-malformed").select_option("")
    chosen(page, "station", "Heartbeat")
    at(page, "composer-by-hand").click()
    at(page, "composer-copy").click()
    text = at(page, "composer-raw").input_value()
    assert json.loads(text)[2:] == ["Heartbeat", {}]
    at(page, "composer-raw").fill(text.replace("Heartbeat", "NoSuchAction"))
    message = sent(page, simulation, "composer-send-text", "error")
    assert message["action"] == "NoSuchAction"
    page.locator("[data-testid=composed] summary").first.click()
    judged(page, "the composer")


def test_the_conversation_shows_what_is_chosen(page: Any, simulation: Simulation) -> None:
    frames = page.locator("[data-testid=frame]:visible")
    wrong = {"sender": "station", "action": "Heartbeat", "malformed": "unknown_action"}
    assert simulation.post("composer", wrong) == 202
    page.locator("[data-testid=frame][data-kind=error]").first.wait_for(state="attached")
    frame(page, "BootNotification", "in", "result")
    at(page, "frame-action").select_option("BootNotification")
    assert set(frames.evaluate_all("all => all.map(f => f.dataset.action)")) == {"BootNotification"}
    at(page, "frame-sender").select_option("in")
    assert set(frames.evaluate_all("all => all.map(f => f.dataset.dir + f.dataset.kind)")) == {"inresult"}
    at(page, "frame-action").select_option("")
    at(page, "frame-sender").select_option("")
    at(page, "errors-only").click()
    assert set(frames.evaluate_all("all => all.map(f => f.dataset.kind)")) == {"error"}
    at(page, "errors-only").click()


def test_a_pause_holds_the_list(page: Any, simulation: Simulation) -> None:
    at(page, "pause").click()
    shown = page.locator("[data-testid=frame]").count()
    assert simulation.post("composer", {"sender": "station", "action": "Heartbeat", "message_id": "paused"}) == 202
    page.wait_for_function("() => arrived.some((frame) => frame.frame.includes('paused'))")
    assert page.locator("[data-testid=frame]").count() == shown
    at(page, "pause").click()
    page.wait_for_function("(n) => document.querySelectorAll('[data-testid=frame]').length > n", arg=shown)


def test_the_conversation_is_downloaded(page: Any, tmp_path: Path) -> None:
    with page.expect_download() as download:
        at(page, "conversation-file").click()
    path = tmp_path / "conversation.jsonl"
    download.value.save_as(path)
    conversation = load_recording(path)
    assert conversation.station_id == "CP-1"
    assert "BootNotification" in {f.action for f in conversation.frames}
    with page.expect_download() as download:
        at(page, "conversation-picture").click()
    picture = tmp_path / "conversation.svg"
    download.value.save_as(picture)
    assert "BootNotification" in picture.read_text("utf-8")


def test_power_energy_and_latency_are_plotted(page: Any, simulation: Simulation) -> None:
    at(page, "plots-open").click()
    simulation.post("evses/1/plug", {"ready": True})
    simulation.post("cards/tap", {"uid": "04A1B2C3D4E5F6", "card": "desfire_ev1", "evse": 1})
    wait_for(lambda: simulation.evse(1)["power_w"] > 0, "power", 120)
    page.wait_for_function(CHARGES)
    says = at(page, "plot").get_attribute("aria-label")
    assert re.fullmatch(
        r"Power \(kW\)\. Outlet 1: (.+) kW now, at most (.+) kW\. Outlet 2: 0\.0 kW now, at most 0\.0 kW\.", says
    )
    for n in (1, 2):
        assert at(page, f"plot-line-{n}").count() == 1
    at(page, "plot-energy").click()
    has(page, "plot-says", "kWh in this time")
    row = at(page, "latency-out-BootNotification")
    cells = row.locator("td").all_text_contents()
    assert int(cells[0]) >= 1
    assert all(float(ms.replace(",", ".")) >= 0 for ms in cells[1:4])
    judged(page, "the plots")
    at(page, "plots-open").click()


def test_without_a_connection_nothing_can_be_sent(page: Any, simulation: Simulation) -> None:
    at(page, "link-down").click()
    has(page, "composer-says", "not connected")
    assert at(page, "composer-send").is_disabled()
    at(page, "link-up").click()
    has(page, "composer-says", "2.0.1")

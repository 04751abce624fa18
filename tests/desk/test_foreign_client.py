"""A client that a foreign generator makes of the OpenAPI document drives a session."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.desk.pytest_plugin import StartStation
from drivers.sim.openapi import document_text
from tests.support.busy_machine import stretched

PACKAGE = "foreign_station_client"
CARD = "04A1B2C3D4E5F6"


@pytest.fixture
def foreign_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Generate the client with openapi-python-client, as its users do; import a module of it by name."""
    document, config = tmp_path / "openapi.json", tmp_path / "config.json"
    document.write_text(document_text(), "utf-8")
    config.write_text(
        json.dumps({"project_name_override": "foreign", "package_name_override": PACKAGE, "post_hooks": []})
    )
    argv = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--config", str(config),
        "--meta", "none", "--output-path", str(tmp_path / PACKAGE),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=stretched(120))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: importlib.import_module(f"{PACKAGE}.{name}")


def test_a_generated_client_drives_a_session(
    foreign_client: Callable[[str], Any], simulated_station: StartStation
) -> None:
    station = simulated_station(speed=3)
    client = foreign_client("client").Client(base_url=f"{station.url}/api/v1")
    models = foreign_client("models")

    def call_of(tag: str, name: str) -> Any:
        return foreign_client(f"api.{tag}.{name}").sync_detailed

    def evse_when(condition: Callable[[Any], object]) -> Any:
        end_s = time.monotonic() + stretched(60)
        while True:
            answer = call_of("state", "get_evse")(1, client=client)
            assert answer.status_code == 200
            if condition(answer.parsed):
                return answer.parsed
            assert time.monotonic() < end_s, answer.parsed
            time.sleep(0.1)

    evse_when(lambda e: e.reported and e.reported.status == "Available")
    plugged = call_of("outlets", "plug_in_vehicle")(1, client=client, body=models.PlugInVehicleBody(ready=True))
    assert plugged.status_code == 202
    tap = {"uid": CARD, "evse": 1}
    card = models.TapCardOrTokenBodyType0.from_dict(tap)
    assert call_of("cards_and_buttons", "tap_card_or_token")(client=client, body=card).status_code == 202
    charging = evse_when(lambda e: e.session and e.power_w > 0)
    assert charging.session.token == CARD
    assert call_of("cards_and_buttons", "tap_card_or_token")(client=client, body=card).status_code == 202
    ended = evse_when(lambda e: e.last_session)
    assert ended.last_session.reason == "Local"
    again = call_of("outlets", "plug_in_vehicle")(9, client=client, body=models.PlugInVehicleBody())
    assert (again.status_code, again.parsed.error[:8]) == (404, "EVSE '9'")

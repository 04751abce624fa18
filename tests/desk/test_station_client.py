"""The typed client has every call of the control API's description, and drives a whole session."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.desk import ControlError, NotReached, SimulationFailed, Station, pictures, simulate_station
from agent.desk.pytest_plugin import StartStation
from agent.desk.station import WAIT_VARIABLE
from drivers.sim.api_routes import API_ROUTES
from tests.support.busy_machine import stretched
from tests.support.picture_judge import complaints

METHODS: dict[str, tuple[str, ...]] = {
    "tap_card_or_token": ("tap_contactless_card", "tap_serial_token"),
    "send_backend_request": ("send_backend_request", "send_ocpp_request"),
    "send_composed_message": ("send_composed_message", "send_composed_text"),
}
"""Operations that are several methods."""
NO_METHOD = (
    "get_page", "get_document", "send_server_sent_events", "send_socket_events", "send_stations_events",
    "send_stations_socket",
)  # fmt: skip
"""Operations for browsers and listeners."""
SET_BY_METHOD = {"payload", "with", "operation", "action", "manager", "n", "name"}
CARD = "04A1B2C3D4E5F6"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, f"{stretched(60):g}")


def test_the_client_has_every_call_and_every_key() -> None:
    for route in API_ROUTES:
        if route.operation in NO_METHOD:
            continue
        names = METHODS.get(route.operation, (route.operation,))
        taken = {key for name in names for key in inspect.signature(getattr(Station, name)).parameters}
        keys = {key.name for form in route.bodies for key in form.keys}
        assert keys - SET_BY_METHOD <= taken, route.operation


def test_a_session_from_the_car_to_the_bill(simulated_station: StartStation) -> None:
    station = simulated_station(speed=3)
    seen: list[Any] = [station.wait_for_status("Available")]
    station.set_meter_register(5000)
    station.plug_in_vehicle(car={"phases": 1, "max_a": 16})
    station.tap_contactless_card(CARD)
    call = station.wait_for_call("StartTransaction")
    assert (call.direction, call.payload["connectorId"], call.payload["meterStart"]) == ("out", 1, 5000)
    seen.append(station.wait_for_evse(lambda e: e["meter_wh"] > 5005))
    seen.append(station.get_evse())
    picture = station.get_station()
    assert complaints(pictures.StationPicture, picture) == []
    session = picture["evses"][0]["session"]
    assert session is not None
    assert session["token"] == CARD
    station.tap_contactless_card(CARD)
    stop = station.wait_for_call("StopTransaction", since=call.seq)
    ended = station.wait_for_evse(lambda e: e["last_session"])
    seen.append(ended)
    assert ended["last_session"] is not None
    assert ended["last_session"]["energy_wh"] == stop.payload["meterStop"] - 5000
    assert station.get_display()[:4] == b"\x89PNG"
    assert [complaints(pictures.EvsePicture, e) for e in seen] == [[]] * len(seen)
    frames = station.get_trace()
    assert len(frames) > 8
    assert [f for f in frames if complaints(pictures.FramePicture, f)] == []

    station.send_backend_request("availability", evse=1, availability="inoperative")
    asked = station.wait_for_call("ChangeAvailability", since=stop.seq, direction="in")
    assert asked.payload["connectorId"] == 1


def test_what_is_refused_and_what_does_not_come_is_an_error_with_the_reason(simulated_station: StartStation) -> None:
    station = simulated_station()
    with pytest.raises(ControlError, match="no cable is plugged") as refusal:
        station.unplug_vehicle()
    assert refusal.value.status == 409
    with pytest.raises(ControlError, match="EVSE '2' does not exist"):
        station.plug_in_vehicle(2)
    with pytest.raises(NotReached, match=r"EVSE 1: not as wanted within 0 s: .*meter_wh"):
        station.wait_for_evse(lambda e: e["power_w"] > 10**6, timeout_s=0)
    station.control_agent("stop")
    station.wait_for_picture(lambda p: not p["agent"]["up"])
    with pytest.raises(NotReached):  # the backend's half is null now
        station.wait_for_picture(lambda p: p["backend"]["link"] == "up", timeout_s=0)  # type: ignore[index]
    assert complaints(pictures.StationPicture, station.get_station()) == []


def test_nothing_there() -> None:
    station = Station("http://127.0.0.1:9")
    assert station.get_health() is False
    with pytest.raises(ControlError, match="does not answer") as refusal:
        station.get_station()
    assert refusal.value.status == 0


def test_a_station_file_with_a_mistake_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(SimulationFailed, match=r"evse\[1\]\.phases: must be one of 1, 3"),
        simulate_station(text="[[evse]]\nphases = 2\n", folder=tmp_path),
    ):
        pass


def test_a_file_of_the_project_is_copied_and_a_folder_called_agent_is_not_this_program(tmp_path: Path) -> None:
    """As a project that has a package of the same name."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("raise SystemExit('this is another program')\n")
    (tmp_path / "station.toml").write_text('[station]\nid = "CP-7"\n[[evse]]\n[[evse]]\n')
    code = (
        "from agent.desk import simulate_station\n"
        "with simulate_station('station.toml') as station:\n"
        "    print([e['number'] for e in station.get_station()['evses']])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=stretched(150)
    )
    assert done.stdout.strip() == "[1, 2]", done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent", "station.toml"]


def test_importing_the_fixture_costs_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import agent.desk.pytest_plugin; "
        "print(sorted(m for m in set(sys.modules) - before if m.startswith(('agent', 'urllib', 'http', 'aiohttp'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import pytest; {code}"], capture_output=True, text=True, timeout=stretched(60)
    )
    assert done.stdout.strip() == "['agent', 'agent.desk', 'agent.desk.pytest_plugin']", done.stderr

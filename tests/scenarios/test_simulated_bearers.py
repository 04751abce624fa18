"""The station with LAN, Wi-Fi and a modem (``config/stations/ac_bearers.toml``), played over the control API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.control_rig import ROOT, Simulation, simulated, wait_for

ICCID, IMSI = "89352010000000000176", "270991234567890"


def station_file(folder: Path) -> Path:
    path = folder / "station.toml"
    text = (ROOT / "config/stations/ac_bearers.toml").read_text("utf-8")
    text = text.replace("[backend]\n", "[backend]\ncall_timeout_s = 3\n")
    path.write_text(text.replace("ping_interval_s = 10", "ping_interval_s = 2"), "utf-8")  # noticed within seconds
    return path


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    with simulated(
        str(station_file(tmp_path_factory.mktemp("bearers"))), "--headless", "--port", "0", "--speed", "40"
    ) as s:
        s.wait_healthy()
        all_up(s)
        yield s


@pytest.fixture
def station(simulation: Simulation) -> Iterator[Simulation]:
    yield simulation
    for name in ("lan", "wifi", "gprs", "backend"):
        simulation.post(f"links/{name}", {"up": True, "stall": False, "latency_ms": 0})
    for fault in (simulation.station()["modem"] or {"faults": []})["faults"]:
        simulation.post("modem", {"fault": fault, "active": False})
    all_up(simulation)


def bearer(s: Simulation, kind: str) -> Any:
    return next((b for b in s.station().get("bearers", ()) if b["kind"] == kind), {})


def in_use(s: Simulation) -> str:
    """The bearer that carries the link, once the link is up."""
    picture = s.station()
    kinds = [b["kind"] for b in picture.get("bearers", ()) if b["in_use"] and b["state"] == "up"]
    return kinds[0] if kinds and (picture["backend"] or {}).get("link") == "up" else ""


def all_up(s: Simulation) -> None:
    def are_up() -> bool:
        return [b["state"] for b in s.station().get("bearers", ())] == ["up"] * 3

    wait_for(are_up, "three bearers that are up", 90)
    wait_for(lambda: in_use(s) == "lan", "LAN in use", 90)


def test_the_picture_of_links_bearers_and_modem(station: Simulation) -> None:
    picture = station.station()
    assert list(picture["links"]) == ["backend", "lan", "wifi", "gprs"]
    assert picture["modem"] == {
        "faults": [], "signal": 17, "signal_dbm": -79, "registration": "roaming", "operator": "LU POST",
        "iccid": ICCID, "pin_tries": 3, "apn": "chargy.m2m", "connected": True,
    }  # fmt: skip
    lan, _, gprs = picture["bearers"]
    assert lan == {
        "name": "bearer[0]", "kind": "lan", "state": "up", "reason": "", "in_use": True, "demoted_s": 0,
        "interface": "lo", "address": "127.0.0.1",
    }  # fmt: skip
    assert (gprs["sim"], gprs["iccid"], gprs["operator"], gprs["signal_dbm"]) == ("ready", "…0176", "LU POST", -79)


def test_the_numbers_of_the_sim_are_in_boot_notification(station: Simulation) -> None:
    boot = next(f for f in map(frame_of, station.trace()) if f[2:3] == ["BootNotification"])
    assert boot[3]["chargingStation"]["modem"] == {"iccid": ICCID, "imsi": IMSI}


def frame_of(line: Any) -> Any:
    return json.loads(line["frame"])


def test_a_session_over_three_bearers_is_billed_once(station: Simulation) -> None:
    """The link moves twice while a car charges: each message of the transaction arrives once, in order."""
    assert station.post("evses/1/plug", {}) == 202
    assert station.post("cards/tap", {"uid": "04A1B2C3D4E5F6"}) == 202
    wait_for(lambda: (station.evse(1)["reported"] or {}).get("status") == "Charging" or charging(station), "charging")
    for cut, next_one in (("lan", "wifi"), ("wifi", "gprs")):
        assert station.post(f"links/{cut}", {"up": False}) == 202
        wait_for(lambda n=next_one: in_use(station) == n, f"{next_one} in use")
    assert station.post("cards/tap", {"uid": "04A1B2C3D4E5F6"}) == 202
    ended = wait_for(lambda: station.evse(1)["last_session"], "the end of the session")
    assert ended["energy_wh"] > 0
    wait_for(lambda: station.station()["agent"]["queue"] == 0, "an empty queue")
    answered = {f[1] for f in map(frame_of, station.trace()) if f[0] == 3}
    events = [f for f in map(frame_of, station.trace()) if f[2:3] == ["TransactionEvent"] and f[1] in answered]
    numbers = [f[3]["seqNo"] for f in events]
    assert numbers == sorted(set(numbers)) == list(range(len(numbers)))
    assert (events[0][3]["eventType"], events[-1][3]["eventType"]) == ("Started", "Ended")
    wait_for(lambda: not station.evse(1)["locked"], "an open lock")
    assert station.post("evses/1/unplug", {}) == 202


def charging(s: Simulation) -> bool:
    return bool(s.evse(1)["contactor"])


def test_a_bearer_that_stalls_is_left(station: Simulation) -> None:
    """It has a carrier and leads nowhere. The pings notice, and a probe finds the backend over another one."""
    assert station.post("links/lan", {"stall": True}) == 202
    wait_for(
        lambda: in_use(station) == "wifi" and bearer(station, "lan")["demoted_s"] > 0, "Wi-Fi instead of a poor LAN", 90
    )


def test_a_wrong_pin_is_tried_once_and_never_again(station: Simulation) -> None:
    assert station.post("modem", {"fault": "wrong_pin", "active": True}) == 202
    wait_for(lambda: station.station()["modem"]["pin_tries"] == 2, "a refused PIN")
    wait_for(lambda: "PIN" in bearer(station, "gprs")["reason"], "the reason")
    assert station.post("agent", {"action": "kill"}) == 202
    wait_for(lambda: "PIN required" in bearer(station, "gprs").get("reason", ""), "the reason after a restart")
    assert station.station()["modem"]["pin_tries"] == 2
    wait_for(lambda: in_use(station) == "lan", "LAN in use")


def test_a_modem_that_vanishes_is_absent_until_it_is_back(station: Simulation) -> None:
    assert station.post("modem", {"fault": "vanish"}) == 202
    wait_for(lambda: bearer(station, "gprs")["state"] == "absent", "an absent modem")
    assert station.station()["modem"]["connected"] is False


def test_the_signal_is_shown_as_it_is_set(station: Simulation) -> None:
    assert station.post("modem", {"signal": 3}) == 202
    wait_for(lambda: bearer(station, "gprs")["signal_dbm"] == -107, "a weak signal")
    assert station.post("modem", {"signal": 17}) == 202


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("modem", {}, 400),
        ("modem", {"active": True}, 400),
        ("modem", {"fault": "tired"}, 400),
        ("modem", {"fault": "no_sim", "active": 1}, 400),
        ("modem", {"signal": 32}, 400),
        ("modem", {"signal": -1}, 400),
        ("modem", {"signal": None}, 400),
        ("modem", {"apn": ""}, 400),
        ("modem", {"fault": "no_network"}, 400),
        ("modem", {"fault": "brown_out"}, 202),
        ("links/gprs2", {"up": False}, 404),
        ("links/lan", {"up": 1}, 400),
    ],
)
def test_what_can_be_asked_of_modem_and_links(station: Simulation, path: str, body: Any, status: int) -> None:
    assert station.post(path, body) == status

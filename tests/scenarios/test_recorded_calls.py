"""Recordings through the control API: what a program or a person does to a simulated station runs again as a scenario,
in both versions of OCPP, with the payment page, a bank card, the mains and requests of the backend."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.scenario.scenario_file import load_scenario
from tests.scenarios.control_rig import ROOT, Simulation, simulated, wait_for
from tests.support.busy_machine import busy_factor, stretched
from tests.support.simulated_station import SMALL_PANEL

ALICE = "04A1B2C3D4E5F6"
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[settings]
sample_interval_s = 10
connection_timeout_s = 1200
[web_payment]
dynamic = true
allowed_hosts = ["127.0.0.1"]
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[power]
driver = "power_sysfs"
[[evse]]
number = 1
{panel}
[[evse]]
number = 2
{panel}
[simulation]
port = 0
state_dir = "world"
"""


@pytest.fixture
def station(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(STATION.format(panel=SMALL_PANEL), "utf-8")
    return path


class Recorded:
    """A simulation on which a recording runs."""

    def __init__(self, simulation: Simulation) -> None:
        self.s = simulation
        wait_for(lambda: self._backend().get("boot") == "Accepted" and self.s.evse(1)["screen"] == "idle", "a start")
        self.do("recording", action="start", title="Done by a program")

    def _backend(self) -> dict[str, Any]:
        return self.s.station()["backend"] or {}

    def do(self, path: str, **body: Any) -> None:
        status, text = self.s.call(path, json.dumps(body).encode())
        assert status == 202, (path, body, text)

    def until(self, what: Callable[[Any], Any], n: int = 1) -> Any:
        return wait_for(lambda: (e := self.s.evse(n)) and what(e) and e, f"outlet {n}", 120)

    def status(self, n: int, *wanted: str) -> None:
        self.until(lambda e: (e["reported"] or {}).get("status") in wanted, n)  # None: the agent starts

    def charged(self, wh: int, n: int = 1) -> None:
        """Until the backend was sent so much energy."""
        self.until(lambda e: e["session"] and e["session"]["energy_wh"] >= wh, n)
        seen = len(self.s.trace())
        readings = ("MeterValues", "TransactionEvent")
        wait_for(lambda: any(any(r in f["frame"] for r in readings) for f in self.s.trace()[seen:]), "a reading", 120)

    def link(self, state: str) -> None:
        wait_for(lambda: self._backend().get("link") == state, f"link {state}")

    def save(self, folder: Path) -> Path:
        self.do("recording", action="stop")
        assert self.s.get("recording")["running"] is False
        path = folder / "recorded.toml"
        path.write_bytes(self.s.call("recording.toml")[1])
        return path


def passes(file: Path, station: Path, version: str) -> None:
    argv = [sys.executable, "-m", "agent", "scenario", "run", str(file), "--simulate", "--station", str(station)]
    argv += ["--ocpp", version, "--speed", f"{max(1.0, 20 / busy_factor()):g}", "--least-wait", f"{stretched(30):g}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(400))
    assert done.returncode == 0, f"{file.read_text()}\n{done.stdout}\n{done.stderr}"


def deeds_in(file: Path) -> list[str]:
    waits = ("wait", "pause")
    return [s.kind.kind_name for s in load_scenario(file).steps if not s.kind.kind_name.startswith(waits)]


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_requests_of_the_backend_a_cut_link_and_a_fault(version: str, station: Path, tmp_path: Path) -> None:
    with simulated(str(station), "--port", "0", "--headless", "--speed", "20", "--ocpp", version) as s:
        r = Recorded(s)
        r.do("evses/1/plug", ready=True, car=None)
        r.status(1, "Preparing", "Occupied")
        r.do("backend", operation="remote_start", **{"with": {"token": ALICE, "evse": 1}})
        r.until(lambda e: e["contactor"])
        r.do("backend", operation="charging_profile", **{"with": {"limit_a": 10, "evse": 1}})
        r.until(lambda e: e["limit_a"] == 10.0)
        r.do("backend", operation="clear_profiles", **{"with": {}})
        r.until(lambda e: e["limit_a"] == 32.0)
        r.charged(50)
        r.do("links/backend", up=False)
        r.link("down")
        r.do("evses/1/unplug", side="ev")
        r.until(lambda e: not e["contactor"] and not e["locked"])
        r.do("links/backend", up=True)
        r.link("up")
        wait_for(lambda: s.station()["agent"]["queue"] == 0, "an empty queue")
        r.do("evses/1/unplug", side="station")
        r.status(1, "Available")
        r.do("evses/2/fault", fault="GroundFailure", active=True)
        r.status(2, "Faulted")
        r.do("evses/2/fault", fault="GroundFailure", active=False)
        r.status(2, "Available")
        r.do("backend", action="DataTransfer", payload={"vendorId": "org.unknown"})
        wait_for(lambda: "org.unknown" in str(s.trace()), "the request")
        r.do("evses/1/meter", wh=999_999)
        file = r.save(tmp_path)
        assert s.get("recording")["left_out"] == ['POST /evses/1/meter {"wh": 999999}']
    assert deeds_in(file) == [
        "plug", "backend", "backend", "backend", "link", "unplug", "link", "unplug", "fault", "fault", "backend",
    ]  # fmt: skip
    text = file.read_text("utf-8")
    assert 'status = "Accepted"' in text
    assert re.search(r'wait_transaction = "ended".*reason = "EVDisconnected"', text)
    passes(file, station, version)


def pay_by_code(s: Simulation, n: int) -> None:
    """As a telephone does: the page of the code, its button, and the button that pays."""
    code = wait_for(lambda: s.evse(n)["code"], "a code")

    def fetch(url: str, body: bytes | None) -> str:
        with urllib.request.urlopen(url, body, timeout=stretched(30)) as answer:
            return str(answer.read().decode())

    base = code.split("/pay/")[0]
    first = re.search(r'method=post action="(/pay/[^"]+)"', fetch(code, None))
    assert first is not None
    second = re.search(r'method=post action="(/pay/do/[^"]+)"', fetch(base + first[1], b""))
    assert second is not None
    fetch(base + second[1], b"")


def test_a_code_is_scanned_and_paid(station: Path, tmp_path: Path) -> None:
    with simulated(str(station), "--port", "0", "--headless", "--speed", "20", "--ocpp", "1.6") as s:
        r = Recorded(s)
        pay_by_code(s, 1)
        r.until(lambda e: e["screen"] == "plug_in")
        r.do("evses/1/plug", ready=True, car={"profile": "normal", "max_a": 32})
        r.charged(60)
        r.do("evses/1/unplug", side="ev")
        r.status(1, "Finishing")
        r.do("evses/1/unplug", side="station")
        r.status(1, "Available")
        file = r.save(tmp_path)
    assert deeds_in(file) == ["scan", "plug", "unplug", "unplug"]
    assert load_scenario(file).needs == ("payment_page",)
    passes(file, station, "1.6")


def test_a_bank_card_pays_for_direct_current(tmp_path: Path) -> None:
    station = Path(shutil.copy(ROOT / "config/scenarios/stations/dc.toml", tmp_path))
    with simulated(str(station), "--port", "0", "--headless", "--speed", "20", "--ocpp", "1.6") as s:
        r = Recorded(s)
        wait_for(lambda: any(t["state"] == "wait_card" for t in s.station()["terminals"]), "the terminal")
        r.do("terminal/card", pan_last4="1234", behaviour="approve", evse=None)
        wait_for(lambda: s.station()["ledger"]["holds"], "the bank's yes")
        r.do("evses/1/plug", ready=True, car={"profile": "dc400"})
        r.charged(500)
        r.do("evses/1/unplug", side="ev")
        wait_for(lambda: "StopTransaction" in str(s.trace()), "the end of the transaction")
        r.until(
            lambda e: e["session"] is None and e["reported"]["status"] == "Available"
        )  # a busy machine can be a fault
        file = r.save(tmp_path)
    assert deeds_in(file) == ["pay", "plug", "unplug"]
    assert load_scenario(file).needs == ("payment_terminal", "dc")
    passes(file, station, "1.6")


def test_the_mains_is_lost(station: Path, tmp_path: Path) -> None:
    with simulated(str(station), "--port", "0", "--headless", "--speed", "20", "--ocpp", "1.6") as s:
        r = Recorded(s)
        r.do("evses/2/plug", ready=True, car=None)
        r.status(2, "Preparing")
        r.do("cards/tap", uid=ALICE, evse=2)
        r.charged(50, 2)
        r.do("power", mains=False)
        wait_for(lambda: "PowerLoss" in str(s.trace()), "the end of the transaction")
        wait_for(lambda: s.station()["agent"]["restarts"], "a start", 120)
        r.link("up")
        r.do("power", mains=True)
        r.until(lambda e: not e["locked"], 2)
        r.do("evses/2/unplug", side="station")
        r.status(2, "Available")
        file = r.save(tmp_path)
    assert deeds_in(file) == ["plug", "tap", "mains", "mains", "unplug"]
    assert 'reason = "PowerLoss"' in file.read_text("utf-8")
    passes(file, station, "1.6")


def test_what_cannot_be_is_refused(station: Path) -> None:
    with simulated(str(station), "--port", "0", "--headless", "--speed", "20") as s:
        r = Recorded(s)
        assert s.post("recording", {"action": "start"}) == 409
        assert s.post("recording", {"action": "pause"}) == 400
        assert s.post("evses/1/unplug", {"side": "station"}) == 409  # not done, not recorded
        for wrong in (
            {"operation": "explode"}, {"operation": "remote_start"}, {"operation": "unlock", "with": {"who": 1}},
            {"action": 5}, {},
        ):  # fmt: skip
            assert s.post("backend", wrong) == 400, wrong
        assert s.get("recording")["deeds"] == 0
        r.do("recording", action="stop")
        assert s.post("recording", {"action": "stop"}) == 409
        r.do("evses/1/plug", ready=True, car=None)
        assert s.get("recording")["deeds"] == 0
    with simulated(str(station), "--port", "0", "--headless", "--backend", "ws://127.0.0.1:9/") as s:
        s.wait_healthy(60)
        assert s.post("backend", {"operation": "unlock"}) == 404
        assert s.call("recording.toml")[0] == 404
        assert s.station()["simulation"]["built_in_backend"] is False

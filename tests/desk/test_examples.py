"""The projects in examples/ work, as their readers start them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.desk.pytest_plugin import StartStation
from agent.desk.station import WAIT_VARIABLE
from agent.services.satellites.shared_tls import MASTER_NAME, certificate_problem
from agent.station_file.satellites import satellite_numbers
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import stretched
from tests.support.certificate_authorities import Authority

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BACK_OFFICE = EXAMPLES / "back_office" / "back_office.py"


def run_program(*argv: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *argv], cwd=folder, capture_output=True, text=True, timeout=stretched(300),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, f"{stretched(60):g}")


def test_the_back_office_has_40_lines_and_bills_a_session(simulated_station: StartStation) -> None:
    assert sum(bool(line.strip()) for line in BACK_OFFICE.read_text("utf-8").splitlines()) <= 40
    argv = [sys.executable, str(BACK_OFFICE), "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            station = simulated_station(backend=process.stdout.readline().strip(), speed=5)
            station.wait_for_status("Available")
            station.plug_in_vehicle()
            station.tap_contactless_card("04A1B2C3D4E5F6")
            station.wait_for_evse(lambda e: e["power_w"] > 0 and e["session"])
            station.unplug_vehicle(side="ev")
            station.wait_for_call("StopTransaction")
            assert re.fullmatch(r"CP-1: \d+ Wh\n", process.stdout.readline())
        finally:
            process.kill()


def test_the_fleet_finds_every_kilowatt_hour_on_a_bill(tmp_path: Path) -> None:
    argv = [sys.executable, str(BACK_OFFICE), "0"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(argv, stdout=-1, stderr=log, text=True) as process:
        assert process.stdout is not None
        try:
            url, report = process.stdout.readline().strip(), tmp_path / "report.html"
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                [EXAMPLES / "fleet" / "run.sh", url, report], capture_output=True, text=True, timeout=stretched(240),
                env={**os.environ, "PATH": path},
            )  # fmt: skip
        finally:
            process.kill()
        assert done.returncode == 0, done.stdout + done.stderr
        (transactions,) = re.findall(r"^books: (\d+) transactions, .* they agree$", done.stdout, re.MULTILINE)
        assert int(transactions) >= 10
        assert "SecurityEventNotification: NotImplemented" in done.stdout
        assert "<html" in report.read_text("utf-8")


def test_the_job_of_continuous_integration_passes() -> None:
    """The last line of the job, with the fixture that pytest finds in the installed package."""
    *_, last = (EXAMPLES / "ci" / "job.sh").read_text("utf-8").split("\n.venv/bin/python ")
    words = [word for word in last.split() if not word.startswith("--junitxml")]
    said = run_program(*words, "-p", "no:cacheprovider", folder=EXAMPLES / "ci")
    assert "2 passed" in said


def test_the_driver_keeps_the_contract_and_is_found(tmp_path: Path) -> None:
    folder = EXAMPLES / "driver"
    assert "3 passed" in run_program("-m", "pytest", "-p", "no:cacheprovider", folder=folder)
    info = tmp_path / "acme_tower-1.0.dist-info"  # as pip leaves it
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tower\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chargy_agent.drivers]\nacme_tower = acme_tower:DRIVER\n")
    path = f"{tmp_path}{os.pathsep}{folder}"
    assert "acme_tower           lamp      acme-tower 1.0" in run_program(
        "-m", "agent", "drivers", folder=ROOT, PYTHONPATH=path
    )
    assert "good (1 EVSE" in run_program(
        "-m", "agent", "check", str(folder / "station.toml"), folder=ROOT, PYTHONPATH=path
    )
    said = run_program("-m", "agent", "schema", "station", folder=ROOT, PYTHONPATH=path)
    assert '"acme_tower"' in said


@pytest.mark.parametrize("folder", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()))
def test_every_example_is_explained_and_listed(folder: str) -> None:
    assert (EXAMPLES / folder / "README.md").exists()
    assert f"[{folder}]({folder}/)" in (EXAMPLES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("way", ["script", "library"])
def test_stations_with_one_terminal_have_files_and_keys_that_fit(way: str, tmp_path: Path) -> None:
    """``library``: where there is no OpenSSL."""
    site = shutil.copytree(EXAMPLES / "shared_terminal", tmp_path / "site")
    if way == "script" and shutil.which("openssl"):
        command = ["sh", "make_keys.sh", "keys", MASTER_NAME, "east"]
        subprocess.run(command, cwd=site, check=True, timeout=stretched(60))
    else:
        write_keys(site / "keys", MASTER_NAME, "east")
    master, satellite = (load_station_file(site / f"{name}.toml") for name in ("master", "satellite"))
    numbers = satellite_numbers(master, [])
    assert list(numbers) == ["east"]
    assert len(numbers["east"]) == len(satellite.evses)
    assert master.payment_master is not None
    assert satellite.payment_satellite is not None
    for table in (master.payment_master, satellite.payment_satellite):
        assert certificate_problem(table.certificate, table.key, table.ca) == ""
    assert satellite.payment_satellite.master.endswith(f":{master.payment_master.port}")


def write_keys(folder: Path, *names: str) -> None:
    folder.mkdir()
    pool = Authority(folder, "Pool")
    (folder / "ca.pem").write_text(pool.pem)
    for name in names:
        both = pool.server((name,)).read_text()
        (folder / f"{name}.pem").write_text(both)
        (folder / f"{name}.key").write_text(both)
        (folder / f"{name}.key").chmod(0o600)

"""A wrong station file, a store that is not ours, a disk that does not want: exit code 2 and a line that helps, or the
station lives and says what it cannot do. All through the command line, as systemd and a technician see it."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import main
from agent.services.store.store import MIGRATIONS
from tests.support.busy_machine import Deadline, stretched

STATIONS = Path(__file__).parents[1] / "config" / "stations"
GOOD = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
url = "ws://127.0.0.1:9"
[[evse]]
number = 1
[evse.board]
driver = "evse_modbus"
map = "charx_sec"
host = "127.0.0.1"
port = 9
[evse.meter]
driver = "meter_modbus"
map = "eastron_sdm630"
line = "tcp"
host = "127.0.0.1"
port = 9
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent", *arguments]


def said(name: str, path: Path, timeout_s: float = 60.0) -> tuple[int, str]:
    """Exit code and complaints of a command that ends by itself."""
    argv = command(name, str(path))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=stretched(timeout_s), check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``run``, with its words in ``run.log`` beside the file."""
    with path.with_name("run.log").open("wb") as log:
        process = subprocess.Popen(command("run", str(path)), stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(path: Path, text: str, timeout_s: float = 60.0) -> str:
    patience = Deadline(timeout_s)
    while text not in (log := path.with_name("run.log").read_text()):
        assert not patience.over, f"never said {text!r}: {log}"
        time.sleep(0.05)
    return log


def written(folder: Path, text: str = GOOD) -> Path:
    path = folder / "station.toml"
    path.write_text(text)
    return path


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_good_file_is_called_good(tmp_path: Path) -> None:
    done = subprocess.run(command("check", str(written(tmp_path))), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "good (1 EVSE, 1 backend)" in done.stdout


MISTAKES = {
    "a table that is nearly right": ("[station]", "[sation]", ["sation: unknown table", "did you mean 'station'?"]),
    "a key that is nearly right": ("state_dir", "statedir", ["station.statedir", "did you mean 'state_dir'?"]),
    "a key of a list": ("number = 1", "nummer = 1", ["evse[1].nummer", "did you mean 'number'?"]),
    "a number in quotes": ("number = 1", 'number = "1"', ["evse[1].number", "must be a whole number", "'1'"]),
    "a text without quotes": ('id = "CP-1"', "id = 7", ["station.id", "must be a text in quotes", "7"]),
    "a choice": ("number = 1", 'number = 1\noutlet = "plug"', ["evse[1].outlet", "'socket', 'tethered'", "'plug'"]),
    "no TOML at all": ("[station]", "[station", ["is not valid TOML", ":2:9: "]),
    "no EVSE": (GOOD[GOOD.index("[[evse]]") :], "", ["evse: at least one EVSE is needed"]),
    "a URL without a scheme": ('"ws://127.0.0.1:9"', '"127.0.0.1:9"', ["backend.url", "ws:// or wss://"]),
    "an unknown version": ("[backend]", '[backend]\nversions = ["1.7"]', ["versions", "1.7"]),
    "a password that is missing": ("[backend]", "[backend]\nsecurity_profile = 1", ["needs password"]),
    "a setting that is nearly right": (
        "[[evse]]", "[settings]\nsample_intervall_s = 5\n[[evse]]",
        ["settings.sample_intervall_s", "did you mean 'sample_interval_s'?"],
    ),
    "a setting out of range": (
        "[[evse]]", "[settings]\nconnection_timeout_s = 0\n[[evse]]", ["settings.connection_timeout_s", "1 to 86400"]
    ),
    "a time zone that is nearly right": (
        "[station]", '[station]\ntimezone = "Europe/Luxemburg"',
        ["station.timezone", "did you mean 'Europe/Luxembourg'?"],
    ),
    "a store without room": ("[station]", "[station]\nstore_max_mb = 0", ["station.store_max_mb", "1 to 100000"]),
    "a 1.6 key": (
        "[[evse]]", '[settings.ocpp16]\nHeartbeat = "5"\n[[evse]]', ["settings.ocpp16.Heartbeat", "no such"]
    ),
    "a QR code for an outlet that is not there": (
        "[[evse]]", "[web_payment]\nevses = [1, 3]\n[[evse]]", ["web_payment.evses: there is no EVSE 3"]
    ),
    "QR codes for the station and for outlets": (
        "[[evse]]", "[web_payment]\nshared = true\nevses = [1]\n[[evse]]", ["web_payment: evses names outlets, shared"]
    ),
    "a driver that is nearly right": ('"evse_modbus"', '"evse_modbuss"', ["did you mean 'evse_modbus'?"]),
    "a driver of another role": ('"evse_modbus"', '"reader_serial"', ["evse[1].board.driver", "reader", "not a board"]),
    "a key of a driver": ('map = "charx_sec"', 'maps = "charx_sec"', ["evse[1].board.maps", "did you mean 'map'?"]),
    "a part of a map's name": ('"charx_sec"', '"charx"', ["evse[1].board", "did you mean 'charx_sec'?"]),
    "a map that is not there": ('"charx_sec"', '"charx_sek"', ["evse[1].board", "charx_sek"]),
    "a board without an address": ('host = "127.0.0.1"', 'line = "rtu"', ["evse[1].board", "device"]),
    "two speeds on one line": (
        'map = "charx_sec"\nhost = "127.0.0.1"\nport = 9\n[evse.meter]\ndriver = "meter_modbus"\n'
        'map = "eastron_sdm630"\nline = "tcp"\nhost = "127.0.0.1"\nport = 9',
        'map = "heidelberg"\ndevice = "/dev/rs485"\n[evse.meter]\ndriver = "meter_modbus"\n'
        'map = "eastron_sdm630"\ndevice = "/dev/rs485"\nunit = 2',
        ["evse[1].meter: speaks 9600 8N1 on /dev/rs485, evse[1].board speaks 19200 8E1", "to the same"],
    ),
    "a meter without an address": ('line = "tcp"\nhost = "127.0.0.1"\n', "", ["evse[1].meter"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_check_says_what_where_and_what_was_meant(tmp_path: Path, name: str) -> None:
    old, new, wanted = MISTAKES[name]
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    code, text = said("check", path)
    assert code == 2
    assert all(line.startswith(str(path)) for line in text.splitlines()), text
    for part in wanted:
        assert part in text
    assert list(tmp_path.iterdir()) == [path]  # judging a file touches nothing


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("state_dir", "statedir").replace("number = 1", "number = true")
    _, complaints = said("check", written(tmp_path, text))
    assert len(complaints.splitlines()) >= 2


def test_mistakes_in_devices_are_reported_beside_those_in_tables(tmp_path: Path) -> None:
    text = GOOD.replace("state_dir", "statedir").replace("number = 1\n", "number = 1\ndisplay = { driver = 'png' }\n")
    _, complaints = said("check", written(tmp_path, text.replace('"charx_sec"', '"charx"')))
    for what in ("station.statedir", "evse[1].display.driver: no driver is called 'png'", "did you mean 'charx_sec'?"):
        assert what in complaints
    _, complaints = said("check", written(tmp_path, text.replace("display =", "reader = [5]\ndisplay =")))
    assert 'evse[1].reader[0]: a device needs driver = "..."' in complaints


def mangled(chance: random.Random) -> str:
    """One of the station files of ours after a person has edited it."""
    lines = chance.choice(sorted(STATIONS.glob("*.toml"))).read_text("utf-8").splitlines()
    for _ in range(chance.randint(1, 4)):
        n = chance.randrange(len(lines))
        match chance.choice(("gone", "value", "table", "more")):
            case "gone":
                del lines[n]
            case "value":
                lines[n] = (
                    lines[n].partition("=")[0] + "= " + chance.choice(("true", "5", '"x"', "[]", "{}", "[1]", "-1"))
                )
            case "table":
                lines[n] = chance.choice(
                    ("[[evse]]", "[evse.meter]", "[display]", "[[reader]]", "[xyz]", "[evse.tariff]")
                )
            case _:
                lines.insert(
                    n, chance.choice(("display = 5", "reader = [5]", "number = 9", "evse = 3", "terminal = []"))
                )
    return "\n".join(lines)


def test_whatever_is_in_a_file_check_says_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "station.toml"
    for seed in range(400):
        path.write_text(mangled(random.Random(seed)), "utf-8")
        code = main(["check", str(path)])
        wrong = capsys.readouterr().err.splitlines()
        assert code == (2 if wrong else 0), seed
        assert all(line.startswith(str(path)) for line in wrong), (seed, wrong)


def test_run_refuses_a_wrong_file_before_it_touches_anything(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("state_dir", "statedir"))
    code, text = said("run", path)
    assert (code, list(tmp_path.iterdir())) == (2, [path])
    assert "did you mean 'state_dir'?" in text


@pytest.mark.parametrize("name", ["check", "run"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    code, text = said(name, tmp_path / "nowhere.toml")
    assert code == 2
    assert "nowhere.toml: cannot be read" in text


@pytest.mark.parametrize("mistake", ["a setting out of range", "a driver that is nearly right"])
def test_run_judges_settings_and_drivers_too(tmp_path: Path, mistake: str) -> None:
    old, new, wanted = MISTAKES[mistake]
    code, text = said("run", written(tmp_path, GOOD.replace(old, new, 1)))
    assert code == 2
    assert wanted[-1] in text


# --- the store ------------------------------------------------------------------------------------------------------


def test_a_state_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    code, text = said("run", written(tmp_path))
    assert code == 2
    assert str(tmp_path / "state") in text


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, a place where writing is refused")
def test_a_state_dir_where_no_one_may_write(tmp_path: Path) -> None:
    code, text = said("run", written(tmp_path, GOOD.replace('"state"', '"/proc/chargy-agent"')))
    assert code == 2
    assert "/proc/chargy-agent" in text
    assert "check" in text


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    file = tmp_path / "state" / "agent.db"
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    before = file.read_bytes()
    code, text = said("run", written(tmp_path))
    assert code == 2
    assert "newer program" in text
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    db.close()
    assert len(file.read_bytes()) == len(before)


def test_a_second_agent_on_the_same_state_dir(tmp_path: Path) -> None:
    path = written(tmp_path)
    with running(path) as first:
        wait_for(path, "agent.ocpp")
        code, text = said("run", path)
        assert code == 2
        assert "another agent is running" in text
        assert first.poll() is None
        assert (tmp_path / "state" / "status.sock").exists()  # the first one can still be watched


@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_a_corrupt_store_is_set_aside_and_the_station_lives(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path)
    state = tmp_path / "state"
    with running(path):
        wait_for(path, "agent.ocpp")
    file = state / "agent.db"
    data = file.read_bytes()
    file.write_bytes(b"no database at all " * 500 if damage == "garbage" else data[:4096] + os.urandom(len(data)))
    for tail in ("-wal", "-shm"):
        Path(f"{file}{tail}").unlink(missing_ok=True)
    with running(path) as process:
        log = wait_for(path, "the store was damaged")
        assert "agent.corrupt-1" in log
        assert (state / "agent.corrupt-1").exists()
        time.sleep(0.2)
        assert process.poll() is None


# --- what is missing around the station -----------------------------------------------------------------------------


def test_devices_that_are_not_there_are_reported_and_the_station_lives(tmp_path: Path) -> None:
    path = written(tmp_path)
    with running(path) as process:
        for device in ("evse[1].board", "evse[1].meter"):
            assert "127.0.0.1:9" in wait_for(path, device)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(stretched(8)) == 0
    assert "Traceback" not in path.with_name("run.log").read_text()


def test_a_status_socket_that_cannot_be_is_reported_and_the_station_lives(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("[backend]", f'status_socket = "/tmp/{"x" * 120}"\n[backend]'))
    with running(path) as process:
        assert "shorter" in wait_for(path, "status socket")
        wait_for(path, "evse[1].meter")
        assert process.poll() is None


def test_a_busy_page_port_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        path = written(tmp_path, GOOD + f"[simulation]\nport = {other.getsockname()[1]}\n")
        code, text = said("simulate", path)
    assert code == 2
    assert "choose one with --port" in text

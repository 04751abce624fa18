"""``kit new``: asked at a terminal or answered by options, it writes a good kit or lists what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent import cli
from agent.commands.kit.kit_file import load_kit
from agent.commands.kit.kit_questions import QUESTIONS
from tests.support.busy_machine import stretched
from tests.support.kit_files import write_kit, write_station

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ["--number", "0042", "--hotline", "+352 80 00 11 22", "--url", "wss://ocpp.example.lu/chargy"]


def new(file: Path, *words: str) -> int:
    return cli.main(["kit", "new", str(file), "--yes", *words])


def test_options_and_proposals_make_a_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.toml"
    assert new(file, *NEEDED, "--kwh", "0,45", "--apn", "chargy.m2m.lu", "--pin-file", "secrets/pin") == 0
    said = capsys.readouterr().out
    assert "still to do: backend.password_file" in said
    assert "still to do: sim.pin_file" in said
    write_kit(tmp_path)  # brings the secrets
    kit = load_kit(file)
    assert (kit.station.number, kit.backend.charge_point_id, kit.backend.security_profile) == ("0042", "0042", 2)
    assert kit.raw["tariff"] == {"kwh": 0.45, "vat_percent": 17}
    assert kit.sim is not None
    assert kit.sim.apn == "chargy.m2m.lu"
    assert all("#" in line for line in file.read_text().splitlines() if "=" in line)


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path / "new.toml", "--security-profile", "5", "--kwh", "much") == 2
    said = capsys.readouterr().err
    for option in ("--number: is missing", "--hotline: is missing", "--url: is missing"):
        assert option in said
    assert "--security-profile: must be one of 0, 1, 2, 3, is 5" in said
    assert "--kwh: must be a number, is 'much'" in said
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [*NEEDED[:-1], "ws://ocpp.example.lu", "--security-profile", "2"]
    assert new(tmp_path / "new.toml", *answers) == 2
    assert "backend.url: security_profile 2 needs wss:// (TLS)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_station_file_brings_proposals_and_no_secret(tmp_path: Path) -> None:
    station = write_station(tmp_path)
    assert new(tmp_path / "new.toml", "--station", str(station), "--hotline", "+352 1") == 0
    raw = tomllib.loads((tmp_path / "new.toml").read_text())
    assert raw["station"] == {"number": "0042", "hotline": "+352 1"}
    assert raw["backend"]["charge_point_id"] == "LU-CHG-0001"
    assert "a bench only" not in (tmp_path / "new.toml").read_text()


def test_a_file_that_exists_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_kit(tmp_path)
    before = file.read_text()
    assert new(file, *NEEDED) == 2
    assert "exists already" in capsys.readouterr().err
    assert file.read_text() == before


def test_every_question_has_an_option_of_its_own() -> None:
    names = [q.name for q in QUESTIONS]
    assert len(names) == len(set(names))


def test_a_person_is_asked_until_the_answer_is_good(tmp_path: Path) -> None:
    write_kit(tmp_path)  # brings the secrets
    typed = [
        "", "0042", "+352 80 00 11 22", "AC22-2", "LU CHG", "LU-CHG-0042", "wss://ocpp.example.lu/chargy", "", "7", "1",
        "", "", "0,45 €/kWh", "0.45", "", "", "-",
    ]  # fmt: skip
    master, terminal = os.openpty()
    argv = [sys.executable, "-m", "agent", "kit", "new", str(tmp_path / "new.toml")]
    child = subprocess.Popen(
        argv, cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    os.close(terminal)
    os.write(master, "".join(f"{line}\n" for line in [*typed, "", "", ""]).encode())
    said, _ = child.communicate(timeout=stretched(60))
    os.close(master)
    assert child.returncode == 0, said
    assert "is missing" in said
    assert "Charge point id [0042]: " in said
    assert "letters, digits and * - _ = : + | @ ." in said
    assert "must be one of 0, 1, 2, 3, is 7" in said
    kit = load_kit(tmp_path / "new.toml")
    assert (kit.backend.charge_point_id, kit.backend.security_profile, kit.sim) == ("LU-CHG-0042", 1, None)
    assert (kit.station.price_line, kit.raw["tariff"]["kwh"]) == ("0,45 €/kWh", 0.45)
    assert "sticker" not in kit.raw

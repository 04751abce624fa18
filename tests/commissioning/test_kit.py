"""The integration kit: what is wrong with one is named with its place, what it says goes into a station file and out
again, and no secret is printed."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from agent.commands.check import check_station_file
from agent.commands.kit.kit_explanation import has_check_digit
from agent.commands.kit.kit_file import FREE_TABLES, KIT_TABLES, is_secret_name, load_kit
from agent.commands.kit.kit_schema import schema_text
from agent.commands.kit.station_changes import (
    planned_changes,
    read_station_tables,
    sends_password_elsewhere,
    value_text,
)
from agent.commands.kit.station_writer import undo_kit
from agent.model.fastclass import field_specs
from agent.station_file.settings import SettingsError, load_station_file
from tests.support.kit_files import BEARER, KIT, PASSWORD, PIN, STATION, call_kit, write_kit

ROOT = Path(__file__).resolve().parents[2]


MISTAKES = {
    'number = "0042"\n': ('nummer = "0042"\n', "kit.toml:6:1: station.nummer: unknown key (did you mean 'number'?)"),
    "version = 1": (
        "version = 2",
        "kit.toml:2:1: kit.version: is 2; this program reads version 1: update chargy-agent",
    ),
    '"wss://ocpp': ('"ws://ocpp', "kit.toml:13:1: backend.url: security_profile 2 needs wss:// (TLS)"),
    'charge_point_id = "LU-CHG-0042"\n': ("", "kit.toml:11:1: backend.charge_point_id: is missing"),
    "kwh = 0.45": ("kwh = -1", "kit.toml:19:1: tariff.kwh: "),
    "heartbeat_interval_s = 60": ("heartbeat_interval_s = true", "kit.toml:27:1: settings.heartbeat_interval_s: "),
    "MeterValueSampleInterval": ("MeterValueInterval", "kit.toml:29:1: settings.ocpp16.MeterValueInterval: no such"),
    'iccid = "8935201641400948300"': ('iccid = "12"', "kit.toml:41:1: sim.iccid: must be the 18 to 20 digits"),
    'brand = "chargy"': ('brand = "Chargy"', "kit.toml:45:1: sticker.brand: must be one of 'chargy', 'superchargy'"),
    '"secrets/password"': ('"secrets/none"', "kit.toml:16:1: backend.password_file: "),
    "number = 2\n": ("number = 0\n", "kit.toml:34:1: evse[0].number: must be 1 to 1000, is 0"),
    'auth = "pap"': ('auth = "none"', "kit.toml:39:1: sim.user: has no use without auth"),
    "[sim]": ("[simcard]", "kit.toml:37:1: simcard: unknown table (did you mean 'sim'?)"),
    "vat_percent = 17": ("vat_percent = ", "kit.toml:20:15: is not valid TOML"),
}


@pytest.mark.parametrize("place", MISTAKES)
def test_a_mistake_is_named_with_its_place(
    kit: Path, place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, said = MISTAKES[place]
    kit.write_text(KIT.replace(place, wrong))
    monkeypatch.chdir(kit.parent)
    assert call_kit("inspect", "kit.toml") == 2
    assert said in capsys.readouterr().err


def test_secrets_belong_into_files_that_only_the_owner_reads(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kit.parent / "secrets" / "pin").chmod(0o644)
    assert call_kit("inspect", kit) == 2
    assert "sim.pin_file" in capsys.readouterr().err
    (kit.parent / "secrets" / "pin").chmod(0o600)
    (kit.parent / "secrets" / "pin").write_text("no PIN")
    assert call_kit("inspect", kit) == 2
    printed = capsys.readouterr().err
    assert "4 to 8 digits" in printed
    assert "no PIN" not in printed
    (kit.parent / "secrets" / "pin").write_text(PIN)
    kit.write_text(KIT.replace("MeterValueSampleInterval = ", "AuthorizationKey = "))
    assert call_kit("inspect", kit) == 2
    assert "settings.ocpp16.AuthorizationKey: is a secret" in capsys.readouterr().err


def test_inspect_explains_in_words(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_kit("inspect", kit) == 0
    text = capsys.readouterr().out
    for said in (
        "Station 0042 of type AC22-2", "+352 80 00 11 22", "LU-CHG-0042, at wss://ocpp.example.lu/chargy",
        "OCPP 2.0.1 or 1.6", "security profile 2: TLS, and a password", "secrets/password (file of the kit)",
        "APN chargy.m2m.lu", "[[bearer]]", "evse[2].roaming_id", "settings.ocpp2.TxCtrlr.EVConnectionTimeOut = 60",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize(
    ("iccid", "good"), [("8935201641400948300", True), ("8935201641400948301", False), ("893520164140094830", True)]
)
def test_the_check_digit_of_an_iccid(iccid: str, good: bool) -> None:
    assert has_check_digit(iccid) is good


def test_apply_changes_the_values_and_keeps_the_comments(kit: Path, station: Path) -> None:
    station.chmod(0o640)
    assert call_kit("diff", kit, station) == 1
    assert station.read_text() == STATION
    assert call_kit("apply", kit, station) == 0
    text = station.read_text()
    file = load_station_file(station)
    backend = file.backends[0]
    assert (file.station.number, file.station.id, file.evses[1].roaming_id) == ("0042", "LU-CHG-0001", "LU*CHY*E0042*2")
    assert (backend.charge_point_id, backend.versions, backend.password) == ("LU-CHG-0042", ("2.0.1", "1.6"), "")
    assert backend.password_file is not None
    assert backend.password_file.read_text() == PASSWORD
    assert stat.S_IMODE(backend.password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(station.stat().st_mode) == 0o640
    assert file.tariff == {"kwh": 0.45, "vat_percent": 17}
    assert file.settings["ocpp16"] == {"HeartbeatInterval": "300", "MeterValueSampleInterval": "30"}
    gone = {"# not for the street"}  # the password's own
    comments = {line[line.index("#") :] for line in STATION.splitlines() if "#" in line} - gone
    assert [c for c in comments if text.count(c) != 1] == []
    assert check_station_file(station)[1] == []
    assert call_kit("diff", kit, station) == 0
    assert call_kit("apply", kit, station) == 0
    assert station.read_text() == text


def test_undo_goes_back_step_by_step(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_kit("apply", kit, station) == 0
    first = station.read_text()
    (kit.parent / "secrets" / "password").write_text("another one")
    assert call_kit("apply", kit, station) == 0
    second = load_station_file(station).backends[0].password_file
    assert second is not None
    assert second.read_text() == "another one"
    assert call_kit("undo", station) == 0
    assert station.read_text() == first
    assert second.exists(), "the running agent may still read it"
    assert check_station_file(station)[1] == []
    assert call_kit("undo", station) == 0
    assert not second.exists()
    assert station.read_text() == STATION
    assert call_kit("undo", station) == 2
    assert "all were undone" in capsys.readouterr().err


def test_undo_gives_no_other_name_back_unless_it_may(kit: Path, station: Path) -> None:
    assert call_kit("apply", kit, station) == 0
    kit.write_text(KIT.replace("0042", "0043"))
    assert call_kit("apply", "--rename", kit, station) == 0
    renamed = station.read_text()
    with pytest.raises(SettingsError, match="another number, charge point id or SIM back"):
        undo_kit(station, discard_edits=False, rename=False)
    assert station.read_text() == renamed
    assert undo_kit(station, discard_edits=False) == []
    assert undo_kit(station, discard_edits=False, rename=False) == [], "the first kit has named the station"
    assert station.read_text() == STATION


def test_a_password_stays_with_the_host_that_it_is_for(kit: Path, station: Path) -> None:
    def sends_it(text: str) -> bool:
        kit.write_text(text)
        loaded, tables = load_kit(kit), read_station_tables(station)
        return sends_password_elsewhere(loaded, planned_changes(loaded, tables, station.parent), tables)

    without = KIT.replace('password_file = "secrets/password"\n', "").replace("security_profile = 2", "")
    assert not sends_it(KIT), "it has its own"
    assert sends_it(without)
    assert not sends_it(without.replace("wss://ocpp.example.lu/chargy", "ws://127.0.0.1:9000/other"))


CREDENTIAL = 'password_file = "/run/credentials/chargy-agent.service/backend-password"\n'
"""The same file in kit and station file: a kit may name it, and does not bring it."""
OWN_PASSWORD = 'password_file = "secrets/password"\n'
HOST = "ocpp.example.lu"


MOVES = {
    "another host": (f'url = "wss://{HOST}/a"', f'url = "wss://mine.example"\n{CREDENTIAL}', True),
    "its own password": (f'url = "wss://{HOST}/a"', f'url = "wss://mine.example"\n{OWN_PASSWORD}', False),
    "another path": (f'url = "wss://{HOST}/a"', f'url = "wss://{HOST}/b"\n{CREDENTIAL}', False),
    "without TLS": (f'url = "wss://{HOST}"', f'url = "ws://{HOST}"\n{CREDENTIAL}', True),
    "with TLS": (f'url = "ws://{HOST}"', f'url = "wss://{HOST}"\n{CREDENTIAL}', False),
    "a known address": (f'url = "ws://{HOST}"\nsecure_url = "wss://b.lu"', f'url = "wss://b.lu"\n{CREDENTIAL}', False),
    "SOAP before": (f'soap_url = "http://{HOST}"', f'url = "wss://mine.example"\n{CREDENTIAL}', True),
    "raised later": (
        f'url = "ws://{HOST}"',
        f'url = "ws://{HOST}"\nsecure_url = "wss://mine.example"\n{OWN_PASSWORD}',
        True,
    ),
    "both": (f'url = "ws://{HOST}"', f'url = "ws://a.lu"\nsecure_url = "wss://a.lu"\n{OWN_PASSWORD}', False),
    "no address before": ("", f'url = "wss://{HOST}"\n{CREDENTIAL}', False),
}
"""The addresses of the station, what the kit has instead, and whether the station's password would be sent there."""


@pytest.mark.parametrize("move", MOVES)
def test_the_password_of_the_station_is_sent_to_no_other_host(kit: Path, station: Path, move: str) -> None:
    """A key that the backend has set is sent to ``secure_url`` once the profile is raised, whatever the kit brings."""
    now, then, sends = MOVES[move]
    station.write_text(f'[station]\nid = "X"\nserial = "1"\n[backend]\n{now}\n{CREDENTIAL}[[evse]]\nnumber = 1\n')
    backend = f'[backend]\ncharge_point_id = "X"\nversions = ["1.6"]\nsecurity_profile = 1\n{then}'
    kit.write_text(f'[kit]\nversion = 1\n[station]\nnumber = "0042"\nhotline = "+352 80 00 11 22"\n{backend}')
    loaded, tables = load_kit(kit), read_station_tables(station)
    changes = planned_changes(loaded, tables, station.parent)
    assert sends_password_elsewhere(loaded, changes, tables) is sends


def test_undo_does_not_lose_an_edit_in_silence(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_kit("apply", kit, station) == 0
    station.write_text(station.read_text().replace("max_a = 16", "max_a = 20"))
    assert call_kit("undo", station) == 2
    assert "evse[2].max_a" in capsys.readouterr().err
    assert "max_a = 20" in station.read_text()
    assert call_kit("undo", station, "--discard-edits") == 0
    assert station.read_text() == STATION


def test_a_kit_that_does_not_fit_changes_nothing(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit.write_text(KIT.replace("number = 2\n", "number = 3\n"))
    assert call_kit("apply", kit, station) == 2
    assert "kit.toml:33:1: evse[3]: the station has no outlet 3" in capsys.readouterr().err
    kit.write_text(KIT.replace('qr_url = "https://pay.', 'qr_url = "https://other.'))
    assert call_kit("apply", kit, station) == 2
    assert "kit.toml:9:1: station.qr_url: leads to other.example.lu" in capsys.readouterr().err
    assert station.read_text() == STATION
    assert [p.name for p in station.parent.iterdir() if p.name not in ("station.toml", "station.toml.kit")] == []
    assert list((station.parent / "station.toml.kit").iterdir()) == []


def test_the_sim_goes_to_the_modem(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_kit("diff", kit, station) == 1
    assert "has no [[bearer]] of kind gprs" in capsys.readouterr().err
    station.write_text(STATION + BEARER)
    assert call_kit("apply", kit, station) == 0
    printed = capsys.readouterr()
    assert "bearer[1].pin: (not set) -> (secret, not shown)" in printed.out
    assert PIN not in printed.out + printed.err
    cable, modem = tomllib.loads(station.read_text())["bearer"]
    assert "apn" not in cable
    wanted = {"apn": "chargy.m2m.lu", "username": "station", "iccid": "8935201641400948300", "pin": PIN}
    assert {key: modem.get(key) for key in wanted} == wanted
    assert "# under the roof" in station.read_text()
    assert call_kit("diff", kit, station) == 0
    assert call_kit("undo", station) == 0
    assert station.read_text() == STATION + BEARER


def test_the_sim_goes_to_the_bearer_that_has_its_number(kit: Path, station: Path) -> None:
    second = BEARER.replace('"internet"', '"internet"\niccid = "8935201641400948300"').partition('interface = "eth0"')[
        2
    ]
    station.write_text(STATION + BEARER + second)
    assert call_kit("apply", kit, station) == 0
    assert [b.get("apn") for b in tomllib.loads(station.read_text())["bearer"]] == [None, "internet", "chargy.m2m.lu"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_brings_belongs_to_the_agent(kit: Path, station: Path) -> None:
    """As systemd's files have it: the station file is root's, and the group of the agent's user may read it."""
    user = pwd.getpwnam("daemon")
    os.chown(station, 0, user.pw_gid)
    station.chmod(0o640)
    assert call_kit("apply", kit, station) == 0
    brought = load_station_file(station).backends[0].password_file
    assert brought is not None
    assert {p.stat().st_uid for p in (brought, brought.parent, brought.parent.parent)} == {user.pw_uid}
    assert (station.stat().st_uid, station.stat().st_gid) == (0, user.pw_gid)


FORMS = {
    "inline tables": 'station = { id = "X", serial = "1", number = "1" }\nevse = [{ number = 1 }, { number = 2 }]\n',
    "dotted keys": 'station.id = "X"\nstation.serial = "1"\nsettings.ocpp16.HeartbeatInterval = "1"\n'
    "[[evse]]\n[[evse]]\n",
    "windows": STATION.replace("\n", "\r\n"),
    "parts": STATION + "[settings.ocpp2]\n[web_payment]\n[settings]\n",
    "one line": '[station]\nid="X"\nserial="1"\n[[evse]]\n[[evse]]',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_toml_is_edited_or_refused(kit: Path, station: Path, form: str) -> None:
    station.write_bytes(FORMS[form].encode())
    before = station.read_bytes()
    if call_kit("apply", kit, station) == 0:
        assert call_kit("diff", kit, station) == 0
        assert call_kit("undo", station) == 0
    assert station.read_bytes() == before


@pytest.mark.parametrize("text", ["backend = 3\n", "evse = [1]\n", "[[station]]\n", "tariff = 'x'\n", "bearer = 1\n"])
def test_a_station_file_without_its_tables_is_refused(
    kit: Path, station: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    station.write_text(text)
    for action in ("diff", "apply", "document"):
        assert call_kit(action, kit, station) == 2
        assert "station.toml:1:1: " in capsys.readouterr().err


def test_a_user_in_an_address_is_not_shown() -> None:
    assert value_text(("sinks", 0, "path"), "ftp://me:word@host/x") == '"ftp://(secret)@host/x"'


def test_a_path_of_the_station_is_not_copied(kit: Path, station: Path) -> None:
    kit.write_text(KIT.replace('"secrets/password"', '"/run/credentials/chargy-agent.service/backend"'))
    assert call_kit("apply", kit, station) == 0
    written = tomllib.loads(station.read_text())["backend"]["password_file"]
    assert written == "/run/credentials/chargy-agent.service/backend"


def test_what_was_wrong_with_the_station_before_does_not_stop_a_kit(
    kit: Path, station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station.write_text(STATION.replace('["fr", "de"]', '["fr", "xx"]'))
    assert call_kit("apply", kit, station) == 0
    assert "as before: " in capsys.readouterr().err


def test_no_command_prints_a_secret(kit: Path, station: Path, tmp_path: Path) -> None:
    for words in (["inspect", kit], ["diff", kit, station], ["apply", kit, station], ["diff", kit, station]):
        argv = [sys.executable, "-m", "agent", "kit", *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
        for secret in (PASSWORD, PIN, "a bench only"):
            assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["password", "pin", "AuthorizationKey", "SecurityCtrlr.BasicAuthPassword", "web1_secret"]
)
def test_secret_keys_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["password_file", "pin_file", "opinion", "key", "number"])
def test_other_keys_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_the_schema_accepts_the_kit_and_refuses_mistakes() -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    judge.validate(tomllib.loads(KIT))
    for place in (
        'number = "0042"\n',
        'brand = "chargy"',
        "[sim]",
        "number = 2\n",
        'charge_point_id = "LU-CHG-0042"\n',
    ):
        assert list(judge.iter_errors(tomllib.loads(KIT.replace(place, MISTAKES[place][0])))), place


def test_the_document_lists_every_key() -> None:
    text = (ROOT / "docs" / "kit.md").read_text("utf-8")
    keys = [f"`{key}`" for name, cls in KIT_TABLES.items() if name != "web_payment" for key in field_specs(cls)]
    tables = [f"[{name}]" for name in (*KIT_TABLES, *FREE_TABLES)]
    assert [key for key in (*keys, *tables) if key not in text] == []


def test_the_document_shows_a_kit_that_is_good(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "kit.md").read_text("utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    load_kit(write_kit(tmp_path, example))
    with pytest.raises(SettingsError):
        load_kit(write_kit(tmp_path, example.replace("[kit]", "[kid]")))

"""A kit and a station file that do not fit each other, and what a station file looks like after a kit."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from agent.commands.kit.kit_file import is_secret_name
from agent.commands.kit.kit_schema import schema_text
from drivers.modem_at import list_complaints
from drivers.modem_at.settings import ModemSettings
from tests.support.kit_files import BEARER, KIT, PIN, STATION, call_kit

OTHER_ICCID = 'iccid = "8935201641400948318"\n'


OTHERS = {
    "station.number": STATION.replace('number = "0042"', 'number = "0007"'),
    "backend.charge_point_id": STATION.replace("[backend]\n", '[backend]\ncharge_point_id = "LU-CHG-0007"\n'),
    "sim.iccid": STATION + BEARER + OTHER_ICCID,
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_kit_of_another_station_is_refused(
    kit: Path, station: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    station.write_text(OTHERS[key])
    assert call_kit("diff", kit, station) == 1
    assert "--rename" in capsys.readouterr().err
    assert call_kit("apply", kit, station) == 2
    printed = capsys.readouterr().err
    assert f": {key}: the station file has" in printed
    assert "--rename" in printed
    assert station.read_text() == OTHERS[key]
    assert call_kit("apply", kit, station, "--rename") == 0
    assert call_kit("diff", kit, station) == 0


def test_a_sim_goes_to_the_modem_without_one(kit: Path, station: Path) -> None:
    second = BEARER.partition('interface = "eth0"')[2].replace("ttyS1", "ttyS2")
    station.write_text(STATION + BEARER + OTHER_ICCID + second)
    assert call_kit("apply", kit, station) == 0
    bearers = tomllib.loads(station.read_text())["bearer"]
    assert [b.get("pin") for b in bearers] == [None, None, PIN]


FILES = {"password_file": ("backend", "password"), "pin_file": ("sim", "pin"), "logo": ("sticker", "logo.png")}


@pytest.mark.parametrize("key", FILES)
@pytest.mark.parametrize("way", ["path", "link"])
def test_a_file_outside_the_kit_is_refused(
    kit: Path, station: Path, key: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = kit.parent.parent / "other"
    other.write_text("4711")
    other.chmod(0o600)
    written = "../other" if way == "path" else "link"
    (kit.parent / "link").symlink_to(other)
    table, name = FILES[key]
    wanted = f'{key} = "{written}"'
    text = KIT.replace(f'{key} = "secrets/{name}"', wanted)
    kit.write_text(text if text != KIT else KIT.replace('brand = "chargy"', f'brand = "chargy"\n{wanted}'))
    for words in (["inspect", kit], ["apply", kit, station]):
        assert call_kit(*words) == 2
        assert f"{table}.{key}: leads out of the folder of the kit" in capsys.readouterr().err


def test_a_path_of_the_station_is_not_judged_at_the_desk(kit: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    text = KIT.replace('"secrets/password"', f'"{absent}/password"\nca = "{absent}/ca.pem"\ncrl = "{absent}/crl.pem"')
    kit.write_text(text.replace('"secrets/pin"', f'"{absent}/pin"'))
    assert call_kit("inspect", kit) == 0


COMMENTED = """\
[station]
id = "X"
serial = "1"
# of this table

# how drivers pay
[backend]
url = "ws://127.0.0.1:9000"
versions = [
  "1.6",   # of the old backend
  # the newest last
  "2.0.1",
]

# the first values
[settings.ocpp16]
HeartbeatInterval = "300"

# the left outlet
[[evse]]
number = 1

# right
[[evse]]
number = 2

# this is the end
"""


def test_a_comment_stays_above_what_it_heads(kit: Path, station: Path) -> None:
    station.write_text(COMMENTED)
    assert call_kit("apply", kit, station) == 0
    text = station.read_text()
    for comment, below in (
        ("# how drivers pay", "[backend]"), ("# the first values", "[settings.ocpp16]"),
        ("# the left outlet", "[[evse]]"), ("# right", "[[evse]]"), ('serial = "1"', "# of this table"),
    ):  # fmt: skip
        assert f"{comment}\n{below}\n" in text, text
    assert text.endswith("\n# this is the end\n")
    assert '\nroaming_id = "LU*CHY*E0042*2"\n' in text
    assert [line for line in text.splitlines() if line.startswith(" ") and "#" not in line and "." not in line] == []
    assert call_kit("undo", station) == 0
    assert station.read_text() == COMMENTED


@pytest.mark.parametrize("versions", ['["2.0.1", "1.6"]', '["2.0.1"]', '["1.6"]'])
def test_a_comment_inside_a_list_stays(kit: Path, station: Path, versions: str) -> None:
    station.write_text(COMMENTED)
    kit.write_text(KIT.replace('["2.0.1", "1.6"]', versions))
    assert call_kit("apply", kit, station) == 0
    text = station.read_text()
    assert "# of the old backend" in text
    assert "# the newest last" in text
    assert tomllib.loads(text)["backend"]["versions"] == json.loads(versions)


@pytest.mark.parametrize(
    "name",
    ["wifi_psk", "psk", "smtp_passwd", "api_key", "ApiKey", "shared_key", "credentials", "private_key", "DB_PASSWD"],
)
def test_more_keys_are_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["client_key", "keyboard", "credentials_file", "monkey"])
def test_these_are_not_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_a_modem_does_not_repeat_a_wrong_secret() -> None:
    said = "; ".join(list_complaints(ModemSettings("/dev/null", pin="12ab", password='the"word')))
    assert "pin: must be 4 to 8 digits" in said
    assert "password: must be" in said
    assert "12ab" not in said
    assert "word" not in said.replace("password", "")


@pytest.mark.parametrize(
    "text",
    [
        STATION.replace('[settings.ocpp16]   # first values\nHeartbeatInterval = "300"      # five minutes', "")
        + "[settings]\nocpp16 = 1\n",
        STATION.replace("number = 1\n", "number = []\n"),
    ],
)
def test_a_station_file_with_a_value_of_another_kind_is_refused(
    kit: Path, station: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    station.write_text(text)
    for action in ("diff", "apply", "document"):
        assert call_kit(action, kit, station) == 2
        assert "must be a" in capsys.readouterr().err


def test_a_kit_with_a_setting_in_place_of_a_table_is_refused(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit.write_text(KIT.replace('[settings.ocpp16]\nMeterValueSampleInterval = "30"', "ocpp16 = 1"))
    assert call_kit("inspect", kit) == 2
    assert "settings.ocpp16" in capsys.readouterr().err


@pytest.mark.parametrize("version", [0, 2, 1_000_000])
def test_the_schema_refuses_the_versions_that_the_program_refuses(version: int) -> None:
    judge = jsonschema.Draft202012Validator(json.loads(schema_text()))
    assert list(judge.iter_errors(tomllib.loads(KIT.replace("version = 1", f"version = {version}"))))


def test_the_sim_keys_that_a_driver_has_not_are_left_out(
    kit: Path, station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A router with mobile radio on a cable has its PIN itself."""
    station.write_text(STATION + '[[bearer]]\ndriver = "lan_static"\nkind = "gprs"\ninterface = "eth0"\n')
    assert call_kit("apply", kit, station) == 0
    printed = capsys.readouterr().err
    assert "sim.pin_file of the kit is not entered" in printed
    assert "sim.apn of the kit is not entered" in printed
    (bearer,) = tomllib.loads(station.read_text())["bearer"]
    assert bearer == {
        "driver": "lan_static", "kind": "gprs", "interface": "eth0", "iccid": "8935201641400948300",
    }  # fmt: skip
    assert call_kit("diff", kit, station) == 0


def test_apply_names_a_library_that_is_not_installed(
    kit: Path, station: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert call_kit("apply", kit, station) == 2
    assert "tomlkit is not installed; install it: pip install 'chargy-agent" in capsys.readouterr().err
    assert station.read_text() == STATION

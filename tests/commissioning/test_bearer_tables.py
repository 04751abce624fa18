"""``[[bearer]]`` tables in the station file: the check sum of a PIN, and tables that may be one SIM twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly.domain_setup import bearer_configs
from agent.model.pin_mark import make_pin_mark
from agent.station_file.settings import SettingsError, load_station_file

MODEM = '[[bearer]]\ndriver = "modem_at"\nkind = "gprs"\ndevice = "/dev/ttyUSB0"\npin = "{pin}"\n'
OTHER_MODEM = MODEM.replace("USB0", "USB1")
LAN = '[[bearer]]\ndriver = "lan_static"\nkind = "lan"\ninterface = "eth0"\n'
OTHER_ICCID = 'iccid = "89352010000000000176"\n'


def marks(folder: Path, text: str) -> list[str]:
    path = folder / "station.toml"
    path.write_text(f"{text}[[evse]]\nnumber = 1\n", "utf-8")
    return [config.pin_mark for config in bearer_configs(load_station_file(path)) if config.kind == "gprs"]


def test_the_check_sum_depends_on_nothing_but_the_pin(tmp_path: Path) -> None:
    modem = MODEM.format(pin="0042")
    (mark,) = marks(tmp_path, modem)
    assert marks(tmp_path, '[station]\nid = "OTHER"\n' + LAN + modem) == [mark]
    assert marks(tmp_path, MODEM.format(pin="0043")) != [mark]
    assert marks(tmp_path, modem + 'pin_confirmed = "2026-11-28"\n') == [mark]
    assert make_pin_mark("0042") == mark, "also in a network profile"
    assert marks(tmp_path, MODEM.format(pin="")) == [""]
    assert "0042" not in mark


def test_what_an_earlier_program_stored_for_a_confirmed_pin_is_known(tmp_path: Path) -> None:
    """These are its check sums of the PIN 0042, alone and confirmed by "today"."""
    path = tmp_path / "station.toml"
    path.write_text(MODEM.format(pin="0042") + 'pin_confirmed = "today"\n[[evse]]\nnumber = 1\n', "utf-8")
    (config,) = bearer_configs(load_station_file(path))
    assert (config.pin_mark, config.former_pin_mark) == ("ed5b529b1fe8d9e3", "e003093d887816ca")


def table_marks(folder: Path, text: str) -> list[str]:
    path = folder / "station.toml"
    path.write_text(f"{text}[[evse]]\nnumber = 1\n", "utf-8")
    return [config.table_mark for config in bearer_configs(load_station_file(path))]


@pytest.mark.parametrize("key", ["apn", "username", "password", "operator", "pin", "iccid"])
def test_a_table_with_another_access_has_another_check_sum(tmp_path: Path, key: str) -> None:
    """By it the station file overrides what a network profile has set (decision 47)."""
    value = {"operator": "27001", "pin": "0043", "iccid": "89352010000000000176"}.get(key, "other")
    modem = MODEM.format(pin="0042")
    changed = MODEM.format(pin=value) if key == "pin" else f'{modem}{key} = "{value}"\n'
    lan_mark, mark = table_marks(tmp_path, LAN + modem)
    assert table_marks(tmp_path, LAN + modem + "register_s = 20\n") == [lan_mark, mark]
    assert table_marks(tmp_path, LAN + changed)[0] == lan_mark
    assert table_marks(tmp_path, LAN + changed)[1] not in (mark, lan_mark)


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ("", "", True),
        (OTHER_ICCID, "", True),
        (OTHER_ICCID, OTHER_ICCID, True),
        (OTHER_ICCID, 'iccid = "89352010000000000284"\n', False),
    ],
)
def test_two_tables_with_one_pin_name_their_sims(tmp_path: Path, first: str, second: str, is_refused: bool) -> None:
    modem = MODEM.format(pin="0042")
    text = modem + first + OTHER_MODEM.format(pin="0042") + second
    if is_refused:
        with pytest.raises(SettingsError, match=r"bearer\[1\].iccid: bearer\[0\] has the same PIN") as refused:
            marks(tmp_path, text)
        assert "0042" not in str(refused.value)
    else:
        assert len(marks(tmp_path, text)) == 2
    assert len(marks(tmp_path, modem + OTHER_MODEM.format(pin="0043"))) == 2


OVER_SERVICES = '[[bearer]]\ndriver = "network_manager"\nkind = "gprs"\napn = "{apn}"\npin = "{pin}"\n'


@pytest.mark.parametrize("table", [MODEM, OVER_SERVICES])
def test_two_tables_for_one_modem_would_give_its_sim_two_pins(tmp_path: Path, table: str) -> None:
    text = table.format(pin="0042", apn="one") + table.format(pin="0043", apn="two") + OTHER_ICCID
    with pytest.raises(SettingsError, match=r"bearer\[1\]: bearer\[0\] is the same modem"):
        marks(tmp_path, text)
    with pytest.raises(SettingsError, match="same modem"):
        marks(tmp_path, table.format(pin="0042", apn="one") + table.format(pin="", apn="one") + 'operator = "27001"\n')
    own = OVER_SERVICES.format(pin="0043", apn="two") + 'modem = "356938035643809"\n'
    assert len(marks(tmp_path, table.format(pin="0042", apn="one") + own)) == 2

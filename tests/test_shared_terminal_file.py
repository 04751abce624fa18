"""``[payment.master]`` and ``[payment.satellite]``: what ``check`` says about the files of stations that share a
terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.assembly.domain_setup import initial_settings, initial_state
from agent.commands.check import check_station_file
from agent.domain.collaborators import Collaborators
from agent.station_file.settings import load_station_file
from tests.support.certificate_authorities import Authority

COMMON = """
[station]
id = "CP-1"
[display]
driver = "display_png"
path = "out.png"
width = 320
height = 240
[meter]
driver = "meter_modbus"
map = "sdm630"
device = "/dev/null"
class = "B"
[tariff]
kwh = 0.45
[[evse]]
number = 1
[[evse]]
number = 2
"""
MASTER = (
    COMMON
    + """
[terminal]
driver = "terminal_payter"
host = "192.168.5.10"
[payment]
amount_cents = 6000
[payment.master]
certificate = "leaf.pem"
ca = "ca.pem"
[payment.master.satellites.east]
outlets = [3, 4]
[payment.master.satellites.west]
outlets = [5]
"""
)
SATELLITE = (
    COMMON
    + """
[payment.satellite]
master = "192.168.7.1:8740"
certificate = "leaf.pem"
ca = "ca.pem"
"""
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of a station and of the authority."""
    folder = tmp_path_factory.mktemp("pool")
    authority = Authority(folder, "Pool")
    authority.client("east").rename(folder / "leaf.pem")
    (folder / "leaf.pem").chmod(0o600)
    (folder / "ca.pem").write_text(authority.pem)
    return folder


def complaints(pool: Path, text: str) -> dict[str, str]:
    """What ``check`` says, by the key. What this machine has no device for is not asked about here."""
    path = pool / "station.toml"
    path.write_text(text)
    _, problems = check_station_file(path)
    return {p.path: p.message for p in problems if not p.path.startswith(("meter", "display"))}


def test_both_files_are_good(pool: Path) -> None:
    assert complaints(pool, MASTER) == complaints(pool, SATELLITE) == {}


def test_the_station_begins_with_what_its_file_says(pool: Path) -> None:
    path = pool / "station.toml"
    path.write_text(MASTER)
    old = {"payment": {"p": {"satellite": "gone from the file"}}}
    state = initial_state(load_station_file(path), old, Collaborators(), 1.0, "Unknown")
    assert state.config.satellites == {"east": (3, 4), "west": (5,), "gone from the file": ()}
    assert not state.config.is_satellite
    path.write_text(SATELLITE)
    file = load_station_file(path)
    assert file.payment is None
    assert initial_state(file, {}, Collaborators(), 1.0, "Unknown").config.is_satellite
    assert initial_settings(file).text_value("payment_amount") == ""


@pytest.mark.parametrize(
    ("good", "wrong", "path", "said"),
    [
        ("outlets = [5]", "outlets = [4]", "payment.master.satellites.west.outlets", "4 is that of satellite east too"),
        ("outlets = [5]", "outlets = [2]", "payment.master.satellites.west.outlets", "an EVSE of this station"),
        ("outlets = [5]", "outlets = []", "payment.master.satellites.west.outlets", "1 to 100 entries"),
        ("satellites.west", "satellites.West", "payment.master.satellites.West", "small letters"),
        ('ca = "ca.pem"', 'ca = "none.pem"', "payment.master.certificate", "not usable"),
        ('certificate = "leaf.pem"', 'certificate = "none.pem"', "payment.master.certificate", "none.pem"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nport = 0', "payment.master.port", "1 to 65535"),
        ('[terminal]\ndriver = "terminal_payter"\nhost = "192.168.5.10"', "", "payment", "no terminal"),
        ("amount_cents = 6000", "", "payment.amount_cents", "is missing"),
    ],
)
def test_a_mistake_of_a_payment_master_is_named(pool: Path, good: str, wrong: str, path: str, said: str) -> None:
    assert good in MASTER
    found = complaints(pool, MASTER.replace(good, wrong, 1))
    assert said in found.get(path, ""), found


@pytest.mark.parametrize(
    ("good", "wrong", "path", "said"),
    [
        ("192.168.7.1:8740", "192.168.7.1", "payment.satellite.master", "host:port"),
        ("[payment.satellite]", "[payment]\namount_cents = 5\n[payment.satellite]", "payment.satellite", "other keys"),
        ("[tariff]\nkwh = 0.45", "", "evse[1].tariff", "without a price"),
        ('class = "B"', "", "meter.class", "bank cards pay by this meter"),
        (
            "[[evse]]",
            '[terminal]\ndriver = "terminal_payter"\nhost = "h"\n[[evse]]',
            "payment.satellite",
            "take [terminal]",
        ),
    ],
)
def test_a_mistake_of_a_satellite_is_named(pool: Path, good: str, wrong: str, path: str, said: str) -> None:
    assert good in SATELLITE
    station = pool / "station.toml"
    station.write_text(SATELLITE.replace(good, wrong, 1))
    _, problems = check_station_file(station)
    assert any(said in p.message for p in problems if p.path == path), problems


def test_a_key_that_others_can_read_is_refused(pool: Path) -> None:
    (pool / "open.pem").write_bytes((pool / "leaf.pem").read_bytes())
    (pool / "open.pem").chmod(0o644)
    found = complaints(pool, SATELLITE.replace("leaf.pem", "open.pem"))
    assert "open.pem" in found["payment.satellite.certificate"]


def test_an_editor_accepts_both_kinds_of_payment_tables() -> None:
    schema = json.loads((Path(__file__).parents[1] / "docs" / "station.schema.json").read_text())
    payment = schema["properties"]["payment"]
    assert payment["anyOf"] == [{"required": ["amount_cents"]}, {"required": ["satellite"]}]
    assert "required" not in payment
    assert payment["properties"]["satellite"]["required"] == ["master", "certificate", "ca"]

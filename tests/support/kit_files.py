"""A kit and the station file that it is applied to, as an operator and a manufacturer would write them."""

from __future__ import annotations

from pathlib import Path

from agent import cli

PASSWORD, PIN = "correct horse battery", "4711"
KIT = """\
[kit]
version = 1
station_type = "AC22-2"

[station]
number = "0042"
hotline = "+352 80 00 11 22"
price_line = "0,45 €/kWh"
qr_url = "https://pay.example.lu/0042"

[backend]
charge_point_id = "LU-CHG-0042"
url = "wss://ocpp.example.lu/chargy"
versions = ["2.0.1", "1.6"]
security_profile = 2
password_file = "secrets/password"

[tariff]
kwh = 0.45
vat_percent = 17

[web_payment]
dynamic = true
allowed_hosts = ["pay.example.lu"]

[settings]
heartbeat_interval_s = 60
[settings.ocpp16]
MeterValueSampleInterval = "30"
[settings.ocpp2]
"TxCtrlr.EVConnectionTimeOut" = 60

[[evse]]
number = 2
roaming_id = "LU*CHY*E0042*2"

[sim]
apn = "chargy.m2m.lu"
user = "station"
auth = "pap"
iccid = "8935201641400948300"
pin_file = "secrets/pin"

[sticker]
brand = "chargy"
"""
BEARER = """
[[bearer]]
driver = "lan_static"
kind = "lan"
interface = "eth0"
[[bearer]]
driver = "modem_at"   # under the roof
kind = "gprs"
device = "/dev/ttyS1"
apn = "internet"
"""
"""Tables for the end of a station file: a modem, after a cable."""
STATION = """\
# The station in front of the town hall.

[station]
id = "LU-CHG-0001"   # of the manufacturer
number = "0042"      # on the sticker
hotline = "+352 80 00 00 00"
languages = ["fr", "de"]   # French first

[backend]
url = "ws://127.0.0.1:9000"    # a bench
password = "a bench only"      # not for the street

[tariff]
kwh = 0.30           # of last year
minute = 0.02

[settings.ocpp16]   # first values
HeartbeatInterval = "300"      # five minutes

[[evse]]
number = 1
[[evse]]
number = 2
max_a = 16           # the cable is thin
# the end
"""


def write_kit(folder: Path, text: str = KIT) -> Path:
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    for name, content in (("password", PASSWORD), ("pin", PIN)):
        (secrets / name).write_text(content)
        (secrets / name).chmod(0o600)
    file = folder / "kit.toml"
    file.write_text(text)
    return file


def write_station(folder: Path, text: str = STATION) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "station.toml"
    file.write_text(text)
    return file


def call_kit(*words: object) -> int:
    """Run ``chargy-agent kit``; return its exit code."""
    return cli.main(["kit", *map(str, words)])

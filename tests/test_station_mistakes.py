"""One mistake at a time in a station file that names every kind of table: ``check`` says line, column, path and what is
wrong, and says nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest

from agent.assembly.domain_setup import external_limit_config
from agent.cli import main
from agent.commands import check
from agent.model.key_rules import Between, key_type, split_type_and_rules
from agent.model.types import MeterPolicy
from agent.station_file import payment, tables, tariff
from agent.station_file.parser import Device
from agent.station_file.problems import Problem
from agent.station_file.settings import load_station_file

ROOT = Path(__file__).parents[1]
WHOLE = """\
[station]
id = "CP-1"
vendor = "Chargy"
languages = ["fr", "de"]
state_dir = "state"
max_a = 63
[backend]
url = "wss://backend.example/ocpp"
versions = ["2.0.1", "1.6"]
security_profile = 2
password = "a-password-of-16"
[[backends]]
name = "service"
url = "ws://service.example"
calls = ["Reset"]
[[sinks]]
name = "alerts"
path = "alerts.jsonl"
[[sinks]]
name = "broker"
kind = "mqtt"
host = "10.0.0.9"
[web_payment]
dynamic = true
allowed_hosts = ["Pay.Example", "http://192.168.1.20"]
[settings]
cost_display = true
sample_interval_s = 60
[settings.ocpp16]
HeartbeatInterval = "300"
[settings.ocpp2]
"TxCtrlr.EVConnectionTimeOut" = 60
[tariff]
kwh = 0.45
vat_percent = 17
[payment]
amount_cents = 6000
[payment.receipts]
seller = "Energy SA"
address = ["1, rue du Test", "L-1000 Luxembourg"]
vat_number = "LU12345678"
[terminal]
driver = "terminal_payter"
host = "192.168.5.10"
[power]
driver = "power_sysfs"
path = "/sys/class/power_supply/mains"
hold_s = 0.3
[energy_manager]
driver = "limit_modbus"
host = "192.168.5.40"
register = 4096
on_silence = "fall_back"
fallback = 10
[updater]
driver = "updater_command"
install = ["/bin/sh", "{file}"]
running = ["/bin/sh"]
commit = ["/bin/sh"]
reboot = ["/bin/sh"]
[buttons]
driver = "buttons_evdev"
path = "/dev/input/event0"
keys = { language = 59 }
[buzzer]
driver = "buzzer_evdev"
path = "/dev/input/event1"
[display]
driver = "display_framebuffer"
path = "/dev/fb0"
[[reader]]
driver = "reader_nfc"
path = "tty:rfid0:pn532"
[[bearer]]
driver = "lan_static"
kind = "wifi"
interface = "lo"
[[bearer]]
driver = "lan_static"
kind = "gprs"
interface = "lo"
[[bearer]]
driver = "modem_at"
kind = "gprs"
device = "/dev/null"
apn = "chargy.m2m"
pin = "0042"
pppd = ["true"]
[[bearer]]
driver = "network_manager"
kind = "gprs"
apn = "chargy.m2m"
pin = "0043"
[[evse]]
number = 1
max_a = 32
[evse.board]
driver = "evse_modbus"
map = "charx_sec"
host = "192.168.5.30"
[evse.meter]
driver = "meter_modbus"
map = "eastron_sdm630"
device = "/dev/rs485"
class = "B"
[evse.lamp]
driver = "lamp_leds"
green = "charger:green:status"
[[evse.reader]]
driver = "reader_serial"
device = "/dev/ttyUSB0"
[[evse]]
number = 2
kind = "DC"
outlet = "tethered"
power_kw = 40
max_a = 125
[evse.board]
driver = "evse_everest"
host = "127.0.0.1"
[evse.meter]
driver = "meter_rest"
model = "lem_dcbm"
host = "192.168.5.20"
class = "B"
[evse.tariff]
kwh = 0.59
[metrics]
port = 9464
[simulation]
port = 8080
[[simulation.evse]]
number = 1
meter_wh = 100
"""

MISTAKES: tuple[tuple[str, int, str, str, str], ...] = (
    # header, which of that name, line in its table, path, part of the complaint
    ("[station]", 1, 'id = "CP 1"', "station.id", "letters, digits"),
    ("[station]", 1, f'id = "{"x" * 49}"', "station.id", "1 to 48 characters"),
    ("[station]", 1, 'vendor = "A vendor name that is too long for 1.6"', "station.vendor", "at most 20 characters"),
    ("[station]", 1, 'model = "A model name that is too long"', "station.model", "1 to 20 characters"),
    ("[station]", 1, 'serial = "0123456789012345678901234567"', "station.serial", "at most 25 characters"),
    ("[station]", 1, 'hotline = "+352\\n80"', "station.hotline", "on one line"),
    ("[station]", 1, 'languages = ["nl"]', "station.languages[0]", "no texts for 'nl'"),
    ("[station]", 1, "languages = []", "station.languages", "1 to 16 entries"),
    ("[station]", 1, 'languages = ["fr", "fr"]', "station.languages", "'fr' twice"),
    ("[station]", 1, 'timezone = "Europe/Luxemburg"', "station.timezone", "did you mean 'Europe/Luxembourg'?"),
    ("[station]", 1, 'state_dir = ""', "station.state_dir", "must be a path in quotes"),
    ("[station]", 1, "store_max_mb = 0", "station.store_max_mb", "1 to 100000 (megabytes)"),
    ("[station]", 1, 'features_off = ["Reservations"]', "station.features_off[0]", "'Reservation'"),
    ("[station]", 1, 'free_vending = "yes"', "station.free_vending", "true or false"),
    ("[station]", 1, "resume_within_s = -1", "station.resume_within_s", "0 to 86400 (seconds)"),
    ("[station]", 1, "max_a = 0", "station.max_a", "6 to 100000"),
    ("[station]", 1, "max_a = nan", "station.max_a", "is nan"),
    ("[station]", 1, f'status_socket = "/run/{"s" * 110}"', "station.status_socket", "107 bytes"),
    ("[station]", 1, "statedir = 'x'", "station.statedir", "did you mean 'state_dir'?"),
    ("[backend]", 1, 'url = "127.0.0.1:9000"', "backend.url", "ws:// or wss://"),
    ("[backend]", 1, 'url = "wss://backend.example:80800"', "backend.url", "is no URL"),
    ("[backend]", 1, 'url = " wss://backend.example"', "backend.url", "an address without blanks"),
    ("[backend]", 1, 'url = "wss://backend.example/ocpp "', "backend.url", "an address without blanks"),
    ("[backend]", 1, 'url = "wss://backend.\\texample"', "backend.url", "printable characters"),
    ("[backend]", 1, 'secure_url = "wss://backend.example "', "backend.secure_url", "an address without blanks"),
    ("[backend]", 1, 'url = "ws://backend.example"', "backend.url", "needs wss:// (TLS)"),
    ("[backend]", 1, 'secure_url = "ws://backend.example"', "backend.secure_url", "needs wss:// (TLS)"),
    ("[backend]", 1, 'charge_point_id = "CP/1"', "backend.charge_point_id", "letters, digits"),
    ("[backend]", 1, 'charge_point_id = "CP:1"', "backend.charge_point_id", "no colon"),
    ("[backend]", 1, 'versions = ["2.0"]', "backend.versions", "known: 2.1, 2.0.1, 1.6"),
    ("[backend]", 1, 'versions = "1.6"', "backend.versions", "must be a list"),
    ("[backend]", 1, "security_profile = 4", "backend.security_profile", "one of 0, 1, 2, 3"),
    ("[backend]", 1, "reconnect_s = -1", "backend.reconnect_s", "0.01 to 86400 (seconds)"),
    ("[backend]", 1, "call_timeout_s = 0", "backend.call_timeout_s", "0.01 to 3600 (seconds)"),
    ("[backend]", 1, 'via = "gateway"', "backend.via", "host:port"),
    ("[backend]", 1, 'via = "gateway:80800"', "backend.via", "1 to 65535"),
    ("[backend]", 1, 'via = "10.0..1:443"', "backend.via", "1 to 63 characters between its dots"),
    ("[backend]", 1, 'url = "wss://backend..example"', "backend.url", "1 to 63 characters between its dots"),
    ("[backend]", 1, 'scope = "some"', "backend.scope", "one of 'full', 'billing'"),
    ("[backend]", 1, 'quirks = "nothing_like_it"', "backend.quirks", "there is no profile 'nothing_like_it'"),
    ("[backend]", 1, 'cpo_name = 5', "backend.cpo_name", "a text in quotes"),
    ("[backend]", 1, 'ca = "nowhere.pem"', "backend.ca", "not usable"),
    ("[[backends]]", 1, 'calls = ["Resett"]', "backends[1].calls", "no such call is offered: Resett"),
    ("[[backends]]", 1, 'name = "chargy"', "backends", "'chargy' is used twice"),
    ("[[sinks]]", 1, "queue = 0", "sinks[1].queue", "1 to 100000 (lines)"),
    ("[[sinks]]", 1, 'kind = "mqtt"', "sinks[1].host", "is missing"),
    ("[[sinks]]", 1, 'kind = "syslog"', "sinks[1].kind", "one of 'file', 'mqtt'"),
    ("[[sinks]]", 2, "port = 70000", "sinks[2].port", "1 to 65535"),
    ("[[sinks]]", 2, 'host = "10.0.0..9"', "sinks[2].host", "1 to 63 characters between its dots"),
    ("[[sinks]]", 2, 'topic = "a/#"', "sinks[2].topic", "without + #"),
    ("[[sinks]]", 2, 'password_file = "nowhere"', "sinks[2].password_file", "No such file"),
    ("[web_payment]", 1, "evses = [3]", "web_payment.evses", "there is no EVSE 3"),
    ("[web_payment]", 1, 'when = "always"', "web_payment.when", "one of 'idle', 'plugged'"),
    ("[web_payment]", 1, 'allowed_hosts = ["https://pay.example"]', "web_payment.allowed_hosts[0]", "a host name"),
    ("[web_payment]", 1, 'allowed_hosts = [""]', "web_payment.allowed_hosts[0]", "a host name"),
    ("[web_payment]", 1, "max_energy_kwh = [10]", "web_payment.max_energy_kwh", "a first backend of OCPP 2.1"),
    ("[web_payment]", 1, "max_time_min = [0]", "web_payment.max_time_min[0]", "1 to 10080"),
    ("[web_payment]", 1, "max_cost = [2000]", "web_payment.max_cost[0]", "1 to 1000"),
    ("[settings]", 1, 'receipt_url = "http://pay.example/{id}"', "settings.receipt_url", "https"),
    ("[settings]", 1, "sample_intervall_s = 5", "settings.sample_intervall_s", "did you mean 'sample_interval_s'?"),
    ("[settings]", 1, "connection_timeout_s = 0", "settings.connection_timeout_s", "1 to 86400"),
    ("[settings]", 1, 'language = "nl"', "settings.language", "one of station.languages"),
    ("[settings]", 1, "cost_fallback = {}", "settings.cost_fallback", "must be a value"),
    ("[settings.ocpp16]", 1, 'Heartbeat = "5"', "settings.ocpp16.Heartbeat", "no such"),
    ("[settings.ocpp2]", 1, '"TxCtrlr.EVConnectionTime" = 60', "settings.ocpp2.TxCtrlr.EVConnectionTime", "no such"),
    ("[tariff]", 1, "kwh = -1", "tariff.kwh", "0 or more"),
    ("[tariff]", 1, 'currency = "Euro"', "tariff.currency", "three capital letters"),
    ("[tariff]", 1, 'currency = "ISK"', "tariff.currency", "ISK has 0 decimals (ISO 4217)"),
    ("[tariff]", 1, 'currency = "KWD"', "tariff.currency", "KWD has 3 decimals"),
    ("[tariff]", 1, 'currency = "EUX"', "tariff.currency", "no currency of ISO 4217"),
    ("[settings]", 1, 'currency = "EUX"', "settings.currency", "no currency of ISO 4217"),
    ("[tariff]", 1, "minimum = 60.01", "payment.amount_cents", "too little for EVSE 1"),
    ("[tariff]", 1, "session = 60", "payment.amount_cents", "too little for EVSE 1"),
    ("[evse.tariff]", 1, "session = 59.5", "payment.amount_cents", "too little for EVSE 2"),
    ("[evse.tariff]", 1, "session = 59.35", "payment.amount_cents", "too little for EVSE 2"),  # for reserve_s alone
    ("[tariff]", 1, "grace_min = 2000", "tariff.grace_min", "0 to 1440"),
    ("[tariff]", 1, "vat_percent = 170", "tariff.vat_percent", "0 to 100"),
    ("[payment]", 1, "amount_cents = 0", "payment.amount_cents", "1 to 100000"),
    ("[payment]", 1, 'prefix = "PAY-"', "payment.prefix", "letters and digits"),
    ("[payment]", 1, "retry_s = [0]", "payment.retry_s[0]", "1 to 86400"),
    ("[payment]", 1, "raise_cents = 500", "payment.most_cents", "is missing"),
    ("[payment]", 1, "most_cents = 9000", "payment.raise_cents", "is missing"),
    ("[payment]", 1, "vat_numbers = true", "payment.vat_numbers", "a first backend of OCPP 2.1"),
    ("[payment]", 1, 'vat_prefix = "lu"', "payment.vat_prefix", "the two letters of a country"),
    ("[payment]", 1, "hold_hours = 0", "payment.hold_hours", "1 to 720"),
    ("[payment]", 1, "hold_hours = 48\nreceipt = {}", "payment.receipt", "did you mean 'receipts'?"),
    ("[payment.receipts]", 1, 'series = "A/B"', "payment.receipts.series", "letters, digits and -"),
    ("[payment.receipts]", 1, "keep_days = 0", "payment.receipts.keep_days", "1 to 4000 (days)"),
    ("[payment.receipts]", 1, "card_days = 5000", "payment.receipts.card_days", "1 to 4000 (days)"),
    ("[payment.receipts]", 1, 'host = "station.example"', "payment.receipts.host", "address"),
    ("[payment.receipts]", 1, 'tls_cert = "page.pem"', "payment.receipts.tls_cert", "without tls_key"),
    ("[payment.receipts]", 1, 'selller = "X"', "payment.receipts.selller", "did you mean 'seller'?"),
    ("[terminal]", 1, "port = 80800", "terminal.port", "1 to 65535"),
    ("[terminal]", 1, 'line = "usb"', "terminal.line", "one of 'tcp', 'tls', 'serial'"),
    ("[terminal]", 1, 'driver = "terminal_paiter"', "terminal.driver", "did you mean 'terminal_payter'?"),
    ("[power]", 1, "hold_s = 0", "power.hold_s", "0.01 to 86400"),
    ("[power]", 1, "poll_s = 5", "power.poll_s", "0.02 to 0.5"),
    ("[energy_manager]", 1, 'rate_unit = "kW"', "energy_manager.rate_unit", "one of 'A', 'W'"),
    ("[energy_manager]", 1, 'source = "CSO"', "energy_manager.source", "one of 'EMS', 'SO', 'Other'"),
    ("[energy_manager]", 1, "silent_s = 1", "energy_manager.silent_s", "5 to 86400 (seconds)"),
    ("[energy_manager]", 1, 'on_silence = "stop"', "energy_manager.on_silence", "one of 'keep', 'fall_back'"),
    ("[energy_manager]", 1, 'on_silence = "release"', "energy_manager.fallback", "has no effect"),
    ("[energy_manager]", 1, "fallback = -1", "energy_manager.fallback", "0 to 10000000"),
    ("[energy_manager]", 1, "register = 70000", "energy_manager.register", "0 to 65535"),
    ("[energy_manager]", 1, 'line = "rtu"', "energy_manager.device", "is missing"),
    ("[updater]", 1, 'install = ["/bin/sh"]', "updater.install", "{file}"),
    ("[buttons]", 1, "keys = { language = 0 }", "buttons.keys.language", "from 1 to"),
    ("[buttons]", 1, "touch_max = [4095]", "buttons.touch_max", "2 to 2 entries"),
    ("[buzzer]", 1, 'driver = "reader_serial"', "buzzer.driver", "drives a reader, not a buzzer"),
    ("[display]", 1, "rotate = 45", "display.rotate", "one of 0, 90, 180, 270"),
    ("[display]", 1, "width = 9000", "display.width", "0 to 8192"),
    ("[[reader]]", 1, 'path = "com3"', "reader[0].path", "must look like usb"),
    ("[[reader]]", 1, "poll_ms = -1", "reader[0].poll_ms", "0 to 5000"),
    ("[[bearer]]", 2, 'kind = "lan"', "bearer[1].kind", "'lan' costs less than 'wifi'"),
    ("[[bearer]]", 1, 'kind = "satellite"', "bearer[0].kind", "one of 'lan', 'wifi', 'gprs'"),
    ("[[bearer]]", 2, 'iccid = "352"', "bearer[1].iccid", "the 18 to 20 digits on the SIM"),
    ("[[bearer]]", 2, 'interface = "wlan9"', "bearer[1].interface", "this machine has no interface 'wlan9'"),
    ("[[bearer]]", 3, 'device = "/dev/ttyUSB99"', "bearer[2].device", "this machine has no /dev/ttyUSB99"),
    ("[[bearer]]", 3, 'apn = "chargy m2m"', "bearer[2].apn", "without blanks"),
    ("[[bearer]]", 3, 'pin = "12a4"', "bearer[2].pin", "must be 4 to 8 digits"),
    ("[[bearer]]", 3, "pin = 1234", "bearer[2].pin", "must be a text in quotes"),
    ("[[bearer]]", 3, 'pppd = ["absent-pppd"]', "bearer[2].pppd", "install ppp"),
    ("[[bearer]]", 3, 'username = "station"', "bearer[2].auth", '"pap" or "chap"'),
    ("[[bearer]]", 4, 'apn = "chargy m2m"', "bearer[3].apn", "without blanks"),
    ("[[bearer]]", 4, 'pin = "OO43"', "bearer[3].pin", "must be 4 to 8 digits"),
    ("[[bearer]]", 4, 'interface = "wwan0"', "bearer[3].interface", "a bearer of the kind 'gprs' has no such key"),
    ("[[bearer]]", 4, 'auth = "md5"', "bearer[3].auth", "one of 'auto', 'none', 'pap', 'chap'"),
    ("[[bearer]]", 4, 'kind = "satellite"', "bearer[3].kind", "one of 'lan', 'wifi', 'gprs'"),
    ("[[bearer]]", 4, "route_metric = -1", "bearer[3].route_metric", "0 to 9999"),
    ("[[bearer]]", 1, 'interface = "eth 0"', "bearer[0].interface", "without blank"),
    ("[metrics]", 1, 'host = "192.168..10"', "metrics.host", "an IP address"),
    ("[metrics]", 1, 'host = "."', "metrics.host", "an IP address"),
    ("[metrics]", 1, 'host = "dead.beef"', "metrics.host", "an IP address"),
    ("[metrics]", 1, 'host = "1..2"', "metrics.host", "an IP address"),
    ("[metrics]", 1, 'allowed_hosts = ["a..b"]', "metrics.allowed_hosts[0]", "1 to 63 characters between its dots"),
    ("[[evse]]", 1, "max_a = 0", "evse[1].max_a", "6 to 3000 (amperes)"),
    ("[[evse]]", 1, "max_a = 320", "evse[1].max_a", "80 A at most"),
    ("[[evse]]", 1, "number = 3", "evse", "must count 1 to 2"),
    ("[[evse]]", 1, 'outlet = "plug"', "evse[1].outlet", "'socket', 'tethered'"),
    ("[[evse]]", 1, "phases = 2", "evse[1].phases", "one of 1, 3"),
    ("[[evse]]", 1, 'phase_rotation = "S"', "evse[1].phase_rotation", "3 of R, S, T"),
    ("[[evse]]", 1, 'qr_url = "http://pay.example"', "evse[1].qr_url", "https"),
    ("[[evse]]", 2, "efficiency = 93", "evse[2].efficiency", "0.5 to 1"),
    ("[[evse]]", 2, "power_kw = -50", "evse[2].power_kw", "0.1 to 10000"),
    ("[evse.board]", 1, 'map = "charx"', "evse[1].board.map", "did you mean 'charx_sec'?"),
    ("[evse.board]", 1, "watchdog_s = 0", "evse[1].board.watchdog_s", "1 to 65534"),
    ("[evse.board]", 1, "unit = 300", "evse[1].board.unit", "0 to 255"),
    ("[evse.board]", 1, 'input_faults = ["DoorOpn"]', "evse[1].board.input_faults", "DoorOpn"),
    ("[evse.board]", 2, 'manager = "a/b"', "evse[2].board.manager", "name of an EVerest module"),
    ("[evse.board]", 2, "least_w = 0", "evse[2].board.least_w", "1 to 1000000"),
    ("[evse.meter]", 1, "baud = 9601", "evse[1].meter.baud", "one of 300, 600"),
    ("[evse.meter]", 1, 'parity = "X"', "evse[1].meter.parity", "one of 'N', 'E', 'O'"),
    ("[evse.meter]", 1, 'class = "D"', "evse[1].meter.class", "one of 'A', 'B', 'C'"),
    ("[evse.meter]", 1, "mid_year = 1999", "evse[1].meter.mid_year", "2006 to 2100"),
    ("[evse.meter]", 1, "coarsest_wh = 1000", "evse[1].meter.coarsest_wh", "0.001 to 100"),
    ("[evse.meter]", 2, 'model = "lem"', "evse[2].meter.model", "'lem_dcbm'"),
    ("[evse.lamp]", 1, 'green = "a/b"', "evse[1].lamp.green", "no path"),
    ("[[evse.reader]]", 1, "baud = 0", "evse[1].reader[0].baud", "one of 300"),
    ("[[evse.reader]]", 1, 'token_type = "Card"', "evse[1].reader[0].token_type", "'ISO14443'"),
    ("[evse.tariff]", 1, 'kwh = "much"', "evse[2].tariff.kwh", "is no number"),
    ("[simulation]", 1, "port = 80800", "simulation.port", "0 to 65535"),
    ("[simulation]", 1, 'misbehaviour = ["chaty"]', "simulation.misbehaviour[0]", "one of 'answers_late'"),
    ("[simulation]", 1, 'misbehaviour = ["chatty", "chatty"]', "simulation.misbehaviour", "'chatty' twice"),
    ("[[simulation.evse]]", 1, "meter_wh = -1", "simulation.evse[0].meter_wh", "0 to 1000000000000"),
)  # fmt: skip


def with_line(text: str, header: str, which: int, line: str) -> tuple[str, int]:
    """The file with ``line`` in that table, in place of the same key if it is there; and the number of the line."""
    lines = text.splitlines()
    begin = [n for n, found in enumerate(lines) if found == header][which - 1]
    end = next((n for n in range(begin + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    key = line.partition(" =")[0]
    at = next((n for n in range(begin + 1, end) if lines[n].partition(" =")[0] == key), None)
    if at is None:
        at = begin + 1
        lines.insert(at, line)
    else:
        lines[at] = line
    return "\n".join(lines) + "\n", at + 1


def judged(folder: Path, text: str) -> list[Problem]:
    path = folder / "station.toml"
    path.write_text(text, "utf-8")
    return check.check_station_file(path)[1]


@pytest.fixture(autouse=True)
def _system_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a system bus is a complaint of its own."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/absent")


def test_the_whole_file_is_good(tmp_path: Path) -> None:
    assert judged(tmp_path, WHOLE) == []
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize(
    ("header", "which", "line", "path", "said"), MISTAKES, ids=[f"{m[3]}: {m[2][:40]}" for m in MISTAKES]
)
def test_one_mistake_is_named_with_its_place(
    tmp_path: Path, header: str, which: int, line: str, path: str, said: str
) -> None:
    text, number = with_line(WHOLE, header, which, line)
    found = judged(tmp_path, text)
    assert len(found) == 1, [p.compiler_line(Path("f")) for p in found]
    (problem,) = found
    assert problem.path == path
    assert said in problem.message
    lines = text.splitlines()
    leaf = path.rpartition(".")[2].partition("[")[0]
    if leaf == line.partition(" =")[0].strip('"').rpartition(".")[2]:
        assert problem.line == number, "the line of the key"
        assert line[problem.column - 1 :].lstrip("\"'").startswith((leaf, "TxCtrlr")) or path.endswith("]")
    elif problem.line != number:  # of the table, where a key is missing or two do not go together
        there = lines[problem.line - 1]
        assert there.startswith(leaf) or there.strip("[]").rpartition(".")[2].startswith(path.partition("[")[0][:4])


def test_mistakes_of_every_stage_are_named_in_one_run(tmp_path: Path) -> None:
    """Tables, settings, prices, terms of payment, devices, languages: none hides another."""
    text, wanted, taken = WHOLE, set[str](), set[tuple[str, int, str]]()
    for header, which, line, path, _ in MISTAKES:
        key = line.partition(" =")[0]
        together = path in ("evse", "backends", "station.serial") or key in ("driver", "url", "model", "scope", "kind")
        if together or (header, which, key) in taken or (header, which) == ("[evse.board]", 1):
            continue
        text, _ = with_line(text, header, which, line)
        taken.add((header, which, key))
        wanted.add(path)
    found = {p.path for p in judged(tmp_path, text)}
    assert len(wanted) > 45
    remedies = {"payment.raise_cents", "payment.most_cents"}  # each is what the other one needs
    by_version = {"payment.vat_numbers", "web_payment.max_energy_kwh"}  # no version is known: they are wrong too
    single = {"settings.language", "station.max_a", "backend.secure_url"}
    assert wanted - found <= single | remedies | by_version, wanted - found


def test_the_same_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "station.toml"
    path.write_text(WHOLE, "utf-8")
    assert main(["check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert any("ping_interval_s" in note for note in found.pop("notes")), "the file has a modem: its link profile"
    assert found == {"v": 1, "file": str(path), "good": True, "problems": []}
    path.write_text(WHOLE.replace('vendor = "Chargy"', "vendor = 5"), "utf-8")
    assert main(["check", str(path), "--json"]) == 2
    said = capsys.readouterr()
    (problem,) = json.loads(said.out)["problems"]
    assert problem == {"line": 3, "column": 1, "path": "station.vendor", "message": "must be a text in quotes, is 5"}
    assert said.err == ""
    path.write_text("[station\n", "utf-8")
    assert main(["check", str(path), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["line"], problem["path"]) == (1, "")


def test_the_line_that_editors_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "station.toml"
    path.write_text(WHOLE.replace("max_a = 63", "  max_a = 0"), "utf-8")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}:6:3: station.max_a: must be 6 to 100000")


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 20_000, "a = " + "9" * 6000, "\0", "[station]\nid = 'x'\nid = 'y'"], ids=range(4)
)
def test_what_no_file_may_be_is_said_too(tmp_path: Path, text: str) -> None:
    (problem,) = judged(tmp_path, text)
    assert "is not valid TOML" in problem.message


def test_a_wrong_pin_is_not_repeated(tmp_path: Path) -> None:
    (problem,) = judged(tmp_path, WHOLE.replace('"0042"', '"88l3"'))
    assert (problem.path, "88l3" in problem.message) == ("bearer[2].pin", False)


@pytest.mark.parametrize("secret", ["p" * 80, "line\nbreak", "nul\0"])
def test_a_wrong_password_is_not_repeated(tmp_path: Path, secret: str) -> None:
    (problem,) = judged(tmp_path, WHOLE.replace('"a-password-of-16"', json.dumps(secret)))
    assert problem.path == "backend.password"
    assert secret[:8] not in problem.message
    assert json.dumps(secret)[1:8] not in problem.message


@pytest.mark.parametrize(
    "url", [" wss://user:geheim@host", "wss://user:ge\theim@host", "user:geheim@host", "wss://user:geheim\u2100@host"]
)
def test_the_password_of_a_wrong_address_is_not_repeated(tmp_path: Path, url: str) -> None:
    (problem,) = judged(tmp_path, WHOLE.replace('"wss://backend.example/ocpp"', json.dumps(url)))
    assert problem.path == "backend.url"
    assert "heim" not in problem.message


def test_files_with_a_secret_are_for_their_owner(tmp_path: Path) -> None:
    for name in ("password", "broker-password"):
        (tmp_path / name).write_text("secret-word")
        (tmp_path / name).chmod(0o644)
    text = WHOLE.replace('password = "a-password-of-16"', 'password_file = "password"')
    text = text.replace('host = "10.0.0.9"', 'host = "10.0.0.9"\npassword_file = "broker-password"')
    found = judged(tmp_path, text)
    assert [p.path for p in found] == ["backend.password_file", "sinks[2].password_file"]
    assert all("chmod 600" in p.message for p in found)
    for name in ("password", "broker-password"):
        (tmp_path / name).chmod(0o600)
    assert judged(tmp_path, text) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"pass\xffword", "must be text (UTF-8)"),
        ("password".encode("utf-16-le"), "must be text (UTF-8)"),
        (b"x" * 70_000, "has more than 65536 bytes"),
        (None, "Is a directory"),
    ],
    ids=["no UTF-8", "UTF-16", "a large file", "a folder"],
)
def test_a_file_that_holds_no_password_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    password = tmp_path / "password"
    if content is None:
        password.mkdir()
    else:
        password.write_bytes(content)
    password.chmod(0o700)
    (found,) = judged(tmp_path, WHOLE.replace('password = "a-password-of-16"', 'password_file = "password"'))
    assert found.path == "backend.password_file"
    assert said in found.message


QR_ONLY = """\
[tariff]
kwh = 0.59
[[evse]]
number = 1
kind = "DC"
power_kw = {power_kw}
{terminal}
"""
OWN_TERMINAL = 'terminal = { driver = "terminal_payter", host = "10.0.0.5" }'


@pytest.mark.parametrize(
    ("power_kw", "terminal", "more", "wanted"),
    [
        (150, "", "", ["evse[1].terminal"]),
        (50, "", "", ["evse[1].terminal"]),
        (49, "", "", []),
        (150, OWN_TERMINAL, "[payment]\namount_cents = 6000\n", []),
        (150, "", "[station]\npool_terminal = true\n", []),
    ],
)
def test_from_50_kw_on_a_card_reader_is_the_law(
    tmp_path: Path, power_kw: int, terminal: str, more: str, wanted: list[str]
) -> None:
    found = judged(tmp_path, more + QR_ONLY.format(power_kw=power_kw, terminal=terminal))
    assert [p.path for p in found] == wanted
    assert all("2023/1804, 5(1)" in p.message for p in found)


def test_a_meter_that_bank_cards_pay_by_names_its_class(tmp_path: Path) -> None:
    found = judged(tmp_path, WHOLE.replace('class = "B"\n', ""))
    assert [p.path for p in found] == ["evse[1].meter.class", "evse[2].meter.class"]
    assert all("bank cards pay by this meter" in p.message for p in found)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiomqtt", None)
    spi = '[evse.display]\ndriver = "display_spi"\nchip = "ssd1306"\ndc = 25\n[evse.lamp]'
    monkeypatch.setitem(__import__("sys").modules, "spidev", None)
    found = {p.path: p.message for p in judged(tmp_path, WHOLE.replace("[evse.lamp]", spi))}
    assert set(found) == {"sinks[2].kind", "evse[2].board.driver", "evse[1].display.driver"}
    assert "pip install 'chargy-agent[mqtt]'" in found["sinks[2].kind"]
    assert "pip install 'chargy-agent[mqtt]'" in found["evse[2].board.driver"]
    assert "pip install 'chargy-agent[spi]'" in found["evse[1].display.driver"]


# --- every key has its rule -----------------------------------------------------------------------------------------

OURS = [
    *(c for c in vars(tables).values() if isinstance(c, type) and c.__module__ == tables.__name__),
    MeterPolicy, payment.PaymentTable, tariff.TariffTable, tariff.WindowTable,
]  # fmt: skip
DRIVERS = {e.name: e.load().settings for e in entry_points(group="chargy_agent.drivers")}
MADE = {"charge_point_id_in_url", "subprotocol_echo", "sells", "interface"}
READ_BY_THE_FILE = {"StationFile"}


def without_a_rule(cls: type[Any]) -> list[str]:
    found = []
    for f in fields(cls):
        base, rules = split_type_and_rules(key_type(cls, f))
        if get_origin(base) is tuple:
            base, rules = split_type_and_rules(get_args(base)[0])
        if hasattr(base, "__dataclass_fields__") and base is not Device:
            found += without_a_rule(base)
        elif base in (int, float, str, Any) and not rules and f.name not in MADE:
            found.append(f"{cls.__name__}.{f.name}")
    return found


@pytest.mark.parametrize("cls", [c for c in OURS if c.__name__ not in READ_BY_THE_FILE], ids=lambda c: c.__name__)
def test_every_key_of_our_tables_has_its_range_its_choices_or_its_form(cls: type[Any]) -> None:
    assert without_a_rule(cls) == []


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_every_key_of_a_driver_has_its_range_its_choices_or_its_form(name: str) -> None:
    assert without_a_rule(DRIVERS[name]) == []


DOCUMENTED = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("station-file.md", "payments.md"))
OTHERWISE = {"accuracy_class": "class"}


@pytest.mark.parametrize("cls", [c for c in OURS if c.__name__ not in READ_BY_THE_FILE], ids=lambda c: c.__name__)
def test_every_key_of_our_tables_is_documented(cls: type[Any]) -> None:
    names = {OTHERWISE.get(f.name, f.name) for f in fields(cls)} - MADE
    assert [n for n in sorted(names) if not re.search(rf"\b{n}\b", DOCUMENTED)] == []


@pytest.mark.parametrize("name", sorted(set(DRIVERS) - {"blueprint"}))
def test_every_key_of_a_driver_is_documented(name: str) -> None:
    documents = DOCUMENTED + "".join(p.read_text("utf-8") for p in (ROOT / "docs").glob("*.md"))
    assert [f.name for f in fields(DRIVERS[name]) if not re.search(rf"\b{f.name}\b", documents)] == []


@dataclass
class Bare:
    number: int
    names: tuple[str, ...] = ()
    judged: Annotated[int, Between(0, 1)] = 0
    flag: bool = False


def test_a_key_without_a_rule_is_found() -> None:
    assert without_a_rule(Bare) == ["Bare.number", "Bare.names"]


def test_the_file_is_what_it_says() -> None:
    tomllib.loads(WHOLE)


ENERGY_MANAGER = """
[station]
id = "CP-1"
[[backends]]
name = "first"
url = "ws://first.example"
versions = ["2.0.1", "1.6"]
[[backends]]
name = "second"
url = "ws://second.example"
versions = ["1.6"]
[energy_manager]
driver = "limit_modbus"
host = "192.168.5.40"
register = 4096
rate_unit = "W"
[[evse]]
max_a = 32
[[evse]]
number = 2
max_a = 16
phases = 1
"""


@pytest.mark.parametrize(("line", "is_noted"), [("", True), ("fallback = 4140", False)])
def test_a_start_without_a_limit_is_noted(tmp_path: Path, line: str, is_noted: bool) -> None:
    path = tmp_path / "station.toml"
    path.write_text(ENERGY_MANAGER.replace('rate_unit = "W"', f'rate_unit = "W"\n{line}'), "utf-8")
    notes = check._file_notes(load_station_file(path))
    assert any("set fallback" in note for note in notes) is is_noted


def test_what_is_plausible_and_who_can_be_informed_follows_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(ENERGY_MANAGER, "utf-8")
    config = external_limit_config(load_station_file(path))
    assert config is not None
    assert config.highest == 10 * 230 * (3 * 32 + 16)
    assert config.rate_links == {"first"}

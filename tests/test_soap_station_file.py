"""What ``check`` says of a station file that names SOAP."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly.identity import learn_backend_secrets
from agent.commands.check import check_station_file
from agent.ocpp.transport.ocpp_s.callers import allowed_callers
from agent.ocpp.transport.ocpp_s.soap_transport import own_address
from agent.services.logs.masking import LogMask
from agent.station_file.settings import Backend, parse_station_file
from tests.support.certificate_authorities import Authority

BOARD = '[[evse]]\nnumber = 1\n[evse.board]\ndriver = "evse_modbus"\nmap = "charx_sec"\nhost = "10.0.0.9"\n'
SOAP = 'url = "http://10.0.0.1/ocpp"\nversions = ["1.5"]'


def complaints(tmp_path: Path, backend: str, more: str = "") -> list[str]:
    path = tmp_path / "station.toml"
    path.write_text(f'[station]\nid = "CP-1"\n[backend]\n{backend}\n{more}{BOARD}')
    return [f"{p.path}: {p.message}" if p.path else p.message for p in check_station_file(path)[1]]


@pytest.mark.parametrize(
    "backend",
    [
        SOAP,
        f'{SOAP}\nsoap_port = 9000\nsoap_address = "from bearer"\nsoap_callers = ["10.0.0.1", "10.1.0.0/16"]',
        f'{SOAP}\nsoap_address = "http://gateway.example:9000/cp-1"',
        f'{SOAP}\nsoap_password_file = "password"',
        f'{SOAP}\nsoap_user = "csms"\nsoap_password = "of the caller"',
        'soap_url = "https://csms.example/o"\nversions = ["1.5"]\nsecurity_profile = 2\npassword = "a-password-of-16"',
        'url = "http://10.0.0.1"\nversions = ["1.6", "1.5", "1.2"]',
        'url = "ws://10.0.0.1"\nsoap_url = "http://10.0.0.1"\nversions = ["2.0.1", "1.6", "1.5"]',
    ],
)
def test_good_files(tmp_path: Path, backend: str) -> None:
    (tmp_path / "password").write_text("of the caller")
    (tmp_path / "password").chmod(0o600)
    assert complaints(tmp_path, backend) == []


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ('url = "http://10.0.0.1"\nversions = ["2.0.1"]', "none of the versions 2.0.1 is spoken over SOAP"),
        ('url = "ws://10.0.0.1"\nversions = ["1.5"]', "is spoken over SOAP only: give soap_url"),
        ('url = "http://10.0.0.1"\nversions = ["2.0.1", "1.5"]', "OCPP 2.0.1 needs a WebSocket"),
        ('url = "ws://10.0.0.1"\nsoap_url = "http://10.0.0.1"\nversions = ["2.0.1"]', "soap_url: none of the versions"),
        (f'{SOAP}\nsoap_url = "ws://10.0.0.1"', "soap_url: must begin with http:// or https://"),
        (f'{SOAP}\nsoap_url = "http://user:pw@10.0.0.1"', "soap_url: must not hold a user"),
        (f"{SOAP}\nsoap_port = 70000", "backend.soap_port"),
        (f"{SOAP}\nsoap_tls = true", "soap_tls needs client_cert"),
        (f'{SOAP}\nsoap_client_ca = "ca.pem"', "soap_client_ca: a caller shows a certificate in TLS only"),
        (f'{SOAP}\nsoap_user = "csms"', "soap_user: needs soap_password"),
        (f'{SOAP}\nsoap_user = "a:b"\nsoap_password = "x"', "must be a name without a colon"),
        (f'{SOAP}\nsoap_tls = true\nclient_cert = "none.pem"', "client_cert, client_key, soap_client_ca: not usable"),
        (f'{SOAP}\nsoap_callers = ["10.0.0.300"]', "must be an IP address or a network"),
        (f'{SOAP}\nsoap_address = "gateway"', "backend.soap_address"),
        (f'{SOAP}\nsoap_password_file = "nowhere"', "soap_password_file: "),
        (f'{SOAP}\nsecurity_profile = 2\npassword = "a-password-of-16"', "needs https:// (TLS)"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, backend: str, said: str) -> None:
    found = complaints(tmp_path, backend)
    assert len(found) == 1, found
    assert said in found[0]
    assert "pw@" not in found[0]


def test_the_certificate_of_the_own_port_is_looked_at(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    secured = f'{SOAP}\nsoap_tls = true\nclient_cert = "{ours.server()}"\n'
    assert complaints(tmp_path, secured) == []
    assert complaints(tmp_path, f'{secured}soap_client_ca = "{ours.root}"') == []
    assert complaints(tmp_path, f'{secured}soap_address = "https://10.0.0.7:8090/"') == []
    (said,) = complaints(tmp_path, f'{secured}soap_address = "http://10.0.0.7:8090/"')
    assert "soap_address: the own port speaks TLS (soap_tls): give an https:// address" in said


@pytest.mark.parametrize(("mode", "text", "said"), [(0o644, "of the caller", "chmod 600"), (0o600, "\n", "is empty")])
def test_the_password_of_callers_is_looked_at(tmp_path: Path, mode: int, text: str, said: str) -> None:
    password = tmp_path / "password"
    password.write_text(text)
    password.chmod(mode)
    (found,) = complaints(tmp_path, f'{SOAP}\nsoap_password_file = "password"')
    assert said in found


def test_the_password_of_callers_is_masked(tmp_path: Path) -> None:
    """Also that of a file; one that cannot be read is said where the port is opened."""
    (tmp_path / "password").write_text("of-the-caller\n")
    mask = LogMask()
    table = {"url": "http://10.0.0.1", "versions": ["1.5"], "soap_password_file": str(tmp_path / "password")}
    other = {**table, "name": "second", "soap_port": 8091, "soap_password_file": str(tmp_path / "nowhere")}
    raw = {"station": {"id": "CP-1"}, "backend": table, "backends": [other], "evse": [{"number": 1}]}
    learn_backend_secrets(parse_station_file(raw, tmp_path / "station.toml"), mask)
    assert mask.mask_text("Basic CP-1:of-the-caller") == "Basic CP-1:***"


def test_two_backends_do_not_share_a_port(tmp_path: Path) -> None:
    other = '[[backends]]\nname = "second"\nurl = "http://10.0.0.2"\nversions = ["1.5"]\n'
    (said,) = complaints(tmp_path, SOAP, other)
    assert "soap_port 8090 is that of 'chargy' too" in said
    assert complaints(tmp_path, SOAP, f"{other}soap_port = 8091\n") == []


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ports.driver.missing_module", lambda names, extra: names and f"{names[1]} of {extra}")
    (said,) = complaints(tmp_path, SOAP)
    assert "defusedxml of chargy-agent[soap]" in said
    assert complaints(tmp_path, 'url = "ws://10.0.0.1"') == []


def test_addresses_and_callers() -> None:
    assert own_address("from bearer", "10.0.0.7", 8090) == "http://10.0.0.7:8090/"
    assert own_address("from bearer", "fd00::7", 8090) == "http://[fd00::7]:8090/"
    assert own_address("from bearer", "fd00::7", 8090, "https") == "https://[fd00::7]:8090/"
    assert own_address("http://gateway/x", "10.0.0.7", 8090) == "http://gateway/x"
    named = allowed_callers(Backend(soap_callers=("10.0.0.0/29", "fd00::/8")), "192.168.1.1")
    cases = {"10.0.0.1": True, "10.0.0.9": False, "192.168.1.1": False, "::ffff:10.0.0.2": True, "fd00::9%eth0": True}
    assert {caller: named.admits_caller(caller) for caller in (*cases, "", "x")} == {**cases, "": False, "x": False}
    assert allowed_callers(Backend(), "192.168.1.1").admits_caller("192.168.1.1")
    assert Backend(url="http://host/x", charge_point_id="CP-1").connection_url == "http://host/x"

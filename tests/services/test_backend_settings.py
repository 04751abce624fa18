"""What a backend's table may say; passwords appear in no text of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.commands.check import complaints_after_loading
from agent.station_file.settings import SettingsError, StationFile, parse_station_file
from tests.support.certificate_authorities import Authority


def backend(**keys: Any) -> StationFile:
    return parse_station_file({"backend": keys, "evse": [{"number": 1}]}, Path("station.toml"))


def test_a_choice_is_judged_in_every_backend() -> None:
    with pytest.raises(SettingsError, match="must be one of 'full', 'billing'"):
        parse_station_file(
            {"backends": [{"url": "ws://example.org", "scope": "some"}], "evse": [{"number": 1}]}, Path("s.toml")
        )


@pytest.mark.parametrize(
    ("station", "evse", "wrong"),
    [
        ({"max_a": 5.9}, {}, "station.max_a: must be 6 to 100000"),
        ({}, {"phase_rotation": "SR"}, "must be one of"),
        ({}, {"phase_rotation": "S"}, "must name 3 of R, S, T"),
        ({}, {"phases": 1, "phase_rotation": "STR"}, "must name 1 of R, S, T"),
    ],
)
def test_a_feed_that_cannot_be(station: dict[str, Any], evse: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        parse_station_file({"station": station, "evse": [{"number": 1, **evse}]}, Path("s.toml"))


@pytest.mark.parametrize("profile", [2, 3])
def test_a_profile_with_tls_needs_wss(profile: int):
    with pytest.raises(SettingsError, match=f"security_profile {profile} needs wss://"):
        backend(url="ws://example.org/x", security_profile=profile, password="p", client_cert="own.pem")
    assert backend(url="wss://example.org/x", security_profile=profile, password="p", client_cert="own.pem").backends


@pytest.mark.parametrize(
    ("profile", "given", "needs"),
    [(1, {}, "password"), (2, {"client_cert": "own.pem"}, "password"), (3, {"password": "p"}, "client_cert")],
)
def test_each_profile_needs_what_it_shows(profile: int, given: dict[str, str], needs: str):
    with pytest.raises(SettingsError, match=f"security_profile {profile} needs {needs}"):
        backend(url="wss://example.org/x", security_profile=profile, **given)


@pytest.mark.parametrize("url", ["ws://user:S3CRET@example.org/x", "wss://S3CRET@example.org", "S3CRET://u:S3CRET@x"])
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str):
    with pytest.raises(SettingsError, match="password_file") as caught:
        backend(url=url)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["ws://[::1", "ws://example.org:99999/x", "ws://:9000/x", "ws:///x"])
def test_an_url_that_is_none_is_reported(url: str):
    with pytest.raises(SettingsError, match=r"backend\.url"):
        backend(url=url)


def test_secrets_are_in_no_repr_and_no_complaint():
    raw = {
        "backend": {"url": "ws://example.org", "password": "S3CRET"},
        "settings": {"authorization_key": "S3CRET", "ocpp16": {"AuthorizationKey": "S3CRET"}},
        "evse": [{"number": 1, "board": {"driver": "x", "password": "S3CRET"}}],
    }
    assert "S3CRET" not in repr(parse_station_file(raw, Path("station.toml")))
    with pytest.raises(SettingsError, match="password") as caught:
        backend(url="ws://example.org", password=987654321)
    assert "987654321" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "said"),
    [("ca", "missing.pem"), ("crl", "missing.pem"), ("client_cert", "missing.pem"), ("client_key", "not usable")],
)
def test_certificate_files_that_cannot_be_used_are_reported_before_the_station_needs_them(
    broken: str, said: str, tmp_path: Path
) -> None:
    ours = Authority(tmp_path)
    own = ours.client("CP-1")
    files = {"ca": ours.root, "crl": ours.crl(), "client_cert": own, "client_key": own}
    given = {name: str(path) for name, path in files.items()}
    assert not unusable(given)
    given[broken] = str(ours.client("CP-2")) if broken == "client_key" else str(tmp_path / "missing.pem")
    (line,) = unusable(given)
    assert said in line


def unusable(given: dict[str, str]) -> list[str]:
    file = backend(url="wss://example.org", security_profile=3, **given)
    return [line for line in complaints_after_loading(file) if "not usable" in line]

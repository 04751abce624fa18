"""What an archive holds, and what never gets into it."""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assembly.diagnostics import HIDDEN, frame_lines, is_secret, station_file, without_secrets, without_tokens
from agent.services.clock import Clock
from agent.services.logs.buffer import LINE_MAX, LogRing


def test_secrets_of_the_station_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(
        '[backend]\nurl = "wss://user:geheim1@host/x"\npassword = "geheim2"\nsecurity_profile = 2\n'
        '[[reader]]\ndriver = "reader_nfc"\nkey_file = "geheim3"\n[terminal]\ndriver = "t"\nPIN = "geheim4"\n'
        '[settings]\nauthorization_key = "geheim5"\nsample_interval_s = 60\n'
        '[settings.ocpp16]\nAuthorizationKey = "geheim6"\n'
    )
    text = station_file(path)
    assert "geheim" not in json.dumps(text)
    assert text["backend"] == {"url": "wss://host/x", "password": HIDDEN, "security_profile": 2}
    assert text["settings"]["sample_interval_s"] == 60
    assert station_file(tmp_path / "none.toml") == {"unreadable": "FileNotFoundError"}


SECRETS = st.sampled_from(["password", "PIN", "puk", "authorization_key", "AuthorizationKey", "shared_secret"])


@given(st.recursive(st.text(max_size=5), lambda c: st.lists(c, max_size=3) | st.dictionaries(SECRETS, c, max_size=3)))
def test_no_secret_survives_at_any_depth(value: object) -> None:
    def inside(v: object) -> bool:
        if isinstance(v, dict):
            return all(x == HIDDEN for x in v.values())
        return all(inside(x) for x in v) if isinstance(v, list) else True

    assert inside(without_secrets(value))
    assert is_secret("basicAuthPassword")


def test_tokens_of_both_versions() -> None:
    start = {"connectorId": 1, "idTag": "04A1B2C3D4E5F6", "meterStart": 1}
    event = {"idToken": {"idToken": "04A1B2C3D4E5F6", "type": "ISO14443"}, "location": "ftp://u:p@h/x"}
    text = json.dumps(without_tokens([start, event, {"token": "04A1B2C3D4E5F6"}]), ensure_ascii=False)
    assert "04A1B2" not in text
    assert text.count("…E5F6") == 3
    assert "ftp://h/x" in text


def test_a_customer_and_a_signed_address_are_hidden() -> None:
    asked = {"customerIdentifier": "Jean Muller, 12.3.1980", "report": True}
    where = [{"location": "https://u:p@h/x?X-Sig=abc"}, {"log": {"remoteLocation": "https://h/y?sig=abc#abc"}}]
    text = json.dumps(without_tokens([asked, *where]), ensure_ascii=False)
    assert "Muller" not in text
    assert "abc" not in text
    assert "https://h/x?***" in text
    assert "https://h/y?***" in text


def test_tokens_in_the_data_of_a_vendor() -> None:
    """SetUserPrice names the driver in a JSON text; what is no JSON may contain any name."""
    price = {"vendorId": "v", "data": '{"idToken": "04A1B2C3D4E5F6", "priceText": "0.30 €/kWh"}'}
    text = json.dumps(without_tokens([price, {"data": "04A1B2C3D4E5F6"}, {"data": "12345678"}]), ensure_ascii=False)
    assert "04A1B2" not in text
    assert "0.30 €/kWh" in text
    assert "12345678" not in text
    assert text.count("characters of data") == 2


def test_a_signed_record_names_no_one_in_either_version() -> None:
    """OCMF holds the card's number, and base 64 hides it from every other mask."""
    data = base64.b64encode(b'OCMF|{"FV":"1.4","ID":"04A1B2C3D4E5F6"}|{}').decode()
    newer = {"value": 1, "signedMeterValue": {"signedMeterData": data, "encodingMethod": "OCMF"}}
    older = {"value": json.dumps({"signedMeterData": data}), "format": "SignedData", "context": "Transaction.End"}
    frame = json.dumps(
        [2, "x", "A", {"meterValue": [{"sampledValue": [newer, older, {"value": "7", "format": "Raw"}]}]}]
    )
    line = {"n": 1, "t": 5.0, "dir": "out", "link": "l", "version": "2.0.1", "frame": frame}
    text = frame_lines([json.dumps(line).encode()], None, None)
    values = json.loads(text)["frame"][3]["meterValue"][0]["sampledValue"]
    assert values[0]["signedMeterValue"] == {
        "signedMeterData": f"({len(data)} characters of data)",
        "encodingMethod": "OCMF",
    }
    assert values[1] == {**older, "value": f"({len(older['value'])} characters of data)"}
    assert values[2]["value"] == "7"
    assert data[:20] not in text


def test_frames_between_two_times() -> None:
    said = [(1, 10.0, '[3,"1",{}]'), (2, 20.0, "no json"), (3, None, '[3,"2",{}]'), (4, 30.0, '[3,"3",{}]')]
    lines = [
        json.dumps({"n": n, "t": t, "dir": "in", "link": "a", "version": "1.6", "frame": text}).encode()
        for n, t, text in said
    ]
    frames = [json.loads(line) for line in frame_lines(lines, 15.0, 25.0).splitlines()]
    assert [t["n"] for t in frames] == [2, 3]
    assert frames[0]["frame"] == "(7 characters that are no JSON)"


def logged(ring: LogRing, count: int) -> None:
    logger = logging.getLogger("ring-test")
    logger.addHandler(ring)
    try:
        for n in range(count):
            logger.warning("line %d %s", n, "x" * 5000)
    finally:
        logger.removeHandler(ring)


@pytest.fixture
def high_recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("high_recursion_limit")
@pytest.mark.parametrize("text", ["[" * 16_000, "[" * 4000 + "]" * 4000])
def test_a_frame_that_is_nested_without_end_is_left_out(text: str) -> None:
    """Any backend can send one, and ask for diagnostics then. It does not matter how deep Python may recurse."""
    line = json.dumps({"n": 1, "t": None, "dir": "in", "link": "l", "version": "1.6", "frame": text}).encode()
    frame = json.loads(frame_lines([line], None, None))
    assert frame["frame"] == f"({len(text)} characters that are no JSON)"


def test_half_a_character_in_a_line_keeps_no_archive_from_being_made() -> None:
    ring = LogRing(Clock({}))
    ring.handle(logging.LogRecord("a", logging.WARNING, "", 0, "meter M\ud800-1", None, None))
    assert b"M\\ud800-1" in ring.text_between(None, None).encode()


def test_the_ring_keeps_the_newest_lines() -> None:
    clock = Clock({}, boot_id="a")
    clock.heard_utc(1_800_000_000.0, 0.0)
    ring = LogRing(clock, lines=3)
    logged(ring, 5)
    lines = ring.text_between(None, None).splitlines()
    assert [line.split("line ")[1][0] for line in lines] == ["2", "3", "4"]
    assert all(len(line) <= LINE_MAX + 21 for line in lines)
    assert all(line.startswith("2027-01-15T08:00:0") for line in lines)
    assert ring.text_between(None, 0.0) == ring.text_between(1_900_000_000.0, None) == ""
    assert ring.text_between(1_799_999_000.0, 1_800_001_000.0).splitlines() == lines


def test_lines_from_before_the_time_was_known_have_none_and_get_it() -> None:
    """A machine in 1970: its clock is asked for nothing."""
    seconds = iter((10.0, 25.0, 30.0, 30.0, 30.0))
    clock = Clock({}, boot_id="a", boottime=lambda: next(seconds))
    ring = LogRing(clock)
    logged(ring, 1)
    assert ring.text_between(1_799_999_000.0, None).startswith("boot+10.0s WARNING ring-test: line 0")
    clock.heard_utc(1_800_000_000.0, 0.0)
    assert ring.text_between(1_799_999_000.0, None).startswith("2027-01-15T07:59:40Z WARNING ring-test: line 0")

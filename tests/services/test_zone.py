"""Local time on the wall, UTC on the wire: both changes of the clock, with and without a time-zone database."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.ocpp.wire.timestamps import format_rfc3339, parse_timestamp
from agent.ports import zone as module
from agent.ports.zone import RULES, NoZone, load_time_zone, local_time
from tests.support.busy_machine import stretched

NAME = "Europe/Luxembourg"
ROOT = Path(__file__).resolve().parents[2]
CHANGES = [
    ("2026-03-29T00:59:59Z", "01:59:59", "CET"),
    ("2026-03-29T01:00:00Z", "03:00:00", "CEST"),
    ("2026-10-25T00:59:59Z", "02:59:59", "CEST"),
    ("2026-10-25T01:00:00Z", "02:00:00", "CET"),
    ("2026-01-01T00:00:00Z", "01:00:00", "CET"),
    ("2040-07-01T00:00:00Z", "02:00:00", "CEST"),
]


@pytest.fixture(params=["with its database", "without"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    module._zone_or_none.cache_clear()
    if request.param == "without":
        monkeypatch.setattr(zoneinfo, "TZPATH", ())
        monkeypatch.setitem(sys.modules, "tzdata", None)
        zoneinfo.reset_tzpath(())
        zoneinfo.ZoneInfo.clear_cache()
    yield request.param != "without"
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    module._zone_or_none.cache_clear()


@pytest.mark.parametrize("name", [NAME, RULES[NAME]])
@pytest.mark.parametrize(("utc", "wall", "called"), CHANGES)
def test_the_clock_changes_when_the_country_does(database: bool, name: str, utc: str, wall: str, called: str) -> None:
    there = local_time(parse_timestamp(utc) or 0.0, name)
    assert (f"{there:%H:%M:%S}", there.tzname()) == (wall, called)


def test_the_rule_is_the_database_for_twenty_years() -> None:
    """Every quarter of an hour near the changes, every day otherwise."""
    real, ours = zoneinfo.ZoneInfo(NAME), module._of_rule(RULES[NAME])
    begin = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    days = [begin + d * 86400 for d in range(20 * 365)]
    near = [d + q * 900 for d in days if datetime.fromtimestamp(d, UTC).month in (3, 10) for q in range(96)]
    for second in (*days, *near):
        a, b = datetime.fromtimestamp(second, real), datetime.fromtimestamp(second, ours)
        assert (a.replace(tzinfo=None), a.fold) == (b.replace(tzinfo=None), b.fold), second


@pytest.mark.parametrize("name", ["Europe/Luxemburg", "europe/luxembourg", "Luxembourg"])
def test_an_unknown_zone_is_reported_with_what_was_meant(name: str) -> None:
    with pytest.raises(NoZone, match="did you mean 'Europe/Luxembourg'"):
        load_time_zone(name)


@pytest.mark.parametrize("name", ["", "Europe", "/etc/passwd", "../x", "CET-1CEST,M13.5.0,M10.5.0/3", "x" * 300, "ü-1"])
def test_what_is_no_zone_at_all(name: str) -> None:
    with pytest.raises(NoZone, match="is no time zone"):
        load_time_zone(name)


def test_without_a_database_an_unknown_zone_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(NoZone, match=r"no time-zone data.* tzdata, or give the rule"):
        load_time_zone("Asia/Nowhere")


def test_a_station_with_an_unknown_zone_shows_utc_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    module._zone_or_none.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert {local_time(0.0, "Nowhere/Else").tzname() for _ in range(3)} == {"UTC"}
    assert len(caplog.records) == 1
    module._zone_or_none.cache_clear()


@pytest.mark.parametrize("local", [NAME, "America/New_York", "Pacific/Kiritimati"])
def test_the_wire_is_utc_wherever_the_machine_is(local: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", local)
    time.tzset()
    try:
        for utc, *_ in CHANGES:
            second = datetime.fromisoformat(utc).timestamp()
            assert format_rfc3339(second) == utc.replace("Z", ".000Z")
            assert parse_timestamp(utc) == parse_timestamp(utc[:-1]) == second
        assert parse_timestamp("2026-10-25T02:30:00+02:00") == parse_timestamp("2026-10-25T00:30:00Z")
        assert parse_timestamp("2026-10-25T02:30:00+01:00") == parse_timestamp("2026-10-25T01:30:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_check_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\ntimezone = "Europe/Luxemburg"\n[[evse]]\nnumber = 1\n')
    argv = [sys.executable, "-m", "agent", "check", str(file)]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60))
    assert said.returncode == 2
    assert "station.timezone: 'Europe/Luxemburg' is no time zone (did you mean 'Europe/Luxembourg'?)" in said.stderr
    # the same machine without a database
    bare = {**os.environ, "PYTHONTZPATH": "", "PYTHONPATH": str(tmp_path)}
    (tmp_path / "tzdata.py").write_text("raise ImportError")
    file.write_text("[station]\n[[evse]]\nnumber = 1\n")
    assert subprocess.run(argv, cwd=ROOT, env=bare, timeout=stretched(60)).returncode == 0

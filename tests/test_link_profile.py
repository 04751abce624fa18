"""``[link]``: what a profile sets, what wins over it, and what ``check`` says of it; ``chargy-agent traffic``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.bearers import silence_limit_s
from agent.assembly.domain_setup import bearer_configs, initial_settings
from agent.assembly.link_profile import data_plan, explain_profile, wire_conditions
from agent.commands.check import check_station_file
from agent.commands.check import run as run_check
from agent.commands.traffic import run as run_traffic
from agent.domain.bearers import BearerRecord
from agent.domain.evse import StationConfig, StationState
from agent.domain.traffic import BudgetLevel, TrafficMonth, TrafficSum
from agent.domain.variables import VARIABLES
from agent.ocpp.bearer_probe import PROBE_S
from agent.ports.store import Put
from agent.services.store.store import Store
from agent.station_file.link_profile import PROFILES
from agent.station_file.settings import SettingsError, StationFile, load_station_file, parse_station_file
from agent.station_file.tables import LINK_PROFILES

LAN = {"driver": "lan_static", "kind": "lan", "interface": "lo"}
GPRS = {"driver": "modem_at", "kind": "gprs", "device": "/dev/null", "apn": "private"}


def station(folder: Path, **tables: Any) -> StationFile:
    base = {"station": {"state_dir": str(folder / "state")}, "evse": [{"number": 1}]}
    return parse_station_file({**base, **tables}, folder / "station.toml")


def explained(file: StationFile) -> list[str]:
    return list(explain_profile(file, initial_settings(file)))


@pytest.mark.parametrize("name", LINK_PROFILES)
def test_a_profile_sets_ping_heartbeat_sampling_and_compression(tmp_path: Path, name: str) -> None:
    file, profile = station(tmp_path, link={"profile": name}), PROFILES[name]
    settings, conditions = initial_settings(file), wire_conditions(file)
    assert set(profile.settings) == {"ping_interval_s", "heartbeat_interval_s", "sample_interval_s"}
    assert {setting: settings.int_value(setting) for setting in profile.settings} == profile.settings
    assert conditions["wire"].compress is (name == "gprs")
    assert conditions["timeouts"].pong_s == profile.pong_s


def test_probes_of_tcp_never_come_before_the_ping_of_a_metered_link() -> None:
    """Each is a packet and its answer: one a minute would be 150 kB in a day."""
    profile = PROFILES["gprs"]
    assert profile.keepalive_idle_s > profile.settings["ping_interval_s"]


def test_a_station_without_a_profile_is_as_it_was(tmp_path: Path) -> None:
    file = station(tmp_path, bearer=[LAN])
    settings = initial_settings(file)
    assert [settings[name] for name in PROFILES["gprs"].settings] == [
        VARIABLES[name].default for name in PROFILES["gprs"].settings
    ]
    assert explained(file) == []
    assert wire_conditions(file)["wire"].keepalive_idle_s == 60


def test_a_modem_brings_the_profile_of_gprs_unless_the_file_has_another(tmp_path: Path) -> None:
    assert initial_settings(station(tmp_path, bearer=[LAN, GPRS])).int_value("sample_interval_s") == 900
    fast = station(tmp_path, bearer=[LAN, GPRS], link={"profile": "lan"})
    assert initial_settings(fast).int_value("sample_interval_s") == 60


def test_explicit_settings_win_and_check_explains(tmp_path: Path) -> None:
    settings = {"ping_interval_s": 120, "ocpp16": {"HeartbeatInterval": "300"}}
    file = station(tmp_path, link={"profile": "gprs", "compression": False, "monthly_mb_hard": 5}, settings=settings)
    found = initial_settings(file)
    assert found.int_value("ping_interval_s") == 120
    assert found.int_value("heartbeat_interval_s") == 300
    assert found.int_value("sample_interval_s") == 900
    assert not wire_conditions(file)["wire"].compress
    assert explained(file) == [
        "link profile gprs ([link] profile):",
        "  ping_interval_s = 120 ([settings]; the profile has 240)",
        "  heartbeat_interval_s = 300 ([settings]; the profile has 900)",
        "  sample_interval_s = 900",
        "  compression is not offered ([link] compression)",
        "data budget of a month over default: hard limit 5 MB",
    ]


WIFI = {**LAN, "kind": "wifi"}


def silence_limit_over(file: StationFile, bearer: str) -> float | None:
    site = StationState({}, initial_settings(file), StationConfig(bearers=bearer_configs(file)))
    site.bearers |= {config.name: BearerRecord(config) for config in site.config.bearers}
    site.bearer_in_use = bearer
    return silence_limit_s(file, site)


def test_silence_over_lan_and_wifi_is_found_sooner_than_over_a_modem(tmp_path: Path) -> None:
    """A ping each minute would be most of the SIM's month; over a LAN it costs nothing."""
    file = station(tmp_path, bearer=[LAN, WIFI, GPRS])
    limits = {name: silence_limit_over(file, name) for name in ("bearer[0]", "bearer[1]", "bearer[2]", "")}
    assert limits == {"bearer[0]": 20, "bearer[1]": 20, "bearer[2]": None, "": 20}
    assert "  over lan and wifi a ping goes after 20 s of silence" in explained(file)


@pytest.mark.parametrize("name", ["", *LINK_PROFILES])
def test_every_profile_leaves_a_silent_lan_within_ninety_seconds(tmp_path: Path, name: str) -> None:
    file = station(tmp_path, bearer=[LAN, WIFI, GPRS], link={"profile": name} if name else {})
    ping_s = silence_limit_over(file, "bearer[0]")
    assert ping_s is not None
    assert ping_s + wire_conditions(file)["timeouts"].pong_s + PROBE_S <= 80  # 10 s for a connection


@pytest.mark.parametrize(
    ("tables", "bearer"),
    [
        ({"bearer": [LAN, GPRS], "settings": {"ping_interval_s": 120}}, "bearer[0]"),
        ({"bearer": [LAN, GPRS], "settings": {"ping_interval_s": 0}}, "bearer[0]"),
        ({"bearer": [LAN, GPRS], "link": {"metered": ["lan", "gprs"]}}, "bearer[0]"),
        ({"bearer": [GPRS]}, ""),
        ({"link": {"profile": "gprs"}}, ""),
    ],
)
def test_an_interval_that_was_set_and_a_metered_bearer_are_respected(
    tmp_path: Path, tables: dict[str, Any], bearer: str
) -> None:
    file = station(tmp_path, **tables)
    assert silence_limit_over(file, bearer) is None
    assert not any("of silence" in line for line in explained(file))


def test_a_lan_is_metered_only_if_the_file_says_so(tmp_path: Path) -> None:
    limits = {"monthly_mb_soft": 4, "monthly_mb_hard": 5}
    usual = data_plan(station(tmp_path, bearer=[LAN, GPRS], link=limits))
    assert usual is not None
    assert (usual.metered, usual.soft_bytes, usual.hard_bytes) == (frozenset({"gprs"}), 4_000_000, 5_000_000)
    both = data_plan(station(tmp_path, bearer=[LAN, GPRS], link={**limits, "metered": ["lan", "gprs"]}))
    assert both is not None
    assert both.metered == {"lan", "gprs"}
    assert data_plan(station(tmp_path, link={"profile": "gprs"})) is None


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ({"profile": "2g"}, "link.profile: must be one of '', 'lan', 'gprs', is '2g'"),
        ({"monthly_mb_soft": 6, "monthly_mb_hard": 5}, "link.monthly_mb_soft: must be less than monthly_mb_hard (5)"),
        ({"monthly_mb_hard": 0}, "link.monthly_mb_hard: must be 0.1 to 1000000 (megabytes), is 0"),
        ({"metered": ["dsl"]}, "link.metered[0]: must be one of 'lan', 'wifi', 'gprs', is 'dsl'"),
        ({"monthly_mb": 5}, "link.monthly_mb: unknown key (did you mean"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, link: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        station(tmp_path, link=link)
    (problem,) = wrong.value.problems
    assert complaint in problem


# --- the commands ----------------------------------------------------------------------------------------------------


class Arguments:
    def __init__(self, station: Path, as_json: bool = False) -> None:
        self.station, self.json = station, as_json


def written(folder: Path) -> Path:
    path = folder / "station.toml"
    path.write_text('[link]\nprofile = "gprs"\nmonthly_mb_soft = 1\n[[evse]]\nnumber = 1\n')
    return path


def test_check_prints_the_profile_in_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    assert check_station_file(path)[1] == []
    assert run_check(Arguments(path)) == 0  # type: ignore[arg-type]
    assert "  sample_interval_s = 900\n" in capsys.readouterr().out
    assert run_check(Arguments(path, as_json=True)) == 0  # type: ignore[arg-type]
    assert "  sample_interval_s = 900" in json.loads(capsys.readouterr().out)["notes"]


async def remember(file: StationFile, month: TrafficMonth) -> None:
    file.station.state_dir.mkdir(parents=True, exist_ok=True)
    store = await Store.open((file.station.state_dir / "agent.db").resolve(), 32)
    try:
        await store.commit([Put("traffic", "2026-11", month.to_record())])
    finally:
        await store.close()


def test_a_technician_reads_what_was_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    sums = {
        "default": {"Heartbeat": TrafficSum(192, 8_000, 11_000, 15_000), "MeterValues": TrafficSum(2, 900, 200, 156)}
    }
    days = {"default": {"28": TrafficSum(194, 8_900, 11_200, 15_156)}}
    month = TrafficMonth(1_795_600_800.0, BudgetLevel.WITHIN, sums, days)
    asyncio.run(remember(load_station_file(path), month))
    assert run_traffic(Arguments(path)) == 0  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2026-11, counted since 2026-11-25 10:00 UTC; bytes at the socket, TLS included"
    assert lines[2].split() == ["default", "Heartbeat", "192", "8,000", "11,000", "15,000", "34,000"]
    assert lines[3].split() == ["default", "MeterValues", "2", "900", "200", "156", "1,256"]
    assert lines[-1].startswith("default: 0.04 MB this month; ")
    assert lines[-1].endswith("; soft limit 1 MB")
    assert run_traffic(Arguments(path, as_json=True)) == 0  # type: ignore[arg-type]
    (shown,) = json.loads(capsys.readouterr().out)["months"]
    assert shown["actions"][0] == {
        "bearer": "default", "action": "Heartbeat", "messages": 192, "sent_bytes": 8_000, "received_bytes": 11_000,
        "header_bytes_estimated": 15_000, "total_bytes": 34_000,
    }  # fmt: skip


def test_a_reached_limit_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    month = TrafficMonth(1_795_600_800.0, BudgetLevel.SOFT, {}, {"default": {"28": TrafficSum(1, 2_000_000, 0, 0)}})
    asyncio.run(remember(load_station_file(path), month))
    assert run_traffic(Arguments(path)) == 1  # type: ignore[arg-type]
    assert "The soft limit is reached." in capsys.readouterr().out


def test_without_a_store_the_command_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_traffic(Arguments(written(tmp_path))) == 2  # type: ignore[arg-type]
    assert "there is no store" in capsys.readouterr().err

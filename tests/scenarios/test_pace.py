"""How fast the station's time runs: it is switched while the station lives, and never jumps."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.services.clock import BUILT_UTC_S, Clock, Scale
from agent.station_file.settings import load_station_file, parse_station_file
from drivers.sim.time_rate import Pace, PaceMemory, kernel_boot_id, with_plug_in_window
from tests.scenarios.control_rig import simulated, wait_for, write_station

RATES = st.floats(0.1, 1000)
STEPS = st.lists(st.tuples(RATES, st.floats(0, 1e5), st.booleans()), max_size=8)


def clock_of(pace: Pace, boots: dict[str, Any], now: list[float]) -> Clock:
    """The agent's clock, as its command line says it."""
    argv = dict(zip(*[iter(pace.agent_arguments())] * 2, strict=True))
    scale = Scale.from_text(argv["--clock-scale"]) if "--clock-scale" in argv else None
    return Clock(boots, float(argv.get("--clock-rate", 1)), "boot", lambda: now[0], scale=scale)


@given(RATES, st.floats(1, 1e6), STEPS)
def test_time_goes_on_over_every_switch(first: float, begin_s: float, steps: list[tuple[float, float, bool]]) -> None:
    """Neither stamps nor UTC go back or leap, whether the simulation was started again in between or not."""
    now, pace = [begin_s], Pace.first_pace(first)
    clock = clock_of(pace, {}, now)
    clock.heard_utc(BUILT_UTC_S + 1e6, 0.0)
    for rate, passed_s, by_memory in steps:
        before = clock.now()
        now[0] += passed_s
        expected_s = before.t_s + passed_s * pace.rate
        changed = pace.with_rate(rate, now[0])
        pace = (
            Pace(**json.loads(json.dumps({k: getattr(changed, k) for k in Pace.__slots__}))) if by_memory else changed
        )
        clock = clock_of(pace, {str(clock.boot.number): clock.boot.to_record()}, now)
        after = clock.now()
        assert after.stamp.boot == before.stamp.boot, "another boot: stamps could not be compared"
        assert math.isclose(after.t_s, expected_s, rel_tol=1e-9, abs_tol=1e-3)
        assert before.utc_s is not None
        assert after.utc_s is not None
        assert math.isclose(after.utc_s - before.utc_s, after.t_s - before.t_s, rel_tol=1e-6, abs_tol=1e-2)
        for _ in range(4):  # a clock that was hurried once is not that of the backend any more
            clock.heard_utc(BUILT_UTC_S + 9e6, 0.0)
        assert clock.now().utc_s == after.utc_s


def test_a_plain_clock_is_started_word_for_word_as_on_a_board() -> None:
    assert Pace.first_pace(1.0).agent_arguments() == []
    assert Pace.first_pace(10.0).agent_arguments() == ["--clock-rate", "10"]


def test_what_is_remembered_is_of_this_kernel_boot_only(tmp_path: Path) -> None:
    memory = PaceMemory(tmp_path)
    assert memory.resume_pace(10.0, 100.0) == Pace.first_pace(10.0)
    memory.save_pace(Pace.first_pace(10.0).with_rate(1.0, 100.0))
    assert memory.resume_pace(10.0, 200.0) == Pace(10.0, kernel_boot_id(), "10", 200.0, 1100.0)
    memory.save_pace(Pace(1.0, "another boot", "10", 100.0, 1000.0))
    assert memory.resume_pace(10.0, 200.0) == Pace.first_pace(10.0)
    for damaged in ("", "{", "[]", '{"rate": 1}', '{"rate": 1, "boot": 2, "name": 3, "real_s": "x"}'):
        (tmp_path / "pace.json").write_text(damaged)
        assert memory.resume_pace(10.0, 200.0) == Pace.first_pace(10.0)


@pytest.mark.parametrize(
    ("settings", "window"),
    [
        ("", 1200),
        ("connection_timeout_s = 77", 77),
        ('[settings.ocpp16]\nConnectionTimeOut = "77"', None),
        ('[settings.ocpp2]\n"TxCtrlr.EVConnectionTimeOut" = "77"', None),
    ],
)
def test_the_file_says_how_long_a_driver_may_take(tmp_path: Path, settings: str, window: int | None) -> None:
    raw = tomllib.loads(f'[station]\nid = "CP"\n[[evse]]\nnumber = 1\n[settings]\n{settings}')
    file = with_plug_in_window(parse_station_file(raw, tmp_path / "station.toml"), 10.0)
    assert file.settings.get("connection_timeout_s") == window


def test_the_agent_is_started_again_with_the_other_clock(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0", "--speed", "20") as s:
        s.wait_healthy(60)
        wait_for(lambda: (s.station()["backend"] or {}).get("boot") == "Accepted", "boot")
        derived = tmp_path / "world" / "derived.toml"
        assert load_station_file(derived).settings["connection_timeout_s"] == 2400
        for wrong in ({}, {"speed": 0}, {"speed": "fast"}, {"speed": 1e9}):
            assert s.post("time", wrong) == 400
        assert s.post("time", {"speed": 20}) == 202  # it runs so already
        assert s.station()["agent"]["restarts"] == 0
        assert s.post("time", {"speed": 2}) == 202
        wait_for(lambda: s.station()["agent"]["restarts"] == 1, "another start")
        wait_for(lambda: (s.station()["backend"] or {}).get("boot") == "Accepted", "boot")
        assert s.station()["simulation"]["speed"] == 2
        assert load_station_file(derived).settings["connection_timeout_s"] == 240
        assert derived.stat().st_mode & 0o777 == 0o600
        argv = Path(f"/proc/{s.station()['agent']['pid']}/cmdline").read_text().split("\0")
        assert argv[argv.index("--clock-rate") + 1] == "2"
        assert "--clock-scale" in argv

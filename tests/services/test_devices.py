"""Devices of a station file: one meter bills one EVSE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.commands.check import complaints_after_loading, device_complaints
from agent.model.types import MeterPolicy
from agent.services.devices.configured import compose_devices
from agent.station_file.settings import SettingsError, StationFile, parse_station_file

METER = {"driver": "meter_modbus", "map": "abb_b23", "device": "/dev/ttyS7"}


def station(*evses: dict[str, Any], **tables: Any) -> StationFile:
    raw = {"evse": [{"number": n, **e} for n, e in enumerate(evses, 1)], **tables}
    return parse_station_file(raw, Path("station.toml"))


@pytest.mark.parametrize(
    "file",
    [
        station({}, {}, meter=METER),
        station({"meter": METER}, {"meter": METER}),
        station({"meter": METER}, {}, meter={**METER, "unit": 1}),
        station({"meter": METER}, {"meter": {**METER, "serial": "4711", "timeout_s": 1.0}}),
    ],
    ids=["shared", "twice", "default written out", "pinned"],
)
def test_one_meter_for_two_evses_would_bill_twice(file: StationFile):
    with pytest.raises(SettingsError, match=r"EVSE 1 and 2.*twice"):
        compose_devices(file, lambda: (0, 0.0))
    assert any("twice" in line for line in complaints_after_loading(file))


def test_meters_of_their_own_are_welcome():
    file = station({"meter": METER}, {"meter": {**METER, "unit": 2}})
    assert [d.role for d in compose_devices(file, lambda: (0, 0.0))] == ["meter", "meter"]
    assert [d.role for d in compose_devices(station({}, meter=METER), lambda: (0, 0.0))] == ["meter"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"class": "D"}, r"evse\[1\]\.meter\.class: must be one of 'A', 'B', 'C'.*'D'"),
        ({"class": "B", "mid_year": 1999}, "mid_year: must be 2006 to 2100"),
        ({"class": "B", "mid_year": "2024"}, "mid_year: must be a whole number"),
        ({"class": "B", "certificate": "EN-1"}, "certificate: stands for the MID marking of DC"),
        ({"clas": "B"}, r"clas: unknown key"),
    ],
)
def test_what_a_meters_table_demands_is_judged(more: dict[str, Any], complaint: str):
    with pytest.raises(SettingsError, match=complaint):
        compose_devices(station({"meter": {**METER, **more}}), lambda: (0, 0.0))


def test_the_demands_are_the_agents_and_the_rest_is_the_drivers():
    demands = {"class": "B", "mid_year": 2024, "serial": "4711", "firmware": ["1.2"]}
    file = station(
        {"meter": {**METER, **demands}},
        {"kind": "DC", "power_kw": 150, "meter": {**METER, "unit": 2, "certificate": "EN-1"}},
    )
    assert file.meter_policies[1] == MeterPolicy("B", 2024, "", "4711", ("1.2",))
    assert file.meter_policies[2] == MeterPolicy(certificate="EN-1")
    assert len(compose_devices(file, lambda: (0, 0.0))) == 2
    sold = station({"meter": METER}, {"meter": {**METER, "unit": 2}, "tariff": {"kwh": 1}})
    assert [p.sells for p in sold.meter_policies.values()] == [False, True]
    assert [p.checks_plausibility for p in station({"meter": METER}, tariff={"kwh": 1}).meter_policies.values()] == [
        True
    ]
    with pytest.raises(SettingsError, match="sells: unknown key"):
        compose_devices(station({"meter": {**METER, "sells": True}}), lambda: (0, 0.0))
    shared = station({}, meter={**METER, "class": "A"})
    assert shared.meter_policies[1].declares_class


@pytest.mark.parametrize(
    "hours", [float("nan"), float("inf"), 10**400, -1, "x"], ids=["nan", "inf", "huge", "less", "text"]
)
def test_no_time_to_hold_something_stops_the_judging_of_the_terminal(hours: Any):
    payment = {"amount_cents": 5000, "hold_hours": hours}
    said = device_complaints(
        station({}, payment=payment, terminal={"driver": "terminal_payter", "session_timeout_s": 60})
    )
    assert any("terminal.host: is missing" in line for line in said)

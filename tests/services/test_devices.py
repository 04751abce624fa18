"""Devices of a station file: one meter bills one EVSE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.compose import check
from agent.services.devices import compose
from agent.settings import SettingsError, StationFile, parse

METER = {"driver": "meter_modbus", "map": "abb_b23", "device": "/dev/ttyS7"}


def station(*evses: dict[str, Any], **tables: Any) -> StationFile:
    raw = {"evse": [{"number": n, **e} for n, e in enumerate(evses, 1)], **tables}
    return parse(raw, Path("station.toml"))


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
        compose(file, lambda: (0, 0.0))
    assert any("twice" in line for line in check(file))


def test_meters_of_their_own_are_welcome():
    file = station({"meter": METER}, {"meter": {**METER, "unit": 2}})
    assert [d.role for d in compose(file, lambda: (0, 0.0))] == ["meter", "meter"]
    assert [d.role for d in compose(station({}, meter=METER), lambda: (0, 0.0))] == ["meter"]

"""What belongs to a lamp is offered where the station file has one, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly.domain_setup import initial_settings
from agent.domain.requests import SetVariablesRequest
from agent.domain.variables import LAMP, Settings
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.v16.settings import ROWS, find_offered_key
from agent.ocpp.v201.device_model import find_entry, list_entries
from agent.station_file.settings import parse_station_file
from tests.ocpp.ocpp_stand_ins import decoded, desk

CHANGE = next(r for r in ROWS if r.action == "ChangeConfiguration")
INDICATOR = {"name": "ChargingStatusIndicator"}


def at(lamp: bool) -> RowContext:
    evse = {"number": 1, **({"lamp": {"driver": "lamp_leds", "green": "g"}} if lamp else {})}
    return desk(settings=initial_settings(parse_station_file({"evse": [evse]}, Path("station.toml"))))


@pytest.mark.parametrize("lamp", [True, False])
def test_keys_and_variables_are_there_with_the_lamp(lamp: bool) -> None:
    here = at(lamp)
    assert here.settings.fitted == ({LAMP} if lamp else set())
    for key in ("BlinkRepeat", "lightintensity"):
        assert (find_offered_key(key, here) is not None) is lamp
        asked = decoded(CHANGE, {"key": key, "value": "7"}, here)
        assert isinstance(asked, SetVariablesRequest) if lamp else asked == {"status": "NotSupported"}
    assert any(e.name.component == INDICATOR["name"] for e in list_entries(here)) is lamp
    found = find_entry(INDICATOR, {"name": "Percent"}, here)
    assert found == "UnknownComponent" if not lamp else found.name.is_writable


def test_a_profile_that_is_off_stays_off() -> None:
    settings = Settings({"feature_profiles": ("Core",)})
    assert not settings.offers_part("LocalAuthListManagement")
    assert settings.offers_part("Core")

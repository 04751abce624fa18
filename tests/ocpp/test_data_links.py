"""The bearers in the device model of OCPP 2.x."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.assembly.domain_setup import bearer_configs, initial_settings
from agent.domain.bearers import ocpp_interfaces
from agent.domain.orders import Response
from agent.model.bearer import BearerState, BearerStatus, SimState
from agent.ocpp.dialects.data_links import INTERFACES
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.v201.device_model import Entry, collect_facts, find_entry, is_component, list_entries
from agent.ocpp.v201.reports import encode_report_entry
from agent.station_file.settings import StationFile, parse_station_file
from tests.ocpp.ocpp_stand_ins import desk

LAN = {"driver": "lan_static", "kind": "lan", "interface": "eth0"}
WIFI = {"driver": "lan_static", "kind": "wifi", "interface": "wlan0"}
MODEM = {"driver": "modem_at", "kind": "gprs", "device": "/dev/ttyUSB0"}
PPP0 = BearerStatus(
    BearerState.UP, "", "ppp0", "10.9.0.7", SimState.READY, 3, "8935", "2700", operator="LU", technology="LTE",
    signal_dbm=-81,
)  # fmt: skip


def station(*bearers: dict[str, str]) -> StationFile:
    return parse_station_file({"evse": [{"number": 1}], "bearer": list(bearers)}, Path("station.toml"))


def at(*bearers: dict[str, str]) -> RowContext:
    return desk(settings=initial_settings(station(*bearers)))


def data_links(here: RowContext) -> list[Entry]:
    return [e for e in list_entries(here) if e.name.component == "DataLink"]


def test_each_bearer_has_the_name_that_network_profiles_have_for_it() -> None:
    names = ocpp_interfaces(bearer_configs(station(LAN, LAN, WIFI, MODEM)))
    assert list(names.values()) == ["Wired0", "Wired1", "Wireless0", "Wireless1"]
    assert {*names.values()} <= {*INTERFACES}
    assert list(ocpp_interfaces(bearer_configs(station(LAN, MODEM))).values()) == ["Wired0", "Wireless0"]


def test_a_station_without_bearers_has_no_data_link() -> None:
    assert data_links(at()) == []
    assert find_entry({"name": "DataLink"}, {"name": "Active"}, at()) == "UnknownComponent"


def test_only_a_modem_has_a_sim_and_a_signal() -> None:
    here = at(LAN, MODEM)
    found = {i: {e.name.variable for e in data_links(here) if e.name.component_instance == i} for i in INTERFACES}
    assert found["Wired0"] == {"Active", "Available", "Problem", "State", "NetworkAddress"}
    sim = {"ICCID", "IMSI", "SignalStrength", "Operator", "AccessTechnology"}
    assert found["Wireless0"] == found["Wired0"] | sim
    assert not any(found[i] for i in INTERFACES[1:4] + INTERFACES[5:])


def test_a_request_names_the_instance_or_means_all() -> None:
    here = at(LAN, MODEM)
    gprs = {"name": "datalink", "instance": "wireless0"}
    entry = find_entry(gprs, {"name": "SignalStrength"}, here)
    assert isinstance(entry, Entry)
    assert entry.component_type == {"name": "DataLink", "instance": "Wireless0"}
    assert find_entry({**gprs, "instance": "Wired0"}, {"name": "SignalStrength"}, here) == "UnknownVariable"
    assert find_entry({**gprs, "instance": "Wired3"}, {"name": "Active"}, here) == "UnknownComponent"
    assert find_entry({"name": "DataLink"}, {"name": "Active"}, here) == "UnknownComponent"
    every = [e for e in list_entries(here) if is_component(e, {"name": "DataLink"}, loosely=True)]
    assert every == data_links(here)


def test_what_is_reported_of_a_modem() -> None:
    here = at(LAN, MODEM)
    links: Any = {
        "Wired0": {"in_use": False, "status": BearerStatus(BearerState.DOWN, "no carrier", "eth0")},
        "Wireless0": {"in_use": True, "status": PPP0},
    }
    known = collect_facts(Response("chargy", "1", "Accepted", {"evses": {0: {"data_links": links}}}), here)
    texts: dict[str, dict[str, str]] = {"Wired0": {}, "Wireless0": {}}
    for entry in data_links(here):
        said = encode_report_entry(entry, known)
        texts[said["component"]["instance"]][said["variable"]["name"]] = said["variableAttribute"][0]["value"]
        assert said["variableAttribute"][0]["mutability"] == "ReadOnly"
    assert texts == {
        "Wired0": {"Active": "false", "Available": "true", "Problem": "true", "State": "down", "NetworkAddress": ""},
        "Wireless0": {
            "Active": "true", "Available": "true", "Problem": "false", "State": "up", "NetworkAddress": "10.9.0.7",
            "ICCID": "8935", "IMSI": "2700", "SignalStrength": "-81", "Operator": "LU", "AccessTechnology": "LTE",
        },
    }  # fmt: skip

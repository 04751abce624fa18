"""The name tables: every setting has a key or an excuse, every fault a code of 1.6."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from agent.domain.variables import VARIABLES
from agent.model.types import Fault
from agent.ocpp.dialects.keys_v1x import (
    UNNAMED_16,
    VENDOR_ID,
    authorization_key_bytes,
    chargex_code,
    error_vendor_id,
    find_key_16,
    format_value_16,
    is_authorization_key,
    list_keys_16,
    nearest_error_16,
    parse_settings,
)

FOLDER = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations))) / "v16" / "schemas"


def test_every_setting_has_a_key_or_an_excuse() -> None:
    named = {s for k in list_keys_16() for s in (k.setting, *(k.parts.settings if k.parts else ()))}
    assert named | UNNAMED_16.keys() == VARIABLES.keys()
    assert not named & UNNAMED_16.keys()
    assert len({k.key.lower() for k in list_keys_16()}) == len(list_keys_16())


def test_keys_are_found_in_any_case() -> None:
    assert find_key_16("HEARTBEATinterval") is find_key_16("HeartbeatInterval")
    assert find_key_16("Heartbeat Interval") is None


def test_every_list_has_its_length() -> None:
    for key in list_keys_16():
        if key.own_variable.kind == "list" and key.own_variable.writable and not key.count_of:
            neighbour = find_key_16(key.key + "MaxLength")
            assert neighbour is not None
            assert neighbour.is_readonly
            assert format_value_16(neighbour, ()) == str(key.own_variable.high)


def test_every_fault_has_a_code_of_the_standard() -> None:
    codes = json.loads((FOLDER / "StatusNotification.json").read_text())["properties"]["errorCode"]["enum"]
    errors = [nearest_error_16(fault) for fault in Fault]
    assert {e.code for e in errors} <= set(codes) - {"NoError", "LocalListConflict"}
    assert all(len(e.info) <= 50 and len(e.vendor_code) <= 50 for e in errors)
    for fault in Fault:  # a name of the standard is sent as itself
        if fault.value in codes:
            assert nearest_error_16(fault).code == fault.value


def test_minimum_required_error_codes() -> None:
    assert {chargex_code(f) for f in Fault if f.value.startswith("MREC")} >= {"CX001", "CX006", "CX010", "CX026"}
    assert chargex_code(Fault.CONTACTOR_WELDED) == chargex_code(Fault.MREC17) == "CX017"
    assert chargex_code(Fault.METER_SILENT) == ""
    for fault in Fault:  # one that the list knows travels under its own vendor
        code = nearest_error_16(fault).vendor_code
        assert error_vendor_id(code) == (VENDOR_ID if chargex_code(fault) else "chargy")


def test_initial_values_of_the_station_file() -> None:
    values, problems = parse_settings({
        "HeartbeatInterval": "300", "localpreauthorize": True, "MeterValuesSampledData": "Voltage,SoC",
        "Nonsense": "1", "ConnectionTimeOut": "soon", "StopTxnSampledDataMaxLength": "5",
    })  # fmt: skip
    assert values == {
        "heartbeat_interval_s": 300, "local_pre_authorize": True, "sampled_measurands": ("Voltage", "SoC"),
    }  # fmt: skip
    assert [p.split(":")[0] for p in problems] == [
        "settings.ocpp16.Nonsense", "settings.ocpp16.ConnectionTimeOut", "settings.ocpp16.StopTxnSampledDataMaxLength",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "password"),
    [
        (b"nineteen characters".hex(), b"nineteen characters"),
        (bytes(range(16)).hex(), bytes(range(16))),
        ("sixteen_letters_", b"sixteen_letters_"),
        ("z" * 40, b"z" * 40),
        ("ab", b"ab"),
    ],
)
def test_authorization_key(text: str, password: bytes) -> None:
    assert authorization_key_bytes(text) == password
    assert is_authorization_key(text) is (16 <= len(password) <= 20)

"""The fault names of the control API."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from agent.model.types import Fault
from agent.ocpp.dialects.keys_v1x import nearest_error_16
from drivers.sim.faults import NO_CONDITION, fault_by_name

SCHEMAS = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations or ()))) / "v16" / "schemas"
CODES = json.loads((SCHEMAS / "StatusNotification.json").read_text("utf-8"))["properties"]["errorCode"]["enum"]


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_of_1_6_can_be_raised_or_says_why_not(code: str) -> None:
    if code in NO_CONDITION:
        with pytest.raises(ValueError, match=NO_CONDITION[code][:20]):
            fault_by_name(code)
    else:
        assert nearest_error_16(fault_by_name(code)).code == code


def test_our_own_names_are_known_and_others_get_a_suggestion() -> None:
    assert [fault_by_name(fault.value) for fault in Fault] == list(Fault)
    with pytest.raises(ValueError, match="did you mean 'PilotFault'"):
        fault_by_name("PilotFaul")

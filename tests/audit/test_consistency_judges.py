"""A station that says at each start, and by each source, who it is."""

from __future__ import annotations

from typing import Any

import pytest

from agent.audit.context import StationFact
from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import Station16


def boot_with(s: Station16, **values: Any) -> None:
    payload = {"chargePointVendor": "Foreign", "chargePointModel": "M1", "chargePointSerialNumber": "SN-7", **values}
    s.station("BootNotification", payload, {"status": "Accepted", "currentTime": s.stamp(), "interval": 300})


@pytest.mark.parametrize(("values", "says"), [
    ({"chargePointSerialNumber": "SN-8"}, "Serial number was SN-7 and is SN-8 at the next BootNotification"),
    ({"chargePointModel": "M2"}, "Model was M1 and is M2"),
    ({"firmwareVersion": "2"}, "Firmware was 1 and is 2"),
])  # fmt: skip
def test_another_identity_at_the_next_start_is_found(values: dict[str, str], says: str) -> None:
    s = Station16()
    boot_with(s, firmwareVersion="1")
    boot_with(s, firmwareVersion="1")
    assert s.judge("identity_constant").verdict is AuditVerdict.PASS
    boot_with(s, **{"firmwareVersion": "1", **values})
    result = s.judge("identity_constant")
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "numbers of its plate" in result.advice
    assert (result.advice_to, len(result.evidence)) == ("subcontractor", 2)


def test_firmware_may_change_after_an_update() -> None:
    s = Station16()
    boot_with(s, firmwareVersion="1")
    s.backend("UpdateFirmware", {"location": "ftp://x", "retrieveDate": s.stamp()}, {})
    boot_with(s, firmwareVersion="2")
    assert s.judge("identity_constant").verdict is AuditVerdict.PASS


def claims_of(key: str, **values: str) -> dict[str, tuple[StationFact, ...]]:
    return {key: tuple(StationFact(key, key, value, source.replace("_", " ")) for source, value in values.items())}


@pytest.mark.parametrize(("key", "values", "says"), [
    ("meter_class", {"asked": "C", "station_file": "B"},
     "Accuracy class of the meter: asked says C, station file says B"),
    ("meter_year", {"asked": "2019", "station_file": "2026"}, "Year of the MID marking: asked says 2019"),
    ("seal", {"asked": "S-2", "station_file": "S-1"}, "Seal of the meter: asked says S-2, station file says S-1"),
    ("meter_serial", {"BootNotification": "X-1", "station_file": "X-2, X-3"}, "BootNotification says X-1"),
    ("iccid", {"BootNotification": "8935", "kit": "8944"}, "ICCID of the SIM: BootNotification says 8935, kit says"),
])  # fmt: skip
def test_sources_that_contradict_each_other_are_found(key: str, values: dict[str, str], says: str) -> None:
    s = Station16()
    boot_with(s)
    result = s.judge("facts_agree", claims=claims_of(key, **values))
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "Read the plate" in result.advice
    assert result.advice_to == "client"


@pytest.mark.parametrize("values", [
    {"asked": "B", "station_file": "B, B"}, {"asked": "b", "station_file": "B"}, {"asked": "B"},
    {"BootNotification": "X-2", "station_file": "X-2, X-3"}, {"asked": "", "station_file": "B"},
])  # fmt: skip
def test_sources_that_agree_are_not_blamed(values: dict[str, str]) -> None:
    s = Station16()
    assert s.judge("facts_agree", claims=claims_of("meter_class", **values)).verdict is not AuditVerdict.FAIL

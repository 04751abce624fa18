"""Faults of measured values and phases, written by hand: each is found, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.audit.context import MeterReading
from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import AuditScript, Station16, Station201


def no_readings() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "60"})
    s.start()
    s.wait(600)
    s.wh += 1800
    s.stop()
    return s


def no_readings_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    variable = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
    s.backend("SetVariables", {"setVariableData": [{**variable, "attributeValue": "60"}]}, {
        "setVariableResult": [{**variable, "attributeStatus": "Accepted"}],
    })  # fmt: skip
    s.transaction = "tx-1"
    s.status(1, "Occupied")
    s.event("Started", "Authorized", idToken={"idToken": "04A1B2C3", "type": "ISO14443"})
    s.wait(600)
    s.stop()
    return s


def voltage_missing() -> AuditScript:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {
        "key": "MeterValuesSampledData", "value": "Energy.Active.Import.Register,Voltage,SoC",
    })  # fmt: skip
    s.session()
    return s


def register_falls() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.wh -= 700
    s.session()
    return s


def register_falls_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    s.charge(300)
    s.wh -= 300
    s.charge(300)
    s.stop()
    return s


def kilowatt_hours_called_watt_hours() -> AuditScript:
    s = Station16()
    s.wh = 1_234_567
    s.boot()
    s.start()
    for _ in range(3):
        s.wait(60)
        s.wh += 180
        sample = {"timestamp": s.stamp(), "sampledValue": [{"value": f"{s.wh / 1000:.3f}", "unit": "Wh"}]}
        s.station("MeterValues", {"connectorId": 1, "transactionId": s.number, "meterValue": [sample]})
    s.stop()
    return s


def kilowatt_hours_of_a_new_meter() -> AuditScript:
    s = Station16()
    s.wh = 0
    s.boot()
    s.start()
    for _ in range(3):
        s.wait(60)
        s.wh += 180
        sample = {"timestamp": s.stamp(), "sampledValue": [{"value": f"{s.wh / 1000:.3f}"}]}
        s.station("MeterValues", {"connectorId": 1, "transactionId": s.number, "meterValue": [sample]})
    s.stop()
    return s


def watt_hours_called_kilowatt_hours() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    for _ in range(3):
        s.wait(60)
        s.wh += 180
        sample = {"timestamp": s.stamp(), "sampledValue": [{"value": f"{s.wh:.0f}", "unit": "kWh"}]}
        s.station("MeterValues", {"connectorId": 1, "transactionId": s.number, "meterValue": [sample]})
    s.stop()
    return s


def stop_register_of_another_meter() -> AuditScript:
    s = Station16()
    s.wh = 1_000_000
    s.boot()
    s.start()
    s.charge(300)
    s.wh *= 1.02
    s.stop()
    return s


def phase_values(**values: float) -> list[dict[str, Any]]:
    """``V1=230`` is the voltage of L1, ``A`` a current, ``W`` a power."""
    names = {"V": ("Voltage", "{}-N"), "A": ("Current.Import", "{}"), "W": ("Power.Active.Import", "{}")}
    return [
        {"value": f"{value}", "measurand": names[key[0]][0], "phase": names[key[0]][1].format(f"L{key[1]}")}
        for key, value in values.items()
    ]


def session_with(**values: float) -> Station16:
    s = Station16()
    s.boot()
    s.start()
    for _ in range(4):
        s.wait(60)
        s.wh += 120
        s.sample(1, *phase_values(**values))
    s.stop()
    return s


def phases_swapped() -> AuditScript:
    return session_with(V1=230, V2=231, V3=229, A1=16, A2=8, A3=0.1, W1=1848, W2=3680, W3=20)


def voltage_too_low() -> AuditScript:
    return session_with(V1=230, V2=180, V3=229, A1=16, A2=16, A3=16)


def voltage_tap_open() -> AuditScript:
    return session_with(V1=230, V2=0, V3=229, A1=16, A2=16, A3=16)


def one_voltage_missing() -> AuditScript:
    return session_with(V1=230, V3=229, A1=16, A2=16, A3=16)


FAULTS: tuple[tuple[str, Callable[[], AuditScript], str, str, str], ...] = (
    ("meter_values_sent", no_readings, "has no readings, although one is due each 60 s", "interval of the samples",
     "client"),
    ("meter_values_sent", no_readings_in_201, "transaction tx-1 of outlet 1 lasted 600 s and has no readings",
     "interval of the samples", "client"),
    ("measurands_sent", voltage_missing, "have no Voltage", "Voltage is among them", "client"),
    ("register_rises", register_falls, "the register of outlet 1 fell from", "lifetime register", "subcontractor"),
    ("register_rises", register_falls_in_201, "the register of outlet 1 fell from", "lifetime register",
     "subcontractor"),
    ("register_unit", kilowatt_hours_called_watt_hours, "is a thousandth of what it must be", "unit of the register",
     "subcontractor"),
    ("register_unit", kilowatt_hours_of_a_new_meter, "is a thousandth of what it must be", "unit of the register",
     "subcontractor"),
    ("register_unit", watt_hours_called_kilowatt_hours, "is a thousand times what it must be", "unit of the register",
     "subcontractor"),
    ("register_rate", stop_register_of_another_meter, "the register of outlet 1 rose by 20018 Wh in", "factor",
     "subcontractor"),
    ("phase_order", phases_swapped, "the power of L1 and L2 is swapped", "phases of the meter", "subcontractor"),
    ("phase_voltages", voltage_too_low, "L2 has 180 V, expected 207 V to 253 V", "measure this phase", "subcontractor"),
    ("phase_voltages", voltage_tap_open, "L2 has 0 V, expected 207 V to 253 V while current flows",
     "measure this phase", "subcontractor"),
    ("phase_voltages", one_voltage_missing, "L2 carries 16 A and has no voltage", "voltage tap", "subcontractor"),
)  # fmt: skip


@pytest.mark.parametrize(("judge", "station", "says", "advice", "to"), FAULTS, ids=[f[1].__name__ for f in FAULTS])
def test_a_fault_is_found(judge: str, station: Callable[[], AuditScript], says: str, advice: str, to: str) -> None:
    result = station().judge(judge)
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert advice in result.advice
    assert result.advice_to == to
    assert result.evidence, "the frames that show it"


def test_a_measurand_that_the_plan_demands_is_missed() -> None:
    s = Station16()
    s.boot()
    s.session()
    result = s.judge("measurands_sent", parameters={"measurands": ["Voltage.L1", "Energy.Active.Import.Register"]})
    assert result.verdict is AuditVerdict.FAIL
    assert "no Voltage" in result.says


def test_a_vehicle_with_one_phase_loads_the_phase_of_the_plan() -> None:
    s = session_with(V1=230, V2=231, V3=229, A1=0, A2=15.9, A3=0, W1=0, W2=3672, W3=0)
    assert s.judge("phase_order").verdict is AuditVerdict.PASS, "each power fits its own phase"
    result = s.judge("phase_order", parameters={"load_phase": "L1"})
    assert result.verdict is AuditVerdict.FAIL
    assert "a vehicle with one phase loads L2, expected L1" in result.says
    assert s.judge("phase_order", parameters={"load_phase": "L2"}).verdict is AuditVerdict.PASS


def test_currents_are_compared_with_the_meter_itself() -> None:
    s = session_with(A1=8, A2=16, A3=0.2)
    samples = [f for f in s.frames if f.action == "MeterValues" and f.from_station]
    readings = tuple(MeterReading(f.at_s, 1, "reference", 0.0, currents_a=(16.0, 8.0, 0.2)) for f in samples)
    result = s.judge("phase_order", readings=readings)
    assert result.verdict is AuditVerdict.FAIL
    assert "the currents of L1 and L2 are swapped against the meter" in result.says
    right = tuple(MeterReading(f.at_s, 1, "reference", 0.0, currents_a=(8.0, 16.0, 0.2)) for f in samples)
    assert s.judge("phase_order", readings=right).verdict is AuditVerdict.PASS


def test_an_older_sample_that_comes_late_is_no_fall() -> None:
    """What was queued while the link was down comes after a reading that was asked for."""
    s = Station16()
    s.boot()
    s.start()
    s.wait(60)
    old, s.wh = s.stamp(), s.wh + 500
    s.wait(60)
    s.sample()
    value = {"timestamp": old, "sampledValue": [{"value": "5200", "unit": "Wh"}]}
    s.station("MeterValues", {"connectorId": 1, "transactionId": s.number, "meterValue": [value]})
    assert s.judge("register_rises").verdict is AuditVerdict.PASS


def test_samples_that_the_end_repeats_are_no_fall() -> None:
    s = Station16()
    s.boot()
    s.start()
    begin = {"timestamp": s.stamp(), "sampledValue": [{"value": "5000", "context": "Transaction.Begin"}]}
    s.charge(300)
    end = {"timestamp": s.stamp(), "sampledValue": [{"value": f"{s.wh:.0f}", "context": "Transaction.End"}]}
    s.station("StopTransaction", {**s.stop_payload(), "transactionData": [begin, end]})
    assert s.judge("register_rises").verdict is AuditVerdict.PASS


def test_samples_that_are_switched_off_are_not_missed() -> None:
    s = Station16()
    s.boot()
    s.backend("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "0"})
    s.start()
    s.wait(4000)
    s.stop()
    assert s.judge("meter_values_sent").verdict is AuditVerdict.NOT_APPLICABLE


def test_the_unit_is_right_for_signed_values_and_text() -> None:
    s = Station16()
    s.boot()
    s.start()
    s.wait(60)
    s.sample(1, {"value": "OCMF|{}|{}", "format": "SignedData"}, {"value": "n/a", "measurand": "Voltage"})
    s.charge(120)
    s.stop()
    for name in ("register_unit", "register_rises", "phase_voltages"):
        assert s.judge(name).verdict in (AuditVerdict.PASS, AuditVerdict.NOT_APPLICABLE)

"""The allow-list of a billing backend and what a second backend may do, as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.dialects import backend_and_dialects
from agent.domain.messages import DeviceModelReport, SettlementReported, SettlementStatus
from agent.domain.variables import Settings
from agent.model.types import Fault, Stamp
from agent.ocpp.dialects.billing_scope import AllowedFields, billing_only, filter_payload, restrict_calls
from agent.ocpp.dialects.dialect import FixedAnswer, MessageRow, NotExpressible, NotOffered, RequestRow, find_gaps
from agent.ocpp.versions import build_dialects
from agent.station_file.settings import SettingsError, parse_station_file
from tests.ocpp.ocpp_stand_ins import Outbox, decoded, desk
from tests.ocpp.test_v201_model import inventory, item
from tests.ocpp.test_v201_rows import place, valid

BOTH = build_dialects(("1.6", "2.0.1"))
SENT = {d.name: scope.sent for d in BOTH if (scope := d.scope()) is not None}


@pytest.mark.parametrize("dialect", BOTH, ids=lambda d: d.name)
def test_a_narrowed_dialect_is_whole_and_says_only_what_is_listed(dialect: Any) -> None:
    narrowed = billing_only(dialect)
    assert find_gaps(narrowed) == []
    said = {r.action for r in narrowed.rows if isinstance(r, MessageRow)}
    assert said <= set(SENT[dialect.name])
    muted = {r.message.__name__ for r in narrowed.rows if isinstance(r, NotExpressible)}
    assert {"SecurityHappened", "FirmwareStatus", "LogStatus", "FaultNoted", "ListConflicted"} <= muted
    assert {"ExternalLimitSet", "ExternalLimitReleased"} <= muted
    assert set(SENT[dialect.name]) <= set(dialect.schemas.known_actions())


def test_the_list_drops_fields_words_and_measurands() -> None:
    stop = {
        "transactionId": 7,
        "meterStop": 1200,
        "timestamp": "2026-11-26T10:00:00Z",
        "reason": "EmergencyStop",
        "transactionData": [
            {"timestamp": "t", "sampledValue": [{"value": "1200"}, {"value": "80", "measurand": "Temperature"}]},
            {"timestamp": "t", "sampledValue": [{"value": "16", "measurand": "Current.Import"}]},
        ],
    }
    said = filter_payload("StopTransaction", stop, SENT["1.6"]["StopTransaction"])
    assert said is not None
    assert said["reason"] == "Other"
    assert said["transactionData"] == [{"timestamp": "t", "sampledValue": [{"value": "1200"}]}]
    assert (said["transactionId"], said["meterStop"]) == (7, 1200)
    event = {
        "eventType": "Ended",
        "transactionInfo": {"transactionId": "x", "stoppedReason": "GroundFault", "customData": {}},
    }
    said = filter_payload("TransactionEvent", event, SENT["2.0.1"]["TransactionEvent"])
    assert said == {"eventType": "Ended", "transactionInfo": {"transactionId": "x", "stoppedReason": "Other"}}


def test_meter_values_without_energy_are_not_said() -> None:
    values = {
        "connectorId": 1,
        "meterValue": [{"timestamp": "t", "sampledValue": [{"value": "1", "measurand": "SoC"}]}],
    }
    assert filter_payload("MeterValues", values, SENT["1.6"]["MeterValues"]) is None


@pytest.mark.parametrize("version", ["1.5", "1.6", "2.1"])
def test_a_settlement_has_the_same_fields_in_every_version(version: str) -> None:
    """Why a settlement has failed, and the company of a driver, are not for a billing backend."""
    company = (("name", "Acme"), ("address1", "1 rue Test"), ("city", "Luxembourg"), ("country", "Luxembourg"))
    message = SettlementReported(
        "PY1", SettlementStatus.SETTLED, 1234, Stamp(1, 0.0), "s1", "R1", "https://pay.example", "why", "LU1", company
    )
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42"}
    at = desk(outbox, Settings({"settlement_vendor_id": "lu.example.pay"}))
    (dialect,) = build_dialects((version,))
    whole, allowed = (d.message_row(SettlementReported) for d in (dialect, billing_only(dialect)))
    said = []
    for row in (whole, allowed):
        assert isinstance(row, MessageRow)
        payload = row.encode(message, at)
        assert payload is not None
        said.append(payload if version == "2.1" else json.loads(payload["data"]))
    withheld = {"statusInfo", "vatNumber", "vatCompany"}
    assert withheld < said[0].keys()
    assert said[1] == {name: value for name, value in said[0].items() if name not in withheld}
    assert len(said[1]) == 7


def test_the_data_of_another_transfer_stays_as_it_is() -> None:
    for data in ("no JSON", '{"vatNumber":"LU1"}'):
        payload = {"vendorId": "v", "messageId": "Other", "data": data}
        assert filter_payload("DataTransfer", payload, SENT["1.6"]["DataTransfer"]) == payload


def test_a_path_on_the_list_brings_what_is_below_and_what_leads_to_it() -> None:
    leaves = AllowedFields(frozenset({"a.b"}))
    assert filter_payload("X", {"a": {"b": {"c": 1}, "d": 2}, "ab": 3}, leaves) == {"a": {"b": {"c": 1}}}


def asked(action: str, payload: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a billing backend hears of a station whose second outlet is broken: the answer, and the reports after it."""
    narrowed = billing_only(build_dialects(("2.0.1",))[0])
    row, at = narrowed.request_row(action), place()
    assert isinstance(row, RequestRow)
    wanted = decoded(row, payload, at)
    reply = inventory(fault=Fault.GROUND_FAILURE)
    answer = wanted if isinstance(wanted, dict) else row.answer(reply, payload, at)
    valid(action + "Response", answer)
    said = narrowed.message_row(DeviceModelReport)
    assert isinstance(said, MessageRow)
    reports = [said.encode(r, at) for r in ([] if isinstance(wanted, dict) else row.follow_up(reply, payload, at))]
    for report in reports:
        valid("NotifyReportRequest", report)
    return answer, [e for r in reports if r for e in r["reportData"]]


@pytest.mark.parametrize("name", ["Problem", "problem", "PROBLEM"])
def test_a_variable_that_tells_of_faults_is_not_read_however_it_is_spelt(name: str) -> None:
    answer, _ = asked("GetVariables", {"getVariableData": [item("EVSE", name, 2)]})
    (found,) = answer["getVariableResult"]
    assert found["attributeStatus"] == "Rejected"
    assert "attributeValue" not in found


@pytest.mark.parametrize(
    "wanted",
    [
        {"componentCriteria": ["Problem"]},
        {"componentVariable": [{"component": {"name": "EVSE"}, "variable": {"name": "problem"}}]},
    ],
)
def test_a_report_does_not_name_what_is_broken(wanted: dict[str, Any]) -> None:
    assert asked("GetReport", {"requestId": 1, **wanted}) == ({"status": "EmptyResultSet"}, [])


def test_a_report_has_the_rest_of_what_was_asked_for() -> None:
    mixed = [{"component": {"name": "EVSE"}, "variable": {"name": n}} for n in ("Problem", "Power")]
    answer, entries = asked("GetReport", {"requestId": 1, "componentVariable": mixed})
    assert answer == {"status": "Accepted"}
    assert {e["variable"]["name"] for e in entries} == {"Power"}
    both, alone = (
        asked("GetReport", {"requestId": 1, "componentCriteria": c}) for c in (["Problem", "Enabled"], ["Enabled"])
    )
    assert both == alone
    answer, entries = asked("GetBaseReport", {"requestId": 1, "reportBase": "SummaryInventory"})
    assert {e["variable"]["name"] for e in entries} == {"AvailabilityState"}


# --- a second backend ------------------------------------------------------------------------------------------------


def ins(dialect: Any) -> set[str]:
    return {r.action for r in dialect.rows if isinstance(r, RequestRow | FixedAnswer)}


@pytest.mark.parametrize("dialect", BOTH, ids=lambda d: d.name)
def test_a_second_backend_may_look(dialect: Any) -> None:
    looking = restrict_calls(dialect, ("Reset",))
    assert find_gaps(looking) == []
    orders = {"SetChargingProfile", "ChangeAvailability", "UpdateFirmware", "UnlockConnector", "InstallCertificate",
              "RemoteStartTransaction", "RequestStartTransaction", "ChangeConfiguration", "SetVariables"}  # fmt: skip
    assert not ins(looking) & orders
    assert {"Reset", "TriggerMessage", "GetLog", "GetCompositeSchedule"} <= ins(looking)
    assert ins(looking) | {r.action for r in looking.rows if isinstance(r, NotOffered)} >= ins(dialect)


def test_the_station_file_says_which_backend_may_what() -> None:
    tables = [{"url": "ws://b.example", "name": "second", "calls": ["Reset"]}]
    raw: dict[str, Any] = {"backend": {"url": "ws://a.example"}, "backends": tables, "evse": [{"number": 1}]}
    file = parse_station_file(raw, Path("station.toml"))
    first, second = (backend_and_dialects(file, b)["dialects"][0] for b in file.backends)
    assert "ChangeConfiguration" in ins(first)
    assert "ChangeConfiguration" not in ins(second)
    assert "Reset" in ins(second)
    tables[0]["calls"] = ["Resett"]
    wrong = parse_station_file(raw, Path("station.toml"))
    with pytest.raises(SettingsError, match="no such call is offered: Resett"):
        backend_and_dialects(wrong, wrong.backends[1])

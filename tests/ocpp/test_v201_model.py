"""The device model: every setting has a name or an excuse, what is required is there, what is announced works."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.blocks.device_model import DeviceModel
from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.display_messages import FORMATS, MESSAGES_MAX, MessagePriority
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier
from agent.domain.messages import DeviceModelReport
from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest, SetVariablesRequest
from agent.domain.variables import DISPLAY_MESSAGES, VARIABLES, Settings, WrongValue, parse_value
from agent.model.types import Fault, Moment, Stamp
from agent.ocpp.dialects.device_model_v2x import NAMES, UNNAMED_2, parse_settings
from agent.ocpp.dialects.dialect import Refused, RowContext
from agent.ocpp.v201 import reports
from agent.ocpp.v201.device_model import collect_facts, list_entries
from agent.ocpp.v201.reports import CHUNK
from tests.ocpp.test_v201_rows import place, row, valid
from tests.support.domain_state import evse_record

REQUIRED = {
    "AlignedDataCtrlr": "Interval Measurands TxEndedInterval TxEndedMeasurands",
    "AuthCtrlr": "AuthorizeRemoteStart LocalAuthorizeOffline LocalPreAuthorize",
    "ChargingStation": "Available AvailabilityState SupplyPhases",
    "ClockCtrlr": "DateTime TimeSource",
    "Connector": "Available AvailabilityState ConnectorType SupplyPhases",
    "DeviceDataCtrlr": "BytesPerMessage@GetReport BytesPerMessage@GetVariables BytesPerMessage@SetVariables "
    "ItemsPerMessage@GetReport ItemsPerMessage@GetVariables ItemsPerMessage@SetVariables",
    "EVSE": "Available AvailabilityState Power SupplyPhases",
    "LocalAuthListCtrlr": "BytesPerMessage Enabled Entries ItemsPerMessage",
    "MonitoringCtrlr": "BytesPerMessage@SetVariableMonitoring ItemsPerMessage@SetVariableMonitoring",
    "OCPPCommCtrlr": "FileTransferProtocols MessageAttemptInterval@TransactionEvent MessageAttempts@TransactionEvent "
    "MessageTimeout@Default NetworkConfigurationPriority NetworkProfileConnectionAttempts OfflineThreshold "
    "ResetRetries RetryBackOffRandomRange RetryBackOffRepeatTimes RetryBackOffWaitMinimum UnlockOnEVSideDisconnect "
    "WebSocketPingInterval",
    "SampledDataCtrlr": "TxEndedInterval TxEndedMeasurands TxStartedMeasurands TxUpdatedInterval TxUpdatedMeasurands",
    "SecurityCtrlr": "CertificateEntries OrganizationName SecurityProfile",
    "TxCtrlr": "EVConnectionTimeOut StopTxOnEVSideDisconnect StopTxOnInvalidId TxStartPoint TxStopPoint",
}


def inventory(settings: Settings | None = None, fault: Fault | None = None, bay: bool = False) -> Response:
    """What the domain's own block says of a station with a socket and a fixed cable."""
    site = StationState(
        {1: evse_record(1, bay_sensor=bay), 2: evse_record(2, tethered=True, max_a=16.0, phases=1)},
        settings or Settings(),
    )
    for evse in site.evses.values():
        evse.board.known = True
    if fault:
        site.evses[2].faults.add(fault)
    block = DeviceModel(site, EvseStatus(site))
    (reply,) = block.answer_inventory_report(
        DeviceReportRequest(), Replier("chargy", "1"), Moment(Stamp(1, 5.0), 1_795_600_800.0)
    )
    assert isinstance(reply, Response)
    return reply


def component(name: str, evse: int = 0, connector: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    if evse:
        found["evse"] = {"id": evse, **({"connectorId": connector} if connector else {})}
    return found


def item(
    name: str, variable: str, evse: int = 0, connector: int = 0, instance: str = "", **more: Any
) -> dict[str, Any]:
    named = {"name": variable, **({"instance": instance} if instance else {})}
    return {"component": component(name, evse, connector), "variable": named, **more}


def get(
    *items: dict[str, Any], reply: Response | None = None, at: RowContext | None = None
) -> list[tuple[str, str | None]]:
    payload = {"getVariableData": list(items)}
    valid("GetVariablesRequest", payload)
    assert row("GetVariables").decode(payload, place()) == DeviceReportRequest()
    answer = row("GetVariables").answer(reply or inventory(), payload, at or place())
    valid("GetVariablesResponse", answer)
    results = answer["getVariableResult"]
    assert [(r["component"], r["variable"]) for r in results] == [(i["component"], i["variable"]) for i in items]
    return [(r["attributeStatus"], r.get("attributeValue")) for r in results]


def put(*items: dict[str, Any], said: dict[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
    """What the domain is asked to set, and what is answered if it says so."""
    payload = {"setVariableData": list(items)}
    valid("SetVariablesRequest", payload)
    asked = row("SetVariables").decode(payload, place())
    assert isinstance(asked, SetVariablesRequest)
    data = said if said is not None else dict.fromkeys(asked.values, "Accepted")
    answer = row("SetVariables").answer(Response("chargy", "1", "Accepted", data), payload, place())
    valid("SetVariablesResponse", answer)
    return dict(asked.values), [r["attributeStatus"] for r in answer["setVariableResult"]]


def report(action: str, payload: dict[str, Any], reply: Response | None = None) -> tuple[str, list[dict[str, Any]]]:
    at = place()
    valid(action + "Request", payload)
    reply = reply or inventory()
    answer = row(action).answer(reply, payload, at)
    valid(action + "Response", answer)
    parts = [m for m in row(action).follow_up(reply, payload, at) if isinstance(m, DeviceModelReport)]
    assert [p.part for p in parts] == list(range(len(parts)))
    assert [p.more for p in parts] == [True] * (len(parts) - 1) + [False] * bool(parts)
    assert all(p.request == payload["requestId"] and 0 < len(p.data) <= CHUNK for p in parts)
    data = [entry for part in parts for entry in part.data]
    for part in parts:
        valid("NotifyReportRequest", {"requestId": 1, "generatedAt": "2026-11-25T10:00:00Z", "seqNo": 0,
                                      "reportData": list(part.data)})  # fmt: skip
    return answer["status"], data


def key(entry: dict[str, Any]) -> tuple[str, int, str, str]:
    variable = entry["variable"]
    evse = entry["component"].get("evse", {}).get("id", 0)
    return entry["component"]["name"], evse, variable["name"], variable.get("instance", "")


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_setting_has_a_name_or_an_excuse() -> None:
    named = {n.setting for n in NAMES if n.setting}
    assert named | UNNAMED_2.keys() == VARIABLES.keys()
    assert not named & UNNAMED_2.keys()
    assert all(n.setting or n.value for n in NAMES)
    assert len({(n.component, n.variable, n.instance, n.of, n.only) for n in NAMES}) == len(NAMES)


def test_a_setting_is_writable_under_one_name_only() -> None:
    writable = [n.setting for n in NAMES if n.is_writable]
    assert len(writable) == len(set(writable))


def test_everything_that_is_required_is_there() -> None:
    have = {(n.component, n.variable + (f"@{n.instance}" if n.instance else "")) for n in NAMES}
    assert {(c, v) for c, text in REQUIRED.items() for v in text.split()} - have == set()


def test_initial_values_of_the_station_file() -> None:
    values, problems = parse_settings({
        "TxCtrlr": {
            "EVConnectionTimeOut": 30, "StopTxOnInvalidId": False, "TxStartPoint": "EVConnected",
            "TxStopPoint": ["Authorized", "DataSigned"],
        },
        "SampledDataCtrlr.TxUpdatedMeasurands": ["Voltage", "SoC"],
        "OCPPCommCtrlr.MessageAttempts[TransactionEvent]": 5,
        "ocppcommctrlr.heartbeatinterval": "soon",
    })  # fmt: skip
    assert values == {
        "connection_timeout_s": 30, "stop_on_invalid_id": False, "sampled_measurands": ("Voltage", "SoC"),
        "message_attempts": 5, "tx_start_points": ("EVConnected",),
    }  # fmt: skip
    assert [p.split(":")[0] for p in problems] == [
        "settings.ocpp2.TxCtrlr.TxStopPoint", "settings.ocpp2.ocppcommctrlr.heartbeatinterval",
    ]  # fmt: skip


def test_first_values_of_one_outlet() -> None:
    template = "https://pay.example/{chargingstationid}/{totp}/{version}"
    values, problems = parse_settings({
        "WebPaymentsCtrlr.1.Enabled": True, "webpaymentsctrlr.2.urltemplate": template,
        "WebPaymentsCtrlr.ValidityTime": 60, "WebPaymentsCtrlr": {"2.QRCodeURL": "https://pay.example/2"},
        "WebPaymentsCtrlr.1.Nothing": 1,
    })  # fmt: skip
    assert values == {
        "web1_enabled": True, "web2_template": template, "web0_validity_s": 60, "qr2_url": "https://pay.example/2",
    }  # fmt: skip
    assert [p.split(":")[0] for p in problems] == ["settings.ocpp2.WebPaymentsCtrlr.1.Nothing"]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_values() -> None:
    settings = Settings({"connection_timeout_s": 42, "sampled_measurands": ("Voltage", "SoC")})
    assert get(
        item("txctrlr", "EVCONNECTIONTIMEOUT"), item("SampledDataCtrlr", "TxUpdatedMeasurands"),
        item("ClockCtrlr", "DateTime"), item("TxCtrlr", "TxStartPoint"), item("TxCtrlr", "TxStopPoint"),
        item("EVSE", "AvailabilityState", 1), item("Connector", "ConnectorType", 1, 1),
        item("Connector", "ConnectorType", 2, 1), item("EVSE", "SupplyPhases", 2),
        item("ChargingStation", "VendorName"), item("DeviceDataCtrlr", "ItemsPerMessage", instance="GetReport"),
        reply=inventory(settings),
    ) == [
        ("Accepted", v) for v in (
            "42", "Voltage,SoC", "2026-11-25T10:00:00.000Z", "PowerPathClosed", "Authorized", "Available", "sType2",
            "cType2", "1", "Chargy", "100",
        )
    ]  # fmt: skip
    faulty = inventory(fault=Fault.GROUND_FAILURE)
    assert get(item("EVSE", "AvailabilityState", 2), item("EVSE", "Problem", 2), reply=faulty) == [
        ("Accepted", "Faulted"),
        ("Accepted", "true"),
    ]


def test_what_the_link_knows_better() -> None:
    at = place()
    at.overlay["heartbeat_interval_s"] = 77
    assert get(item("OCPPCommCtrlr", "HeartbeatInterval"), at=at) == [("Accepted", "77")]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (item("Nonsense", "Interval"), "UnknownComponent"),
        (item("EVSE", "Power", 9), "UnknownComponent"),
        (item("EVSE", "Power"), "UnknownComponent"),
        (item("EVSE", "Power", 1, 1), "UnknownComponent"),
        (item("TxCtrlr", "EVConnectionTimeOut", 1), "UnknownComponent"),
        (item("TxCtrlr", "Nonsense"), "UnknownVariable"),
        (item("OCPPCommCtrlr", "MessageAttempts"), "UnknownVariable"),
        (item("TxCtrlr", "EVConnectionTimeOut", attributeType="Target"), "NotSupportedAttributeType"),
        (item("SecurityCtrlr", "BasicAuthPassword"), "Rejected"),
    ],
)
def test_what_cannot_be_read(wanted: dict[str, Any], status: str) -> None:
    assert get(wanted) == [(status, None)]


def test_too_many_at_once() -> None:
    many = {"getVariableData": [item("TxCtrlr", "TxStartPoint")] * 101}
    with pytest.raises(Refused) as refused:
        row("GetVariables").decode(many, place())
    assert refused.value.code == "OccurrenceConstraintViolation"


# --- writing ---------------------------------------------------------------------------------------------------------


def test_setting() -> None:
    asked, statuses = put(
        item("TxCtrlr", "EVConnectionTimeOut", attributeValue="30"),
        item("SampledDataCtrlr", "TxUpdatedInterval", attributeValue="sixty"),
        item("AuthCacheCtrlr", "Available", attributeValue="false"),
        item("Nonsense", "X", attributeValue="1"),
        item("TxCtrlr", "Nonsense", attributeValue="1"),
        item("TxCtrlr", "StopTxOnInvalidId", attributeValue="true", attributeType="MaxSet"),
        item("AuthCtrlr", "LocalPreAuthorize", attributeValue="true"),
        said={
            "connection_timeout_s": "Accepted",
            "sample_interval_s": "Rejected",
            "local_pre_authorize": "RebootRequired",
        },
    )
    assert asked == {"connection_timeout_s": "30", "sample_interval_s": "sixty", "local_pre_authorize": "true"}
    assert statuses == [
        "Accepted", "Rejected", "Rejected", "UnknownComponent", "UnknownVariable", "NotSupportedAttributeType",
        "RebootRequired",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("password", "good"),
    [("sixteen_letters_", True), ("f" * 40, True), ("fifteen_letters", False), ("f" * 41, False), ("a b" * 6, False)],
)
def test_the_password(password: str, good: bool) -> None:
    asked, statuses = put(item("SecurityCtrlr", "BasicAuthPassword", attributeValue=password))
    assert (bool(asked), statuses) == (good, ["Accepted" if good else "Rejected"])
    if good:
        from agent.ocpp.dialects.keys_v1x import authorization_key_bytes

        assert authorization_key_bytes(asked["authorization_key"]) == password.encode()
        assert parse_value(VARIABLES["authorization_key"], asked["authorization_key"])


# --- reports ---------------------------------------------------------------------------------------------------------


def test_points_are_offered_where_they_can_be_reached() -> None:
    def offered(bay: bool) -> str:
        reply = inventory(bay=bay)
        (entry,) = report("GetReport", {"requestId": 1, "componentVariable": [item("TxCtrlr", "TxStopPoint")]}, reply)[
            1
        ]
        assert entry["variableAttribute"][0]["mutability"] == "ReadWrite"
        return str(entry["variableCharacteristics"]["valuesList"])

    assert offered(False) == "EVConnected,Authorized,PowerPathClosed,EnergyTransfer"
    assert offered(True) == "ParkingBayOccupancy,EVConnected,Authorized,PowerPathClosed,EnergyTransfer"


def test_full_inventory() -> None:
    status, data = report("GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"})
    assert status == "Accepted"
    keys = [key(e) for e in data]
    assert len(keys) == len(set(keys))
    assert {(k[0], k[1]) for k in keys} >= {("EVSE", 1), ("EVSE", 2), ("Connector", 1), ("Connector", 2)}
    power = next(e for e in data if key(e) == ("EVSE", 2, "Power", ""))
    assert power["variableCharacteristics"]["maxLimit"] == 3680.0
    password = next(e for e in data if key(e)[2] == "BasicAuthPassword")
    assert password["variableAttribute"] == [
        {"type": "Actual", "mutability": "WriteOnly", "persistent": True, "constant": False}
    ]
    for entry in data:
        ((_, value),) = get({"component": entry["component"], "variable": entry["variable"]})
        assert value == entry["variableAttribute"][0].get("value")


def test_what_is_reported_to_be_writable_can_be_written_and_nothing_else() -> None:
    _, full = report("GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"})
    _, writable = report("GetBaseReport", {"requestId": 8, "reportBase": "ConfigurationInventory"})
    names = {key(e) for e in writable}
    assert names < {key(e) for e in full}
    for entry in full:
        value = entry["variableAttribute"][0].get("value", "sixteen_letters_")
        wanted = {"component": entry["component"], "variable": entry["variable"], "attributeValue": value}
        asked, statuses = put(wanted)
        assert statuses == (["Accepted"] if key(entry) in names else ["Rejected"]), entry
        for setting, text in asked.items():
            try:
                parse_value(VARIABLES[setting], text)
            except WrongValue as e:
                raise AssertionError(entry) from e


def test_a_station_that_shows_messages_says_which() -> None:
    assert not any(e.name.component.startswith("Display") for e in list_entries(place()))
    settings = Settings(fitted=frozenset({DISPLAY_MESSAGES}))
    at, facts = place(settings=settings), collect_facts(inventory(settings), place())
    entries = {e.name.variable: e.name for e in list_entries(at) if e.name.component == "DisplayMessageCtrlr"}
    assert not any(name.is_writable for name in entries.values())
    texts = {variable: name.present_text(facts, 0) for variable, name in entries.items()}
    assert texts == {
        "Available": "true", "DisplayMessages": "0", "Enabled": "true", "PersonalMessageSize": "512",
        "SupportedFormats": ",".join(FORMATS), "SupportedPriorities": ",".join(p.value for p in MessagePriority),
    }  # fmt: skip
    most = entries["DisplayMessages"].high
    assert most is not None
    assert most(facts, 0) == MESSAGES_MAX


def test_summary() -> None:
    status, data = report("GetBaseReport", {"requestId": 7, "reportBase": "SummaryInventory"})
    assert status == "Accepted"
    assert {e["variable"]["name"] for e in data} == {"AvailabilityState", "Problem"}
    assert len(data) == 13  # of the station and its store; of two EVSEs, connectors and locks, which have no state


def test_the_answer_to_a_request_for_a_report_selects_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selection by criteria holds the event loop; the whole of it is needed for the report alone."""
    judged: list[str] = []

    def counted(entry: Any, criterion: str, *others: Any) -> bool:
        judged.append(criterion)
        return meets(entry, criterion, *others)

    meets = reports._meets_criterion
    monkeypatch.setattr(reports, "_meets_criterion", counted)
    payload = {"requestId": 1, "componentCriteria": ["Available", "Problem"]}
    assert row("GetReport").answer(inventory(), payload, place()) == {"status": "Accepted"}
    assert len(judged) < 5
    judged.clear()
    parts = row("GetReport").follow_up(inventory(), payload, place())
    assert sum(len(part.data) for part in parts if isinstance(part, DeviceModelReport)) <= len(judged)
    assert len(judged) <= 2 * len(list(list_entries(place())))


def test_custom_reports() -> None:
    def ask(**more: Any) -> tuple[str, list[tuple[str, int, str, str]]]:
        status, data = report("GetReport", {"requestId": 1, **more}, inventory(fault=Fault.GROUND_FAILURE))
        return status, [key(e) for e in data]

    def named(name: str, variable: str | None = None, evse: int = 0, instance: str = "") -> dict[str, Any]:
        wanted = item(name, variable or "", evse, instance=instance)
        return wanted if variable else {"component": wanted["component"]}

    assert ask(componentVariable=[named("EVSE", "Power", 1)]) == ("Accepted", [("EVSE", 1, "Power", "")])
    both = [("EVSE", 1, "Power", ""), ("EVSE", 2, "Power", "")]
    assert ask(componentVariable=[named("EVSE", "Power")]) == ("Accepted", both)
    items = [("DeviceDataCtrlr", 0, "ItemsPerMessage", i) for i in ("GetReport", "GetVariables", "SetVariables")]
    assert ask(componentVariable=[named("DeviceDataCtrlr", "ItemsPerMessage")]) == ("Accepted", items)
    assert ask(componentVariable=[named("DeviceDataCtrlr", "ItemsPerMessage", instance="GetReport")])[1] == items[:1]
    assert ask(componentVariable=[named("Nonsense")]) == ("EmptyResultSet", [])
    problems = ask(componentCriteria=["Problem"])[1]
    assert {(k[0], k[1]) for k in problems} == {("ChargingStation", 0), ("EVSE", 2), ("Connector", 2)}
    assert ask(componentCriteria=["Problem"], componentVariable=[named("EVSE", "Power", 1)]) == ("EmptyResultSet", [])
    available = {k[0] for k in ask(componentCriteria=["Available"])[1]}
    assert "Nonsense" not in available
    assert {"EVSE", "AuthCacheCtrlr", "LocalAuthListCtrlr", "TxCtrlr"} <= available

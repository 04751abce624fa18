"""Block B, provisioning: boot, variables, reports, resets."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.support.busy_machine import deadline
from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Backend, station_text
from tests.support.station_rig_v201 import Street201, named

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT = "TxCtrlr.EVConnectionTimeOut"


def keys(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            e["component"]["name"],
            e["component"].get("evse", {}).get("id"),
            e["component"].get("evse", {}).get("connectorId"),
            e["variable"]["name"],
            e["variable"].get("instance"),
        )
        for e in entries
    ]


async def test_TC_B_01_CS(s: Street201) -> None:
    """Boot, connector states, heartbeats at the interval given."""
    await s.station.post("/agent", {"action": "kill"})
    boot = await s.rebooted()
    assert boot["reason"] in ("PowerUp", "ApplicationReset")
    await s.heard(lambda: {p["evseId"] for p in s.payloads("StatusNotification")} == {1, 2})
    await s.heard(lambda: s.payloads("SecurityEventNotification"))
    assert s.payloads("SecurityEventNotification")[0]["type"] == "StartupOfTheDevice"
    assert await s.put("OCPPCommCtrlr.HeartbeatInterval", "20") == "Accepted"
    await s.heard(lambda: len(s.payloads("Heartbeat")) >= 2)
    assert await s.put("OCPPCommCtrlr.HeartbeatInterval", "900") == "Accepted"


async def test_TC_B_02_CS(s: Street201) -> None:
    """Pending: variables and reports work, starting is rejected, a boot can be triggered; nothing else is sent."""
    s.csms.boot, s.csms.interval_s = "Pending", 3600  # no second boot comes by itself
    try:
        await s.station.post("/agent", {"action": "kill"})
        await s.heard(lambda: s.payloads("BootNotification"))
        await s.station.until(lambda p: p["backend"]["boot"] == "Pending")
        assert (await s.get(TIMEOUT))[0] == "Accepted"
        assert await s.put(TIMEOUT, "61") == "Accepted"
        assert (await s.report("GetBaseReport", reportBase="ConfigurationInventory"))[1]
        assert await s.remote() == "Rejected"
        assert (await s.csms.call("Reset", {"type": "Immediate"}))[2] == "SecurityError"  # TC_B_30_CS
    finally:
        s.csms.boot, s.csms.interval_s = "Accepted", 300
    answer = await s.csms.ask("TriggerMessage", {"requestedMessage": "BootNotification"})
    assert answer == {"status": "Accepted"}
    await s.heard(lambda: len(s.payloads("BootNotification")) == 2)
    assert s.payloads("BootNotification")[1]["reason"] == "Triggered"
    before = [a for a, _ in s.calls()][: [a for a, _ in s.calls()].index("BootNotification", 1)]
    assert set(before) == {"BootNotification", "NotifyReport"}
    await s.station.until(lambda p: p["backend"]["link"] == "up")


async def test_TC_B_03_CS_TC_B_30_CS(s: Street201) -> None:
    """Rejected: silence until the interval is over; what is asked meanwhile is a SecurityError, also while Pending."""
    booted_s: list[float] = []

    async def note(moment: str, action: str, payload: dict[str, Any]) -> None:
        if (moment, action) == ("before", "BootNotification"):
            booted_s.append(asyncio.get_running_loop().time() * s.station.speed)

    s.csms.boot, s.csms.interval_s, s.csms.hook = "Rejected", 20, note
    try:
        await s.station.post("/agent", {"action": "kill"})
        await s.heard(lambda: s.payloads("BootNotification"))
        await s.station.until(lambda p: p["backend"]["boot"] == "Rejected")
        wanted = {"getVariableData": [named(TIMEOUT)]}
        assert (await s.csms.call("GetVariables", wanted))[2] == "SecurityError"
        s.csms.boot = "Pending"
        await s.station.until(lambda p: p["backend"]["boot"] == "Pending")
        assert {a for a, _ in s.calls()} == {"BootNotification"}
        assert all(b - a >= 18 for a, b in itertools.pairwise(booted_s)), booted_s
        assert len(booted_s) >= 2
        assert (await s.csms.call("ClearCache", {}))[2] == "SecurityError"
    finally:
        s.csms.boot, s.csms.interval_s, s.csms.hook = "Accepted", 300, None
    await s.station.until(lambda p: p["backend"]["link"] == "up")


async def test_TC_B_06_CS(s: Street201) -> None:
    """One variable is read; names are returned as asked."""
    wanted = {"component": {"name": "ocppcommctrlr"}, "variable": {"name": "OFFLINETHRESHOLD"}}
    answer = await s.csms.ask("GetVariables", {"getVariableData": [{**wanted, "attributeType": "Actual"}]})
    assert answer["getVariableResult"] == [
        {**wanted, "attributeType": "Actual", "attributeStatus": "Accepted", "attributeValue": "600"}
    ]


async def test_TC_B_07_CS(s: Street201) -> None:
    """Several variables are read in one request."""
    wanted = [named(p) for p in ("OCPPCommCtrlr.OfflineThreshold", "AuthCtrlr.AuthorizeRemoteStart")]
    answer = await s.csms.ask("GetVariables", {"getVariableData": wanted})
    assert [r["attributeValue"] for r in answer["getVariableResult"]] == ["600", "false"]


async def test_TC_B_08_CS(s: Street201) -> None:
    """The limit of items per request is reported and honoured up to the limit."""
    _, most = await s.get("DeviceDataCtrlr.ItemsPerMessage@GetVariables")
    answer = await s.csms.ask("GetVariables", {"getVariableData": [named(TIMEOUT)] * int(most or 0)})
    assert len(answer["getVariableResult"]) == int(most or 0)
    refused = await s.csms.call("GetVariables", {"getVariableData": [named(TIMEOUT)] * (int(most or 0) + 1)})
    assert refused[2] == "OccurrenceConstraintViolation"


async def test_TC_B_09_CS(s: Street201) -> None:
    """One variable is set and keeps its value over a power cut."""
    assert await s.put("OCPPCommCtrlr.OfflineThreshold", "123") == "Accepted"
    await s.kill()
    await s.rebooted()
    assert await s.get("OCPPCommCtrlr.OfflineThreshold") == ("Accepted", "123")
    assert await s.put("OCPPCommCtrlr.OfflineThreshold", "600") == "Accepted"


async def test_TC_B_10_CS(s: Street201) -> None:
    """Several variables are set in one request."""
    wanted = [
        {**named("OCPPCommCtrlr.OfflineThreshold"), "attributeValue": "601"},
        {**named("AuthCtrlr.AuthorizeRemoteStart"), "attributeValue": "true"},
    ]
    answer = await s.csms.ask("SetVariables", {"setVariableData": wanted})
    assert [r["attributeStatus"] for r in answer["setVariableResult"]] == ["Accepted", "Accepted"]
    assert (await s.get("AuthCtrlr.AuthorizeRemoteStart"))[1] == "true"
    assert await s.put("AuthCtrlr.AuthorizeRemoteStart", "false") == "Accepted"


async def test_TC_B_11_CS(s: Street201) -> None:
    """A value of the wrong kind is rejected and changes nothing."""
    before = await s.get(TIMEOUT)
    assert await s.put(TIMEOUT, "soon") == "Rejected"
    assert await s.get(TIMEOUT) == before


async def test_TC_B_12_CS(s: Street201) -> None:
    """ConfigurationInventory: exactly what can be written."""
    _, full = await s.report("GetBaseReport", reportBase="FullInventory")
    _, writable = await s.report("GetBaseReport", reportBase="ConfigurationInventory")
    expected = [e for e in full if e["variableAttribute"][0]["mutability"] != "ReadOnly"]
    assert sorted(map(str, keys(writable))) == sorted(map(str, keys(expected)))


async def test_TC_B_13_CS(s: Street201) -> None:
    """FullInventory is a superset of ConfigurationInventory, without duplicates."""
    _, full = await s.report("GetBaseReport", reportBase="FullInventory")
    _, writable = await s.report("GetBaseReport", reportBase="ConfigurationInventory")
    assert len(keys(full)) == len(set(keys(full)))
    assert set(keys(writable)) < set(keys(full))


async def test_TC_B_14_CS(s: Street201) -> None:
    """SummaryInventory: at least the availability states."""
    _, entries = await s.report("GetBaseReport", reportBase="SummaryInventory")
    states = {k[:3] for k in keys(entries) if k[3] == "AvailabilityState"}
    assert states == {
        ("ChargingStation", None, None), ("EVSE", 1, None), ("EVSE", 2, None), ("Connector", 1, 1), ("Connector", 2, 1),
    }  # fmt: skip


async def test_TC_B_16_CS(s: Street201) -> None:
    """Report by criterion: what is available."""
    status, entries = await s.report("GetReport", componentCriteria=["Available"])
    assert status == "Accepted"
    assert ("EVSE", 1, None, "Available", None) in keys(entries)


async def test_TC_B_17_CS(s: Street201) -> None:
    """Report of one variable of one EVSE."""
    _, entries = await s.report("GetReport", componentVariable=[named("EVSE/1.AvailabilityState")])
    assert keys(entries) == [("EVSE", 1, None, "AvailabilityState", None)]


async def test_TC_B_19_CS(s: Street201) -> None:
    """A criterion, or a base, that the standard does not know: NotSupported (B08.FR.02, B07.FR.02), and no report."""
    number = next(s.numbers)
    wanted = {"requestId": number, "componentCriteria": ["Available", "Shiny"]}
    assert await s.csms.ask("GetReport", wanted) == {"status": "NotSupported"}
    base = {"requestId": number, "reportBase": "EverythingThereIs"}
    assert await s.csms.ask("GetBaseReport", base) == {"status": "NotSupported"}
    assert number not in s.csms.reports
    assert s.payloads("SecurityEventNotification") == []


async def test_TC_B_18_CS(s: Street201) -> None:
    """Criterion and variable together: no problem reported, so nothing is left."""
    wanted = [named("EVSE/1.AvailabilityState")]
    status, _ = await s.report("GetReport", componentVariable=wanted, componentCriteria=["Problem"])
    assert status == "EmptyResultSet"


async def test_TC_B_20_CS(s: Street201) -> None:
    """Reset without a transaction."""
    assert await s.csms.ask("Reset", {"type": "Immediate"}) == {"status": "Accepted"}
    assert (await s.rebooted())["reason"] == "RemoteReset"
    await s.heard(lambda: {p["evseId"] for p in s.payloads("StatusNotification")} == {1, 2})
    await s.heard(lambda: s.payloads("SecurityEventNotification"))
    assert s.payloads("SecurityEventNotification")[0]["type"] == "ResetOrReboot"


async def test_TC_B_21_CS(s: Street201) -> None:
    """OnIdle during a transaction: scheduled, carried out when the driver has ended it."""
    await s.session()
    assert await s.csms.ask("Reset", {"type": "OnIdle"}) == {"status": "Scheduled"}
    await s.status_reported("Unavailable", 2)
    await s.tap("04AAAAAA")
    assert (await s.ended())["transactionInfo"]["stoppedReason"] == "Local"
    assert (await s.rebooted())["reason"] == "ScheduledReset"


async def test_TC_B_22_CS(s: Street201) -> None:
    """Immediate during a transaction: it ends with ImmediateReset first."""
    await s.session()
    assert await s.csms.ask("Reset", {"type": "Immediate"}) == {"status": "Accepted"}
    ended = await s.ended()
    assert ended["transactionInfo"]["stoppedReason"] == "ImmediateReset"
    assert ended["triggerReason"] == "ResetCommand"
    await s.rebooted()


async def test_TC_B_23_CS(s: Street201) -> None:
    """An unavailable EVSE stays unavailable over a reset."""
    assert await s.available(False, 1) == "Accepted"
    await s.status_reported("Unavailable", 1)
    await s.csms.ask("Reset", {"type": "Immediate"})
    await s.rebooted()
    await s.status_reported("Unavailable", 1)
    assert await s.available(True, 1) == "Accepted"


async def test_TC_B_24_CS(s: Street201) -> None:
    """A reservation outlives a reset."""
    assert await s.reserve() == "Accepted"
    await s.status_reported("Reserved")
    await s.csms.ask("Reset", {"type": "Immediate"})
    await s.rebooted()
    await s.heard(lambda: any(p["evseId"] == 1 for p in s.payloads("StatusNotification")))
    assert [p["connectorStatus"] for p in s.payloads("StatusNotification") if p["evseId"] == 1][-1] == "Reserved"
    assert await s.cancel() == "Accepted"


async def test_TC_B_25_CS(s: Street201) -> None:
    """Reset of one idle EVSE is accepted without a boot of the station."""
    assert await s.csms.ask("Reset", {"type": "Immediate", "evseId": 1}) == {"status": "Accepted"}
    assert (await s.get("EVSE/1.AvailabilityState"))[1] == "Available"
    assert s.payloads("BootNotification") == []


async def test_TC_B_26_CS(s: Street201) -> None:
    """OnIdle for an EVSE with a transaction: scheduled; the transaction goes on."""
    await s.session()
    assert await s.csms.ask("Reset", {"type": "OnIdle", "evseId": 1}) == {"status": "Scheduled"}
    await s.until(lambda e: e["session"])
    await s.tap("04AAAAAA")
    assert (await s.ended())["transactionInfo"]["stoppedReason"] == "Local"
    assert s.payloads("BootNotification") == []


async def test_TC_B_27_CS(s: Street201) -> None:
    """Immediate for an EVSE with a transaction: only that transaction ends."""
    await s.session("04AAAAAA", 1)
    await s.session("04CCCCCC", 2)
    assert await s.csms.ask("Reset", {"type": "Immediate", "evseId": 1}) == {"status": "Accepted"}
    ended = await s.ended()
    assert (ended["evse"]["id"], ended["transactionInfo"]["stoppedReason"]) == (1, "ImmediateReset")
    await s.until(lambda e: e["session"], 2)
    assert s.payloads("BootNotification") == []


@pytest.mark.parametrize(
    ("path", "attribute", "status"),
    [
        pytest.param("Nonsense.Nonsense", "Actual", "UnknownComponent", id="TC_B_32_CS"),
        pytest.param("TxCtrlr.Nonsense", "Actual", "UnknownVariable", id="TC_B_33_CS"),
        pytest.param(TIMEOUT, "Target", "NotSupportedAttributeType", id="TC_B_34_CS"),
    ],
)
async def test_unknown_things_are_read(s: Street201, path: str, attribute: str, status: str) -> None:
    assert await s.get(path, attributeType=attribute) == (status, None)


@pytest.mark.parametrize(
    ("path", "attribute", "status"),
    [
        pytest.param("Nonsense.Nonsense", "Actual", "UnknownComponent", id="TC_B_35_CS"),
        pytest.param("TxCtrlr.Nonsense", "Actual", "UnknownVariable", id="TC_B_36_CS"),
        pytest.param(TIMEOUT, "Target", "NotSupportedAttributeType", id="TC_B_37_CS"),
        pytest.param("ClockCtrlr.DateTime", "Actual", "Rejected", id="TC_B_39_CS"),
    ],
)
async def test_unknown_things_are_set(s: Street201, path: str, attribute: str, status: str) -> None:
    assert await s.put(path, "60", attributeType=attribute) == status


async def test_TC_B_41_CS(s: Street201) -> None:
    """OnIdle with two transactions: waits for the last one."""
    await s.session("04AAAAAA", 1)
    await s.session("04CCCCCC", 2)
    assert await s.csms.ask("Reset", {"type": "OnIdle"}) == {"status": "Scheduled"}
    await s.tap("04AAAAAA", 1)
    await s.ended()
    assert s.payloads("BootNotification") == []
    await s.tap("04CCCCCC", 2)
    await s.rebooted()
    assert len(s.events("Ended")) == 2


async def test_TC_B_43_CS(s: Street201) -> None:
    """A slot that does not exist is rejected (here: every slot, network profiles are not offered)."""
    data = {
        "ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": "ws://x", "messageTimeout": 30,
        "securityProfile": 1, "ocppInterface": "Wired0",
    }  # fmt: skip
    answer = await s.csms.ask("SetNetworkProfile", {"configurationSlot": 9, "connectionData": data})
    assert answer["status"] == "Rejected"


async def test_TC_B_54_CS(s: Street201) -> None:
    """Variable without instance: all instances."""
    _, entries = await s.report("GetReport", componentVariable=[named("DeviceDataCtrlr.ItemsPerMessage")])
    assert {k[4] for k in keys(entries)} == {"GetReport", "GetVariables", "SetVariables"}


async def test_TC_B_55_CS(s: Street201) -> None:
    """Variable with instance: just that one."""
    _, entries = await s.report("GetReport", componentVariable=[named("DeviceDataCtrlr.ItemsPerMessage@GetReport")])
    assert [k[4] for k in keys(entries)] == ["GetReport"]


async def test_TC_B_56_CS(s: Street201) -> None:
    """Component without EVSE number: all EVSEs."""
    _, entries = await s.report("GetReport", componentVariable=[named("EVSE.AvailabilityState")])
    assert [k[1] for k in keys(entries)] == [1, 2]


async def test_TC_B_51_CS_and_TC_B_52_CS(s: Street201) -> None:
    """Off line longer than OfflineThreshold: every connector is reported again; less long: the one that changed."""
    for threshold, reporting in (("600", {1}), ("1", {1, 2})):
        assert await s.put("OCPPCommCtrlr.OfflineThreshold", threshold) == "Accepted"
        await s.off_line()
        await s.plug(1)
        s.begin()
        await s.seen_occupied()
        await s.on_line()
        await s.status_reported("Occupied", 1)
        await s.heard(lambda reporting=reporting: {p["evseId"] for p in s.payloads("StatusNotification")} == reporting)
        await s.unplug(1, side="ev")
        await s.leave(1)
    assert await s.put("OCPPCommCtrlr.OfflineThreshold", "600") == "Accepted"


REQUIRED = {
    "AlignedDataCtrlr": "Interval= Measurands= TxEndedInterval= TxEndedMeasurands=",
    "AuthCtrlr": "AuthorizeRemoteStart= LocalAuthorizeOffline= LocalPreAuthorize=",
    "ChargingStation": "Available AvailabilityState SupplyPhases",
    "ClockCtrlr": "DateTime TimeSource=",
    "Connector/1/1": "Available AvailabilityState ConnectorType SupplyPhases",
    "DeviceDataCtrlr": "BytesPerMessage@GetReport BytesPerMessage@GetVariables BytesPerMessage@SetVariables "
    "ItemsPerMessage@GetReport ItemsPerMessage@GetVariables ItemsPerMessage@SetVariables",
    "EVSE/1": "Available AvailabilityState Power SupplyPhases",
    "OCPPCommCtrlr": "FileTransferProtocols MessageAttemptInterval@TransactionEvent= "
    "MessageAttempts@TransactionEvent= MessageTimeout@Default NetworkConfigurationPriority= "
    "NetworkProfileConnectionAttempts= OfflineThreshold= ResetRetries= RetryBackOffRandomRange= "
    "RetryBackOffRepeatTimes= RetryBackOffWaitMinimum= UnlockOnEVSideDisconnect= WebSocketPingInterval=",
    "SampledDataCtrlr": "TxEndedInterval= TxEndedMeasurands= TxStartedMeasurands= TxUpdatedInterval= "
    "TxUpdatedMeasurands=",
    "SecurityCtrlr": "CertificateEntries OrganizationName= SecurityProfile",
    "TxCtrlr": "EVConnectionTimeOut= StopTxOnEVSideDisconnect= StopTxOnInvalidId= TxStartPoint= TxStopPoint=",
}
"""``=``: can be written."""


async def test_TC_B_53_CS(s: Street201) -> None:
    """All variables that the specification requires are there, and can be written where it says so."""
    _, entries = await s.report("GetBaseReport", reportBase="FullInventory")
    have = {}
    for entry, found in zip(keys(entries), entries, strict=True):
        place = "/".join(str(part) for part in entry[:3] if part)
        name = f"{entry[3]}@{entry[4]}" if entry[4] else entry[3]
        have[place, name] = found["variableAttribute"][0]["mutability"]
    wanted = {(c, v.rstrip("=")): v.endswith("=") for c, text in REQUIRED.items() for v in text.split()}
    assert [name for name in wanted if name not in have] == []
    assert [name for name, writable in wanted.items() if writable and have[name] != "ReadWrite"] == []


async def test_TC_B_57_CS(tmp_path: Path) -> None:
    """The connection is lost: waits from RetryBackOffWaitMinimum on, doubled RetryBackOffRepeatTimes times."""
    text = station_text(backend='versions = ["2.0.1"]').replace("reconnect_s = 0.2", "")
    minimum_s = 10
    async with Backend(speaks=("2.0.1",)) as csms, Simulated(tmp_path, text, csms.url, SPEED) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        s = Street201(station, csms)
        for name, value in (("WaitMinimum", minimum_s), ("RandomRange", 0), ("RepeatTimes", 2)):
            assert await s.put(f"OCPPCommCtrlr.RetryBackOff{name}", str(value)) == "Accepted"
        tried_s = await attempts(csms, 6)
    waits_s = [(b - a) * station.speed for a, b in itertools.pairwise(tried_s)]
    for waited_s, expected_s in zip(waits_s, (10, 20, 40, 40, 40), strict=True):
        assert expected_s - 7 <= waited_s < expected_s + 110, waits_s  # 160 without the bound; the machine may be busy


async def attempts(csms: Backend, count: int) -> list[float]:
    """The central system is gone: when that was, and when a connection was tried since."""
    csms._server.close()
    await csms._server.wait_closed()
    now_s = asyncio.get_running_loop().time
    tried_s = [now_s()]

    async def knocked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried_s.append(now_s())
        writer.close()

    async with await asyncio.start_server(knocked, "127.0.0.1", csms.port), deadline(60):
        while len(tried_s) < count:
            await asyncio.sleep(0.01)
    return tried_s

"""Blocks F and G: remote control and availability."""

import pytest

from tests.support.station_rig_v201 import CARD, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def trigger(s: Street201, what: str, **more: object) -> str:
    return str((await s.csms.ask("TriggerMessage", {"requestedMessage": what, **more}))["status"])


async def unlock(s: Street201, n: int = 1, connector: int = 1) -> str:
    return str((await s.csms.ask("UnlockConnector", {"evseId": n, "connectorId": connector}))["status"])


async def test_TC_F_01_CS(s: Street201) -> None:
    """Cable first, then remote start."""
    await s.occupy()
    assert await s.remote(number=4711) == "Accepted"
    began = await s.began()
    assert (began["triggerReason"], began["transactionInfo"]["remoteStartId"]) == ("RemoteStart", 4711)
    assert began["idToken"] == {"idToken": "APP", "type": "Central"}
    await s.flows()


@pytest.mark.parametrize("asked", [pytest.param(True, id="TC_F_02_CS"), pytest.param(False, id="TC_F_03_CS")])
async def test_remote_start_then_cable(s: Street201, asked: bool) -> None:
    assert await s.put("AuthCtrlr.AuthorizeRemoteStart", "true" if asked else "false") == "Accepted"
    assert await s.remote() == "Accepted"
    await s.screen("plug_in")
    await s.plug()
    await s.began()
    assert len(s.payloads("Authorize")) == asked
    assert await s.put("AuthCtrlr.AuthorizeRemoteStart", "false") == "Accepted"


async def test_TC_F_04_CS(s: Street201) -> None:
    """Remote start, no cable in time: the EVSE is free for the next one."""
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "40") == "Accepted"
    async with s.shows("plug_in"):
        assert await s.remote() == "Accepted"
    await s.until(lambda e: e["screen"] != "plug_in")
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"
    await s.session(CARD)


async def test_a_remote_start_for_who_is_there(s: Street201) -> None:
    """NoAuthorization: no authorization is requested, whatever AuthorizeRemoteStart says, and no card stops it."""
    assert await s.put("AuthCtrlr.AuthorizeRemoteStart", "true") == "Accepted"
    try:
        await s.occupy()
        wanted = {"idToken": {"idToken": "", "type": "NoAuthorization"}, "remoteStartId": 5, "evseId": 1}
        assert (await s.csms.ask("RequestStartTransaction", wanted))["status"] == "Accepted"
        began = await s.began()
        assert began["idToken"] == {"idToken": "", "type": "NoAuthorization"}
        await s.flows()
        assert s.payloads("Authorize") == []
        number = began["transactionInfo"]["transactionId"]
        assert (await s.csms.ask("RequestStopTransaction", {"transactionId": number}))["status"] == "Accepted"
        await s.ended()
    finally:
        assert await s.put("AuthCtrlr.AuthorizeRemoteStart", "false") == "Accepted"


async def test_TC_F_05_CS(s: Street201) -> None:
    """No unlocking during an authorized transaction."""
    await s.session()
    assert await unlock(s) == "OngoingAuthorizedTransaction"
    await s.until(lambda e: e["session"])


async def test_TC_F_06_CS_TC_F_07_CS(s: Street201) -> None:
    """Unlocking with and without a cable, no transaction authorized."""
    assert await unlock(s) == "Unlocked"
    await s.occupy()
    assert await unlock(s) == "Unlocked"


async def test_TC_F_09_CS(s: Street201) -> None:
    """Remote stop of an unknown transaction."""
    assert await s.csms.ask("RequestStopTransaction", {"transactionId": "unknown"}) == {"status": "Rejected"}


async def test_TC_F_10_CS(s: Street201) -> None:
    """Connector that does not exist."""
    assert await unlock(s, 1, 9) == "UnknownConnector"
    assert await unlock(s, 9, 1) == "UnknownConnector"


@pytest.mark.parametrize(
    ("which", "heard"),
    [pytest.param({"evse": {"id": 2}}, {2}, id="TC_F_11_CS"), pytest.param({}, {1, 2}, id="TC_F_12_CS")],
)
async def test_meter_values_are_triggered(s: Street201, which: dict, heard: set[int]) -> None:
    await s.session(n=2)
    assert await trigger(s, "MeterValues", **which) == "Accepted"
    await s.heard(lambda: {p["evseId"] for p in s.payloads("MeterValues")} == heard)
    (value, *_) = s.payloads("MeterValues")[0]["meterValue"][0]["sampledValue"]
    assert value["context"] == "Trigger"


@pytest.mark.parametrize(
    ("which", "heard"),
    [pytest.param({"evse": {"id": 2}}, {2}, id="TC_F_13_CS"), pytest.param({}, {1, 2}, id="TC_F_14_CS")],
)
async def test_transaction_events_are_triggered(s: Street201, which: dict, heard: set[int]) -> None:
    assert await trigger(s, "TransactionEvent", **which) == "Rejected"
    await s.session("04AAAAAA", 1)
    await s.session("04CCCCCC", 2)
    assert await trigger(s, "TransactionEvent", **which) == "Accepted"
    triggered = lambda: [e for e in s.events() if e["triggerReason"] == "Trigger"]  # noqa: E731
    await s.heard(lambda: {e["evse"]["id"] for e in triggered()} == heard)
    assert triggered()[0]["transactionInfo"]["chargingState"] == "Charging"
    assert triggered()[0]["meterValue"]


@pytest.mark.parametrize(
    ("what", "which", "action"),
    [
        pytest.param("LogStatusNotification", {}, "LogStatusNotification", id="TC_F_15_CS"),
        pytest.param("FirmwareStatusNotification", {"evse": {"id": 1}}, "FirmwareStatusNotification", id="TC_F_17_CS"),
        pytest.param("FirmwareStatusNotification", {}, "FirmwareStatusNotification", id="TC_F_18_CS"),
    ],
)
async def test_idle_is_reported(s: Street201, what: str, which: dict, action: str) -> None:
    assert await trigger(s, what, **which) == "Accepted"
    await s.heard(lambda: s.payloads(action))
    assert s.payloads(action)[0] == {"status": "Idle"}


async def test_TC_F_20_CS(s: Street201) -> None:
    """Heartbeat."""
    assert await trigger(s, "Heartbeat") == "Accepted"
    await s.heard(lambda: s.payloads("Heartbeat"))


@pytest.mark.parametrize("occupied", [pytest.param(False, id="TC_F_23_CS"), pytest.param(True, id="TC_F_24_CS")])
async def test_a_status_is_triggered(s: Street201, occupied: bool) -> None:
    if occupied:
        await s.occupy()
    s.begin()
    assert await trigger(s, "StatusNotification", evse={"id": 1, "connectorId": 1}) == "Accepted"
    await s.heard(lambda: s.payloads("StatusNotification"))
    (reported,) = s.payloads("StatusNotification")
    assert (reported["evseId"], reported["connectorStatus"]) == (1, "Occupied" if occupied else "Available")


async def test_TC_F_26_CS(s: Street201) -> None:
    """A boot notification is not to be triggered once accepted."""
    assert await trigger(s, "BootNotification") == "Rejected"


async def test_TC_F_27_CS(s: Street201) -> None:
    """A message that the station does not implement."""
    assert await trigger(s, "SignCombinedCertificate") == "NotImplemented"


# --- G ---------------------------------------------------------------------------------------------------------------


async def test_TC_G_01_CS_TC_G_02_CS(s: Street201) -> None:
    """Cable in: Occupied; cable out: Available."""
    await s.occupy()
    await s.unplug(side="ev")
    await s.leave()
    assert [p["connectorStatus"] for p in s.payloads("StatusNotification")] == ["Occupied", "Available"]


WHOLE = [
    pytest.param(1, False, id="TC_G_03_CS TC_G_04_CS TC_G_09_CS TC_G_10_CS"),
    pytest.param(0, False, id="TC_G_05_CS TC_G_06_CS TC_G_12_CS TC_G_13_CS"),
    pytest.param(1, True, id="TC_G_07_CS TC_G_08_CS TC_G_15_CS TC_G_16_CS"),
]


@pytest.mark.parametrize(("n", "connector"), WHOLE)
async def test_out_of_service_and_back(s: Street201, n: int, connector: bool) -> None:
    """Each twice."""
    touched = (n,) if n else (1, 2)
    for operative, status in ((False, "Unavailable"), (True, "Available")):
        for _ in range(2):
            assert await s.available(operative, n, connector) == "Accepted"
        for number in touched:
            await s.status_reported(status, number)
    reported = [p["connectorStatus"] for p in s.payloads("StatusNotification")]
    assert sorted(reported) == ["Available"] * len(touched) + ["Unavailable"] * len(touched)


async def test_a_connector_stays_inoperative_when_its_evse_becomes_operative(s: Street201) -> None:
    """G03: each level has a state of its own."""
    assert await s.available(False, 1, connector=True) == "Accepted"
    await s.status_reported("Unavailable", 1)
    assert await s.available(True, 1) == "Accepted"
    assert await s.get("EVSE/1.AvailabilityState") == ("Accepted", "Unavailable")
    assert await s.available(True, 1, connector=True) == "Accepted"
    await s.status_reported("Available", 1)
    assert [p["connectorStatus"] for p in s.payloads("StatusNotification")] == ["Unavailable", "Available"]


@pytest.mark.parametrize(
    ("n", "connector"),
    [
        pytest.param(1, False, id="TC_G_11_CS"),
        pytest.param(0, False, id="TC_G_14_CS"),
        pytest.param(1, True, id="TC_G_17_CS"),
    ],
)
async def test_out_of_service_during_a_transaction(s: Street201, n: int, connector: bool) -> None:
    await s.session()
    assert await s.available(False, n, connector) == "Scheduled"
    if n == 0:
        await s.status_reported("Unavailable", 2)
    await s.tap(CARD)
    await s.ended()
    await s.unplug(side="ev")
    await s.unplug()
    await s.status_reported("Unavailable", 1)
    assert await s.available(True, n, connector) == "Accepted"
    await s.status_reported("Available", 1)


@pytest.mark.parametrize(
    ("n", "connector"),
    [
        pytest.param(1, False, id="TC_G_18_CS"),
        pytest.param(1, True, id="TC_G_19_CS"),
        pytest.param(0, False, id="TC_G_21_CS"),
    ],
)
async def test_out_of_service_over_a_power_cut(s: Street201, n: int, connector: bool) -> None:
    assert await s.available(False, n, connector) == "Accepted"
    await s.status_reported("Unavailable", 1)
    s.begin()
    await s.kill()
    await s.rebooted()
    await s.heard(lambda: {p["evseId"] for p in s.payloads("StatusNotification")} == {1, 2})
    states = {p["evseId"]: p["connectorStatus"] for p in s.payloads("StatusNotification")}
    assert states == {1: "Unavailable", 2: "Available" if n else "Unavailable"}
    await s.heard(lambda: s.payloads("SecurityEventNotification"))
    assert await s.available(True, n, connector) == "Accepted"


async def test_each_evse_keeps_its_own_word_beside_the_station(s: Street201) -> None:
    """G03, G04: the station going back to service does not bring back an EVSE that was taken out by itself."""
    assert await s.available(False, 1) == "Accepted"
    assert await s.available(False) == "Accepted"
    await s.status_reported("Unavailable", 2)
    assert await s.available(True) == "Accepted"
    await s.status_reported("Available", 2)
    assert (await s.get("EVSE/1.AvailabilityState"))[1] == "Unavailable"
    assert await s.available(True, 1) == "Accepted"
    await s.status_reported("Available", 1)


async def test_TC_G_20_CS(s: Street201) -> None:
    """The plug cannot be locked: a problem of the retention lock is reported, also its end, and no energy flows."""
    await s.occupy()
    await s.fault("ConnectorLockFailure")
    await s.heard(lambda: s.payloads("NotifyEvent"))
    await s.tap(CARD)
    await s.screen("refused")
    (event,) = s.payloads("NotifyEvent")[0]["eventData"]
    assert event["component"] == {"name": "ConnectorPlugRetentionLock", "evse": {"id": 1, "connectorId": 1}}
    assert (event["variable"], event["actualValue"], event["trigger"]) == ({"name": "Problem"}, "true", "Delta")
    assert (await s.get("ConnectorPlugRetentionLock/1/1.Problem"))[1] == "true"
    await s.status_reported("Faulted")
    assert s.events() == []
    assert not (await s.station.evse())["contactor"]
    await s.fault("ConnectorLockFailure", False)
    await s.heard(lambda: len(s.payloads("NotifyEvent")) == 2)
    (event,) = s.payloads("NotifyEvent")[1]["eventData"]
    assert (event["actualValue"], event["cleared"]) == ("false", True)

"""Block E with other start and stop points than those that a station comes with (decision 9)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, STRANGER, Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTLETS = """
[[evse]]
number = 1
bay_sensor = true
[[evse]]
number = 2
outlet = "tethered"
"""
DC_OUTLET = """
[[evse]]
number = 1
kind = "DC"
outlet = "tethered"
power_kw = 150
max_a = 350
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    settings = f"message_retry_interval_s = 1\n{OUTLETS}"
    async with street201(tmp_path_factory.mktemp("points"), evses=0, settings=settings) as s:
        assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "0") == "Accepted"
        yield s


@asynccontextmanager
async def points(s: Street201, start: str = "PowerPathClosed", stop: str = "Authorized") -> AsyncIterator[None]:
    async def both(first: str, last: str) -> None:
        assert await s.put("TxCtrlr.TxStartPoint", first) == "Accepted"
        assert await s.put("TxCtrlr.TxStopPoint", last) == "Accepted"

    await both(start, stop)
    s.begin()
    try:
        yield
    finally:
        await both("PowerPathClosed", "Authorized")


async def bay(s: Street201, occupied: bool) -> None:
    await s.station.post("/evses/1/bay", {"occupied": occupied})


def reported_events(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["eventType"], e["triggerReason"]) for e in events]


def begin_values(event: dict[str, Any]) -> list[int]:
    values = [v for m in event.get("meterValue", ()) for v in m["sampledValue"]]
    return [v["value"] for v in values if v["context"] == "Transaction.Begin"]


async def stopped_by_card(s: Street201) -> dict[str, Any]:
    await s.tap(CARD)
    return await s.event(lambda e: e["triggerReason"] == "StopAuthorized")


async def test_TC_E_02_CS(s: Street201) -> None:
    """EnergyTransfer: begins when energy flows, with the register of the begin."""
    async with points(s, "EnergyTransfer"):
        before_wh = (await s.station.evse())["meter_wh"]
        await s.occupy(ready=False)
        await s.tap(CARD)
        await s.until(lambda e: e["session"] and e["pwm"])
        await s.screen("paused")
        assert s.events() == []
        await s.station.post("/evses/1/ev", {"ready": True})
        began = await s.began()
        assert (began["triggerReason"], began["seqNo"]) == ("ChargingStateChanged", 0)
        assert began["transactionInfo"]["chargingState"] == "Charging"
        assert begin_values(began) == [before_wh]
        await stopped_by_card(s)


async def test_TC_E_09_CS(s: Street201) -> None:
    """EVConnected: begins with the cable; the token follows."""
    async with points(s, "EVConnected"):
        await s.plug()
        began = await s.began()
        assert (began["triggerReason"], "idToken" in began) == ("CablePluggedIn", False)
        assert len(begin_values(began)) == 1
        await s.tap(CARD)
        right = await s.event(lambda e: e["triggerReason"] == "Authorized")
        assert (right["eventType"], right["idToken"]["idToken"]) == ("Updated", CARD)
        await s.flows()
        await stopped_by_card(s)
        ended = await s.ended()
        assert ended["transactionInfo"]["transactionId"] == began["transactionInfo"]["transactionId"]
        assert reported_events(s.events()) == [
            ("Started", "CablePluggedIn"), ("Updated", "Authorized"), ("Updated", "ChargingStateChanged"),
            ("Ended", "StopAuthorized"),
        ]  # fmt: skip


async def test_a_profile_for_a_transaction_that_waits_for_its_card_holds_from_the_first_moment(s: Street201) -> None:
    """K01.FR.04."""
    async with points(s, "EVConnected"):
        await s.plug()
        number = (await s.began())["transactionInfo"]["transactionId"]
        schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
        wanted = {
            "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative",
            "transactionId": number, "chargingSchedule": [schedule],
        }  # fmt: skip
        answer = await s.csms.ask("SetChargingProfile", {"evseId": 1, "chargingProfile": wanted})
        assert answer == {"status": "Accepted"}
        await s.tap(CARD)
        await s.until(lambda e: e["limit_a"] == 10 and e["pwm"])
        await stopped_by_card(s)
        await s.ended()
        assert await s.csms.ask("ClearChargingProfile", {"chargingProfileId": 1}) == {"status": "Unknown"}


async def test_a_remote_start_names_the_open_transaction(s: Street201) -> None:
    """F01.FR.13: the transaction that began with the cable."""
    async with points(s, "EVConnected"):
        await s.plug()
        open_transaction = (await s.began())["transactionInfo"]["transactionId"]
        wanted = {"idToken": {"idToken": CARD, "type": "ISO14443"}, "remoteStartId": 5, "evseId": 1}
        answer = await s.csms.ask("RequestStartTransaction", wanted)
        assert answer == {"status": "Accepted", "transactionId": open_transaction}
        right = await s.event(lambda e: e["triggerReason"] == "RemoteStart")
        assert right["transactionInfo"]["transactionId"] == open_transaction
        assert right["transactionInfo"]["remoteStartId"] == 5
        await s.flows()
        await stopped_by_card(s)


async def test_a_refused_card_leaves_it_open(s: Street201) -> None:
    s.csms.infos[STRANGER] = {"status": "Invalid"}
    async with points(s, "EVConnected", "EVConnected"):
        await s.plug()
        await s.began()
        await s.tap(STRANGER)
        await s.screen("refused")
        await s.unplug(side="ev")
        ended = await s.ended()
        assert reported_events(s.events()) == [("Started", "CablePluggedIn"), ("Ended", "EVCommunicationLost")]
        assert ended["transactionInfo"]["stoppedReason"] == "EVDisconnected"


async def test_TC_E_10_CS(s: Street201) -> None:
    """Authorized: begins with the card."""
    async with points(s, "Authorized"):
        await s.tap(CARD)
        began = await s.began()
        assert (began["triggerReason"], began["idToken"]["idToken"]) == ("Authorized", CARD)
        await s.plug()
        plugged = await s.event(lambda e: e["triggerReason"] == "CablePluggedIn")
        assert (plugged["eventType"], plugged["transactionInfo"]["chargingState"]) == ("Updated", "EVConnected")
        await s.flows()
        await stopped_by_card(s)


async def test_TC_E_12_CS_TC_E_19_CS(s: Street201) -> None:
    """ParkingBayOccupancy: begins when the car drives in, ends when it drives away."""
    async with points(s, "ParkingBayOccupancy", "ParkingBayOccupancy"):
        await bay(s, True)
        began = await s.began()
        assert (began["triggerReason"], began["transactionInfo"]["chargingState"]) == ("EVDetected", "Idle")
        await s.plug()
        await s.event(lambda e: e["triggerReason"] == "CablePluggedIn")
        await s.tap(CARD)
        await s.flows()
        assert (await stopped_by_card(s))["eventType"] == "Updated"
        await s.unplug()
        gone = await s.event(lambda e: e["triggerReason"] == "EVCommunicationLost")
        assert (gone["eventType"], gone["transactionInfo"]["chargingState"]) == ("Updated", "Idle")
        await bay(s, False)
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("EVDeparted", "Local")
        assert ended["meterValue"][-1]["sampledValue"][0]["value"] == (await s.station.evse())["meter_wh"]


async def test_TC_E_13_CS(s: Street201) -> None:
    """Authorized: begins with the remote request."""
    async with points(s, "Authorized"):
        assert await s.remote() == "Accepted"
        began = await s.began()
        assert (began["triggerReason"], began["transactionInfo"]["remoteStartId"]) == ("RemoteStart", 77)
        assert began["idToken"]["idToken"] == "APP"
        await s.plug()
        await s.flows()
        number = began["transactionInfo"]["transactionId"]
        assert await s.csms.ask("RequestStopTransaction", {"transactionId": number}) == {"status": "Accepted"}
        await s.ended()


async def test_TC_E_14_CS(s: Street201) -> None:
    """EVConnected: ends with the cable, not with the card; the next card would begin another one."""
    async with points(s, "EVConnected", "EVConnected"):
        await s.plug()
        first = (await s.began())["transactionInfo"]["transactionId"]
        await s.tap(CARD)
        await s.flows()
        stop = await stopped_by_card(s)
        assert (stop["eventType"], stop["transactionInfo"]["chargingState"]) == ("Updated", "EVConnected")
        await s.until(lambda e: not e["contactor"] and not e["session"])
        answer = await s.csms.ask("GetTransactionStatus", {"transactionId": first})
        assert answer["ongoingIndicator"] is True
        await s.unplug()
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("EVCommunicationLost", "Local")
        assert ended["transactionInfo"]["chargingState"] == "Idle"
        assert ended["transactionInfo"]["transactionId"] == first


async def test_TC_E_20_CS(s: Street201) -> None:
    """EVConnected: ends when the cable is pulled at the car."""
    async with points(s, "EVConnected", "EVConnected"):
        await s.plug()
        await s.tap(CARD)
        await s.flows()
        await s.unplug(side="ev")
        ended = await s.ended()
        assert ended["triggerReason"] == "EVCommunicationLost"
        assert ended["transactionInfo"] | {"transactionId": ""} == {
            "transactionId": "", "chargingState": "Idle", "stoppedReason": "EVDisconnected",
        }  # fmt: skip


async def test_TC_E_54_CS(tmp_path: Path) -> None:
    """EVConnected with direct current: ends when the cable is pulled at a car that had paused (E06.FR.02)."""
    async with street201(tmp_path, evses=0, settings=f"message_retry_interval_s = 1\n{DC_OUTLET}") as s:
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "false") == "Accepted"
        async with points(s, "PowerPathClosed", "EVConnected"):
            number = await s.session()
            await s.station.post("/evses/1/ev", {"ready": False})
            await s.event(lambda e: e["transactionInfo"].get("chargingState") in ("SuspendedEV", "EVConnected"))
            await s.unplug(side="ev")
            ended = await s.ended()
        assert ended["triggerReason"] == "EVCommunicationLost"
        assert ended["transactionInfo"].pop("stoppedReason") in ("StoppedByEV", "EVDisconnected")
        assert ended["transactionInfo"] == {"transactionId": number, "chargingState": "Idle"}
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "true") == "Accepted"
        await s.end()


@pytest.mark.parametrize("stop", ["PowerPathClosed", "EnergyTransfer"], ids=["TC_E_07_CS", "TC_E_08_CS"])
async def test_stopped_with_the_card(s: Street201, stop: str) -> None:
    async with points(s, stop=stop):
        await s.session()
        ended = await stopped_by_card(s)
        assert (ended["eventType"], ended["transactionInfo"]["stoppedReason"]) == ("Ended", "Local")


async def test_TC_E_35_CS_TC_E_37_CS(s: Street201) -> None:
    """PowerPathClosed: ends by a remote stop, and when the cable is pulled at the car whatever else is wanted then."""
    async with points(s, stop="PowerPathClosed"):
        number = await s.session()
        assert await s.csms.ask("RequestStopTransaction", {"transactionId": number}) == {"status": "Accepted"}
        assert (await s.ended())["transactionInfo"]["stoppedReason"] == "Remote"
        await s.leave()
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "false") == "Accepted"
        s.begin()
        await s.session()
        await s.unplug(side="ev")
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == (
            "EVCommunicationLost",
            "EVDisconnected",
        )
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "true") == "Accepted"


async def test_TC_E_22_CS(s: Street201) -> None:
    """EnergyTransfer: ends when the car stops taking energy."""
    async with points(s, stop="EnergyTransfer"):
        await s.session()
        await s.station.post("/evses/1/ev", {"ready": False})
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == (
            "ChargingStateChanged",
            "StoppedByEV",
        )


async def test_TC_E_27_CS(s: Street201) -> None:
    """Fixed cable, StopTxOnEVSideDisconnect=false: not plugged in again in time, so the authorization ends."""
    assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "false") == "Accepted"
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "20") == "Accepted"
    try:
        await s.session(n=2)
        s.begin()
        await s.unplug(2, side="ev")
        gone = await s.event(lambda e: e["triggerReason"] == "EVCommunicationLost")
        assert (gone["eventType"], gone["transactionInfo"]["chargingState"]) == ("Updated", "Idle")
        await s.status_reported("Available", 2)
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("EVConnectTimeout", "Timeout")
        assert ended["transactionInfo"]["chargingState"] == "Idle"
    finally:
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "true") == "Accepted"
        assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"


async def test_TC_E_39_CS(s: Street201) -> None:
    """Authorized and no cable within EVConnectionTimeOut."""
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "40") == "Accepted"
    async with points(s, "Authorized"):
        await s.tap(CARD)
        await s.began()
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("EVConnectTimeout", "Timeout")
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"


async def test_TC_J_08_CS(s: Street201) -> None:
    """The EVSE is not known at the start: EVSE and Transaction.Begin follow once it is."""
    async with points(s, "Authorized"):
        await s.tap(CARD, None)
        began = await s.began()
        assert not {"evse", "meterValue"} & began.keys()
        await s.plug(2)
        known = await s.event(lambda e: begin_values(e))
        assert (known["eventType"], known["evse"]["id"], "idToken" in known) == ("Updated", 2, False)
        await s.flows()
        await s.tap(CARD, 2)
        await s.ended()


async def test_an_open_transaction_survives_a_kill(s: Street201) -> None:
    async with points(s, "EVConnected", "EVConnected"):
        await s.plug()
        first = (await s.began())["transactionInfo"]["transactionId"]
        await s.kill()
        await s.until(lambda e: e["reported"])
        await s.tap(CARD)
        right = await s.event(lambda e: e["triggerReason"] == "Authorized")
        assert right["transactionInfo"]["transactionId"] == first
        await s.flows()
        await stopped_by_card(s)
        await s.kill()
        await s.unplug(side="ev")
        assert (await s.ended())["transactionInfo"] | {"chargingState": ""} == {
            "transactionId": first, "chargingState": "", "stoppedReason": "Local",
        }  # fmt: skip


async def test_the_points_are_checked(s: Street201) -> None:
    for point, more in (("TxStartPoint", ()), ("TxStopPoint", ("DataSigned",))):
        for wrong in ("", "Nonsense", *more):
            assert await s.put(f"TxCtrlr.{point}", wrong) == "Rejected"
    status, entries = await s.report("GetReport", componentVariable=[
        {"component": {"name": "TxCtrlr"}, "variable": {"name": "TxStartPoint"}}
    ])  # fmt: skip
    assert status == "Accepted"
    (entry,) = entries
    assert entry["variableAttribute"][0]["mutability"] == "ReadWrite"
    assert entry["variableCharacteristics"]["valuesList"].startswith("ParkingBayOccupancy,EVConnected,")

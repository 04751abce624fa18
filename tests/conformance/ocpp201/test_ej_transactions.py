"""Blocks E and J: transactions, off line and on line, and their meter values."""

import asyncio
import base64
import json
import time
from itertools import pairwise
from typing import Any

import pytest
from pyocmf import OCMF

from tests.support.busy_machine import deadline
from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, STRANGER, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "Energy.Active.Import.Register"


def contexts(event: dict) -> list[str]:
    return [v["context"] for m in event.get("meterValue", ()) for v in m["sampledValue"]]


async def test_TC_E_01_CS_TC_E_03_CS_TC_J_07_CS(s: Street201) -> None:
    """PowerPathClosed, cable first: begins when cable and right are there, with the begin values."""
    await s.occupy()
    assert s.events() == []
    await s.tap(CARD)
    began = await s.began()
    assert (began["triggerReason"], began["seqNo"], began["idToken"]["idToken"]) == ("Authorized", 0, CARD)
    assert contexts(began) == ["Transaction.Begin"]
    await s.flows()


async def test_TC_E_04_CS(s: Street201) -> None:
    """Card first."""
    await s.tap(CARD)
    await s.screen("plug_in")
    assert s.events() == []
    await s.plug()
    await s.began()
    await s.flows()


async def test_TC_E_05_CS(s: Street201) -> None:
    """Card first but no cable within EVConnectionTimeOut: the right is gone."""
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "40") == "Accepted"
    async with s.shows("plug_in"):
        await s.tap(CARD)
    await s.until(lambda e: e["screen"] != "plug_in")
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"
    await s.occupy()
    assert (await s.station.evse())["session"] is None
    assert s.events() == []


async def test_TC_E_06_CS_TC_E_15_CS(s: Street201) -> None:
    """Stopped with the card: StopAuthorized, no new authorization for the same card; the stop point is Authorized."""
    await s.session()
    await s.tap(CARD)
    ended = await s.ended()
    assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("StopAuthorized", "Local")
    assert ended["idToken"]["idToken"] == CARD
    assert len(s.payloads("Authorize")) == 1
    assert [e["seqNo"] for e in s.events()] == list(range(len(s.events())))


async def test_TC_E_17_CS(s: Street201) -> None:
    """Stop point Authorized, cable pulled at the car, StopTxOnEVSideDisconnect=true."""
    await s.session()
    await s.unplug(side="ev")
    ended = await s.ended()
    assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == (
        "EVCommunicationLost",
        "EVDisconnected",
    )


async def test_TC_E_26_CS(s: Street201) -> None:
    """StopTxOnEVSideDisconnect=false: suspended, and goes on when the cable is back; the socket keeps its plug. Stopped
    by the card while the car is away, it is Idle, and the plug comes free (E10)."""
    assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "false") == "Accepted"
    assert await s.put("OCPPCommCtrlr.UnlockOnEVSideDisconnect", "false") == "Accepted"
    try:
        await s.session()
        for _ in range(2):
            s.begin()
            await s.unplug(side="ev")
            gone = await s.event(lambda e: e["triggerReason"] == "EVCommunicationLost")
            assert (gone["eventType"], gone["transactionInfo"]["chargingState"]) == ("Updated", "Idle")
            assert (await s.station.evse())["locked"]
            await s.plug()
            await s.flows()
            back, flows = s.events("Updated")[-2:]
            assert (back["triggerReason"], back["transactionInfo"]["chargingState"]) == (
                "CablePluggedIn",
                "EVConnected",
            )
            assert (flows["triggerReason"], flows["transactionInfo"]["chargingState"]) == (
                "ChargingStateChanged",
                "Charging",
            )
        s.begin()
        await s.unplug(side="ev")
        await s.event(lambda e: e["triggerReason"] == "EVCommunicationLost")
        await s.tap(CARD)
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["chargingState"]) == ("StopAuthorized", "Idle")
        await s.until(lambda e: not e["locked"])
    finally:
        assert await s.put("TxCtrlr.StopTxOnEVSideDisconnect", "true") == "Accepted"
        assert await s.put("OCPPCommCtrlr.UnlockOnEVSideDisconnect", "true") == "Accepted"


async def test_TC_E_21_CS_TC_F_08_CS(s: Street201) -> None:
    """Remote stop."""
    number = await s.session()
    assert await s.csms.ask("RequestStopTransaction", {"transactionId": number}) == {"status": "Accepted"}
    ended = await s.ended()
    assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("RemoteStop", "Remote")
    assert "idToken" not in ended


async def test_TC_E_16_CS_TC_C_16_CS(s: Street201) -> None:
    """Begun off line with a token that is refused afterwards, StopTxOnInvalidId=true: ends DeAuthorized."""
    s.csms.infos[STRANGER] = {"status": "Invalid"}
    await s.off_line()
    await s.plug()
    await s.tap(STRANGER)
    await s.until(lambda e: e["session"] and e["contactor"])
    await s.on_line()
    ended = await s.ended()
    assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("Deauthorized", "DeAuthorized")
    assert (await s.began())["offline"] is True


async def test_TC_C_17_CS(s: Street201) -> None:
    """Token invalid afterwards, StopTxOnInvalidId=false: energy is suspended, the transaction stays."""
    assert await s.put("TxCtrlr.StopTxOnInvalidId", "false") == "Accepted"
    s.csms.infos["04OTHER"] = {"status": "Invalid"}
    try:
        await s.off_line()
        await s.plug()
        await s.tap("04OTHER")
        await s.until(lambda e: e["session"] and e["contactor"])
        await s.on_line()
        await s.event(lambda e: e["transactionInfo"].get("chargingState") == "SuspendedEVSE")
        assert s.events("Ended") == []
        await s.until(lambda e: not e["contactor"])
    finally:
        assert await s.put("TxCtrlr.StopTxOnInvalidId", "true") == "Accepted"


async def test_TC_E_28_CS(s: Street201) -> None:
    """Unknown transaction."""
    answer = await s.csms.ask("GetTransactionStatus", {"transactionId": "unknown"})
    assert answer == {"ongoingIndicator": False, "messagesInQueue": False}


async def answered(s: Street201, number: str | None, **wanted: bool) -> None:
    """GetTransactionStatus says so (the queue is looked at while it empties)."""
    asked = {"transactionId": number} if number else {}
    async with deadline(60):
        while await s.csms.ask("GetTransactionStatus", asked) != wanted:
            await asyncio.sleep(0.05)


async def test_TC_E_30_CS_TC_E_31_CS_TC_E_32_CS_TC_E_33_CS_TC_E_34_CS(s: Street201) -> None:
    """Running or ended, something waiting or nothing, named or not."""
    number = await s.session()
    await answered(s, number, ongoingIndicator=True, messagesInQueue=False)
    await answered(s, None, messagesInQueue=False)
    s.csms.instead["TransactionEvent"] = lambda id_: None
    await s.tap(CARD)
    await s.until(lambda e: not e["session"])
    await answered(s, number, ongoingIndicator=False, messagesInQueue=True)
    await answered(s, None, messagesInQueue=True)
    del s.csms.instead["TransactionEvent"]
    await answered(s, number, ongoingIndicator=False, messagesInQueue=False)
    await answered(s, None, messagesInQueue=False)


async def test_TC_E_29_CS(s: Street201) -> None:
    """Running transaction with messages waiting."""
    s.csms.instead["TransactionEvent"] = lambda id_: None
    await s.occupy()
    await s.tap(CARD)
    number = (await s.began())["transactionInfo"]["transactionId"]
    answer = await s.csms.ask("GetTransactionStatus", {"transactionId": number})
    assert answer == {"ongoingIndicator": True, "messagesInQueue": True}


async def test_TC_E_38_CS(s: Street201) -> None:
    """The car is not ready: SuspendedEV is reported, Charging when it is."""
    await s.occupy(ready=False)
    await s.tap(CARD)
    await s.event(lambda e: e["transactionInfo"].get("chargingState") == "SuspendedEV")
    await s.station.post("/evses/1/ev", {"ready": True})
    assert (await s.flows())["triggerReason"] == "ChargingStateChanged"


async def test_TC_E_40_CS(s: Street201) -> None:
    """Connection lost during a transaction: everything comes afterwards, in order and marked off line."""
    assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "10") == "Accepted"
    await s.session()
    await s.off_line()
    s.begin()
    await s.station.until(lambda p: p["agent"]["queue"] >= 3)  # one may have been under way when the link was cut
    await s.on_line()
    await s.heard(lambda: len([v for e in s.events() if e.get("offline") for v in e["meterValue"]]) >= 2)
    assert [e["timestamp"] for e in s.events()] == sorted(e["timestamp"] for e in s.events())
    assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "0") == "Accepted"


@pytest.mark.parametrize("answer", [None, '[4,"ID","InternalError","",{}]'], ids=["TC_E_41_CS", "TC_E_50_CS"])
async def test_given_up(s: Street201, answer: str | None) -> None:
    """TransactionEvent not answered, or with an error: MessageAttempts tries, after MessageAttemptInterval times the
    tries before; then it is dropped, and the next one is sent. Each is a CALL of its own (part 4, 4.1.4)."""
    interval_s = 10
    assert await s.put("OCPPCommCtrlr.MessageAttempts@TransactionEvent", "3") == "Accepted"
    assert await s.put("OCPPCommCtrlr.MessageAttemptInterval@TransactionEvent", str(interval_s)) == "Accepted"
    await s.session()
    await s.empty()
    tried_s: list[float] = []

    def refuse(id_: str) -> str | None:
        tried_s.append(time.monotonic())
        return answer and answer.replace("ID", id_)

    s.csms.instead["TransactionEvent"] = refuse
    before = len(calls(s))
    await s.station.post("/evses/1/ev", {"ready": False})
    await s.heard(lambda: len(tried_s) >= 3)
    await s.station.until(lambda p: p["agent"]["queue"] == 0)
    del s.csms.instead["TransactionEvent"]
    ids, payloads = zip(*calls(s)[before:], strict=True)
    assert len(ids) == len(set(ids)) == 3
    assert all(payload == payloads[0] for payload in payloads)
    waits_s = [(later - earlier) * s.station.speed for earlier, later in pairwise(tried_s)]
    assert all(wait_s >= interval_s * n for n, wait_s in enumerate(waits_s, 1)), waits_s
    assert await s.put("OCPPCommCtrlr.MessageAttemptInterval@TransactionEvent", "1") == "Accepted"
    (t,) = [t for t in s.csms.transactions.values() if t.stop is None]
    t.events.append({})  # an unknown event: its number is gone
    await s.tap(CARD)
    await s.ended()


def calls(s: Street201) -> list[tuple[str, dict[str, Any]]]:
    """Message id and payload of every TransactionEvent that was sent."""
    frames = [json.loads(text) for direction, text in s.csms.frames if direction == "in"]
    return [(frame[1], frame[3]) for frame in frames if frame[0] == 2 and frame[2] == "TransactionEvent"]


@pytest.mark.parametrize("answer", [None, '[4,"ID","InternalError","",{}]'], ids=["TC_E_42_CS", "TC_E_51_CS"])
async def test_answered_before_the_last_try(s: Street201, answer: str | None) -> None:
    await s.session()
    await s.empty()
    tried: list[str] = []
    before = len(calls(s))

    def refuse_once(id_: str) -> str | None:
        tried.append(id_)
        del s.csms.instead["TransactionEvent"]
        return answer and answer.replace("ID", id_)

    s.csms.instead["TransactionEvent"] = refuse_once
    await s.tap(CARD)
    await s.ended()
    await s.empty()
    assert len(tried) == 1
    (first, sent), (second, again) = calls(s)[before:][:2]
    assert first != second
    assert sent == again


async def test_TC_E_43_CS_TC_E_44_CS(s: Street201) -> None:
    """A whole transaction off line, stopped by the same card: all marked off line, with real times."""
    await s.off_line()
    s.begin()
    await s.plug()
    await s.tap(CARD)
    await s.until(lambda e: e["session"] and e["session"]["energy_wh"] >= 5)
    await s.tap(CARD)
    await s.until(lambda e: not e["session"])
    await s.on_line()
    events = s.events()
    assert (events[0]["eventType"], events[-1]["eventType"]) == ("Started", "Ended")
    assert all(e["offline"] for e in events)
    assert [e["seqNo"] for e in events] == list(range(len(events)))
    assert events[0]["timestamp"] < events[-1]["timestamp"]


async def test_TC_E_45_CS(s: Street201) -> None:
    """Stopped while off line by another card of the same group that is known locally."""
    s.csms.infos[CARD] = s.csms.infos[FRIEND] = GROUP
    await s.session(FRIEND, 2)
    await s.tap(FRIEND, 2)
    await s.event(lambda e: e["eventType"] == "Ended")
    s.begin()
    await s.session(CARD)
    await s.off_line()
    await s.tap(FRIEND)
    await s.until(lambda e: not e["session"])
    await s.on_line()
    assert (await s.ended())["idToken"]["idToken"] == FRIEND


# --- J: meter values -------------------------------------------------------------------------------------------------


async def test_TC_J_01_CS_TC_J_02_CS_TC_J_03_CS(s: Street201) -> None:
    """Clock-aligned values: without a transaction as MeterValues, within one as TransactionEvent, and in its end."""
    assert await s.put("AlignedDataCtrlr.TxEndedMeasurands", REGISTER) == "Accepted"
    assert await s.put("AlignedDataCtrlr.Interval", "20") == "Accepted"
    try:
        await s.heard(lambda: {p["evseId"] for p in s.payloads("MeterValues")} == {1, 2})
        assert s.payloads("MeterValues")[0]["meterValue"][0]["sampledValue"][0]["context"] == "Sample.Clock"
        await s.session()
        event = await s.event(lambda e: e["triggerReason"] == "MeterValueClock")
        assert contexts(event) == ["Sample.Clock"]
        assert event["meterValue"][0]["timestamp"][17:] in ("00.000Z", "20.000Z", "40.000Z")
        await s.tap(CARD)
        assert contexts(await s.ended())[-1] == "Transaction.End"
        assert "Sample.Clock" in contexts(await s.ended())
    finally:
        assert await s.put("AlignedDataCtrlr.Interval", "0") == "Accepted"
        assert await s.put("AlignedDataCtrlr.TxEndedMeasurands", "") == "Accepted"


async def test_TC_J_06_CS(s: Street201) -> None:
    """SendDuringIdle: clock-aligned values only where there is no transaction."""
    assert await s.put("AlignedDataCtrlr.SendDuringIdle", "true") == "Accepted"
    try:
        await s.session()
        assert await s.put("AlignedDataCtrlr.Interval", "10") == "Accepted"
        await s.heard(lambda: len(s.payloads("MeterValues")) >= 2)
        assert {p["evseId"] for p in s.payloads("MeterValues")} == {2}
        assert [e for e in s.events() if e["triggerReason"] == "MeterValueClock"] == []
        await s.tap(CARD)
        await s.heard(lambda: {p["evseId"] for p in s.payloads("MeterValues")} == {1, 2})
    finally:
        assert await s.put("AlignedDataCtrlr.Interval", "0") == "Accepted"
        assert await s.put("AlignedDataCtrlr.SendDuringIdle", "false") == "Accepted"


async def test_TC_J_09_CS_TC_J_10_CS(s: Street201) -> None:
    """Periodic values of a transaction, and values at its end."""
    assert await s.put("SampledDataCtrlr.TxEndedMeasurands", f"{REGISTER},Voltage") == "Accepted"
    assert await s.put("SampledDataCtrlr.TxUpdatedMeasurands", f"{REGISTER},Power.Active.Import") == "Accepted"
    assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "10") == "Accepted"
    try:
        await s.session()
        await s.heard(lambda: len([e for e in s.events() if e["triggerReason"] == "MeterValuePeriodic"]) >= 2)
        periodic = next(e for e in s.events() if e["triggerReason"] == "MeterValuePeriodic")
        values = periodic["meterValue"][0]["sampledValue"]
        assert [v["measurand"] for v in values] == [REGISTER, "Power.Active.Import"]
        await s.tap(CARD)
        last = (await s.ended())["meterValue"][-1]["sampledValue"]
        assert [(v["measurand"], v["context"]) for v in last] == [
            (m, "Transaction.End") for m in (REGISTER, "Voltage", "Voltage", "Voltage")
        ]
    finally:
        assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "0") == "Accepted"
        assert await s.put("SampledDataCtrlr.TxUpdatedMeasurands", REGISTER) == "Accepted"
        assert await s.put("SampledDataCtrlr.TxEndedMeasurands", "") == "Accepted"


def signed(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The signed values of a message, each verified by a verifier that is not ours."""
    values = [v for m in event["meterValue"] for v in m["sampledValue"] if "signedMeterValue" in v]
    for value in values:
        record = base64.b64decode(value["signedMeterValue"]["signedMeterData"]).decode()
        key = base64.b64decode(value["signedMeterValue"]["publicKey"])
        assert OCMF.from_string(record).verify_signature(key.hex())
        assert json.loads(record.split("|")[1])["RD"][-1]["RV"] == value["value"]
    return values


async def test_TC_E_11_CS(s: Street201) -> None:
    """DataSigned: begins with the signed register (E01.FR.04)."""
    assert await s.put("SampledDataCtrlr.SignReadings", "true") == "Accepted"
    assert await s.put("TxCtrlr.TxStartPoint", "DataSigned") == "Accepted"
    try:
        await s.tap(CARD)
        await s.screen("plug_in")
        assert s.events() == []
        await s.plug()
        began = await s.began()
        assert (began["triggerReason"], began["idToken"]["idToken"]) == ("SignedDataReceived", CARD)
        assert began["evse"] == {"id": 1, "connectorId": 1}
        (value,) = signed(began)
        assert value["context"] == "Transaction.Begin"
        assert value["signedMeterValue"].keys() >= {"encodingMethod", "signingMethod"}
        flows = await s.flows()
        assert (flows["eventType"], flows["triggerReason"]) == ("Updated", "ChargingStateChanged")
        await s.tap(CARD)
        await s.ended()
    finally:
        assert await s.put("TxCtrlr.TxStartPoint", "PowerPathClosed") == "Accepted"
        assert await s.put("SampledDataCtrlr.SignReadings", "false") == "Accepted"


async def test_TC_J_04_CS(s: Street201) -> None:
    """Clock-aligned values, signed: without a transaction and within one."""
    assert await s.put("AlignedDataCtrlr.SignReadings", "true") == "Accepted"
    assert await s.put("AlignedDataCtrlr.Interval", "20") == "Accepted"
    try:
        await s.heard(lambda: s.payloads("MeterValues"))
        assert [v["context"] for v in signed(s.payloads("MeterValues")[0])] == ["Sample.Clock"]
        await s.session()
        event = await s.event(lambda e: e["triggerReason"] == "MeterValueClock")
        assert [v["context"] for v in signed(event)] == ["Sample.Clock"]
        await s.tap(CARD)
        await s.ended()
    finally:
        assert await s.put("AlignedDataCtrlr.Interval", "0") == "Accepted"
        assert await s.put("AlignedDataCtrlr.SignReadings", "false") == "Accepted"


async def test_TC_J_11_CS(s: Street201) -> None:
    """Sampled values, signed: with the begin, in between and with the end."""
    assert await s.put("SampledDataCtrlr.SignReadings", "true") == "Accepted"
    assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "10") == "Accepted"
    try:
        await s.session()
        assert [v["context"] for v in signed(await s.began())] == ["Transaction.Begin"]
        event = await s.event(lambda e: e["triggerReason"] == "MeterValuePeriodic")
        assert [v["context"] for v in signed(event)] == ["Sample.Periodic"]
        await s.tap(CARD)
        assert [v["context"] for v in signed(await s.ended())] == ["Transaction.End"]
    finally:
        assert await s.put("SampledDataCtrlr.TxUpdatedInterval", "0") == "Accepted"
        assert await s.put("SampledDataCtrlr.SignReadings", "false") == "Accepted"


# --- the plug and its lock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unlocks", [pytest.param(True, id="TC_E_24_CS"), pytest.param(False, id="TC_E_25_CS")])
async def test_pulled_at_the_car(s: Street201, unlocks: bool) -> None:
    """The transaction ends; the socket lets go of the plug at once, or keeps it until it is asked to."""
    assert await s.put("OCPPCommCtrlr.UnlockOnEVSideDisconnect", str(unlocks).lower()) == "Accepted"
    try:
        await s.session()
        await s.unplug(side="ev")
        ended = await s.ended()
        assert ended["transactionInfo"]["stoppedReason"] == "EVDisconnected"
        assert ended["triggerReason"] == "EVCommunicationLost"
        assert ended["transactionInfo"]["chargingState"] == "Idle"
        if not unlocks:
            assert (await s.until(lambda e: not e["session"]))["locked"]
            judged = len(s.payloads("Authorize"))
            await s.tap(STRANGER)
            assert (await s.station.evse())["locked"]
            await s.tap(CARD)
            assert len(s.payloads("Authorize")) == judged, "the card that began the session needs no question"
        await s.until(lambda e: not e["locked"])
        await s.unplug()
        await s.heard(lambda: s.csms.statuses["1"] == "Available")
        assert len(s.events("Started")) == 1
    finally:
        assert await s.put("OCPPCommCtrlr.UnlockOnEVSideDisconnect", "true") == "Accepted"

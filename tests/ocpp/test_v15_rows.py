"""Golden lines of OCPP 1.5: what differs from 1.6, and that all of it is valid on the wire."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from agent.domain.messages import (
    BootWanted,
    ChargingState,
    ConnectorStatus,
    ConnectorUnplugged,
    FirmwareStatus,
    HeartbeatWanted,
    ListConflicted,
    LogStatus,
    MeterSampled,
    Sample,
    SecurityHappened,
    SettlementReported,
    SettlementStatus,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import SendLocalListRequest
from agent.domain.variables import Settings
from agent.model.types import Fault, Reading, ReadingContext, SignedReading, Stamp, Token
from agent.ocpp.dialects.billing_scope import billing_only
from agent.ocpp.dialects.dialect import (
    FixedAnswer,
    MessageRow,
    NotExpressible,
    NotExpressibleError,
    NotOffered,
    RequestRow,
    StatusProjection,
    find_gaps,
)
from agent.ocpp.transport.ocpp_s.soap_codec import SoapCodec
from agent.ocpp.v15 import V15
from agent.ocpp.v15.rows import REQUESTS_OF_16
from agent.ocpp.v15.soap_tables import SERVICE
from agent.ocpp.v16 import V16
from tests.ocpp.ocpp_stand_ins import Outbox, desk
from tests.support.zeep_central import SOAP, body_schema

T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")
WHEN = "2026-11-25T10:00:00.000Z"
CODEC = SoapCodec(SERVICE, "CP-1")
READING = Reading(
    T0, 123456, power_w=11012.34, voltage_v=(230.1, 231.0, 229.91), current_a=(16.0, 15.876, 0.0),
    power_phase_w=(3680.0, 3650.58, 0.0), frequency_hz=50.02, power_factor=0.9871, export_wh=7, soc_percent=54.4,
    offered_a=32.0,
)  # fmt: skip
ALL = (
    "Energy.Active.Import.Register", "Energy.Active.Export.Register", "Power.Active.Import", "Current.Import",
    "Voltage", "Current.Offered", "Frequency", "Power.Factor", "SoC",
)  # fmt: skip
ENDED = TransactionEnded("s1", 1, CARD, Stamp(1, 60.25), 124000, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def known() -> Outbox:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42", "ids": {"1.5": "42"}}
    return outbox


def row_payload(message: Any, outbox: Outbox | None = None) -> tuple[str, dict[str, Any] | None]:
    """The action and the payload of a message; valid by the schema of payloads, and by that of the wire."""
    row = V15.message_row(type(message))
    assert isinstance(row, MessageRow)
    out = row.row_for(message)
    payload = out.encode(message, desk(outbox))
    if payload is not None:
        assert V15.schemas is not None
        check = V15.schemas.request_check(out.action)
        assert check is not None
        assert check(payload) is None
        envelope = CODEC.write_call("abc1", out.action, payload, "http://central/", "http://10.0.0.7:8090/")
        body = etree.fromstring(envelope).find(f"{{{SOAP}}}Body")[0]
        assert body_schema("1.5", "central").validate(body), body_schema("1.5", "central").error_log
    return out.action, payload


def test_nothing_is_left_untranslated_without_a_reason() -> None:
    assert find_gaps(V15) == []
    assert {type(V15.message_row(m)) for m in (SecurityHappened,)} == {NotExpressible}


def test_requests_that_1_5_does_not_know_have_no_row() -> None:
    assert all(V15.request_row(action) is None and V16.request_row(action) is not None for action in REQUESTS_OF_16)
    assert sum(isinstance(r, RequestRow | FixedAnswer) for r in V15.rows) == 15


@pytest.mark.parametrize(
    ("connector", "charging", "status"),
    [
        (ConnectorStatus.AVAILABLE, None, "Available"),
        (ConnectorStatus.OCCUPIED, None, "Occupied"),
        (ConnectorStatus.OCCUPIED, ChargingState.CHARGING, "Occupied"),
        (ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EV, "Occupied"),
        (ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EVSE, "Occupied"),
        (ConnectorStatus.RESERVED, None, "Reserved"),
        (ConnectorStatus.UNAVAILABLE, None, "Unavailable"),
        (ConnectorStatus.FAULTED, None, "Faulted"),
    ],
)
def test_the_nine_statuses_are_five(connector: ConnectorStatus, charging: ChargingState | None, status: str) -> None:
    message = StatusChanged(1, T0, connector, charging) if charging else StatusChanged(1, T0, connector)
    line = {"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": WHEN}
    assert row_payload(message) == ("StatusNotification", line)
    assert V15.project_status(message) == StatusProjection(status, "NoError")


def test_a_change_that_1_5_cannot_see_is_not_sent_twice() -> None:
    charging = StatusChanged(1, T0, ConnectorStatus.OCCUPIED, ChargingState.CHARGING)
    paused = StatusChanged(1, T0, ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EV)
    assert V15.project_status(charging) == V15.project_status(paused)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_an_error_code_of_1_5(fault: Fault) -> None:
    message = StatusChanged(1, T0, ConnectorStatus.FAULTED, faults=(fault,))
    line = row_payload(message)[1]
    of_16 = V16.project_status(message)
    assert line is not None
    projection = V15.project_status(message)
    assert (line["errorCode"], line.get("info", "")) == (projection.error, projection.info[:50])
    if projection.error != of_16.error:
        assert projection.error == "OtherError"
        assert projection.info
    assert line.get("vendorErrorCode", "") == of_16.vendor_code[:50]


def test_a_word_of_1_6_alone_becomes_readable_information() -> None:
    over = row_payload(StatusChanged(1, T0, ConnectorStatus.FAULTED, faults=(Fault.OVER_VOLTAGE,)))[1]
    assert over is not None
    assert (over["errorCode"], over["info"]) == ("OtherError", "OverVoltage")
    line = {"connectorId": 0, "errorCode": "OtherError", "status": "Available", "timestamp": WHEN}
    assert row_payload(ListConflicted(T0)) == ("StatusNotification", {**line, "info": "LocalListConflict"})


def test_the_end_has_no_reason_and_its_own_number() -> None:
    line = {"transactionId": 42, "meterStop": 124000, "timestamp": "2026-11-25T10:01:00.250Z", "idTag": "04A1B2C3"}
    assert row_payload(ENDED, known()) == ("StopTransaction", line)
    elsewhere = Outbox()
    elsewhere.facts["transaction", "chargy/s1"] = {"id": "9", "ids": {"1.6": "9"}}
    with pytest.raises(NotExpressibleError):
        row_payload(ENDED, elsewhere)


def test_the_end_carries_the_values_that_1_5_knows() -> None:
    samples = (Sample(ReadingContext.END, READING, ALL), Sample(ReadingContext.END, READING, ("SoC",)))
    line = row_payload(replace(ENDED, samples=samples), known())[1]
    assert line is not None
    assert [[v["measurand"] for v in moment["sampledValue"]] for moment in line["transactionData"]] == [
        ["Energy.Active.Import.Register", "Energy.Active.Export.Register", "Power.Active.Import"]
    ]


def test_values_without_a_word_in_1_5_stay_here() -> None:
    line = row_payload(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, ALL),)), known())[1]
    assert line is not None
    assert line["transactionId"] == 42
    assert line["meterValue"] == [
        {
            "timestamp": WHEN,
            "sampledValue": [
                {
                    "value": "123456",
                    "context": "Sample.Periodic",
                    "measurand": "Energy.Active.Import.Register",
                    "unit": "Wh",
                },
                {
                    "value": "7",
                    "context": "Sample.Periodic",
                    "measurand": "Energy.Active.Export.Register",
                    "unit": "Wh",
                },
                {"value": "11012.3", "context": "Sample.Periodic", "measurand": "Power.Active.Import", "unit": "W"},
            ],
        }
    ]
    assert row_payload(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, ("SoC",)),)), known())[1] is None


def test_the_only_phase_is_reported_without_its_name_and_in_the_units_of_1_5() -> None:
    one = replace(READING, voltage_v=(230.1,), current_a=(16.0,))
    sample = Sample(ReadingContext.TRIGGER, one, ("Voltage", "Current.Import"))
    line = row_payload(MeterSampled("s1", 1, (sample,)), known())[1]
    assert line is not None
    assert line["meterValue"][0]["sampledValue"] == [
        {"value": "230.1", "measurand": "Voltage", "unit": "Volt"},
        {"value": "16", "measurand": "Current.Import", "unit": "Amp"},
    ]


def test_a_signed_record_travels_as_signed_data() -> None:
    record = SignedReading("OCMF|{}|{}", "OCMF", "ECDSA-secp256r1-SHA256", "key")
    line = row_payload(replace(ENDED, signed=record), known())[1]
    assert line is not None
    assert line["transactionData"][0]["sampledValue"][0]["format"] == "SignedData"


@pytest.mark.parametrize(
    ("message", "action", "line"),
    [
        (HeartbeatWanted(), "Heartbeat", {}),
        (AuthorizeToken("chargy", "t1", CARD), "Authorize", {"idTag": "04A1B2C3"}),
        (
            TransactionStarted("s1", 2, CARD, T0, 123456),
            "StartTransaction",
            {"connectorId": 2, "idTag": "04A1B2C3", "meterStart": 123456, "timestamp": WHEN},
        ),
        (FirmwareStatus("Downloading"), "FirmwareStatusNotification", None),
        (FirmwareStatus("Idle"), "FirmwareStatusNotification", None),
        (FirmwareStatus("Downloaded"), "FirmwareStatusNotification", {"status": "Downloaded"}),
        (
            FirmwareStatus("InvalidSignature", 7, True),
            "FirmwareStatusNotification",
            {"status": "InstallationFailed"},
        ),
        (LogStatus("Uploading"), "DiagnosticsStatusNotification", None),
        (LogStatus("PermissionDenied", 8, True), "DiagnosticsStatusNotification", {"status": "UploadFailed"}),
        (LogStatus("Uploaded"), "DiagnosticsStatusNotification", {"status": "Uploaded"}),
        (
            ConnectorUnplugged("s1", 1, Stamp(1, 60.25)),
            "DataTransfer",
            {
                "vendorId": "org.openchargealliance.costmsg",
                "messageId": "ConnectorUnplugged",
                "data": '{"transactionId":42,"timestamp":"2026-11-25T10:01:00.250Z"}',
            },
        ),
    ],
)
def test_out(message: Any, action: str, line: dict[str, Any] | None) -> None:
    assert row_payload(message, known()) == (action, line)


def test_the_money_of_a_card_is_said_with_the_transaction_id_of_1_5() -> None:
    message = SettlementReported("PY1", SettlementStatus.SETTLED, 1234, T0, "s1")
    assert row_payload(message, known()) == ("DataTransfer", None)
    row = V15.message_row(SettlementReported)
    assert isinstance(row, MessageRow)
    payload = row.encode(message, desk(known(), Settings({"settlement_vendor_id": "lu.example.pay"})))
    assert payload is not None
    assert json.loads(payload["data"])["transactionId"] == 42


def test_the_boot_is_that_of_1_6_and_has_two_answers() -> None:
    line = row_payload(BootWanted())[1]
    assert line is not None
    assert line["chargePointVendor"] == "Chargy"
    assert V15.schemas is not None
    check = V15.schemas.response_check("BootNotification", tolerant=True)
    assert check is not None
    answer = {"currentTime": WHEN, "interval": 300}
    assert [check({"status": word, **answer}) is None for word in ("Accepted", "Rejected", "Pending")] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("reply", ["Unlocked", "UnlockFailed", "UnknownConnector", "NotImplemented"])
def test_unlocking_is_accepted_or_rejected(reply: str) -> None:
    row = V15.request_row("UnlockConnector")
    assert isinstance(row, RequestRow)
    answer = row.answer(Response("chargy", "r", reply), {"connectorId": 1}, desk())
    assert answer == {"status": "Accepted" if reply == "Unlocked" else "Rejected"}


def test_a_change_that_waits_for_a_reboot_is_accepted() -> None:
    row = V15.request_row("ChangeConfiguration")
    assert isinstance(row, RequestRow)
    for word, status in (("RebootRequired", "Accepted"), ("Rejected", "Rejected"), ("Accepted", "Accepted")):
        reply = Response("chargy", "r", "Accepted", {"heartbeat_interval_s": word})
        payload = {"key": "HeartBeatInterval", "value": "60"}  # as 1.5 writes it
        assert row.answer(reply, payload, desk()) == {"status": status}


def test_the_hash_of_a_list_is_ignored() -> None:
    row = V15.request_row("SendLocalList")
    assert isinstance(row, RequestRow)
    request = row.decode({"updateType": "Full", "listVersion": 3, "hash": "abc"}, desk())
    assert request == SendLocalListRequest(3, True, ())


def test_a_switched_off_profile_is_refused_in_the_words_of_1_5() -> None:
    reduced = V15.without_features(["FirmwareManagement", "Reservation", "SmartCharging", "RemoteTrigger"])
    assert isinstance(reduced.request_row("UpdateFirmware"), NotOffered)
    assert isinstance(reduced.request_row("ReserveNow"), FixedAnswer)
    assert reduced.request_row("SetChargingProfile") is None
    assert find_gaps(reduced) == []


def test_a_billing_backend_gets_what_is_billed() -> None:
    billing = billing_only(V15)
    row = billing.message_row(StatusChanged)
    assert isinstance(row, MessageRow)
    line = row.encode(StatusChanged(1, T0, ConnectorStatus.FAULTED, faults=(Fault.OVER_VOLTAGE,)), desk())
    assert line == {"connectorId": 1, "errorCode": "OtherError", "status": "Faulted", "timestamp": WHEN}
    ended = billing.message_row(TransactionEnded)
    assert isinstance(ended, MessageRow)
    assert ended.encode(ENDED, desk(known())) == row_payload(ENDED, known())[1]

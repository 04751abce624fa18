"""Golden lines of OCPP 1.2: what differs from 1.5, valid on the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from agent.domain.messages import (
    BootWanted,
    ChargingState,
    ConnectorStatus,
    FirmwareStatus,
    MeterSampled,
    Sample,
    StatusChanged,
    TransactionAuthorized,
    TransactionStarted,
    TriggerReason,
)
from agent.model.types import Fault, ReadingContext
from agent.ocpp.dialects.dialect import FixedAnswer, MessageRow, NotExpressibleError, RequestRow, find_gaps
from agent.ocpp.transport.ocpp_s.soap_codec import SoapCodec
from agent.ocpp.v12 import V12
from agent.ocpp.v12.rows import REQUESTS_OF_15
from agent.ocpp.v12.soap_tables import SERVICE
from agent.ocpp.v15 import V15
from tests.ocpp.ocpp_stand_ins import Outbox, desk
from tests.ocpp.test_v15_rows import ALL, CARD, ENDED, READING, T0, WHEN
from tests.support.zeep_central import SOAP, body_schema

CODEC = SoapCodec(SERVICE, "CP-1")


def known() -> Outbox:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42", "ids": {"1.2": "42"}}
    return outbox


def row_payload(message: Any, outbox: Outbox | None = None) -> dict[str, Any] | None:
    row = V12.message_row(type(message))
    assert isinstance(row, MessageRow)
    payload = row.encode(message, desk(outbox))
    if payload is not None:
        assert V12.schemas is not None
        check = V12.schemas.request_check(row.action)
        assert check is not None
        assert check(payload) is None
        envelope = CODEC.write_call("abc1", row.action, payload, "http://central/", "http://10.0.0.7:8090/")
        schema = body_schema("1.2", "central")
        assert schema.validate(etree.fromstring(envelope).find(f"{{{SOAP}}}Body")[0]), schema.error_log
    return payload


def test_nothing_is_left_untranslated_without_a_reason() -> None:
    assert find_gaps(V12) == []
    assert all(V12.request_row(action) is None and V15.request_row(action) is not None for action in REQUESTS_OF_15)
    assert sum(isinstance(r, RequestRow | FixedAnswer) for r in V12.rows) == 9
    assert find_gaps(V12.without_features(["FirmwareManagement", "Reservation", "LocalAuthListManagement"])) == []


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_without_a_word_shows_as_the_status_alone(fault: Fault) -> None:
    message = StatusChanged(1, T0, ConnectorStatus.FAULTED, faults=(fault,))
    line = row_payload(message)
    assert line is not None
    assert line["status"] == "Faulted"
    assert line["errorCode"] in (V15.project_status(message).error, "NoError")
    assert (V12.project_status(message).status, V12.project_status(message).error) == ("Faulted", line["errorCode"])


def test_a_reserved_outlet_is_occupied_and_a_status_has_three_fields() -> None:
    line = {"connectorId": 1, "errorCode": "NoError", "status": "Occupied"}
    assert row_payload(StatusChanged(1, T0, ConnectorStatus.RESERVED)) == line
    assert row_payload(StatusChanged(1, T0, ConnectorStatus.OCCUPIED, ChargingState.CHARGING)) == line


def test_a_start_has_no_reservation_and_an_end_no_values() -> None:
    start = {"connectorId": 2, "idTag": "04A1B2C3", "meterStart": 7, "timestamp": WHEN}
    assert row_payload(TransactionStarted("s1", 2, CARD, T0, 7)) == start
    authorized = TransactionAuthorized("s1", 2, CARD, T0, 7, TriggerReason.AUTHORIZED, ChargingState.EV_CONNECTED)
    assert row_payload(replace(authorized, reservation="chargy/4")) == start
    end = {"transactionId": 42, "meterStop": 124000, "timestamp": "2026-11-25T10:01:00.250Z", "idTag": "04A1B2C3"}
    assert row_payload(replace(ENDED, samples=(Sample(ReadingContext.END, READING, ALL),)), known()) == end
    with pytest.raises(NotExpressibleError):
        row_payload(ENDED, Outbox())


def test_of_the_readings_the_register_is_sent() -> None:
    sampled = MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, ALL),))
    moment = {"timestamp": WHEN, "sampledValue": [{"value": "123456"}]}
    assert row_payload(sampled) == {"connectorId": 1, "meterValue": [moment]}
    assert row_payload(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, ("Voltage", "SoC")),))) is None


def test_an_answer_to_the_boot_may_have_a_status_alone() -> None:
    row = V12.message_row(BootWanted)
    assert isinstance(row, MessageRow)
    payload = V12.preprocess_received("BootNotification", True, {"status": "Rejected"})
    assert V12.schemas is not None
    check = V12.schemas.response_check("BootNotification", tolerant=True)
    assert check is not None
    assert check(dict(payload)) is None
    effects = row.decode_response(BootWanted(), payload, desk())
    assert effects.boot is not None
    assert (effects.boot.status, effects.boot.interval_s, effects.utc_s) == ("Rejected", 0, None)
    assert V12.preprocess_received("Heartbeat", True, {"currentTime": WHEN}) == {"currentTime": WHEN}


def test_a_download_in_progress_is_not_sent() -> None:
    row = V12.message_row(FirmwareStatus)
    assert isinstance(row, MessageRow)
    assert row.encode(FirmwareStatus("Downloading"), desk()) is None

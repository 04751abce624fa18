"""Faults of direct current and of payments, written by hand: each is found, with what to do."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.audit.context import KitFacts, StationFact
from agent.audit.judges.payments import is_card_number
from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import AuditScript, Station16, Station201

KEY = ec.derive_private_key(4711, ec.SECP256R1())
PUBLIC_KEY = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()
OTHER_KEY = ec.derive_private_key(4712, ec.SECP256R1()).public_key()


def signed_record(begin_wh: float, end_wh: float) -> str:
    """A record of OCMF as a meter makes it."""
    readings = [
        {"TM": "2026-11-28T10:00:00,000+0000 S", "TX": "B", "RV": begin_wh / 1000, "RU": "kWh", "ST": "G"},
        {"TM": "2026-11-28T10:10:00,000+0000 S", "TX": "E", "RV": end_wh / 1000, "ST": "G"},
    ]
    payload = json.dumps({"FV": "1.4", "PG": "T1", "MS": "DC-1", "RD": readings})
    signature = KEY.sign(payload.encode(), ec.ECDSA(hashes.SHA256())).hex()
    return f"OCMF|{payload}|" + json.dumps({"SA": "ECDSA-secp256r1-SHA256", "SD": signature})


def signed_session(
    change: Callable[[str], str] = lambda text: text, key: str = PUBLIC_KEY, bare: bool = False
) -> AuditScript:
    """A transaction whose end has a record, which goes through ``change`` on its way."""
    s = Station16()
    s.boot()
    begin_wh = s.wh
    s.start()
    s.charge(600, power_w=60_000)
    record = change(signed_record(begin_wh, s.wh))
    table = {"signedMeterData": record, "encodingMethod": "OCMF", "signingMethod": "", "publicKey": key}
    value = {"value": record if bare else json.dumps(table), "format": "SignedData", "context": "Transaction.End"}
    data = [{"timestamp": s.stamp(), "sampledValue": [value]}]
    s.station("StopTransaction", {**s.stop_payload(), "transactionData": data})
    s.status(1, "Available")
    return s


def signed_session_of_201(change: Callable[[str], str] = lambda text: text) -> AuditScript:
    s = Station201()
    s.boot()
    begin_wh = s.wh
    s.start()
    s.charge(600)
    payload = s.event_payload("Ended", "StopAuthorized", info={"stoppedReason": "Local"})
    signed = {
        "signedMeterData": base64.b64encode(change(signed_record(begin_wh, s.wh)).encode()).decode(),
        "signingMethod": "", "encodingMethod": "OCMF",
        "publicKey": base64.b64encode(bytes.fromhex(PUBLIC_KEY)).decode(),
    }  # fmt: skip
    payload["meterValue"][0]["sampledValue"][0]["signedMeterValue"] = signed
    s.station("TransactionEvent", payload)
    return s


@pytest.mark.parametrize("station", [signed_session, signed_session_of_201, lambda: signed_session(bare=True)])
def test_a_record_as_the_meter_has_signed_it_passes(station: Callable[[], AuditScript]) -> None:
    result = station().judge("signed_records_verify", parameters={"public_key": PUBLIC_KEY})
    assert result.verdict is AuditVerdict.PASS, result.says


@pytest.mark.parametrize("station", [signed_session, signed_session_of_201])
def test_the_key_of_the_message_is_taken_where_the_plan_has_none(station: Callable[[], AuditScript]) -> None:
    assert station().judge("signed_records_verify").verdict is AuditVerdict.PASS


def altered_record(record: str) -> str:
    return record.replace('"RV": 15.0', '"RV": 16.0')


def other_amount(record: str) -> str:
    return signed_record(5000, 9000)


def other_key() -> AuditScript:
    return signed_session(key=OTHER_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex())


@pytest.mark.parametrize(("script", "says"), [
    (signed_session(altered_record), "does not verify with the key of the meter: it was altered"),
    (signed_session_of_201(lambda text: text.replace('"PG": "T1"', '"PG": "T2"')), "does not verify"),
    (other_key(), "does not verify with the key of the meter"),
    (signed_session(lambda text: text.rpartition("|")[0] + "|{}"), "cannot be read"),
    (signed_session(other_amount), "is about 4000 Wh, billed are 10000 Wh"),
])  # fmt: skip
def test_a_record_that_is_not_the_meters_fails(script: AuditScript, says: str) -> None:
    result = script.judge("signed_records_verify")
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "byte for byte" in result.advice
    assert (result.advice_to, bool(result.evidence)) == ("subcontractor", True)


def test_a_record_without_a_key_or_of_another_form_is_not_blamed() -> None:
    assert signed_session(key="").judge("signed_records_verify").verdict is AuditVerdict.PARTIAL
    assert signed_session(lambda text: "AB CD").judge("signed_records_verify").verdict is AuditVerdict.PARTIAL


# --- what may leave a station with direct current --------------------------------------------------------------------

LEAKS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("SecurityEventNotification", {"type": "x", "timestamp": "2026-11-28T10:00:00Z"}, "left the station"),
    ("DiagnosticsStatusNotification", {"status": "Idle"}, "left the station"),
    ("NotifyEvent", {"eventData": []}, "left the station"),
    ("StatusNotification", {"connectorId": 1, "status": "Faulted", "errorCode": "GroundFailure"},
     "says the cause GroundFailure"),
    ("StatusNotification", {"connectorId": 1, "status": "Faulted", "errorCode": "OtherError", "info": "door"},
     "says info"),
    ("StopTransaction", {"transactionId": 1, "meterStop": 1, "reason": "EmergencyStop"}, "says the fault Emergency"),
    ("MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": "2026-11-28T10:00:00Z", "sampledValue": [
        {"value": "61", "measurand": "Temperature"}]}]}, "has Temperature, which is not billed"),
)  # fmt: skip


@pytest.mark.parametrize(("action", "payload", "says"), LEAKS, ids=[f"{leak[0]}: {leak[2]}" for leak in LEAKS])
def test_what_must_not_leave_is_found(action: str, payload: dict[str, Any], says: str) -> None:
    s = Station16()
    s.boot()
    s.session()
    assert s.judge("billing_messages_only").verdict is AuditVerdict.PASS
    s.station(action, payload)
    result = s.judge("billing_messages_only")
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert 'scope = "billing"' in result.advice
    assert (result.advice_to, bool(result.evidence)) == ("client", True)


# --- bank cards ------------------------------------------------------------------------------------------------------

KIT = KitFacts(tariff={"kwh": 0.59, "vat_percent": 17})
OWED = 590
"""Cents for 10 kWh."""


def paid_session(captured: int = OWED, shown: int | None = OWED, held: int = 6000) -> AuditScript:
    s = Station16()
    s.boot()
    s.note("payment", what="hold", terminal_session=1, cents=held)
    s.start(token="PY3K9V0T1A2B")
    s.charge(600, power_w=60_000)
    s.stop()
    s.note("last_session", evse=1, transaction_id="101", token="PY3K9V0T1A2B", energy_wh=10_000, cost_cents=shown,
           cost_final=True)  # fmt: skip
    s.note("payment", what="capture", terminal_session=1, cents=captured)
    return s


def test_a_payment_of_what_is_owed_passes() -> None:
    s = paid_session()
    for name in ("captured_as_shown", "captured_once", "payment_token"):
        assert s.judge(name, kit=KIT, parameters={"prefix": "PY"}).verdict is AuditVerdict.PASS, name


@pytest.mark.parametrize(("script", "says"), [
    (paid_session(captured=600), "6.00 euro were captured, more than was shown (5.90 euro)"),
    (paid_session(captured=500), "5.00 euro were captured, less than was shown (5.90 euro)"),
    (paid_session(captured=700, shown=700), "7.00 euro were captured, more than is owed by the tariff (5.90 euro)"),
    (paid_session(captured=700, shown=None), "more than is owed by the tariff"),
])  # fmt: skip
def test_another_amount_is_found(script: AuditScript, says: str) -> None:
    result = script.judge("captured_as_shown", kit=KIT, parameters={"prefix": "PY"})
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "refund" in result.advice


def test_amounts_that_a_person_has_read_are_compared() -> None:
    s = Station16()
    facts = {
        key: StationFact(key, key, value, "asked")
        for key, value in {"captured_total": "6,10 EUR", "shown_total": "5.90"}.items()
    }
    result = s.judge("captured_as_shown", facts=facts)
    assert "6.10 euro were captured, more than was shown (5.90 euro)" in result.says
    facts["captured_total"] = StationFact("captured_total", "", "5,90 €", "asked")
    assert s.judge("captured_as_shown", facts=facts).verdict is AuditVerdict.PASS


def test_a_tariff_with_more_than_energy_is_not_reckoned() -> None:
    kit = KitFacts(tariff={"kwh": 0.59, "minute": 0.02})
    script = paid_session(captured=710, shown=710)
    assert script.judge("captured_as_shown", kit=kit).verdict is AuditVerdict.PASS


def captured_twice() -> AuditScript:
    s = paid_session()
    s.note("payment", what="capture", terminal_session=1, cents=OWED)
    return s


def captured_and_voided() -> AuditScript:
    s = paid_session()
    s.note("payment", what="void", terminal_session=1)
    return s


@pytest.mark.parametrize(("script", "says"), [
    (captured_twice(), "payment 1 was captured twice"),
    (captured_and_voided(), "payment 1 was captured and given back"),
    (paid_session(held=500), "captured 5.90 euro, but only 5.00 euro were held"),
])  # fmt: skip
def test_a_hold_that_is_settled_wrongly_is_found(script: AuditScript, says: str) -> None:
    result = script.judge("captured_once")
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "refund" in result.advice


def token_missing() -> AuditScript:
    s = Station16()
    s.boot()
    s.start(token="")
    s.stop()
    return s


def card_number_as_token() -> AuditScript:
    s = Station16()
    s.boot()
    s.start(token="4111111111111111")
    s.stop()
    return s


def one_token_for_two_payments() -> AuditScript:
    s = paid_session()
    s.start(token="PY3K9V0T1A2B")
    s.stop()
    return s


def paid_without_prefix() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.note("payment", what="capture", terminal_session=1, cents=OWED)
    return s


@pytest.mark.parametrize(("script", "says"), [
    (token_missing(), "transaction 101 of outlet 1 has no token"),
    (card_number_as_token(), "has the number of a bank card as its token"),
    (one_token_for_two_payments(), "has the token PY3K9V0T1A2B of another payment"),
    (paid_without_prefix(), "1 bank cards were charged, but only 0 transactions have a token with PY"),
])  # fmt: skip
def test_a_token_that_names_no_payment_is_found(script: AuditScript, says: str) -> None:
    result = script.judge("payment_token", parameters={"prefix": "PY"})
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert "prefix of payment tokens" in result.advice
    assert result.advice_to == "client"


def test_free_charging_needs_no_token() -> None:
    s = Station201()
    s.boot()
    s.transaction = "tx-1"
    s.event("Started", "CablePluggedIn", idToken={"idToken": "", "type": "NoAuthorization"})
    s.stop()
    assert s.judge("payment_token").verdict is AuditVerdict.PASS


@pytest.mark.parametrize(("token", "expected"), [
    ("4111111111111111", True), ("5500005555555559", True), ("4111111111111112", False), ("04A1B2C3D4E5F6", False),
    ("04123456789012", False), ("PY4111111111111111", False), ("", False),
])  # fmt: skip
def test_the_number_of_a_card_is_known_by_its_check_digit(token: str, expected: bool) -> None:
    assert is_card_number(token) is expected

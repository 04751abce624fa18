"""Judges of direct current: what may leave the station, and whether signed records are what their meter has signed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.message_paths import table_at, tables_at
from agent.audit.sampled_values import sampled_values
from agent.audit.transaction_history import TransactionHistory, read_transactions
from agent.model.fastclass import frozen
from agent.scenario.frames import Frame
from agent.scenario.grammar import Form
from agent.scenario.matching import as_number
from agent.scenario.observation import ENERGY

# --- billing messages only -------------------------------------------------------------------------------------------

BILLING_ACTIONS = frozenset({
    "Authorize", "BootNotification", "DataTransfer", "Heartbeat", "MeterValues", "NotifyCustomerInformation",
    "NotifyReport", "ReportChargingProfiles", "ReservationStatusUpdate", "SignCertificate", "StartTransaction",
    "StatusNotification", "StopTransaction", "TransactionEvent",
})  # fmt: skip
"""What a network that bills needs of a station with direct current: the rest stays with its operator."""
BILLED_MEASURANDS = frozenset({ENERGY, "Energy.Active.Import.Interval"})
STATUS_FIELDS = frozenset({
    "connectorId", "status", "errorCode", "timestamp", "connectorStatus", "evseId",
})  # fmt: skip
COARSE_ERRORS = ("NoError", "OtherError")
FAULT_REASONS = frozenset({"EmergencyStop", "GroundFault", "OvercurrentFault", "PowerQuality"})


def judge_billing_messages(context: AuditContext) -> JudgeResult:
    """Judge that only messages, measurands and words that are billed by leave the station."""
    sent = context.requests()
    for frame in sent:
        if problem := _leak_problem(frame):
            return failed_result(
                f"{frame.action} {problem}", evidence=(frame,), advice_to="client",
                advice="Set the station so that this network gets what it bills and whether an outlet is free, and "
                "nothing else (this program: scope = \"billing\" of the backend). Another maker's controller may need "
                "its filter of messages and MeterValuesSampledData = Energy.Active.Import.Register.",
            )  # fmt: skip
    if not sent:
        return inapplicable_result("the station has sent no request")
    return passed_result(f"{len(sent)} requests have nothing but what is billed by")


def _leak_problem(frame: Frame) -> str:
    """Return what must not leave, in words after the action; "" if all may."""
    payload = frame.payload
    if frame.action not in BILLING_ACTIONS:
        return "left the station, which is no message for billing"
    if frame.action == "StatusNotification":
        if more := sorted(set(payload) - STATUS_FIELDS):
            return f"says {more[0]}, which is for the operator of the station only"
        if "errorCode" in payload and payload["errorCode"] not in COARSE_ERRORS:
            return f"says the cause {payload['errorCode']}, which is for the operator of the station only"
    reason = str(payload.get("reason") or table_at(payload, "transactionInfo").get("stoppedReason") or "")
    if reason in FAULT_REASONS:
        return f"says the fault {reason}, which is for the operator of the station only"
    others = sorted({v.measurand for v in sampled_values((frame,))} - BILLED_MEASURANDS)
    return f"has {others[0]}, which is not billed" if others else ""


# --- signed records --------------------------------------------------------------------------------------------------


@frozen
class SignedRecord:
    """One signed record of a message. ``public_key``: in hexadecimal DER, "" where the message has none."""

    frame: Frame
    text: str
    encoding: str
    public_key: str


def signed_records(frames: tuple[Frame, ...] | list[Frame]) -> Iterator[SignedRecord]:
    """Yield the signed records in the messages of a station, also those that are not OCMF."""
    for frame in frames:
        for sample in (*tables_at(frame.payload, "meterValue"), *tables_at(frame.payload, "transactionData")):
            for value in tables_at(sample, "sampledValue"):
                if "signedMeterValue" in value:
                    yield _record_of_base64(frame, table_at(value, "signedMeterValue"))
                elif value.get("format") == "SignedData":
                    yield _record_of_text(frame, str(value.get("value", "")))


def _record_of_base64(frame: Frame, signed: Mapping[str, Any]) -> SignedRecord:
    """Read SignedMeterValueType (OCPP 2.0.1 2.42): record and key are in base64."""
    text = _decode_base64(str(signed.get("signedMeterData", ""))).decode("utf-8", "replace")
    key = _decode_base64(str(signed.get("publicKey", ""))).hex()
    return SignedRecord(frame, text, str(signed.get("encodingMethod", "")), key)


def _record_of_text(frame: Frame, text: str) -> SignedRecord:
    """Read a value of the format SignedData (OCPP 1.6): the record alone, or a table in JSON that has it."""
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, Mapping):
        return SignedRecord(frame, text, "OCMF" if text.startswith("OCMF|") else "", "")
    record = str(table.get("signedMeterData") or table.get("signedMeterValue") or "")
    return SignedRecord(frame, record, str(table.get("encodingMethod", "")), str(table.get("publicKey") or ""))


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def judge_signed_records(context: AuditContext) -> JudgeResult:
    """Judge that each signed record verifies with the key of its meter, and bills what the transaction bills."""
    given = str(context.parameters.get("public_key", ""))
    history, verified, unjudged = read_transactions(context.frames), 0, ""
    for one in history:
        for record in signed_records(one.all_requests):
            if not record.text.startswith("OCMF|"):
                unjudged = unjudged or f"a record of the form {record.encoding or 'that has no name'} is not read here"
                continue
            key = given or record.public_key or _key_of_conversation(context)
            if not key:
                unjudged = unjudged or "no message and no parameter has the public key of the meter"
                continue
            problem = signature_problem(record.text, key) or _billing_problem(record.text, one)
            if problem:
                return failed_result(
                    f"the signed record of {one.words} {problem}", evidence=(record.frame,),
                    advice="Compare the record in the meter with the one that the backend got. If they differ, have "
                    "the maker of the controller pass it on byte for byte; if not, have the meter replaced.",
                    advice_to="subcontractor",
                )  # fmt: skip
            verified += 1
    if unjudged:
        return partial_result(unjudged)
    if not verified:
        return inapplicable_result("no message has a signed record")
    return passed_result(f"{verified} signed records verify with the key of their meter")


def _key_of_conversation(context: AuditContext) -> str:
    """Return a key that any message brings: a station may send it once."""
    return next((r.public_key for r in signed_records(context.frames) if r.public_key), "")


def signature_problem(record: str, public_key: str) -> str:
    """Return what is wrong with the signature of a record of OCMF, "" for nothing. ``public_key``: hexadecimal DER.

    The signature covers the bytes between the first and the last separator (OCMF 1.4, 3).
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    payload, _, signature = record.removeprefix("OCMF|").rpartition("|")
    try:
        signed = json.loads(signature)
        data = str(signed["SD"])
        der = _decode_base64(data) if signed.get("SE") == "base64" else bytes.fromhex(data)
        key = load_der_public_key(bytes.fromhex(public_key))
    except (ValueError, KeyError, TypeError):
        return "cannot be read"
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "has a key that OCMF does not know"
    digest = hashes.SHA384() if str(signed.get("SA", "")).endswith("SHA384") else hashes.SHA256()
    try:
        key.verify(der, payload.encode(), ec.ECDSA(digest))
    except InvalidSignature:
        return "does not verify with the key of the meter: it was altered on its way, or belongs to another meter"
    return ""


WHOLE_RECORD_WH = 10.0
"""A record has kWh with two decimals, a bill whole Wh."""


def _billing_problem(record: str, one: TransactionHistory) -> str:
    """Return how a record of a whole transaction differs from what is billed, "" if it does not."""
    begin, end = _billed_register(one.starts), _billed_register(one.ends)
    try:
        readings = json.loads(record.removeprefix("OCMF|").rpartition("|")[0])["RD"]
        registers = [_register_in_wh(reading, readings[0]) for reading in readings]
    except (ValueError, KeyError, TypeError, IndexError):
        return "cannot be read"
    if len(registers) < 2 or begin is None or end is None or None in registers:
        return ""
    signed_wh = (registers[-1] or 0.0) - (registers[0] or 0.0)
    if abs(signed_wh - (end - begin)) > WHOLE_RECORD_WH + 0.005 * abs(signed_wh):
        return f"is about {signed_wh:.0f} Wh, billed are {end - begin:.0f} Wh"
    return ""


def _register_in_wh(reading: Mapping[str, Any], first: Mapping[str, Any]) -> float | None:
    """Return the register of a reading. What is as in the reading before may be left out (OCMF 1.4, 4)."""
    unit, value = reading.get("RU", first.get("RU")), as_number(reading.get("RV"))
    return None if value is None else value * (1000.0 if unit == "kWh" else 1.0)


def _billed_register(frames: list[Frame]) -> float | None:
    values = [v.number for v in sampled_values(frames[-1:]) if v.measurand == ENERGY and v.number is not None]
    return max(values) if values else None


JUDGES = (
    Judge("billing_messages_only", "only what is billed by leaves the station", judge_billing_messages),
    Judge(
        "signed_records_verify",
        "signed records verify with the key of their meter, and say what is billed",
        judge_signed_records,
        {"public_key": JudgeParameter(Form.TEXT, "", "key of the meter, hexadecimal DER; else that of the messages")},
    ),
)

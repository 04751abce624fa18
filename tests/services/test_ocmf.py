"""Signed records: the station's own as an aid to integrity, a meter's byte for byte; a foreign verifier reads both."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jsonschema import Draft4Validator, Draft6Validator, FormatChecker
from pyocmf import OCMF

from agent.domain.events import (
    CablePlugged,
    CardPresented,
    ContactorOpened,
    MeterFailed,
    MeterKnown,
    MeterRead,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    MeterSampled,
    Sample,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import ReadMeter, Send
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.serialization import dump_record, load_record
from agent.domain.variables import Settings
from agent.model.types import MeterIdentity, ReadingContext, SignedReading
from agent.ocpp.dialects.dialect import Dialect, MessageRow, RowContext
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.services.keys.ocmf_signer import OcmfSigner
from tests.domain.playbook import ACCEPTED, EMPTY, LINK, PLUGGED, A, Playbook, charging, make_site, wh
from tests.ocpp.ocpp_stand_ins import Outbox, desk
from tests.support.reading_purposes import POLL, SAMPLED
from tests.support.record_signer import signing_in

SCHEMAS = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations or ())))  # type: ignore[union-attr]
SDM = MeterIdentity("Eastron", "SDM630-MID", "12345678", "1.2", 1.0, ("B",))
GOLDEN_KEY = (
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000442e6bc8f63dadf4953d4bb190bfe043ba5757572c63b6bee2188dbfd04"
    "32f716eb6e4bb3987cd5c3bf0ef2ba8d049bbaafcbfbf7cfde19650925d62fa7e66eac"
)
GOLDEN_PAYLOAD = (
    '{"FV":"1.4","GI":"agent","GS":"TEST-1","GV":"0.1","PG":"T1","MV":"Eastron","MM":"SDM630-MID","MS":"12345678",'
    '"IS":true,"IL":"HEARSAY","IF":["RFID_PLAIN","OCPP_AUTH"],"IT":"ISO14443","ID":"04A1B2C3D4E5F6","CT":"EVSEID",'
    '"CI":"LU*TST*E0001","RD":[{"TM":"2026-03-01T10:00:00,000+0100 S","TX":"B","RV":12345.67,'
    '"RI":"01-00:B0.08.00*FF","RU":"kWh","RT":"AC","ST":"G"},{"TM":"2026-03-01T11:00:00,000+0100 S","TX":"E",'
    '"RV":12356.70,"ST":"G"}]}'
)
GOLDEN_SIGNATURE = (
    "304602210097923f1e558f572d4d2315b27cfeb80342546770294f6d37671c356bda85c646022100933308b7ca673c177c52f8a03926a18f"
    "bd568a373c5a5eb82fd79abb03e82701"
)


def golden_key(path: Path) -> Path:
    """The key whose scalar is the SHA-256 of a text: everyone can make it again, so it signs nothing else."""
    scalar = int.from_bytes(hashlib.sha256(b"chargy-agent ocmf test key").digest(), "big")
    pem = ec.derive_private_key(scalar, ec.SECP256R1()).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    path.write_bytes(pem)
    return path


@pytest.fixture
def signer(tmp_path: Path) -> OcmfSigner:
    return OcmfSigner(tmp_path / "ocmf.key")


def verified(record: SignedReading) -> bool:
    return bool(OCMF.from_string(record.data).verify_signature(record.public_key))


def test_a_signature_is_that_of_the_golden_vector(tmp_path: Path) -> None:
    record = OcmfSigner(golden_key(tmp_path / "ocmf.key")).sign_payload(GOLDEN_PAYLOAD)
    assert record is not None
    assert record.public_key == GOLDEN_KEY
    assert record.data.split("|")[1] == GOLDEN_PAYLOAD
    assert json.loads(record.data.split("|")[2])["SD"] == GOLDEN_SIGNATURE


def test_the_key_is_made_once_and_is_of_no_other(tmp_path: Path, signer: OcmfSigner) -> None:
    first = signer.sign_payload("{}")
    assert stat.S_IMODE((tmp_path / "ocmf.key").stat().st_mode) == 0o600
    assert OcmfSigner(tmp_path / "ocmf.key").sign_payload("{}") == first
    assert [p.name for p in tmp_path.iterdir()] == ["ocmf.key"]


def test_a_key_that_cannot_be_used_signs_nothing_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ocmf.key").write_text("not a key")
    assert OcmfSigner(tmp_path / "ocmf.key").sign_payload("{}") is None
    assert "no OCMF record is made" in caplog.text
    assert OcmfSigner(tmp_path / "nowhere" / "ocmf.key").sign_payload("{}") is None


@pytest.mark.parametrize("kind", ["locked", "rsa", "ed25519", "public"])
def test_a_key_of_another_kind_signs_nothing(tmp_path: Path, kind: str) -> None:
    """The bill goes out without; it ended the agent, and again when it came back to the bill."""
    made = rsa.generate_private_key(65537, 1024) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    locked = form.BestAvailableEncryption(b"x") if kind == "locked" else form.NoEncryption()
    pem = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked)
    if kind == "public":
        pem = made.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ocmf.key").write_bytes(pem)
    assert OcmfSigner(tmp_path / "ocmf.key").sign_payload("{}") is None


def station(folder: Path, wanted: bool = True, links: tuple[str, ...] = (LINK,), **more: Any) -> Playbook:
    settings = {"sign_readings": wanted, **more}
    play = Playbook(
        lambda: make_site(settings=settings, program_version="0.1", number="LU-1", links=links),
        signs=signing_in(folder),
    )
    play.feed(MeterKnown(1, SDM))
    return play.skip()


def session(folder: Path, wanted: bool = True, **more: Any) -> Playbook:
    return charging(station(folder, wanted, **more))


def ended(play: Playbook, meter_wh: int | None = 5000, signed: SignedReading | None = None) -> TransactionEnded:
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.feed(ContactorOpened(1))
    for n in (1, 2, 3):
        if meter_wh is None:
            play.feed(MeterFailed(1, end_reading(n)))
        else:
            play.feed(MeterRead(1, end_reading(n), replace(wh(meter_wh, at=play.now.stamp), signed=signed)))
        play.skip().wait(6)
    play.skip()
    message = play.ended()[-1]
    assert isinstance(message, TransactionEnded)
    return message


def payload_of(record: SignedReading) -> dict[str, object]:
    return dict(json.loads(record.data.split("|")[1]))


def test_a_station_signs_its_bill_where_that_is_wanted(tmp_path: Path) -> None:
    record = ended(session(tmp_path)).signed
    assert record is not None
    assert (record.maker, record.encoding) == ("station", "OCMF")
    assert verified(record)
    assert OCMF.from_string(record.data).check_eichrecht() == []
    payload = payload_of(record)
    assert (payload["GI"], payload["UL"]) == ("chargy-agent", "made by the station, not by the meter")
    assert (payload["PG"], payload["MS"], payload["CI"], payload["IL"]) == ("T1", "12345678", "LU-1 1", "TRUSTED")
    begin, end = payload["RD"]  # type: ignore[misc]
    assert (begin["TX"], begin["RV"], end["TX"], end["RV"], end["RU"]) == ("B", 1000, "L", 5000, "Wh")
    assert begin["TM"] == "2027-01-15T08:00:00,000+0000 S"


def test_a_changed_digit_is_found(tmp_path: Path) -> None:
    record = ended(session(tmp_path)).signed
    assert record is not None
    assert not verified(replace(record, data=record.data.replace('"RV":5000', '"RV":4000')))


def test_nothing_is_signed_where_no_one_wants_it(tmp_path: Path) -> None:
    assert ended(session(tmp_path, wanted=False)).signed is None


def test_records_are_numbered_without_a_gap_over_a_restart(tmp_path: Path) -> None:
    play = session(tmp_path)
    first = ended(play).signed
    play.restart(5, state=EMPTY)
    play.feed(MeterKnown(1, SDM))
    second = ended(charging(play.skip(), meter_wh=5000), 6000).signed
    assert [payload_of(r)["PG"] for r in (first, second) if r] == ["T1", "T2"]


def test_a_register_that_was_not_read_at_the_end_is_marked(tmp_path: Path) -> None:
    message = ended(session(tmp_path), None)
    assert message.signed is not None
    _, end = payload_of(message.signed)["RD"]  # type: ignore[misc]
    assert (end["RV"], end["ST"]) == (message.meter_wh, "S")


METERS_OWN = SignedReading('OCMF|{"FV" : "1.0", "RV":12345.60 , "x":"é"}|{"SD":"00"}', method="", public_key="")


def test_a_record_of_the_meter_is_passed_on_byte_for_byte(tmp_path: Path) -> None:
    """Blanks, decimals and letters are part of what was signed."""
    message = ended(session(tmp_path), signed=METERS_OWN)
    assert message.signed == METERS_OWN
    stored = load_record(json.loads(json.dumps(dump_record(message))), TransactionEnded)
    assert stored.signed.data == METERS_OWN.data
    assert stored.signed.maker == "meter"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("later_wh", [5000, 5001])
def test_a_transaction_that_outlives_its_session_keeps_what_was_measured(
    tmp_path: Path, own: bool, killed: bool, later_wh: int
) -> None:
    """Stop point EVConnected. A register that moves afterwards is billed, and the end's reading is not sent for it."""
    play = session(tmp_path, tx_stop_points=("EVConnected",))
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.feed(ContactorOpened(1))
    reading = replace(wh(5000, 0.0, at=play.now.stamp), signed=METERS_OWN if own else None)
    play.feed(MeterRead(1, end_reading(1), reading))
    assert play.skip().ended() == []
    [stored] = play.store["tx"].values()
    if killed:
        play.restart(5, state=PLUGGED).skip()
        play.feed(MeterKnown(1, SDM))
    play.feed(MeterRead(1, POLL, wh(later_wh, at=play.now.stamp)))
    play.skip().feed(VehicleLeft(1))
    [sent] = play.skip().ended()
    measured = replace(reading, offered_a=0.0, offered_w=0.0)
    assert (sent.meter_wh, sent.reading) == (later_wh, measured if later_wh == 5000 else None)
    assert sent.signed is not None
    assert sent.signed == load_record(stored["signed"]), "it was on disk before"
    assert sent.signed == METERS_OWN if own else verified(sent.signed)
    assert play.store.get("ocmf") == (None if own else {"made": {"number": 1}}), "one bill has one record"


def test_what_is_never_reported_takes_no_number(tmp_path: Path) -> None:
    """Stop before energy flowed, start point EnergyTransfer: the next bill's record is the first."""
    play = station(tmp_path, tx_start_points=("EnergyTransfer",))
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(1, A), TokenAuthorized("token:1", A, ACCEPTED)):
        play.feed(event)
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert play.skip().state() is SessionState.ACTIVE
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.feed(MeterRead(1, end_reading(1), wh(1000, at=play.now.stamp)))
    assert play.skip().ended() == []
    assert "ocmf" not in play.store


def test_a_record_that_no_message_carries_is_not_made(tmp_path: Path) -> None:
    """Start point EnergyTransfer: the register of the begin is not reported yet."""
    play = session(tmp_path, sign_samples=True, tx_start_points=("EnergyTransfer",))
    assert [m.reading for m in play.sent_messages if isinstance(m, TransactionStarted)] == [None]
    assert "ocmf" not in play.store


def test_every_backend_gets_the_same_record(tmp_path: Path) -> None:
    play = session(tmp_path, links=(LINK, "other"))
    ended(play)
    first, second = [o.message.signed for o in play.log if isinstance(o, Send) and is_end(o.message)]
    assert first is not None
    assert first == second
    assert play.store["ocmf"] == {"made": {"number": 1}}


def is_end(message: object) -> TypeGuard[TransactionEnded]:
    return isinstance(message, TransactionEnded)


def test_the_begin_and_a_sample_are_signed_where_that_is_wanted(tmp_path: Path) -> None:
    play = session(tmp_path, sign_samples=True, sample_interval_s=60)
    play.feed(MeterRead(1, SAMPLED, wh(1500, at=play.now.stamp)))
    [begin] = [m.reading for m in play.sent_messages if isinstance(m, TransactionStarted)]
    [sample] = [m.samples[0].reading for m in play.sent_messages if isinstance(m, MeterSampled)]
    records = [r.signed for r in (begin, sample) if r is not None and r.signed is not None]
    payloads = [payload_of(r) for r in records if verified(r)]
    assert [(r["PG"], r["RD"][0]["TX"], r["RD"][0]["RV"]) for r in payloads] == [  # type: ignore[index]
        ("T1", "B", 1000), ("T2", "C", 1500),
    ]  # fmt: skip


def test_a_signer_that_fails_delays_no_bill_and_takes_no_number(tmp_path: Path) -> None:
    key = tmp_path / "ocmf.key"
    key.write_text("not a key")
    play = session(tmp_path)
    assert ended(play).signed is None
    assert "ocmf" not in play.store
    key.unlink()
    play.feed(VehicleLeft(1))
    play.restart(5, state=EMPTY).feed(MeterKnown(1, SDM))
    record = ended(charging(play.skip(), meter_wh=5000), 6000).signed
    assert record is not None
    assert payload_of(record)["PG"] == "T1"


def test_a_kill_before_the_commit_signs_under_the_same_number(tmp_path: Path) -> None:
    """Number and bill are one transaction: the record that was lost with it was never sent."""
    play = session(tmp_path)
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.skip().feed(ContactorOpened(1))
    on_disk = json.loads(json.dumps(play.store))
    play.skip().feed(MeterRead(1, end_reading(1), wh(5000, at=play.now.stamp)))
    [lost] = play.ended()
    play.store, play.sent_messages = on_disk, []
    play.skip().restart(5, state=EMPTY).feed(MeterKnown(1, SDM))
    [*_, order] = [o for o in play.log if isinstance(o, ReadMeter) and o.billing]
    play.skip().feed(MeterRead(1, order.purpose, wh(5000, at=play.now.stamp)))
    [sent] = play.ended()
    assert [payload_of(m.signed)["PG"] for m in (lost, sent)] == ["T1", "T1"]
    assert (sent.meter_wh, play.store["ocmf"]) == (5000, {"made": {"number": 1}})


# --- on the wire ----------------------------------------------------------------------------------------------------


def known() -> Outbox:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42"}
    return outbox


def said(version: str, dialect: Dialect, message: TransactionEnded | MeterSampled, at: RowContext) -> dict[str, Any]:
    """As it leaves, and valid by the standard's own schema."""
    row = dialect.message_row(type(message))
    assert isinstance(row, MessageRow)
    payload = row.encode(message, at)
    assert payload is not None
    folder, validator, name = {
        "1.6": ("v16", Draft4Validator, row.action),
        "2.0.1": ("v201", Draft6Validator, row.action + "Request"),
    }[version]
    document = json.loads((SCHEMAS / folder / "schemas" / f"{name}.json").read_text("utf-8-sig"))
    validator(document, format_checker=FormatChecker()).validate(payload)
    return payload


@pytest.mark.parametrize("with_signature", [False, True])
def test_both_versions_carry_it(tmp_path: Path, with_signature: bool) -> None:
    message = ended(session(tmp_path))
    record = message.signed
    assert record is not None
    at = desk(known(), Settings({"public_key_told": with_signature}))
    at.number = 3
    stop = said("1.6", V16, message, at)
    [entry] = stop["transactionData"][-1]["sampledValue"]
    assert (entry["format"], entry["context"]) == ("SignedData", "Transaction.End")
    value = json.loads(entry["value"])
    assert value["signedMeterData"] == record.data
    assert (value["publicKey"] == record.public_key) == with_signature
    event = said("2.0.1", V201, message, at)
    last = event["meterValue"][-1]["sampledValue"][0]
    assert last["value"] == 5000
    signed = last["signedMeterValue"]
    assert base64.b64decode(signed["signedMeterData"]).decode() == record.data
    assert base64.b64decode(signed["publicKey"]).hex() == (record.public_key if with_signature else "")
    assert all(len(signed[k]) <= most for k, most in (("signedMeterData", 2500), ("publicKey", 2500)))


def test_a_record_that_is_too_long_does_not_hold_up_its_bill(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An EM580 has room for 4062 octets, 2.0.1 for 2500 characters of base64."""
    long = SignedReading('OCMF|{"x":"' + "y" * 2000 + '"}|{"SD":"00"}')
    message = ended(session(tmp_path), signed=long)
    at = desk(known(), Settings())
    at.number = 3
    event = said("2.0.1", V201, message, at)
    assert "signedMeterValue" not in event["meterValue"][-1]["sampledValue"][0]
    assert event["meterValue"][-1]["sampledValue"][0]["value"] == 5000
    assert "signedMeterData is longer" in caplog.text
    [entry] = said("1.6", V16, message, at)["transactionData"][-1]["sampledValue"]
    assert json.loads(entry["value"])["signedMeterData"] == long.data


def test_a_late_record_is_reported_of_the_old_transaction() -> None:
    """1.6 with its transactionId; 2.0.1 as loose MeterValues, for TransactionEvent has ended it."""
    sample = Sample(ReadingContext.END, replace(wh(5000), signed=METERS_OWN), ("Energy.Active.Import.Register",))
    message = MeterSampled("s1", 1, (sample,), late=True)
    assert load_record(json.loads(json.dumps(dump_record(message))), MeterSampled) == message
    at = desk(known(), Settings())
    old = said("1.6", V16, message, at)
    assert old["transactionId"] == 42
    plain, signed = old["meterValue"][0]["sampledValue"]
    assert (plain["value"], signed["format"], signed["context"]) == ("5000", "SignedData", "Transaction.End")
    assert json.loads(signed["value"])["signedMeterData"] == METERS_OWN.data
    row = V201.message_row(MeterSampled)
    assert isinstance(row, MessageRow)
    assert row.is_other is not None
    assert row.is_other(message)
    assert isinstance(row.other, MessageRow)
    assert row.other.action == "MeterValues"
    new = row.other.encode(message, at)
    assert new is not None
    value = new["meterValue"][0]["sampledValue"][0]
    assert base64.b64decode(value["signedMeterValue"]["signedMeterData"]).decode() == METERS_OWN.data

"""Build the text of a record that the station signs, in the Open Charge Metering Format (OCMF 1.4, SAFE e.V.).

Such a record is an aid to integrity: it shows that the bill was not changed on its way. It does not show that a meter
has signed the bill. The record states that itself (``GI``, and ``UL``, a field of our own as the format allows).

A record that a meter has signed is never built, read or changed here: it travels as it is (``types.SignedReading``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.model.fastclass import frozen
from agent.model.meter_signing import Signing, tariff_text
from agent.model.types import Judge, MeterIdentity, Moment, Stamp, Token, TokenType

FORMAT = "1.4"
LABEL = "made by the station, not by the meter"
OBIS = "01-00:B0.08.00*FF"
"""Active energy import, total of the mains (OCMF 1.4, table of OBIS codes)."""
_ID_TYPES: Mapping[TokenType, str] = {
    TokenType.ISO14443: "ISO14443",
    TokenType.ISO15693: "ISO15693",
    TokenType.EMAID: "EMAID",
    TokenType.CENTRAL: "CENTRAL",
    TokenType.LOCAL: "LOCAL",
    TokenType.KEY_CODE: "KEY_CODE",
    TokenType.NO_AUTHORIZATION: "NONE",
}
_RFID = (TokenType.ISO14443, TokenType.ISO15693)
_FLAGS: Mapping[Judge, str] = {
    Judge.AUTHORIZE: "OCPP_AUTH",
    Judge.BANK_AND_AUTHORIZE: "OCPP_AUTH",
    Judge.LIST: "OCPP_WHITELIST",
    Judge.CACHE: "OCPP_CACHE",
    Judge.REMOTE_START: "OCPP_RS",
}
_BANKS = (Judge.BANK, Judge.BANK_AND_AUTHORIZE)
_TRUSTED = (Judge.AUTHORIZE, Judge.REMOTE_START, *_BANKS)
"""The decision was asked for and given for this very session. The decision of a list or a cache is older: hearsay."""
_MOST_ID = 40


@frozen
class Holder:
    """The driver who charges, as far as a record may state it."""

    token: Token | None = None
    judged_by: Judge = Judge.UNJUDGED
    """The party that has decided that the driver may charge."""
    price: str = ""
    """The price that was agreed (``ocmf_tariff_text``)."""
    name: str = ""
    """The name of the transaction."""


@frozen
class OcmfBill:
    """The content of a record. The signer adds the number of the record, and the signature."""

    made_at: Moment
    """The moment of the order. The times of the record are worked out from its clock."""
    point: str
    version: str
    meter: MeterIdentity
    holder: Holder
    begin: Stamp
    begin_wh: int
    end: Stamp
    end_wh: int
    read: bool
    """False: the register of the end is the last good one, not one that was read at the end."""
    reason: str
    dc: bool = False
    only: str = ""
    """TX of the one reading that the record is about, which is that of the end. "": the record is about a session."""


def ocmf_payload(bill: OcmfBill, number: int) -> str:
    """Return the payload section of the record with this number.

    It is one line of JSON without "|", which separates the sections.
    """
    record: dict[str, Any] = {
        "FV": FORMAT, "GI": "chargy-agent", "GS": bill.point, "GV": bill.version, "PG": f"T{number}",
        "MV": bill.meter.vendor, "MM": bill.meter.model, "MS": bill.meter.serial, "MF": bill.meter.firmware,
        **identification_fields(bill.holder), "TT": tariff_text(bill.holder.price, bill.holder.name),
        "CT": "CBIDC", "CI": bill.point, "UL": LABEL, "RD": _reading_fields(bill),
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True).replace("|", "\\u007c")


def ocmf_record_text(signed: str, signature_hex: str) -> str:
    """Return the whole record of a payload and its DER signature."""
    return f'OCMF|{signed}|{{"SA":"ECDSA-secp256r1-SHA256","SD":"{signature_hex}"}}'


def identification_fields(holder: Holder) -> dict[str, Any]:
    """Return the fields that identify the driver.

    They claim only what has happened (OCMF, identification level). A UID that was read is hearsay. The decision of a
    backend or a bank about this very session is trusted. If charging needs no authorization, no user is assigned.
    """
    token, judge = holder.token, holder.judged_by
    flags = [_FLAGS[judge]] if judge in _FLAGS else []
    if token is None or token.type is TokenType.NO_AUTHORIZATION:
        return {"IS": False, "IL": "NONE", "IF": flags, "IT": "NONE", "ID": ""}
    if token.type in _RFID and judge is not Judge.REMOTE_START:
        flags.insert(0, "RFID_PLAIN")
    return {
        "IS": True,
        "IL": "TRUSTED" if judge in _TRUSTED else "HEARSAY",
        "IF": flags,
        "IT": "CARD_TXN_NR" if judge in _BANKS else _ID_TYPES.get(token.type, "UNDEFINED"),
        "ID": token.value[:_MOST_ID],
    }


def signing_instructions(id_: str, ends: bool, point: str, holder: Holder, now: Moment, owed: str = "") -> Signing:
    """Return what a meter that signs by itself needs to know of the transaction ``id_``."""
    identity = identification_fields(holder)
    return Signing(
        id_, ends, point, identity["ID"], identity["IT"], identity["IL"], tuple(identity["IF"]), now.stamp, now.utc_s,
        owed, holder.price, identity["IS"],
    )  # fmt: skip


def _reading_fields(bill: OcmfBill) -> list[dict[str, Any]]:
    now = bill.made_at
    common = {"RI": OBIS, "RU": "Wh", "RT": "DC" if bill.dc else "AC"}
    if bill.only:
        return [{"TM": _ocmf_time(bill.end, now), "TX": bill.only, "RV": bill.end_wh, **common, "ST": "G"}]
    return [
        {"TM": _ocmf_time(bill.begin, now), "TX": "B", "RV": bill.begin_wh, **common, "ST": "G"},
        {
            "TM": _ocmf_time(bill.end, now),
            "TX": bill.reason,
            "RV": bill.end_wh,
            **common,
            "ST": "G" if bill.read else "S",
        },
    ]


def _ocmf_time(at: Stamp, now: Moment) -> str:
    """Return the time in OCMF's form: UTC by the clock of the backend (S), or unknown (U)."""
    known = now.utc_s is not None and at.boot == now.stamp.boot
    utc_s = (now.utc_s or 0.0) - now.stamp.t_s + at.t_s if known else 0.0
    whole = int(utc_s)
    day = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{day},{int((utc_s - whole) * 1000):03d}+0000 {'S' if known else 'U'}"

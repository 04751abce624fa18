"""The meter's own, signed transaction beside a session: begun before energy may flow, ended when none does any more.

It has a name of its own that is on disk with the session, so that an agent that was killed ends the
right one. A record that is not to be had when the bill leaves is owed: asked for again with the
next begin, and sent after its bill then.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import MeterSampled, Sample
from agent.domain.ocmf import Holder, OcmfBill, ocmf_payload, signing_instructions
from agent.domain.orders import LogNote, Persist
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.session.tx_points import is_transaction_reported, send_to_backends
from agent.domain.session_records import Authorization, Session
from agent.domain.variables import ENERGY
from agent.model.fastclass import replace
from agent.model.meter_signing import Signing
from agent.model.types import MeterIdentity, Moment, Reading, ReadingContext, SignedReading, Stamp


def signing_at_begin(s: StationState, evse: EvseRecord, now: Moment) -> Signing | None:
    """Return the signing order for the reading that a session begins with; None: the meter does not
    sign."""
    evse.signing = ""
    grant, present = evse.authorization, evse.meter.present
    if grant is None or present is None or not present.signs:
        return None
    evse.signing = s.new_id()
    return signing_instructions(
        evse.signing,
        False,
        _charge_point_label(s, evse),
        record_holder(evse),
        now,
        str(evse.owed_record.get("signing", "")),
    )


def signing_at_end(s: StationState, evse: EvseRecord, now: Moment) -> Signing | None:
    session = evse.session
    if session is None or not session.signing:
        return None
    return signing_instructions(session.signing, True, _charge_point_label(s, evse), record_holder(evse), now)


def record_holder(evse: EvseRecord) -> Holder:
    """Return who charges, or is about to."""
    session, grant = evse.session, evse.authorization
    if session is not None:
        return Holder(session.token, session.judged_by, session.price, session.id)
    if grant is not None:
        return Holder(grant.token, grant.judged_by, agreed_price_text(grant))
    return Holder(evse.tx.token if evse.tx is not None else None)


def agreed_price_text(grant: Authorization) -> str:
    if grant.tariff is None:
        return ""
    from agent.domain.ocmf_tariff_text import ocmf_tariff_text

    return ocmf_tariff_text(grant.tariff)


def _charge_point_label(s: StationState, evse: EvseRecord) -> str:
    return f"{s.number} {evse.number}"


def owe_meter_record(
    evse: EvseRecord, session: Session, meter_wh: int, at: Stamp, reading: Reading | None
) -> Iterator[Yielded]:
    """Note that the meter still has a record of the closed session, if it has."""
    if (
        not session.signing
        or (reading is not None and not reading.record_due)
        or not is_transaction_reported(session, meter_wh)
    ):
        return
    if evse.owed_record:
        yield LogNote(evse.number, f"the record of the meter for session {evse.owed_record.get('session')} is given up")
    evse.owed_record = {"signing": session.signing, "session": session.id, "meter_wh": meter_wh, "at": dump_record(at)}
    yield Persist("owed", str(evse.number), evse.owed_record)
    yield LogNote(
        evse.number, f"session {session.id} is billed without the record of the meter, which did not come in time"
    )


def take_owed_record(s: StationState, evse: EvseRecord, reading: Reading) -> Generator[Yielded, None, Reading]:
    """Take an owed record out of the reading of a begin: send it, or note that the meter does not
    have it. Returns the reading without it."""
    owed = evse.owed_record
    if owed and not reading.record_due:
        if reading.signed is not None:
            yield from _send_late_record(s, evse, owed, reading.signed)
        else:
            yield LogNote(evse.number, f"the meter has no record of session {owed.get('session')}: none will be sent")
        yield Persist("owed", str(evse.number), None)
        evse.owed_record = {}
    return replace(reading, signed=None, record_due=False)


def _send_late_record(
    s: StationState, evse: EvseRecord, owed: dict[str, Any], record: SignedReading
) -> Iterator[Yielded]:
    try:
        at = load_record(owed["at"], Stamp)
        then = Reading(at, int(owed["meter_wh"]), signed=record, dc=evse.dc)
    except (UnreadableRecord, KeyError, TypeError, ValueError) as e:
        yield LogNote(evse.number, f"a late record of the meter belongs to a session that cannot be read back: {e}")
        return
    sample = Sample(ReadingContext.END, then, ENERGY)
    yield from send_to_backends(s, MeterSampled(str(owed["session"]), evse.number, (sample,), late=True))


def add_station_signature(
    s: StationState, evse: EvseRecord, reading: Reading, wanted: str, kind: str, now: Moment
) -> Generator[Yielded, None, Reading]:
    """The reading with a record of the station, where the setting ``wanted`` asks for one of each value (2.0.1 J01,
    J02) and the meter has made none. ``kind``: OCMF's TX, B with a begin and C in between."""
    if reading.signed is not None or not s.settings.bool_value(wanted):
        return reading
    bill = OcmfBill(
        s.records + 1, _charge_point_label(s, evse), s.version,
        evse.meter.present or MeterIdentity(), record_holder(evse),
        reading.at, reading.energy_wh, reading.at, reading.energy_wh, True, "", evse.dc, kind,
    )  # fmt: skip
    record = s.sign(ocmf_payload(bill, now))
    if record is None:
        return reading
    s.records += 1
    yield Persist("ocmf", "made", {"number": s.records})
    return replace(reading, signed=record)

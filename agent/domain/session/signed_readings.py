"""The meter's own, signed transaction beside a session: begun before energy may flow, ended when none does any more.

It has a name of its own that is on disk with the session, so that an agent that was killed ends the
right one. A record that is not to be had when the bill leaves is owed: asked for again with the
next begin, and sent after its bill then.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import MeterSampled, Sample, StopReason
from agent.domain.ocmf import Holder, OcmfBill, signing_instructions
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
    evse.metering.signing = ""
    grant, present = evse.authorization, evse.metering.meter.present
    if grant is None or present is None or not present.signs:
        return None
    evse.metering.signing = s.collaborators.new_id()
    return signing_instructions(
        evse.metering.signing,
        False,
        _charge_point_label(s, evse),
        record_holder(evse),
        now,
        str(evse.metering.owed_record.get("signing", "")),
    )


def signing_at_end(s: StationState, evse: EvseRecord, now: Moment) -> Signing | None:
    session = evse.session
    if session is None or not session.signing:
        return None
    owed = str(evse.metering.owed_record.get("signing", ""))
    return signing_instructions(session.signing, True, _charge_point_label(s, evse), record_holder(evse), now, owed)


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
    return f"{s.config.number} {evse.number}"


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
    if owed := evse.metering.owed_record:
        yield LogNote(evse.number, f"the record of the meter for session {owed.get('session')} is given up")
    owed = {"signing": session.signing, "session": session.id, "meter_wh": meter_wh, "at": dump_record(at)}
    evse.metering.owed_record = owed
    yield Persist("owed", str(evse.number), owed)
    yield LogNote(
        evse.number, f"session {session.id} is billed without the record of the meter, which did not come in time"
    )


def restore_owed_record(evse: EvseRecord, record: Mapping[str, Any]) -> None:
    evse.metering.owed_record = dict(record)


def take_owed_record(s: StationState, evse: EvseRecord, reading: Reading) -> Generator[Yielded, None, Reading]:
    """Take an owed record out of the reading of a begin: send it, or note that the meter does not
    have it. Returns the reading without it."""
    owed = evse.metering.owed_record
    if owed and not reading.record_due:
        if reading.signed is not None:
            yield from _send_late_record(s, evse, owed, reading.signed)
        else:
            yield LogNote(evse.number, f"the meter has no record of session {owed.get('session')}: none will be sent")
        yield Persist("owed", str(evse.number), None)
        evse.metering.owed_record = {}
    return replace(reading, signed=None, record_due=False)


def _send_late_record(
    s: StationState, evse: EvseRecord, owed: dict[str, Any], record: SignedReading
) -> Iterator[Yielded]:
    try:
        at = load_record(owed["at"], Stamp)
        then = Reading(at, int(owed["meter_wh"]), signed=record, dc=evse.config.dc)
    except (UnreadableRecord, KeyError, TypeError, ValueError) as e:
        yield LogNote(evse.number, f"a late record of the meter belongs to a session that cannot be read back: {e}")
        return
    sample = Sample(ReadingContext.END, then, ENERGY)
    yield from send_to_backends(s, MeterSampled(str(owed["session"]), evse.number, (sample,), late=True))


def bill_of_reading(
    s: StationState, evse: EvseRecord, reading: Reading, wanted: str, kind: str, now: Moment
) -> OcmfBill | None:
    """Return what the station is to sign of one reading: None where the setting ``wanted`` does not
    ask for it, or the meter has signed the reading. ``kind``: OCMF's TX, B with a begin and C in
    between."""
    if reading.signed is not None or not s.settings.bool_value(wanted):
        return None
    return OcmfBill(
        now, _charge_point_label(s, evse), s.config.program_version,
        evse.metering.meter.present or MeterIdentity(), record_holder(evse),
        reading.at, reading.energy_wh, reading.at, reading.energy_wh, True, "", evse.config.dc, kind,
    )  # fmt: skip


def bill_of_session(
    s: StationState, evse: EvseRecord, session: Session, meter_wh: int, at: Stamp, reading: Reading | None, now: Moment
) -> OcmfBill | None:
    """Return what the station is to sign of a session that ends: None where the settings do not ask
    for it, the meter has signed it, or no backend learns of the session."""
    signed_by_meter = reading is not None and reading.signed is not None
    wanted = s.settings.bool_value("sign_readings") or s.settings.bool_value("sign_samples")
    if signed_by_meter or not wanted or not is_transaction_reported(session, meter_wh):
        return None
    stop = session.stop
    assert stop is not None
    return OcmfBill(
        now, _charge_point_label(s, evse), s.config.program_version, evse.metering.meter.present or MeterIdentity(),
        Holder(session.token, session.judged_by, session.price, session.id),
        session.started, session.start_wh, at, meter_wh, reading is not None,
        _OCMF_END.get(StopReason(stop.reason), "E"), evse.config.dc,
    )  # fmt: skip


_OCMF_END = {StopReason.LOCAL: "L", StopReason.REMOTE: "R", StopReason.POWER_LOSS: "P", StopReason.DEAUTHORIZED: "A"}
"""TX of the last reading: ended locally, remotely, by power failure, aborted; E otherwise."""

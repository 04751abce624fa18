"""A meter that signs its own transactions: begun with the session, ended with it, records that come late, kills."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.assembly.domain_setup import initial_evses
from agent.domain.events import (
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorOpened,
    MeterFailed,
    MeterKnown,
    MeterRead,
    RawMeterReading,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import MeterSampled, StopReason, TransactionStarted, TriggerReason
from agent.domain.metrology import MeterWatch
from agent.domain.orders import AuthorizeToken, LogNote, ReadMeter
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.model.meter_signing import Signing
from agent.model.types import MeterIdentity, MeterPolicy, ReadingContext, SignedReading
from agent.station_file.settings import parse_station_file
from tests.domain.playbook import ACCEPTED, EMPTY, PLUGGED, A, Playbook, make_site, wh
from tests.support.reading_purposes import POLL

EM580 = MeterIdentity("Carlo Gavazzi", "EM580", "S1", "1", 1.0, ("B",), signs=True)
RECORD = SignedReading('OCMF|{"a" : 1}|{"SD":"00"}')


def asked(play: Playbook) -> list[Signing | None]:
    return [o.signing for o in play.log if isinstance(o, ReadMeter) and o.billing]


def charging(meter: MeterIdentity = EM580) -> Playbook:
    play = Playbook(lambda: make_site(number="LU-1"))
    play.feed(MeterKnown(1, meter))
    return came(play)


def came(play: Playbook) -> Playbook:
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(1, A)):
        play.feed(event)
    [asks] = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(asks.request, A, ACCEPTED))
    return play


def emptied(play: Playbook) -> Playbook:
    for event in (VehicleLeft(1), CableRemoved(1)):
        play.feed(event)
    return play.skip()


def begun(play: Playbook, signed: SignedReading | None = None, n: int = 1) -> Playbook:
    play.feed(MeterRead(1, begin_reading(n), replace(wh(1000, at=play.now.stamp), signed=signed)))
    assert play.state() is SessionState.ACTIVE
    return play.skip()


def stopped(play: Playbook) -> Playbook:
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.feed(ContactorOpened(1))
    return play


def test_begin_and_end_are_given_to_a_meter_that_signs() -> None:
    play = charging()
    [begin] = asked(play)
    assert begin is not None
    assert (begin.ends, begin.point, begin.holder, begin.id_type) == (False, "LU-1 1", A.value, "ISO14443")
    assert (begin.level, begin.flags, begin.utc_s) == ("TRUSTED", ("RFID_PLAIN", "OCPP_AUTH"), play.now.utc_s)
    assert A.value not in repr(begin)
    begun(play)
    session = play.site.evses[1].session
    assert session is not None
    assert session.id == session.signing == begin.id
    _, end = asked(stopped(play))
    assert end is not None
    assert (end.id, end.ends) == (begin.id, True)


def test_another_meter_is_asked_as_ever() -> None:
    play = charging(replace(EM580, signs=False))
    assert asked(play) == [None]
    begun(play)
    assert asked(stopped(play)) == [None, None]


def test_the_name_outlives_an_agent_that_was_killed() -> None:
    play = begun(charging())
    first = play.site.evses[1].session
    assert first is not None
    play.restart(5, state=PLUGGED).skip()
    play.feed(MeterKnown(1, EM580))
    end = asked(stopped(play))[-1]
    assert end is not None
    assert (end.id, end.ends) == (first.signing, True)


def test_the_record_is_reported_with_the_bill() -> None:
    play = stopped(begun(charging()))
    play.skip().feed(MeterRead(1, end_reading(1), replace(wh(5000, at=play.now.stamp), signed=RECORD)))
    [sent] = play.ended()
    assert (sent.meter_wh, sent.signed) == (5000, RECORD)
    assert play.site.evses[1].metering.owed_record == {}


def test_a_record_that_is_due_is_waited_for() -> None:
    play = stopped(begun(charging())).skip()
    play.feed(MeterRead(1, end_reading(1), replace(wh(5000, at=play.now.stamp), record_due=True)))
    assert play.ended() == []
    play.wait(6).feed(MeterRead(1, end_reading(2), replace(wh(5000, at=play.now.stamp), signed=RECORD)))
    assert [e.signed for e in play.ended()] == [RECORD]


def unpaid(unread: bool) -> Playbook:
    """The bill is sent, the record is owed."""
    play = stopped(begun(charging()))
    for n in (1, 2, 3):
        due = replace(wh(5000, at=play.now.stamp), record_due=True)
        play.feed(MeterFailed(1, end_reading(n)) if unread else MeterRead(1, end_reading(n), due))
        if n < 3:
            play.skip().wait(6)
    return play


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("killed", [False, True])
def test_a_record_that_comes_later_still_is_reported_after_its_bill(unread: bool, killed: bool) -> None:
    play = unpaid(unread)
    [bill] = play.ended()
    assert bill.signed is None
    assert bill.meter_wh == (1000 if unread else 5000)
    owed = play.site.evses[1].metering.owed_record
    play.skip()
    if killed:
        play.restart(5, state=EMPTY).skip()
        play.feed(MeterKnown(1, EM580))
    else:
        emptied(play)
    came(play)
    again = asked(play)[-1]
    assert again is not None
    assert (again.owed, again.ends) == (owed["signing"], False)
    n = 1 if killed else 2
    play.skip().feed(MeterRead(1, begin_reading(n), replace(wh(5000, at=play.now.stamp), signed=RECORD)))
    [late] = [m for m in play.sent_messages if isinstance(m, MeterSampled)]
    [sample] = late.samples
    assert (late.session, late.late) == (bill.session, True)
    assert (sample.context, sample.reading.energy_wh, sample.reading.signed) == (
        ReadingContext.END, bill.meter_wh, RECORD,
    )  # fmt: skip
    assert play.site.evses[1].metering.owed_record == {}
    assert play.state() is SessionState.BEGINNING, "the meter begins, and forgets the record, when that is on disk"
    last = asked(play)[-1]
    assert last is not None
    assert last.owed == ""
    play.skip().feed(MeterRead(1, begin_reading(n + 1), wh(5000, at=play.now.stamp)))
    assert play.state() is SessionState.ACTIVE
    started = [m for m in play.sent_messages if isinstance(m, TransactionStarted)][-1]
    assert started.reading is not None
    assert started.reading.signed is None, "it is another transaction's"


def test_an_end_says_which_record_is_owed() -> None:
    """What the meter still has open may be the transaction of that session, also after a restart."""
    play = unpaid(unread=False).skip()
    owed = play.site.evses[1].metering.owed_record["signing"]
    came(emptied(play))
    due = replace(wh(5000, at=play.now.stamp), record_due=True)
    play.skip().feed(MeterRead(1, begin_reading(2), due))
    assert play.state() is SessionState.ACTIVE, "without a signature"
    end = asked(stopped(play.skip()))[-1]
    assert end is not None
    assert (end.ends, end.owed) == (True, owed)


def test_a_record_that_the_meter_does_not_have_is_asked_for_once() -> None:
    play = unpaid(unread=False).skip()
    came(emptied(play))
    play.skip().feed(MeterRead(1, begin_reading(2), wh(5000, at=play.now.stamp)))
    assert any(isinstance(o, LogNote) and "no record" in o.text for o in play.log)
    assert play.site.evses[1].metering.owed_record == {}
    assert not [m for m in play.sent_messages if isinstance(m, MeterSampled)]


@pytest.mark.parametrize(("dc", "believed"), [(True, True), (False, False)])
def test_a_dc_outlet_moves_the_register_faster(dc: bool, believed: bool) -> None:
    """140 kW for a minute: too much for three phases of 80 A, not for a charger of 150 kW at its 80 A."""
    table = {"number": 1, "max_a": 80, **({"kind": "DC", "power_kw": 150} if dc else {})}
    site = make_site()
    site.evses = initial_evses(parse_station_file({"evse": [table]}, Path("station.toml")))
    site.evses[1].metering.meter = MeterWatch(MeterPolicy("B"))
    play = Playbook(lambda: site)
    play.feed(MeterKnown(1, replace(EM580, signs=False)))
    play.feed(RawMeterReading(1, POLL, wh(1000, at=play.now.stamp)))
    play.skip().wait(60).feed(RawMeterReading(1, POLL, wh(1000 + 2333, at=play.now.stamp)))
    assert (play.site.evses[1].metering.reading.energy_wh == 3333) == believed

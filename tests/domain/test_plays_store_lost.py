"""The store has come back older than it was: what ended since is billed as it is on disk, without what flowed later."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import MeterRead
from agent.domain.evse import SessionState
from agent.domain.messages import SecurityHappened, StopReason, TransactionEnded, TransactionStarted
from agent.domain.orders import Persist, ReadMeter, Send, SetRelease
from agent.domain.reading_purposes import ReadingKind, end_reading
from agent.model.board import EvseState, EvseTraits, Pilot
from tests.domain.playbook import EMPTY, B, Playbook, charging, wh
from tests.domain.test_plays_payment import paid, record, till
from tests.support.reading_purposes import LIVE, payment_reading

COUNTS = EvseTraits(counts_plugged=True)
OTHER_CAR = EvseState(Pilot.C, pwm=False, cable=True, contactor=False, plugged_s=20.0)


def rolled_back(ended: dict[str, int]) -> Playbook:
    """A session with its last register on disk at 1400 Wh; the store that comes back is of then."""
    play = charging(Playbook(traits=COUNTS)).wait(60).skip()
    play.store["session"]["s1"]["last_wh"] = 1400
    play.store["lost"] = {"40": {"text": "it is in an older state", "ended": ended}}
    return play


def said(play: Playbook, kind: type[Any]) -> list[Any]:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, kind)]


@pytest.mark.parametrize("state", [OTHER_CAR, EMPTY])
def test_a_session_that_ended_in_the_lost_part_ends_with_its_own_energy(state: EvseState) -> None:
    play = rolled_back({"s1": 0})
    play.restart(3600, state=state)
    (end,) = said(play, TransactionEnded)
    assert (end.session, end.meter_wh, end.reason) == ("s1", 1400, StopReason.POWER_LOSS)
    assert (play.evse().session, play.store.get("session", {})) == (None, {})
    assert not any(isinstance(o, SetRelease) and o.on for o in play.unclaimed)
    assert not any(isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.END for o in play.unclaimed)
    play.skip()
    play.feed(MeterRead(1, end_reading(1), wh(9000)))
    assert len(said(play, TransactionEnded)) == 1
    assert play.state() in (SessionState.FREE, SessionState.OCCUPIED)


def test_the_register_of_its_end_is_that_of_the_bill() -> None:
    play = rolled_back({"s1": 1900})
    play.restart(3600, state=OTHER_CAR)
    (end,) = said(play, TransactionEnded)
    assert end.meter_wh == 1900


def test_the_loss_is_in_the_security_log_once() -> None:
    play = rolled_back({})
    play.restart(3600, state=EMPTY)
    (event,) = [m for m in said(play, SecurityHappened) if "StoreFailed" in m.info]
    assert "older state" in event.info
    assert any(isinstance(o, Persist) and (o.kind, o.value) == ("lost", None) for o in play.unclaimed)
    play.skip().restart(5, state=EMPTY)
    assert len([m for m in said(play, SecurityHappened) if "StoreFailed" in m.info]) == 1


def test_a_session_that_was_open_is_resumed_with_proof() -> None:
    play = rolled_back({})
    play.restart(30, state=EvseState(Pilot.C, pwm=False, cable=True, contactor=False, plugged_s=1000.0))
    assert any(isinstance(o, SetRelease) and o.on for o in play.unclaimed)
    assert play.state() is SessionState.ACTIVE


def test_the_next_driver_begins_with_the_register_of_now() -> None:
    play = rolled_back({"s1": 0})
    play.restart(3600, state=EMPTY).skip()
    charging(play, B, meter_wh=7000)
    first, second = said(play, TransactionStarted)
    assert (first.meter_wh, second.meter_wh) == (1000, 7000)
    assert [(e.session, e.meter_wh) for e in said(play, TransactionEnded)] == [("s1", 1400)]


@pytest.mark.parametrize(("registers", "cents"), [({}, 75), ({"s2": 2700}, 85), ({"s2": 0}, 75)])
def test_a_bank_card_does_not_pay_for_what_flowed_after_its_session(registers: dict[str, int], cents: int) -> None:
    """Its session ended in the lost part and the backend has the end; the payment is of before."""
    play = till()
    payment = paid(play)
    play.t_s += 61
    play.skip().feed(MeterRead(1, LIVE, wh(2500)))
    play.store["session"] = {}
    play.store["lost"] = {"40": {"text": "it is in an older state", "ended": {}, "registers": registers}}
    play.skip().restart(3600, state=EMPTY).skip()
    (play >> MeterRead(1, payment_reading(payment), wh(9000))).skip()
    assert (record(play, payment)["state"], record(play, payment)["cents"]) == ("FinalKnown", cents)

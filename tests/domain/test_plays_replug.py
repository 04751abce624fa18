"""A plug that is pulled and pushed in again: within one look of the board, or while a session is being ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.events import (
    BoardChanged,
    CablePlugged,
    CableRemoved,
    CardPresented,
    MeterRead,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.domain.orders import AuthorizeToken, ReadMeter
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import ScreenName
from tests.domain.playbook import ACCEPTED, CHARGING, A, Playbook, wh
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE, transaction_reading

HERE = EvseState(Pilot.B, pwm=False, cable=True, contactor=False)
GONE = replace(HERE, pilot=Pilot.A)
"""What a driver shows first of a vehicle that was exchanged between two looks: its cable is in the socket."""
DC: dict[str, Any] = {"dc": True, "max_w": 150_000.0, "min_w": 1500.0, "one_release": True, "tells_pilot": False}
AC_AND_DC = pytest.mark.parametrize(
    "traits", [EvseTraits(), EvseTraits(tethered=True, lockable=False, **DC)], ids=["AC", "DC"]
)


def begun(traits: EvseTraits, **options: Any) -> Playbook:
    """A session on disk, released, without energy yet."""
    play = Playbook(traits=traits, tethered=traits.tethered, **options)
    configure(play.evse(), dc=traits.dc)
    play.feed(BoardChanged(1, HERE))
    if not options.get("free_vending"):
        play.feed(CardPresented(1, A))
        (question,) = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
        play.feed(TokenAuthorized(question.request, A, ACCEPTED))
    play.skip().feed(MeterRead(1, begin_reading(play.evse().progress.begin_try), wh(1000)))
    assert play.state() is SessionState.ACTIVE
    assert play.evse().release_order.given
    return play.skip()


def replugged(play: Playbook, after_s: float = 0.0) -> Playbook:
    play.skip().feed(BoardChanged(1, GONE))
    play.skip().wait(after_s).skip().feed(BoardChanged(1, HERE))
    return play.skip()


def read_on(play: Playbook, meter_wh: int) -> Playbook:
    """Every register that is asked for is read, until none is."""
    for _ in range(4):
        evse = play.evse()
        if evse.state is SessionState.ENDING:
            play.skip().feed(MeterRead(1, end_reading(evse.progress.end_try), wh(meter_wh)))
        elif evse.state is SessionState.BEGINNING:
            play.skip().feed(MeterRead(1, begin_reading(evse.progress.begin_try), wh(meter_wh)))
    return play.skip()


def sent_transactions(play: Playbook) -> list[str]:
    return [
        f"{type(m).__name__} {m.session}"
        for m in play.sent_messages
        if isinstance(m, TransactionStarted | TransactionEnded)
    ]


# --- before energy has flowed: no one has lost the right -------------------------------------------------------------


@AC_AND_DC
@pytest.mark.parametrize("free", [False, True], ids=["card", "free"])
@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_a_plug_that_was_not_quite_in_ends_nothing(traits: EvseTraits, free: bool, after_s: float) -> None:
    """The right was for the next driver who plugs in; a transaction of 0 Wh helps neither driver nor backend."""
    play = begun(traits, free_vending=free)
    play.feed(BoardChanged(1, GONE))
    assert not play.evse().release_order.given, "no driver is there: no release for the next one"
    play.skip().wait(after_s).skip().feed(BoardChanged(1, HERE))
    assert (play.state(), play.evse().release_order.given) == (SessionState.ACTIVE, True)
    play.skip().wait(30).skip()
    assert sent_transactions(play) == ["TransactionStarted s1"]
    play.feed(BoardChanged(1, CHARGING))
    assert play.session().id == "s1"


@AC_AND_DC
def test_who_has_really_gone_is_reported_a_moment_later(traits: EvseTraits) -> None:
    play = begun(traits)
    play.feed(BoardChanged(1, GONE))
    play.skip().wait(1.1)
    assert play.state() is SessionState.ENDING
    read_on(play, 1000)
    assert [m.reason for m in play.ended()] == [StopReason.EV_DISCONNECTED]


def test_a_plug_that_left_the_socket_ends_at_once() -> None:
    play = begun(EvseTraits())
    play.feed(BoardChanged(1, replace(GONE, cable=False)))
    assert play.state() is SessionState.ENDING


def test_a_stop_in_between_is_a_stop() -> None:
    play = begun(EvseTraits())
    play.feed(BoardChanged(1, GONE))
    play.feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    play.feed(BoardChanged(1, HERE))
    read_on(play, 1000)
    play.skip().wait(5).skip()
    assert [m.reason for m in play.ended()] == [StopReason.REMOTE]


# --- after energy has flowed: another vehicle ------------------------------------------------------------------------


def charged(traits: EvseTraits, **options: Any) -> Playbook:
    play = begun(traits, **options)
    for event in (BoardChanged(1, CHARGING), MeterRead(1, LIVE, wh(2000))):
        play.feed(event)
    return play.skip()


@AC_AND_DC
def test_free_vending_begins_again_for_the_vehicle_that_has_come(traits: EvseTraits) -> None:
    play = read_on(replugged(charged(traits, free_vending=True)), 2000)
    assert sent_transactions(play) == ["TransactionStarted s1", "TransactionEnded s1", "TransactionStarted s2"]
    assert (play.state(), play.evse().release_order.given) == (SessionState.ACTIVE, True)


@AC_AND_DC
def test_with_a_card_the_next_driver_is_asked_for_one(traits: EvseTraits) -> None:
    play = read_on(replugged(charged(traits)), 2000)
    assert [m.reason for m in play.ended()] == [StopReason.EV_DISCONNECTED]
    assert play.state() is SessionState.OCCUPIED
    assert play.screens[1].name is not ScreenName.FINISHED
    assert not play.statuses[1].ended


def test_who_plugs_in_while_a_stopped_session_is_being_ended_is_a_new_driver_too() -> None:
    play = charged(EvseTraits(), free_vending=True)
    play.feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    read_on(replugged(play), 2000)
    assert sent_transactions(play)[-1] == "TransactionStarted s2"


def test_who_left_again_before_the_end_was_read_is_no_one() -> None:
    play = charged(EvseTraits(), free_vending=True)
    replugged(play).feed(BoardChanged(1, GONE))
    read_on(play, 2000)
    assert sent_transactions(play)[-1] == "TransactionEnded s1"
    assert play.state() is SessionState.ENDED, "its cable is in the socket"


def test_a_transaction_that_begins_with_the_plug_begins_for_the_new_one() -> None:
    points = {"tx_start_points": ("EVConnected",), "tx_stop_points": ("EVConnected",)}
    play = Playbook(settings=points)
    play.feed(BoardChanged(1, HERE))
    play.skip().feed(MeterRead(1, transaction_reading(1), wh(1000)))
    play.skip().feed(CardPresented(1, A))
    (question,) = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(question.request, A, ACCEPTED))
    read_on(play, 1000)
    for event in (BoardChanged(1, CHARGING), MeterRead(1, LIVE, wh(2000))):
        play.feed(event)
    read_on(replugged(play), 2000)
    assert sent_transactions(play) == ["TransactionStarted s1", "TransactionEnded s1"]
    assert ReadMeter(1, transaction_reading(2), True) in play.log
    play.skip().feed(MeterRead(1, transaction_reading(2), wh(2000)))
    assert sent_transactions(play)[-1].startswith("TransactionStarted")


# --- another outlet --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judged", ["before", "after"])
def test_who_moves_to_the_other_outlet_takes_the_right_along(judged: str) -> None:
    """One reader for both: the card was tapped with the plug in here, and the cable did not reach, say."""
    play = Playbook(evses=2)
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(0, A)):
        play.feed(event)
    verdict = TokenAuthorized("token:1", A, ACCEPTED)
    if judged == "before":
        play.feed(verdict)
        assert play.state(1) is SessionState.BEGINNING
    for event in (VehicleLeft(1), CableRemoved(1), CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    if judged == "after":
        play.feed(verdict)
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.BEGINNING)


def test_a_card_at_the_outlet_s_own_reader_stays_there() -> None:
    play = Playbook(evses=2)
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(1, A), TokenAuthorized("token:1", A, ACCEPTED)):
        play.feed(event)
    for event in (VehicleLeft(1), CableRemoved(1), CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    assert (play.state(1), play.state(2)) == (SessionState.AUTHORIZED, SessionState.OCCUPIED)


# --- and a restart ---------------------------------------------------------------------------------------------------


def test_what_survived_the_plug_is_proven_by_the_new_plug() -> None:
    """The board counts from the vehicle's return on; the session resumes."""
    play = begun(EvseTraits(counts_plugged=True), settings={"stop_on_ev_disconnect": False})
    for event in (BoardChanged(1, CHARGING), MeterRead(1, LIVE, wh(2000))):
        play.feed(event)
    replugged(play, after_s=300)
    play.feed(BoardChanged(1, CHARGING))
    play.skip().wait(60).skip()
    play.restart(5, state=replace(CHARGING, contactor=False, plugged_s=65.0))
    assert play.state() is SessionState.ACTIVE

"""How a session runs and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterRead,
    OfferChanged,
    ReleaseRefused,
    ReleaseWithdrawn,
    RequestReceived,
    StopRequested,
    StoreFailed,
    TokenAuthorized,
    TransactionAcknowledged,
    UnlockTried,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    ChargingState,
    ConnectorStatus,
    StopReason,
    TransactionEnded,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, Response, Restart, Send, SetRelease, Unlock
from agent.domain.reading_purposes import ReadingKind, begin_reading, end_reading
from agent.domain.requests import RemoteStartRequest, RemoteStopRequest, ResetRequest, UnlockConnectorRequest
from agent.domain.session.active import BOUNCE_S
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import AuthorizationStatus, Fault, ScreenName, Verdict
from tests.domain.playbook import (
    ACCEPTED,
    CARD_B,
    CHARGING,
    EMPTY,
    LINK,
    PLUGGED,
    REFUSED,
    A,
    B,
    C,
    Playbook,
    charging,
    energised,
    forgotten,
    kept,
    sent_message,
    wh,
)
from tests.support.reading_purposes import LIVE


def updated(state: ChargingState, trigger: TriggerReason = TriggerReason.CHARGING_STATE_CHANGED) -> object:
    return sent_message(TransactionUpdated, session="s1", charging=state, trigger=trigger)


def lost() -> object:
    """The cable was pulled at the car (2.x E10)."""
    return updated(ChargingState.IDLE, TriggerReason.EV_COMMUNICATION_LOST)


def ending(play: Playbook, reason: StopReason, meter_wh: int = 2000, **more: object) -> Playbook:
    """From withdrawn release and remembered reason to the end that is sent, contactor first."""
    assert play.state() is SessionState.ENDING
    if play.evse().board.contactor_closed:
        play = play >> ContactorOpened(1)
    return (
        play
        << ReadMeter(1, end_reading(1), True)
        >> MeterRead(1, end_reading(1), wh(meter_wh))
        << forgotten("session")
        << sent_message(TransactionEnded, session="s1", reason=reason, meter_wh=meter_wh, **more)
    )


# --- who may stop ----------------------------------------------------------------------------------------------------


def test_stopped_by_the_same_card() -> None:
    play = charging(Playbook()).wait(10).skip() >> CardPresented(1, A) << SetRelease(1, False) << kept("session", "s1")
    assert play.screens[1].name is ScreenName.PREPARING
    play = ending(play, StopReason.LOCAL, token=A, trigger=TriggerReason.STOP_AUTHORIZED) << Unlock(1)
    assert play
    assert (play.state(), play.statuses[1].ended) == (SessionState.ENDED, True)
    assert play.screens[1].name is ScreenName.FINISHED
    assert play.screens[1].values["energy_wh"] == 1000
    assert play.screens[1].values["since_s"] == 10
    assert play >> (VehicleLeft(1), CableRemoved(1))
    assert play.screens[1].name is ScreenName.FINISHED
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert play.wait(16).screens[1].name is ScreenName.IDLE


def test_the_register_is_read_after_the_contactor_has_opened_or_ten_seconds() -> None:
    play = charging(Playbook()) >> CardPresented(1, A) << SetRelease(1, False) << Persist
    play.wait(9).skip()
    assert not [o for o in play.log if isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.END]
    play.wait(1)
    assert ReadMeter(1, end_reading(1), True) in play.log


def test_a_strange_card_stops_nothing() -> None:
    play = charging(Playbook())
    assert play >> CardPresented(1, B)
    assert (play.state(), play.screens[1].detail) == (SessionState.ACTIVE, "wrong_card")


def in_a_group() -> Playbook:
    play = charging(Playbook())
    play = play >> TransactionAcknowledged(LINK, "s1", "42", Verdict(AuthorizationStatus.ACCEPTED, group="G"))
    return play << kept("cache") << kept("session", group="G")


def test_stopped_by_a_card_of_the_same_group() -> None:
    play = in_a_group() >> CardPresented(1, B) << AuthorizeToken(LINK, "token:2", B, 1)
    play = (
        play >> TokenAuthorized("token:2", B, Verdict(AuthorizationStatus.ACCEPTED, group="G")) << kept("cache", CARD_B)
    )
    assert (
        ending(play << SetRelease(1, False) << kept("session"), StopReason.LOCAL, token=B)
        << Unlock
        >> CardPresented(1, B)
        << AuthorizeToken
    )


@pytest.mark.parametrize("verdict", [ACCEPTED, Verdict(AuthorizationStatus.ACCEPTED, group="H"), REFUSED])
def test_a_card_of_another_group_stops_nothing(verdict: Verdict) -> None:
    play = in_a_group() >> CardPresented(1, B) << AuthorizeToken >> TokenAuthorized("token:2", B, verdict)
    assert play.skip().state() is SessionState.ACTIVE
    assert play.screens[1].name is ScreenName.REFUSED


def test_the_group_is_still_known_after_a_crash() -> None:
    """Remembered when heard: a group learned from the backend is not lost with the process."""
    play = in_a_group().skip()
    play.traits = EvseTraits(counts_plugged=True)
    play.restart(5, state=EvseState(Pilot.C, cable=True, plugged_s=20.0))
    assert play.session().group == "G"


def test_stopped_from_afar() -> None:
    play = (
        charging(Playbook()) >> RequestReceived(LINK, "q1", RemoteStopRequest("s1")) << Response(LINK, "q1", "Accepted")
    )
    play = play << SetRelease(1, False) << kept("session")
    assert ending(play, StopReason.REMOTE, token=None, trigger=TriggerReason.REMOTE_STOP) << Unlock
    assert play >> RequestReceived(LINK, "q2", RemoteStopRequest("s1")) << Response(LINK, "q2", "Rejected")


@pytest.mark.parametrize("session", ["", "s2", "s1x"])
def test_remote_stop_of_an_unknown_session(session: str) -> None:
    play = (
        charging(Playbook())
        >> RequestReceived(LINK, "q1", RemoteStopRequest(session))
        << Response(LINK, "q1", "Rejected")
    )
    assert play
    assert play.state() is SessionState.ACTIVE


def test_two_stops_end_once_and_the_first_reason_stays() -> None:
    play = charging(Playbook()) >> CardPresented(1, A) << SetRelease << Persist
    assert ending(play >> FaultRaised(1, Fault.GROUND_FAILURE) >> VehicleLeft(1), StopReason.LOCAL) << Unlock


@pytest.mark.parametrize(("sees", "again"), [(False, True), (True, False)])
def test_where_no_one_sees_the_contactor_the_end_is_read_when_no_current_flows(sees: bool, again: bool) -> None:
    """A contactor opens up to 6 s after release is withdrawn, and the vehicle is billed what it took until then."""
    play = charging(Playbook(traits=EvseTraits(sees_contactor=sees))).skip() >> CardPresented(1, A)
    play = play.skip() >> BoardChanged(1, EvseState(Pilot.C, pwm=False, cable=True, released=False))
    play = play.skip() >> MeterRead(1, end_reading(1), replace(wh(1200), current_a=(16.0, 16.0, 16.0)))
    assert (play.state() is SessionState.ENDING) is again
    if again:
        play = play.wait(5) << ReadMeter(1, end_reading(2), True)
        play = play >> MeterRead(1, end_reading(2), replace(wh(1215), current_a=(0.0, 0.0, 0.0)))
        assert play << Persist << sent_message(TransactionEnded, meter_wh=1215) << Unlock


def test_who_draws_on_is_billed_once_all_the_same() -> None:
    play = charging(Playbook(traits=EvseTraits(sees_contactor=False))).skip() >> CardPresented(1, A)
    play = play.skip() >> BoardChanged(1, EvseState(Pilot.C, pwm=False, cable=True, released=False))
    for number in (1, 2, 3):
        play = play.skip() >> MeterRead(1, end_reading(number), replace(wh(1200 + number), current_a=(16.0,)))
        play.skip().wait(5)
    assert play.state() is SessionState.ENDED
    assert [m.meter_wh for m in play.ended()] == [1203]


# --- the plug --------------------------------------------------------------------------------------------------------


def test_pulled_at_the_car_with_automatic_unlock() -> None:
    play = charging(Playbook()) >> BoardChanged(1, EvseState(Pilot.A, pwm=False, cable=True, contactor=True))
    play = play << SetRelease(1, False) << kept("session")
    play = ending(play, StopReason.EV_DISCONNECTED, trigger=TriggerReason.EV_COMMUNICATION_LOST) << Unlock(1)
    assert play
    assert play.state() is SessionState.ENDED
    assert play >> BoardChanged(1, EMPTY)
    assert play.state() is SessionState.FREE


def test_pulled_at_the_car_without_automatic_unlock() -> None:
    play = charging(Playbook(settings={"unlock_on_ev_disconnect": False})) >> VehicleLeft(1)
    assert ending(play << SetRelease << Persist, StopReason.EV_DISCONNECTED)
    play = play >> RequestReceived(LINK, "q1", UnlockConnectorRequest(1, True)) << Unlock(1, "q1")
    assert play >> UnlockTried(1, "q1", True) << Response(LINK, "q1", "Unlocked")


def test_pulled_at_the_station() -> None:
    play = charging(Playbook()) >> BoardChanged(1, EMPTY) << SetRelease(1, False) << kept("session")
    play = ending(play, StopReason.EV_DISCONNECTED)
    assert play
    assert play.state() is SessionState.FREE


def test_pulled_on_a_fixed_cable() -> None:
    play = charging(Playbook(tethered=True)) >> VehicleLeft(1)
    play = ending(play << SetRelease << Persist, StopReason.EV_DISCONNECTED)
    assert play
    assert play.state() is SessionState.FREE


def test_a_fixed_cable_does_not_wait_for_ever() -> None:
    """OCPP 2.0.1 test case E_27: plugged in again in time it goes on, otherwise the right ends."""
    play = charging(Playbook(tethered=True, settings={"stop_on_ev_disconnect": False}))
    play = play >> BoardChanged(1, EMPTY) << SetRelease(1, False) << lost()
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    play = play.wait(59.0).skip() >> BoardChanged(1, PLUGGED) << kept("session") << SetRelease(1, True)
    assert play.statuses[1].connector is ConnectorStatus.OCCUPIED
    assert play.skip().wait(100.0).skip().state() is SessionState.ACTIVE
    play.feed(BoardChanged(1, EMPTY))
    play.skip().wait(61.0).skip()
    stop = play.session().stop
    assert stop is not None
    assert (stop.reason, stop.trigger) == (StopReason.TIMEOUT, TriggerReason.EV_CONNECT_TIMEOUT)
    play = play >> MeterRead(1, end_reading(1), wh(2000)) << forgotten("session")
    assert play << sent_message(TransactionEnded, reason=StopReason.TIMEOUT, plugged=False)
    assert play.state() is SessionState.FREE


def test_pulled_at_the_car_and_the_session_is_to_survive() -> None:
    """OCPP 1.6 test case 005_3."""
    play = charging(Playbook(settings={"stop_on_ev_disconnect": False, "unlock_on_ev_disconnect": False}))
    play = play >> BoardChanged(1, EvseState(Pilot.A, pwm=False, cable=True, contactor=False))
    play = play << SetRelease(1, False) << lost()
    assert play
    assert play.statuses[1].charging is ChargingState.SUSPENDED_EVSE, "1.6 knows no way back to Preparing"
    assert play.state() is SessionState.ACTIVE
    play = play >> BoardChanged(1, PLUGGED) << kept("session") << SetRelease(1, True)
    assert play << updated(ChargingState.EV_CONNECTED, trigger=TriggerReason.CABLE_PLUGGED_IN)
    play = play >> BoardChanged(1, CHARGING) << updated(ChargingState.CHARGING)
    play = play >> VehicleLeft(1) << SetRelease(1, False) << lost()
    play = play >> RequestReceived(LINK, "q1", RemoteStopRequest("s1")) << Response << kept("session")
    assert ending(play, StopReason.REMOTE) << Unlock(1)  # OCPP 1.6 5.11: and unlocks the connector


# --- suspended -------------------------------------------------------------------------------------------------------


def test_suspended_by_the_car() -> None:
    play = charging(Playbook()) >> BoardChanged(1, EvseState(Pilot.B, pwm=True, cable=True, contactor=False))
    assert play << updated(ChargingState.SUSPENDED_EV)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.PAUSED, "car")
    assert play >> BoardChanged(1, CHARGING) << updated(ChargingState.CHARGING)


def test_suspended_by_the_station() -> None:
    play = charging(Playbook()) >> BoardChanged(1, EvseState(Pilot.C, pwm=False, cable=True, contactor=False))
    assert play << updated(ChargingState.SUSPENDED_EVSE)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.PAUSED, "station")
    assert play.statuses[1].charging is ChargingState.SUSPENDED_EVSE


def test_a_car_that_asks_for_nothing_is_suspended_after_five_seconds() -> None:
    play = Playbook() >> (CablePlugged(1), VehicleConnected(1), CardPresented(1, A)) << AuthorizeToken
    play.feed(TokenAuthorized("token:1", A, ACCEPTED))
    play.skip() >> MeterRead(1, begin_reading(1), wh(0))
    play.skip() >> OfferChanged(1, True)
    assert play.wait(4.9).skip().statuses[1].charging is ChargingState.EV_CONNECTED
    assert play.wait(0.2) << updated(ChargingState.SUSPENDED_EV)


def test_a_contactor_that_does_not_close_is_the_stations_pause() -> None:
    play = Playbook() >> (CablePlugged(1), VehicleConnected(1), CardPresented(1, A)) << AuthorizeToken
    play.feed(TokenAuthorized("token:1", A, ACCEPTED))
    play.skip() >> MeterRead(1, begin_reading(1), wh(0))
    play.skip() >> (OfferChanged(1, True), VehicleReady(1))
    assert play.wait(4.9).skip().statuses[1].charging is ChargingState.EV_CONNECTED
    play.wait(0.2)
    assert play << updated(ChargingState.SUSPENDED_EVSE)


def test_a_board_without_contactor_feedback_charges_when_the_car_asks() -> None:
    """Decision table: contactor confirmed closed, or the pilot in C where that is not known."""
    blind = EvseTraits(contactor_feedback=False)
    play = Playbook(traits=blind, state=EvseState(Pilot.A))
    play >> BoardChanged(1, EvseState(Pilot.B, cable=True)) >> CardPresented(1, A)
    play.skip() >> TokenAuthorized("token:1", A, ACCEPTED)
    play.skip() >> MeterRead(1, begin_reading(1), wh(0))
    play.skip() >> BoardChanged(1, EvseState(Pilot.C, cable=True))
    assert play << updated(ChargingState.CHARGING)
    play.wait(6).skip() >> BoardChanged(1, EvseState(Pilot.B, cable=True))
    assert play.skip().statuses[1].charging is ChargingState.SUSPENDED_EV
    play >> BoardChanged(1, EvseState(Pilot.C, cable=True))
    play.skip() >> CardPresented(1, A) << SetRelease << Persist
    assert play >> BoardChanged(1, EvseState(Pilot.B, cable=True)) << ReadMeter(1, end_reading(1), True)


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.EMERGENCY_STOP, StopReason.EMERGENCY_STOP),
        (Fault.GROUND_FAILURE, StopReason.GROUND_FAULT),
        (Fault.POWER_LOSS, StopReason.POWER_LOSS),
        (Fault.OVER_CURRENT, StopReason.OVERCURRENT_FAULT),
        (Fault.CABLE_REJECTED, StopReason.OTHER),
        (Fault.CONTACTOR_STUCK_OPEN, StopReason.OTHER),
    ],
)
def test_a_fault_ends_the_session(fault: Fault, reason: StopReason) -> None:
    play = charging(Playbook()) >> FaultRaised(1, fault) << SetRelease(1, False) << kept("session")
    assert ending(play, reason, trigger=TriggerReason.ABNORMAL_CONDITION) << Unlock


def test_a_fault_that_hides_the_vehicle_is_the_reason() -> None:
    """Pilot state E: short-circuited. The same picture shows the fault and no vehicle."""
    short = EvseState(Pilot.E, pwm=False, cable=True, contactor=False, faults=frozenset({Fault.PILOT_FAULT}))
    play = (charging(Playbook()) >> BoardChanged(1, short)).skip()
    session = play.evse().session
    assert session is not None
    assert session.stop is not None
    assert (session.stop.reason, session.stop.note) == (StopReason.OTHER, "fault")


def test_a_latched_fault_is_on_disk_with_the_end() -> None:
    play = charging(Playbook()) >> FaultRaised(1, Fault.CONTACTOR_WELDED)
    play = play << kept("latched", "1", faults=["ContactorWelded"]) << SetRelease(1, False) << kept("session")
    assert ending(play, StopReason.OTHER, trigger=TriggerReason.ABNORMAL_CONDITION) << Unlock


def test_a_fault_of_the_whole_station_ends_every_session() -> None:
    play = charging(charging(Playbook(evses=2), A, 1), B, 2) >> FaultRaised(0, Fault.DOOR_OPEN)
    assert play << SetRelease(1, False) << kept("session", "s1") << SetRelease(2, False) << kept("session", "s2")


def test_a_warning_ends_nothing() -> None:
    play = charging(Playbook()) >> FaultRaised(1, Fault.TEMPERATURE_DERATING)
    assert play
    assert play.statuses[1].faults == (Fault.TEMPERATURE_DERATING,)
    assert play.screens[1].name is ScreenName.CHARGING


def test_a_silent_meter_has_a_minute_of_grace() -> None:
    play = charging(Playbook()) >> FaultRaised(1, Fault.METER_SILENT)
    reported = play.statuses[1]
    assert (reported.connector, reported.charging) == (ConnectorStatus.OCCUPIED, ChargingState.CHARGING)  # energy flows
    assert reported.faults == (Fault.METER_SILENT,)
    play.wait(59)
    assert play.skip() >> FaultCleared(1, Fault.METER_SILENT)
    assert play.wait(60).skip().state() is SessionState.ACTIVE
    play >> FaultRaised(1, Fault.METER_SILENT)
    assert play.wait(61).skip().state() is SessionState.ENDING


def test_a_silent_board_has_ten_seconds_of_grace() -> None:
    play = charging(Playbook()) >> FaultRaised(1, Fault.BOARD_SILENT)
    assert play.wait(9).skip().state() is SessionState.ACTIVE
    assert play.wait(2).skip().state() is SessionState.ENDING


def test_faults_are_reported_heaviest_first() -> None:
    play = Playbook() >> (FaultRaised(1, Fault.READER_SILENT), FaultRaised(1, Fault.TILT))
    play >> FaultRaised(1, Fault.EMERGENCY_STOP)
    assert play.statuses[1].faults == (Fault.EMERGENCY_STOP, Fault.TILT, Fault.READER_SILENT)
    assert play.screens[1].detail == Fault.EMERGENCY_STOP


def test_a_failed_store_lets_run_what_runs() -> None:
    play = charging(Playbook()) >> StoreFailed("disk full")
    assert play.wait(600).skip().state() is SessionState.ACTIVE


# --- the backend refuses the token of a running session --------------------------------------------------------------


def test_deauthorised_ends_the_session() -> None:
    play = charging(Playbook()) >> TransactionAcknowledged(LINK, "s1", "42", REFUSED) << kept("cache")
    play = play << SetRelease(1, False) << kept("session")
    assert ending(play, StopReason.DEAUTHORIZED, trigger=TriggerReason.DEAUTHORIZED) << Unlock


def test_deauthorised_without_end_gives_no_energy() -> None:
    """OCPP 1.6 test case 037_2."""
    play = charging(Playbook(settings={"stop_on_invalid_id": False}))
    play = play >> TransactionAcknowledged(LINK, "s1", "42", REFUSED) << kept("cache") << SetRelease(1, False)
    play = play << kept("session", held=True) << updated(ChargingState.SUSPENDED_EVSE)
    assert play >> (ContactorOpened(1), VehiclePaused(1))
    assert play >> TransactionAcknowledged(LINK, "s1", "42", REFUSED)
    assert ending(play >> CardPresented(1, A) << kept("session"), StopReason.LOCAL) << Unlock


def test_a_held_session_stays_held_after_a_restart() -> None:
    play = charging(Playbook(settings={"stop_on_invalid_id": False}, traits=EvseTraits(counts_plugged=True)))
    play.feed(TransactionAcknowledged(LINK, "s1", "42", REFUSED))
    play.skip().restart(5, state=EvseState(Pilot.C, pwm=True, cable=True, plugged_s=1000.0))
    assert play.skip().state() is SessionState.ACTIVE
    assert not [o for o in play.log[-20:] if isinstance(o, SetRelease) and o.on]
    assert play.wait(6).skip().statuses[1].charging is ChargingState.SUSPENDED_EVSE


def test_deauthorised_while_the_board_is_not_back_yet() -> None:
    """The answer to the start arrives before the board has been opened: the hold must not be forgotten."""
    play = charging(Playbook(settings={"stop_on_invalid_id": False}, traits=EvseTraits(counts_plugged=True)))
    play.restart(5).skip() >> TransactionAcknowledged(LINK, "s1", "42", REFUSED)
    play.skip() >> BoardOpened(1, EvseState(Pilot.C, pwm=True, cable=True, plugged_s=1000.0), play.traits)
    assert play.skip().state() is SessionState.ACTIVE
    assert not play.evse().release_order.given


# --- the meter at the end --------------------------------------------------------------------------------------------


def stopping(play: Playbook) -> Playbook:
    return play.skip() >> CardPresented(1, A) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter


def test_three_tries_then_the_last_good_register() -> None:
    play = charging(Playbook()) >> MeterRead(1, LIVE, wh(1500))
    play = stopping(play) >> MeterFailed(1, end_reading(1))
    play = play.wait(5) << ReadMeter(1, end_reading(2), True) >> MeterFailed(1, end_reading(2))
    play = play.wait(5) << ReadMeter(1, end_reading(3), True) >> MeterFailed(1, end_reading(3)) << forgotten("session")
    assert play << sent_message(TransactionEnded, meter_wh=1500) << Unlock


def test_the_second_try_succeeds() -> None:
    play = stopping(charging(Playbook())) >> MeterFailed(1, end_reading(1))
    play = play.wait(5) << ReadMeter(1, end_reading(2), True) >> MeterFailed(1, end_reading(1))
    assert (
        play
        >> MeterRead(1, end_reading(2), wh(1700))
        << Persist
        << sent_message(TransactionEnded, meter_wh=1700)
        << Unlock
    )


def test_a_contactor_that_opens_between_two_tries_does_not_lose_the_next() -> None:
    play = charging(Playbook()) >> CardPresented(1, A) << SetRelease << Persist
    assert ReadMeter(1, end_reading(1), True) in play.wait(10).unclaimed
    play.skip() >> MeterFailed(1, end_reading(1)) >> ContactorOpened(1)
    play.wait(5)
    assert ReadMeter(1, end_reading(2), True) in play.unclaimed


# --- unlock ----------------------------------------------------------------------------------------------------------


def ask_unlock(stop_first: bool = True, evse: int = 1) -> RequestReceived:
    return RequestReceived(LINK, "q1", UnlockConnectorRequest(evse, stop_first))


def test_unlock_an_idle_socket() -> None:
    play = Playbook() >> ask_unlock() << Unlock(1, "q1")
    assert play >> UnlockTried(1, "", True) >> UnlockTried(1, "q1", False) << Response(LINK, "q1", "UnlockFailed")


def test_unlock_while_charging_ends_first() -> None:
    """OCPP 1.6 test case 018_1."""
    play = charging(Playbook()) >> ask_unlock() << SetRelease(1, False) << kept("session")
    play = ending(play, StopReason.OTHER, trigger=TriggerReason.UNLOCK_COMMAND)
    assert play << Unlock(1) << Unlock(1, "q1") >> UnlockTried(1, "q1", True) << Response(LINK, "q1", "Unlocked")


def test_unlock_while_charging_is_refused_by_newer_versions() -> None:
    play = charging(Playbook()) >> ask_unlock(stop_first=False)
    assert play << Response(LINK, "q1", "OngoingAuthorizedTransaction")


def test_unlock_while_a_session_begins_ends_the_right_to_it() -> None:
    """Otherwise release would be given while the lock is being opened."""
    play = Playbook() >> (CablePlugged(1), VehicleConnected(1)) >> RequestReceived(LINK, "q0", RemoteStartRequest(1, A))
    play = play << Response << ReadMeter >> ask_unlock() << Unlock(1, "q1") >> MeterRead(1, begin_reading(1), wh(5))
    assert play
    assert play.state() is SessionState.OCCUPIED


@pytest.mark.parametrize(("tethered", "evse", "status"), [(True, 1, "NotSupported"), (False, 3, "UnknownConnector")])
def test_unlock_of_what_cannot_be_unlocked(tethered: bool, evse: int, status: str) -> None:
    assert Playbook(tethered=tethered) >> ask_unlock(evse=evse) << Response(LINK, "q1", status)


def test_a_board_that_sees_to_its_lock_alone_is_not_asked_to() -> None:
    """It would refuse, and the outlet would be out of service for a fault that there is not."""
    alone = EvseTraits(lockable=False)
    play = charging(Playbook(traits=alone)).wait(10).skip() >> CardPresented(1, A)
    play = ending(play << SetRelease(1, False) << kept("session", "s1"), StopReason.LOCAL)
    assert play
    assert play.screens[1].name is ScreenName.FINISHED
    assert Playbook(traits=alone) >> ask_unlock() << Response(LINK, "q1", "NotSupported")


def test_a_second_unlock_while_the_first_is_tried() -> None:
    play = Playbook() >> ask_unlock() << Unlock(1, "q1") >> RequestReceived(LINK, "q2", UnlockConnectorRequest(1))
    assert play << Response(LINK, "q2", "UnlockFailed")


def test_an_unlock_that_was_answered_can_be_asked_for_again() -> None:
    play = Playbook() >> ask_unlock() << Unlock(1, "q1") >> UnlockTried(1, "q1", False) << Response
    assert play >> UnlockTried(1, "q1", True)
    assert (
        play
        >> RequestReceived(LINK, "q2", UnlockConnectorRequest(1))
        << Unlock(1, "q2")
        >> UnlockTried(1, "q2", True)
        << (Response(LINK, "q2", "Unlocked"))
    )


# --- reset, SIGTERM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hard", [False, True])
def test_reset_while_idle(hard: bool) -> None:
    assert (
        Playbook()
        >> RequestReceived(LINK, "q1", ResetRequest(hard))
        << Response(LINK, "q1", "Accepted")
        << Restart(hard)
    )


@pytest.mark.parametrize(("hard", "note"), [(False, "soft"), (True, "hard")])
def test_reset_during_a_session_ends_it_once(hard: bool, note: str) -> None:
    """OCPP 1.6 test cases 015 and 016."""
    play = charging(Playbook()) >> RequestReceived(LINK, "q1", ResetRequest(hard)) << Response(LINK, "q1", "Accepted")
    play = ending(play << SetRelease(1, False) << Persist, StopReason.IMMEDIATE_RESET, note=note)
    assert play << Unlock << Restart(hard)
    play.restart(5, state=CHARGING)
    play.wait(600)
    assert len(play.skip().ended()) == 1


def test_reset_when_the_meter_is_silent_ends_the_session_after_the_boot() -> None:
    play = charging(Playbook()) >> RequestReceived(LINK, "q1", ResetRequest()) << Response << SetRelease << Persist
    play.wait(30)
    assert [o for o in play.unclaimed if isinstance(o, Restart)]
    assert play.ended() == []
    play.skip().restart(5, state=PLUGGED)
    assert (
        play
        << ReadMeter(1, end_reading(1), True)
        >> MeterRead(1, end_reading(1), wh(1100))
        << (forgotten("session"))
        << sent_message(TransactionEnded, reason=StopReason.IMMEDIATE_RESET, note="soft", meter_wh=1100)
        << Unlock
    )


def test_reset_drops_a_right_that_waits() -> None:
    play = Playbook() >> RequestReceived(LINK, "q0", RemoteStartRequest(1, A)) << Response
    assert play >> RequestReceived(LINK, "q1", ResetRequest()) << Response(LINK, "q1", "Accepted") << Restart


def test_nothing_new_starts_while_a_reset_waits_for_the_end_of_others() -> None:
    play = charging(Playbook(evses=2)) >> (CablePlugged(2), VehicleConnected(2))
    play = play >> RequestReceived(LINK, "q1", ResetRequest()) << Response << SetRelease(1, False) << Persist
    assert play >> CardPresented(2, B)
    assert play.screens[2].detail == "unavailable"
    assert play >> RequestReceived(LINK, "q2", RemoteStartRequest(2, C)) << Response(LINK, "q2", "Rejected")
    play = play >> ContactorOpened(1) << ReadMeter >> MeterRead(1, end_reading(1), wh(2000))
    assert play << Persist << sent_message(TransactionEnded) << Unlock << Restart


def test_sigterm_keeps_the_session() -> None:
    play = charging(Playbook()).wait(3).skip() >> StopRequested()
    assert play << SetRelease(1, False) << kept("session", "s1", stop=None)
    assert play.ended() == []
    assert play.store["session"]["s1"]["alive_at"]["t_s"] == play.t_s


def test_after_sigterm_nothing_is_released_any_more() -> None:
    play = charging(Playbook(settings={"stop_on_ev_disconnect": False})) >> StopRequested() << SetRelease << Persist
    for event in (VehicleLeft(1), VehicleConnected(1), BoardOpened(1, CHARGING, EvseTraits())):
        play.feed(event)
    assert not [o for o in play.skip().log[-20:] if isinstance(o, SetRelease) and o.on]


# --- two backends ----------------------------------------------------------------------------------------------------


def test_every_link_hears_of_the_session() -> None:
    play = charging(Playbook(links=("chargy", "owner"))) >> CardPresented(1, A) << SetRelease << Persist
    play = play >> ContactorOpened(1) << ReadMeter >> MeterRead(1, end_reading(1), wh(1200)) << Persist
    assert play << sent_message(TransactionEnded) << sent_message(TransactionEnded, "owner") << Unlock
    started = [o.link for o in play.log if isinstance(o, Send) and type(o.message).__name__ == "TransactionStarted"]
    assert started == ["chargy", "owner"]


# --- a finished session and the next one -----------------------------------------------------------------------------


def finished() -> Playbook:
    return stopping(charging(Playbook())) >> MeterRead(1, end_reading(1), wh(1200)) << Persist << Send << Unlock


def test_another_person_may_start_without_a_new_plug() -> None:
    play = finished() >> CardPresented(1, B) << AuthorizeToken(LINK, "token:2", B, 1)
    play = play >> TokenAuthorized("token:2", B, ACCEPTED) << Persist << ReadMeter(1, begin_reading(2), True)
    play = energised(play, meter_wh=1200)
    assert play.session().start_wh == 1200


def test_finishing_lasts_until_cable_and_vehicle_are_gone() -> None:
    play = finished()
    for event, state in ((VehicleLeft(1), SessionState.ENDED), (CableRemoved(1), SessionState.FREE)):
        play >> event
        assert play.state() is state
    assert play


def test_the_next_car_on_the_same_cable_is_not_finishing() -> None:
    play = finished() >> VehicleLeft(1) >> VehicleConnected(1)
    assert play
    assert (play.state(), play.statuses[1].ended) == (SessionState.OCCUPIED, False)


# --- a board that does not give release ----------------------------------------------------------------------------


def denied() -> Playbook:
    """Plugged, authorized, on disk; the board was asked often enough."""
    play = Playbook()
    for event in (CablePlugged(1), VehicleConnected(1), CardPresented(1, A)):
        play.feed(event)
    asked = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(asked[-1].request, A, ACCEPTED))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert play.evse().release_order.given
    play.skip() >> ReleaseRefused(1) << SetRelease(1, False) << updated(ChargingState.SUSPENDED_EVSE)
    return play


def test_a_release_that_is_refused_is_reported_and_shown() -> None:
    play = denied()
    assert not play.evse().release_order.given
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.PAUSED, "refused")
    assert play.wait(1000).skip()
    assert [o.on for o in play.log if isinstance(o, SetRelease)][-2:] == [True, False]
    assert play.state() is SessionState.ACTIVE


def test_a_station_that_ends_refuses_nothing() -> None:
    """Its release is withdrawn for the moment: no board has said no."""
    play = charging(Playbook()).skip()
    play.feed(StopRequested())
    play.feed(ContactorOpened(1))
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.PAUSED, "station")


def test_a_board_that_is_opened_again_is_asked_again() -> None:
    play = denied()
    assert SetRelease(1, True) in play.feed(BoardOpened(1, PLUGGED, EvseTraits()))
    assert play.screens[1].name is not ScreenName.PAUSED


def test_so_is_one_whose_vehicle_was_plugged_again() -> None:
    """Where the session outlives the plug; otherwise that ends it."""
    play = denied()
    play.feed(VehicleLeft(1))
    play.skip().wait(BOUNCE_S).skip()
    assert play.state() is SessionState.ENDING
    play = Playbook(settings={"stop_on_ev_disconnect": False})
    play = charging(play).skip()
    play.feed(ReleaseRefused(1))
    play.feed(VehicleLeft(1))
    assert SetRelease(1, True) in play.feed(VehicleConnected(1))


def test_a_refusal_that_comes_late_changes_nothing() -> None:
    play = ended_by_card()
    assert play >> ReleaseRefused(1)


def ended_by_card() -> Playbook:
    play = charging(Playbook()).skip() >> CardPresented(1, A) << SetRelease(1, False) << kept("session", "s1")
    return play.skip()


# --- the register of the end -----------------------------------------------------------------------------------------


def reads(play: Playbook) -> list[str]:
    return [o.purpose for o in play.log if isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.END]


def test_the_end_is_read_when_the_board_has_confirmed_that_release_is_withdrawn() -> None:
    """The last picture may be older than the contactor: the domain believes it to be open."""
    play = charging(Playbook())
    play.confirms = False
    play.feed(ContactorOpened(1))
    play.skip().feed(CardPresented(1, A))
    assert reads(play) == []
    play.skip().feed(ReleaseWithdrawn(1))
    assert reads(play) == [end_reading(1)]


def test_and_when_the_contactor_is_open_whichever_comes_last() -> None:
    play = charging(Playbook())
    play.confirms = False
    play.feed(CardPresented(1, A))
    play.skip().feed(ReleaseWithdrawn(1))
    assert reads(play) == []
    play.skip().feed(ContactorOpened(1))
    assert reads(play) == [end_reading(1)]


def test_a_board_that_confirms_nothing_keeps_no_driver_for_ever() -> None:
    play = charging(Playbook())
    play.confirms = False
    play.feed(ContactorOpened(1))
    play.skip().feed(CardPresented(1, A))
    play.skip().wait(9.9).skip()
    assert reads(play) == []
    play.wait(0.2)
    assert reads(play) == [end_reading(1)]


def test_a_confirmation_of_before_the_release_is_none() -> None:
    play = charging(Playbook())
    play.confirms = False
    play.feed(ReleaseWithdrawn(1))
    play.skip().feed(ContactorOpened(1))
    play.skip().feed(CardPresented(1, A))
    assert reads(play) == []


def test_a_register_that_is_signed_waits_for_a_vehicle_that_the_board_cannot_cut_off_in_sight() -> None:
    """Where the board has no eyes for its contactor; a signed end is read once."""
    play = charging(Playbook(traits=EvseTraits(sees_contactor=False)))
    play.session().signing = "m1"
    play.feed(ContactorOpened(1))
    play.skip().feed(CardPresented(1, A))
    assert reads(play) == []
    play.skip().feed(VehiclePaused(1))
    assert reads(play) == [end_reading(1)]


def test_nor_for_one_that_was_pulled_at_the_car_meanwhile() -> None:
    play = charging(Playbook(traits=EvseTraits(sees_contactor=False)))
    play.session().signing = "m1"
    play.feed(ContactorOpened(1))
    play.skip().feed(CardPresented(1, A))
    play.skip().feed(BoardChanged(1, EvseState(Pilot.A, pwm=False, cable=True, released=False)))
    assert reads(play) == [end_reading(1)]


@pytest.mark.parametrize("withdrawn", [False, True])
def test_current_that_flows_while_the_contactor_is_not_seen_open_is_billed(withdrawn: bool) -> None:
    """The board is late, or silent: its watchdog opens the contactor after the time that the end waits."""
    play = charging(Playbook())
    play.confirms = withdrawn
    play.feed(CardPresented(1, A))
    play.skip().wait(10).skip()
    play.feed(MeterRead(1, end_reading(1), replace(wh(1500), current_a=(32.0, 32.0, 32.0))))
    assert play.state() is SessionState.ENDING
    play.skip().wait(5).skip()
    assert reads(play) == [end_reading(1), end_reading(2)]
    play.feed(MeterRead(1, end_reading(2), replace(wh(1530), current_a=(0.0, 0.0, 0.0))))
    assert [m.meter_wh for m in play.ended()] == [1530]


def test_a_board_that_comes_and_goes_does_not_put_the_end_off_for_ever() -> None:
    play = charging(Playbook())
    play.feed(CardPresented(1, A))
    for _ in range(4):
        play.skip().wait(4).skip().feed(BoardOpened(1, replace(CHARGING, released=False), EvseTraits()))
    assert reads(play) == [end_reading(1)]
    play.skip().feed(BoardOpened(1, replace(CHARGING, released=False), EvseTraits()))
    play.skip().feed(MeterRead(1, end_reading(1), wh(1200)))
    assert [m.meter_wh for m in play.ended()] == [1200]

"""How a session begins."""

from __future__ import annotations

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorClosed,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    MeterFailed,
    MeterRead,
    OfferChanged,
    RequestReceived,
    StopRequested,
    StoreFailed,
    StoreRecovered,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    ChargingState,
    ConnectorStatus,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, Response, SetLimit, SetRelease, Unlock
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import RemoteStartRequest
from agent.model.board import EvseTraits
from agent.model.fastclass import replace
from agent.model.types import AuthorizationStatus, Fault, Limit, ScreenName, Token, TokenType, Verdict
from tests.domain.playbook import (
    ACCEPTED,
    CARD_A,
    EMPTY,
    LINK,
    PLUGGED,
    REFUSED,
    UTC0_S,
    A,
    B,
    Playbook,
    charged,
    charging,
    kept,
    sent_message,
    wh,
)

PLUG = (CablePlugged(1), VehicleConnected(1))
ENERGY = (OfferChanged(1, True), VehicleReady(1), ContactorClosed(1))
UPDATED = sent_message(
    TransactionUpdated, charging=ChargingState.CHARGING, trigger=TriggerReason.CHARGING_STATE_CHANGED
)


def test_card_first() -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    assert play.screens[1].name is ScreenName.CHECKING
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache", CARD_A)
    assert (play.state(), play.screens[1].name) == (SessionState.AUTHORIZED, ScreenName.PLUG_IN)
    play = play >> PLUG << ReadMeter(1, begin_reading(1), True)
    assert play.screens[1].name is ScreenName.PREPARING
    play = (
        play
        >> MeterRead(1, begin_reading(1), wh(1234))
        << kept("session", "s1", start_wh=1234)
        << sent_message(TransactionStarted, session="s1", token=A, meter_wh=1234, trigger=TriggerReason.AUTHORIZED)
        << SetLimit(1, Limit(32.0, 3))
        << SetRelease(1, True)
        >> ENERGY
        << UPDATED
    )
    assert play
    assert play.screens[1].name is ScreenName.CHARGING
    assert play.statuses[1].charging is ChargingState.CHARGING


def test_cable_first() -> None:
    play = Playbook() >> PLUG
    assert play.statuses[1].connector is ConnectorStatus.OCCUPIED
    play = (
        play
        >> CardPresented(1, A)
        << AuthorizeToken
        >> TokenAuthorized("token:1", A, ACCEPTED)
        << kept("cache")
        << ReadMeter(1, begin_reading(1), True)
    )
    assert play


def test_nothing_is_released_before_the_register_is_known() -> None:
    play = Playbook() >> PLUG >> CardPresented(1, A) << AuthorizeToken >> TokenAuthorized("token:1", A, ACCEPTED)
    play.skip() >> VehicleReady(1)
    assert play
    assert not [o for o in play.log if isinstance(o, SetRelease) and o.on]


def test_a_second_tap_while_the_question_is_open_asks_nothing() -> None:
    assert Playbook() >> CardPresented(1, A) << AuthorizeToken >> CardPresented(1, A) >> CardPresented(1, B)


def test_refused_card() -> None:
    play = (
        Playbook() >> CardPresented(1, A) << AuthorizeToken >> TokenAuthorized("token:1", A, REFUSED) << kept("cache")
    )
    assert play >> PLUG
    assert (play.state(), play.screens[1].name, play.screens[1].detail) == (
        SessionState.OCCUPIED,
        ScreenName.REFUSED,
        "invalid",
    )
    assert play.wait(5).screens[1].name is ScreenName.IDLE


@pytest.mark.parametrize(
    ("status", "why"),
    [("Blocked", "blocked"), ("Expired", "expired"), ("ConcurrentTx", "concurrent"), ("Unknown", "invalid")],
)
def test_the_screen_says_why_a_card_is_refused(status: str, why: str) -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken
    play >> TokenAuthorized("token:1", A, Verdict(AuthorizationStatus(status)))
    assert play.screens[1].detail == why


def test_a_plug_during_the_question_counts() -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken >> PLUG
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") << ReadMeter(1, begin_reading(1), True)


# --- connection time-out ---------------------------------------------------------------------------------------------


def test_plugging_after_the_connection_timeout_starts_nothing() -> None:
    play = Playbook(settings={"connection_timeout_s": 30}) >> CardPresented(1, A) << AuthorizeToken
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play.wait(29).state() is SessionState.AUTHORIZED
    assert play.screens[1].values["remaining_s"] == 1
    assert play.wait(2).state() is SessionState.FREE
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert not play.statuses[1].authorized
    assert play >> PLUG
    assert play.state() is SessionState.OCCUPIED


def test_pulled_before_the_session_is_on_disk_the_right_stays() -> None:
    play = Playbook() >> PLUG >> CardPresented(1, A) << AuthorizeToken
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") << ReadMeter(1, begin_reading(1), True)
    play = play >> (VehicleLeft(1), CableRemoved(1)) >> MeterRead(1, begin_reading(1), wh(5))
    assert play.state() is SessionState.AUTHORIZED
    assert play >> PLUG << ReadMeter(1, begin_reading(2), True)
    assert play >> MeterRead(1, begin_reading(1), wh(5))  # the old answer is no answer to the new question
    assert play.state() is SessionState.BEGINNING


def test_the_cable_of_the_last_car_is_taken_out_while_the_next_driver_fetches_his() -> None:
    """Found by a walk: the socket was reported as occupied until the next plug."""
    play = Playbook() >> CablePlugged(1) >> ask_start() << Response(LINK, "q1", "Accepted") >> CableRemoved(1)
    assert play
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert play >> CablePlugged(1)
    assert play.statuses[1].connector is ConnectorStatus.OCCUPIED


# --- a reader for the whole station ----------------------------------------------------------------------------------


def test_shared_reader_the_plugged_outlet_is_meant() -> None:
    play = Playbook(evses=2) >> (CablePlugged(2), VehicleConnected(2)) >> CardPresented(0, A)
    assert play << AuthorizeToken(LINK, "token:1", A, 2)


def test_shared_reader_the_newest_plug_is_meant() -> None:
    play = Playbook(evses=3) >> (CablePlugged(2), VehicleConnected(2))
    play.wait(1) >> (CablePlugged(3), VehicleConnected(3)) >> CardPresented(0, A)
    assert play << AuthorizeToken(LINK, "token:1", A, 3)


def test_shared_reader_the_first_cable_decides() -> None:
    play = Playbook(evses=2) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play.state(1) is SessionState.AUTHORIZED
    play = play >> (CablePlugged(2), VehicleConnected(2)) << ReadMeter(2, begin_reading(1), True)
    assert play
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.BEGINNING)
    assert play >> (CablePlugged(1), VehicleConnected(1))
    assert play.state(1) is SessionState.OCCUPIED


def test_shared_reader_a_cable_during_the_question_decides() -> None:
    play = Playbook(evses=2) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play = play >> (CablePlugged(2), VehicleConnected(2)) >> TokenAuthorized("token:1", A, ACCEPTED)
    assert play << kept("cache") << ReadMeter(2, begin_reading(1), True)


def test_shared_reader_the_same_card_twice_is_one_question() -> None:
    play = Playbook(evses=2) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1) >> CardPresented(0, A)
    assert play
    assert play.screens[1].name is ScreenName.CHECKING
    assert play.screens[2].name is ScreenName.IDLE


def test_shared_reader_with_one_outlet_the_same_card_twice_is_one_question() -> None:
    play = Playbook() >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1) >> CardPresented(0, A)
    assert play
    assert play.screens[1].name is ScreenName.CHECKING


def test_shared_reader_own_session_is_meant_although_another_outlet_is_free() -> None:
    play = charging(Playbook(evses=2), A, evse=2) >> CardPresented(0, A) << SetRelease(2, False)
    assert play.skip().state(2) is SessionState.ENDING


def test_shared_reader_nothing_free() -> None:
    play = charging(charging(Playbook(evses=2), A, 1), B, 2)
    assert play >> CardPresented(0, Token("0499999999"))
    assert play.screens[1].detail == "wrong_card"


# --- remote ----------------------------------------------------------------------------------------------------------


def ask_start(evse: int | None = 1, token: Token = A, remote_id: str = "r7") -> RequestReceived:
    return RequestReceived(LINK, "q1", RemoteStartRequest(evse, token, remote_id))


def test_remote_start_with_a_cable() -> None:
    play = Playbook() >> PLUG >> ask_start() << Response(LINK, "q1", "Accepted") << ReadMeter(1, begin_reading(1), True)
    play = play >> MeterRead(1, begin_reading(1), wh(10)) << kept("session", remote_id="chargy/r7")
    play = play << sent_message(TransactionStarted, trigger=TriggerReason.REMOTE_START, remote_id="chargy/r7", token=A)
    assert play << SetLimit << SetRelease(1, True)


def test_remote_start_without_a_cable_waits_for_it() -> None:
    play = Playbook() >> ask_start() << Response(LINK, "q1", "Accepted")
    assert play.screens[1].name is ScreenName.PLUG_IN
    assert play >> PLUG << ReadMeter(1, begin_reading(1), True)


def test_remote_start_without_a_cable_in_time() -> None:
    play = Playbook() >> ask_start() << Response(LINK, "q1", "Accepted")
    assert play.wait(61) >> PLUG
    assert play.state() is SessionState.OCCUPIED


def test_remote_start_with_authorisation() -> None:
    play = Playbook(settings={"authorize_remote_start": True}) >> PLUG >> ask_start()
    play = play << Response(LINK, "q1", "Accepted") << AuthorizeToken(LINK, "token:1", A, 1)
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") << ReadMeter(1, begin_reading(1), True)


def test_remote_start_with_a_refused_card() -> None:
    play = Playbook(settings={"authorize_remote_start": True}) >> PLUG >> ask_start()
    play = play << Response(LINK, "q1", "Accepted") << AuthorizeToken
    assert play >> TokenAuthorized("token:1", A, REFUSED) << kept("cache")
    assert play.state() is SessionState.OCCUPIED


def test_remote_start_with_a_known_card_asks_no_one() -> None:
    settings = {"authorize_remote_start": True, "local_pre_authorize": True}
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}}}
    play = Playbook(settings=settings, store=store) >> PLUG >> ask_start()
    assert play << Response(LINK, "q1", "Accepted") << ReadMeter(1, begin_reading(1), True)


@pytest.mark.parametrize("evse", [0, 2, -1])
def test_remote_start_of_an_evse_that_is_not_there(evse: int) -> None:
    assert Playbook() >> PLUG >> ask_start(evse) << Response(LINK, "q1", "Rejected")


def test_remote_start_where_a_person_charges() -> None:
    assert charging(Playbook()) >> ask_start(token=B) << Response(LINK, "q1", "Rejected")


def test_remote_start_may_choose_the_outlet_with_a_vehicle() -> None:
    play = Playbook(evses=2) >> (CablePlugged(2), VehicleConnected(2)) >> ask_start(None)
    assert play << Response(LINK, "q1", "Accepted") << ReadMeter(2, begin_reading(1), True)


def test_a_remote_start_of_any_outlet_is_for_the_newest_vehicle_that_has_not_charged() -> None:
    play = charged(Playbook(evses=3))
    for evse in (3, 2):
        play.wait(1) >> (CablePlugged(evse), VehicleConnected(evse))
    assert play >> ask_start(None, B) << Response(LINK, "q1", "Accepted") << ReadMeter(2, begin_reading(1), True)


@pytest.mark.parametrize(("token", "group", "evse"), [(A, "", 1), (B, "FAMILY", 1), (B, "", 2), (B, "OTHER", 2)])
def test_a_remote_start_of_any_outlet_charges_no_vehicle_of_another_driver_again(
    token: Token, group: str, evse: int
) -> None:
    play = Playbook(evses=2)
    ended = charged(play).evse(1).last_session
    assert ended is not None
    play.evse(1).last_session = replace(ended, group="FAMILY")
    play.feed(RequestReceived(LINK, "q1", RemoteStartRequest(None, token, "r7", group=group)))
    assert Response(LINK, "q1", "Accepted") in play.log
    assert play.state(evse) is (SessionState.BEGINNING if evse == 1 else SessionState.AUTHORIZED)
    assert play.state(3 - evse) is (SessionState.ENDED if evse == 2 else SessionState.FREE)


def test_a_remote_start_of_an_outlet_that_a_person_is_asked_about() -> None:
    play = Playbook() >> PLUG >> CardPresented(1, B) << AuthorizeToken
    assert play >> ask_start() << Response(LINK, "q1", "Rejected")


def test_a_right_does_not_move_to_where_another_card_is_being_asked_about() -> None:
    """Two readers: the right of the shared one waits for the first cable, but not for that of the second card."""
    play = (
        Playbook(evses=2)
        >> CardPresented(0, A)
        << AuthorizeToken
        >> TokenAuthorized("token:1", A, ACCEPTED)
        << kept("cache")
    )
    play = play >> CardPresented(2, B) << AuthorizeToken >> (CablePlugged(2), VehicleConnected(2))
    assert play >> TokenAuthorized("token:2", B, ACCEPTED) << kept("cache") << ReadMeter(2, begin_reading(1), True)
    rights = [e.authorization for e in play.site.evses.values()]
    assert [right and right.token for right in rights] == [A, B]


# --- off line --------------------------------------------------------------------------------------------------------


def test_offline_a_known_card_starts() -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}}}
    play = Playbook(online=False, store=store) >> PLUG >> CardPresented(1, A) << ReadMeter(1, begin_reading(1), True)
    play = play >> MeterRead(1, begin_reading(1), wh(10)) << Persist << sent_message(TransactionStarted, offline=True)
    assert play << SetLimit << SetRelease


def test_offline_an_unknown_card_is_refused() -> None:
    play = Playbook(online=False)
    assert play >> PLUG >> CardPresented(1, A)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "offline")


def test_offline_an_unknown_card_starts_if_so_set() -> None:
    play = Playbook(online=False, settings={"offline_tx_for_unknown_id": True})
    assert play >> PLUG >> CardPresented(1, A) << ReadMeter(1, begin_reading(1), True)


@pytest.mark.parametrize("status", ["Blocked", "Invalid", "Expired"])
def test_offline_a_card_known_as_bad_is_never_unknown(status: str) -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": status}}}
    play = Playbook(online=False, store=store, settings={"offline_tx_for_unknown_id": True})
    assert play >> PLUG >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.REFUSED


def test_offline_an_expired_card_is_refused_and_not_taken_for_unknown() -> None:
    """OCPP 1.6, 3.5.3: valid once but expired by the passage of time is not unknown."""
    verdict = {"$": "Verdict", "status": "Accepted", "expires_utc_s": UTC0_S - 1}
    play = Playbook(online=False, store={"cache": {CARD_A: verdict}}, settings={"offline_tx_for_unknown_id": True})
    assert play >> PLUG >> CardPresented(1, A)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "expired")


def test_offline_not_trusted_time_an_expiry_counts() -> None:
    verdict = {"$": "Verdict", "status": "Accepted", "expires_utc_s": UTC0_S + 1e6}
    play = Playbook(online=False, store={"cache": {CARD_A: verdict}})
    play.trusted = False
    assert play >> PLUG >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.REFUSED


def test_no_one_answers_so_the_cache_decides() -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}}}
    play = Playbook(store=store) >> PLUG >> CardPresented(1, A) << AuthorizeToken >> LinkChanged(LINK, False)
    assert play >> TokenAuthorized("token:1", A, None) << ReadMeter(1, begin_reading(1), True)


def test_known_card_is_not_asked_for_if_preauthorised() -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}}}
    play = Playbook(store=store, settings={"local_pre_authorize": True})
    assert play >> PLUG >> CardPresented(1, A) << ReadMeter(1, begin_reading(1), True)


def test_switched_off_cache_is_neither_asked_nor_taught() -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}}}
    play = Playbook(store=store, settings={"local_pre_authorize": True, "auth_cache_enabled": False})
    play = play >> PLUG >> CardPresented(1, A) << AuthorizeToken
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << ReadMeter(1, begin_reading(1), True)


# --- what must not start ---------------------------------------------------------------------------------------------


def test_a_token_longer_than_the_version_allows_is_refused_here() -> None:
    play = Playbook(max_token_length=lambda: 20)
    assert play >> PLUG >> CardPresented(1, Token("X" * 21))
    assert play.screens[1].detail == "too_long"
    assert play >> ask_start(token=Token("X" * 21)) << Response(LINK, "q1", "Rejected")
    assert play.wait(5) >> CardPresented(1, Token("X" * 20)) << AuthorizeToken


def test_a_card_that_says_nothing() -> None:
    play = Playbook()
    assert play >> CardPresented(1, None, "random_uid")
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "random_uid")


def test_a_fault_before_the_start() -> None:
    play = Playbook() >> FaultRaised(1, Fault.GROUND_FAILURE)
    assert play >> PLUG >> CardPresented(1, A)
    assert play >> ask_start() << Response(LINK, "q1", "Rejected")
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.wait(5).screens[1].name is ScreenName.OUT_OF_SERVICE
    assert play >> FaultCleared(1, Fault.GROUND_FAILURE) >> CardPresented(1, A) << AuthorizeToken


def test_a_fault_between_card_and_cable() -> None:
    play = Playbook() >> ask_start() << Response >> FaultRaised(1, Fault.LOCK_FAILURE)
    assert play >> PLUG
    assert play.state() is SessionState.OCCUPIED


def test_a_fault_while_the_register_is_read() -> None:
    play = Playbook() >> PLUG >> ask_start() << Response << ReadMeter >> FaultRaised(1, Fault.METER_SILENT)
    assert play >> MeterRead(1, begin_reading(1), wh(7))
    assert play.state() is SessionState.OCCUPIED


def test_a_fault_while_the_backend_thinks() -> None:
    play = Playbook() >> PLUG >> CardPresented(1, A) << AuthorizeToken >> FaultRaised(1, Fault.GROUND_FAILURE)
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play.state() is SessionState.OCCUPIED


def test_a_warning_hinders_no_one() -> None:
    play = Playbook() >> FaultRaised(1, Fault.TEMPERATURE_DERATING)
    assert play >> PLUG >> CardPresented(1, A) << AuthorizeToken
    assert play.statuses[1].faults == (Fault.TEMPERATURE_DERATING,)


def test_without_a_register_there_is_no_session() -> None:
    play = Playbook() >> PLUG >> ask_start() << Response << ReadMeter(1, begin_reading(1), True)
    assert play >> MeterFailed(1, begin_reading(1))
    assert (play.state(), play.screens[1].detail) == (SessionState.OCCUPIED, "unavailable")


def test_a_failed_store_refuses_new_starts_and_says_so() -> None:
    play = Playbook() >> PLUG >> StoreFailed("disk full")
    assert play >> CardPresented(1, A) >> ask_start() << Response(LINK, "q1", "Rejected")
    assert play.statuses[1].faults == (Fault.STORE_FAILED,)
    assert play >> StoreRecovered() >> CardPresented(1, A) << AuthorizeToken
    assert play.statuses[1].connector is ConnectorStatus.OCCUPIED


def test_a_store_that_fails_while_the_register_is_read() -> None:
    play = Playbook() >> PLUG >> ask_start() << Response << ReadMeter >> StoreFailed()
    assert play >> MeterRead(1, begin_reading(1), wh(7))
    assert play.state() is SessionState.OCCUPIED


def test_sigterm_while_the_register_is_read() -> None:
    play = Playbook() >> PLUG >> ask_start() << Response << ReadMeter >> StopRequested()
    assert play >> MeterRead(1, begin_reading(1), wh(7))
    assert not [o for o in play.log if isinstance(o, SetRelease)]


def test_no_one_starts_at_a_board_that_was_never_seen() -> None:
    play = Playbook(cold=True)
    play.feed(LinkChanged(LINK, True))
    assert play.skip() >> CardPresented(1, A) >> ask_start() << Response(LINK, "q1", "Rejected")
    assert 1 not in play.statuses


# --- free vending ----------------------------------------------------------------------------------------------------

FREE = Token("FREE", TokenType.NO_AUTHORIZATION)


def test_free_vending_starts_by_the_plug() -> None:
    play = Playbook(free_vending=True) >> PLUG << ReadMeter(1, begin_reading(1), True)
    assert (
        play
        >> MeterRead(1, begin_reading(1), wh(3))
        << Persist
        << sent_message(TransactionStarted, token=FREE)
        << SetLimit
        << (SetRelease(1, True))
    )
    assert play.screens[1].values["stop_hint"] == "unplug"


def test_free_vending_starts_for_a_vehicle_that_was_there_before_the_agent() -> None:
    play = Playbook(free_vending=True, cold=True)
    assert play >> BoardOpened(1, PLUGGED, EvseTraits()) << ReadMeter(1, begin_reading(1), True)


def test_free_vending_on_a_fixed_cable() -> None:
    play = Playbook(free_vending=True, tethered=True)
    assert play >> BoardChanged(1, PLUGGED) << ReadMeter(1, begin_reading(1), True)


def test_free_vending_begins_again_when_the_car_is_plugged_again() -> None:
    play = charging(Playbook(free_vending=True, settings={"unlock_on_ev_disconnect": False}))
    play = play >> VehicleLeft(1) << SetRelease(1, False)
    play.skip() >> ContactorOpened(1) << ReadMeter(1, end_reading(1), True) >> MeterRead(1, end_reading(1), wh(1100))
    assert play.skip().state() is SessionState.ENDED
    assert play >> VehicleConnected(1) << ReadMeter(1, begin_reading(2), True)


def test_a_free_session_teaches_the_cache_nothing() -> None:
    play = charging(Playbook(free_vending=True))
    assert play >> TransactionAcknowledged(LINK, "s1", "42", ACCEPTED)


def test_after_a_stop_free_vending_waits_for_a_new_plug() -> None:
    play = charging(Playbook(free_vending=True))
    play >> FaultRaised(1, Fault.CABLE_REJECTED)
    play.skip().wait(11).skip() >> MeterRead(1, end_reading(1), wh(1100))
    play.skip() >> FaultCleared(1, Fault.CABLE_REJECTED) >> BoardOpened(1, PLUGGED, EvseTraits())
    assert play << Unlock(1)  # its contactor has not been seen open before
    assert play.state() is SessionState.ENDED
    assert EMPTY.pilot != PLUGGED.pilot

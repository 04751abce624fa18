"""Reservations: whom an outlet is kept for, how they are used, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import (
    BoardOpened,
    ButtonPressed,
    CablePlugged,
    CardPresented,
    ClockTrusted,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import ServiceState, SessionState
from agent.domain.messages import ReservationEnded, TransactionStarted
from agent.domain.orders import AuthorizeToken, Persist, Response, Send
from agent.domain.reading_purposes import begin_reading
from agent.domain.requests import (
    CancelReservationRequest,
    ChangeAvailabilityRequest,
    RemoteStartRequest,
    ReserveNowRequest,
    SendLocalListRequest,
    SetVariablesRequest,
)
from agent.domain.reservation_claims import count_served_wishes
from agent.model.board import EvseTraits
from agent.model.types import AuthorizationStatus, Fault, ScreenName, Token, Verdict
from tests.domain.playbook import (
    EMPTY,
    LINK,
    UTC0_S,
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

OK = Verdict(AuthorizationStatus.ACCEPTED)
FAMILY = Verdict(AuthorizationStatus.ACCEPTED, "FAMILY")
HOUR_S = 3600.0


def reserving(
    number: int = 1, evse: int = 1, token: Token = A, after_s: float = HOUR_S, **more: Any
) -> ReserveNowRequest:
    return ReserveNowRequest(number, evse, token, UTC0_S + after_s, **more)


def answer(play: Playbook, ask: Any, link: str = LINK) -> str:
    orders = play.feed(RequestReceived(link, "1", ask))
    play.skip()
    (reply,) = [o for o in orders if isinstance(o, Response)]
    return reply.status


def reserved(play: Playbook | None = None, **ask: Any) -> Playbook:
    play = play or Playbook()
    assert answer(play, reserving(**ask)) == "Accepted"
    return play


def tap(play: Playbook, token: Token, evse: int = 1, verdict: Verdict = OK) -> bool:
    """A card, and the backend's word if it is asked for. May it charge?"""
    play.feed(CardPresented(evse, token))
    asked = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    if asked:
        play.feed(TokenAuthorized(asked[-1].request, token, verdict))
    play.skip()
    return any(
        e.authorization is not None and e.authorization.token.matches_token(token) for e in play.site.evses.values()
    )


def connectors(play: Playbook) -> list[str]:
    return [play.statuses[n].connector.value for n in sorted(play.site.evses)]


def started(play: Playbook) -> list[TransactionStarted]:
    return [m for m in play.sent_messages if isinstance(m, TransactionStarted)]


def ends(play: Playbook) -> list[tuple[str, bool]]:
    messages = [o.message for o in play.log if isinstance(o, Send)]
    return [(m.reservation, m.expired) for m in messages if isinstance(m, ReservationEnded)]


# --- one outlet ----------------------------------------------------------------------------------------------------


def test_promised_when_durable() -> None:
    assert (
        Playbook()
        >> RequestReceived(LINK, "1", reserving(group="FAMILY"))
        << kept("reservation", f"{LINK}/1", evse=1, group="FAMILY")
        << Response(LINK, "1", "Accepted")
    )


def test_another_card_is_turned_away_and_its_own_uses_it() -> None:
    play = reserved()
    assert (connectors(play), play.screens[1].name) == (["Reserved"], ScreenName.RESERVED)
    assert play >> CardPresented(1, B)  # no authorization is requested
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "reserved")
    play.wait(10)
    assert tap(play, A)
    assert (play.state(), connectors(play)) == (SessionState.AUTHORIZED, ["Reserved"])
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    play.skip()
    play >> MeterRead(1, begin_reading(1), wh(1000))
    play << kept("session") << sent_message(TransactionStarted, reservation=f"{LINK}/1")
    assert Persist("reservation", f"{LINK}/1", None) in play.skip().log
    assert play.store["reservation"] == {}
    assert play.site.service_state(play.evse()) is ServiceState.IN_SERVICE


def test_the_same_card_with_the_cable_first() -> None:
    play = reserved()
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    assert connectors(play) == ["Occupied"]
    assert not tap(play, B)
    assert tap(play, A)
    energised(play)
    assert started(play)[0].reservation == f"{LINK}/1"


def test_who_does_not_plug_in_keeps_the_reservation() -> None:
    play = reserved()
    assert tap(play, A)
    play.wait(61).skip()
    assert (play.state(), connectors(play)) == (SessionState.FREE, ["Reserved"])
    assert not tap(play, B)
    assert tap(play, A)


def test_it_ends_when_its_time_is_over() -> None:
    play = reserved(after_s=100.0)
    play.wait(99)
    assert connectors(play) == ["Reserved"]
    play.wait(2)
    assert play << forgotten("reservation") << sent_message(ReservationEnded, reservation=f"{LINK}/1", expired=True)
    assert connectors(play) == ["Available"]
    assert tap(play, B)


def test_of_several_each_ends_at_its_own_time() -> None:
    play = reserved(reserved(Playbook(evses=2), number=1, evse=1, after_s=200.0), number=2, evse=2, after_s=100.0)
    play.wait(150).skip()
    assert connectors(play) == ["Reserved", "Available"]
    play.wait(100).skip()
    assert connectors(play) == ["Available", "Available"]


def test_time_over_while_its_driver_fetches_the_cable() -> None:
    """The card was good in time: the right stays, but there is no reservation left to name."""
    play = reserved(after_s=30.0)
    assert tap(play, A)
    play.wait(31).skip()
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    energised(play)
    assert started(play)[0].reservation == ""


# --- what is answered ----------------------------------------------------------------------------------------------


def test_faulted_occupied_unavailable() -> None:
    play = Playbook()
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    assert answer(play, reserving()) == "Faulted"
    play.feed(FaultCleared(1, Fault.GROUND_FAILURE))
    assert answer(play, ChangeAvailabilityRequest(1, False)) == "Accepted"
    assert answer(play, reserving()) == "Unavailable"
    assert answer(play, ChangeAvailabilityRequest(1, True)) == "Accepted"
    play.feed(CablePlugged(1))
    assert answer(play, reserving()) == "Occupied"
    assert answer(charging(Playbook()), reserving()) == "Occupied"
    assert answer(reserved(), reserving(2, token=B)) == "Occupied"
    waiting = Playbook()
    assert tap(waiting, B)
    assert answer(waiting, reserving()) == "Occupied"
    assert not any(p.store.get("reservation") for p in (play, waiting))


@pytest.mark.parametrize(
    "ask", [reserving(evse=7), reserving(after_s=-1.0), reserving(after_s=0.0), reserving(evse=0, connector="cCCS2")]
)
def test_rejected(ask: ReserveNowRequest) -> None:
    assert answer(Playbook(), ask) == "Rejected"


def test_rejected_when_switched_off_or_without_time() -> None:
    play = Playbook()
    assert answer(play, SetVariablesRequest({"reservation_enabled": "false"})) == "Accepted"
    assert answer(play, reserving()) == "Rejected"
    assert answer(Playbook(settings={"reserve_any": False}), reserving(evse=0)) == "Rejected"
    play = Playbook()
    play.trusted = False
    assert answer(play, reserving()) == "Rejected"


def test_an_outlet_that_no_one_has_seen_yet() -> None:
    play = Playbook(cold=True)
    play.feed(LinkChanged(LINK, True))
    assert answer(play.skip(), reserving()) == "Unavailable"


def test_the_same_number_replaces() -> None:
    play = reserved(Playbook(evses=2), evse=1)
    assert answer(play, reserving(1, 2, B, after_s=500.0)) == "Accepted"
    assert connectors(play) == ["Available", "Reserved"]
    assert not tap(play, A, 2)
    assert tap(play, B, 2)
    assert ends(play) == []


def test_on_the_same_outlet_too() -> None:
    play = reserved(after_s=100.0)
    assert answer(play, reserving(after_s=1000.0)) == "Accepted"
    play.wait(200)
    assert connectors(play) == ["Reserved"]


def test_a_replacement_that_is_not_possible_leaves_the_old_one() -> None:
    play = charging(reserved(Playbook(evses=2), evse=1), B, 2)
    assert answer(play, reserving(1, 2)) == "Occupied"
    assert connectors(play) == ["Reserved", "Occupied"]


def test_cancelled() -> None:
    play = reserved()
    assert answer(play, CancelReservationRequest(2)) == "Rejected"
    assert connectors(play) == ["Reserved"]
    assert answer(play, CancelReservationRequest(1)) == "Accepted"
    assert (connectors(play), play.store["reservation"], ends(play)) == (["Available"], {}, [])
    assert tap(play, B)


def test_numbers_of_two_backends_are_two_reservations() -> None:
    play = reserved(Playbook(evses=2, links=(LINK, "owner")), evse=1)
    assert answer(play, reserving(1, 2, B), "owner") == "Accepted"
    assert connectors(play) == ["Reserved", "Reserved"]
    assert answer(play, CancelReservationRequest(1), "owner") == "Accepted"
    assert connectors(play) == ["Reserved", "Available"]


# --- the group -----------------------------------------------------------------------------------------------------


def test_a_card_of_the_group_is_asked_about_and_uses_it() -> None:
    play = reserved(group="family")
    play >> CardPresented(1, B) << AuthorizeToken(LINK, "token:1", B, 1)
    play.feed(TokenAuthorized("token:1", B, FAMILY))
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    energised(play)
    assert started(play)[0].reservation == f"{LINK}/1"


@pytest.mark.parametrize("verdict", [OK, Verdict(AuthorizationStatus.ACCEPTED, "OTHERS")])
def test_a_card_of_no_group_is_turned_away_after_the_question(verdict: Verdict) -> None:
    play = reserved(group="FAMILY")
    assert not tap(play, B, verdict=verdict)
    assert play.screens[1].detail == "reserved"


def test_the_group_may_be_known_from_the_list() -> None:
    play = Playbook(online=False)
    entries = ((B.value, FAMILY), (C.value, OK))
    assert answer(play, SendLocalListRequest(1, True, entries)) == "Accepted"
    reserved(play, group="FAMILY")
    assert not tap(play, C)
    assert tap(play, B)


def test_a_remote_start_by_a_card_of_the_group() -> None:
    """Whether it is of the group has to be asked, whatever is configured."""
    play = reserved(group="FAMILY")
    (
        play
        >> RequestReceived(LINK, "1", RemoteStartRequest(1, B))
        << Response(LINK, "1", "Accepted")
        << AuthorizeToken(LINK, "token:1", B, 1)
    )
    play.feed(TokenAuthorized("token:1", B, FAMILY))
    assert play.skip().state() is SessionState.AUTHORIZED
    play = reserved(group="FAMILY")
    assert answer(play, RemoteStartRequest(1, B, group="FAMILY")) == "Accepted"  # 2.x says it in the request
    assert play.state() is SessionState.AUTHORIZED
    assert answer(reserved(group="FAMILY"), RemoteStartRequest(1, B, group="OTHERS")) == "Rejected"


def test_remote_starts() -> None:
    play = reserved()
    assert answer(play, RemoteStartRequest(1, B)) == "Rejected"
    assert answer(play, RemoteStartRequest(1, A)) == "Accepted"
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    energised(play)
    assert started(play)[0].reservation == f"{LINK}/1"


def test_a_remote_start_without_an_outlet_takes_the_reserved_one() -> None:
    play = reserved(Playbook(evses=3), evse=2)
    assert answer(play, RemoteStartRequest(None, A)) == "Accepted"
    assert play.state(2) is SessionState.AUTHORIZED
    assert answer(play, RemoteStartRequest(None, B)) == "Accepted"
    assert play.state(2) is SessionState.AUTHORIZED
    assert play.evse(2).authorization is not None
    assert play.evse(2).authorization.token == A


# --- any outlet ----------------------------------------------------------------------------------------------------


def test_the_last_free_outlet_is_kept() -> None:
    play = reserved(Playbook(evses=2), evse=0)
    assert connectors(play) == ["Available", "Available"]
    charging(play, B, 1)
    assert connectors(play) == ["Occupied", "Reserved"]
    assert not tap(play, C, 2)
    assert tap(play, A, 2)
    for event in (CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    energised(play, 2)
    assert [s.reservation for s in started(play)] == ["", f"{LINK}/1"]
    assert play.store["reservation"] == {}


def test_the_last_one_with_a_cable_in_it_is_kept_too() -> None:
    play = charging(reserved(Playbook(evses=2), evse=0), B, 1)
    for event in (CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    assert not tap(play.skip(), C, 2)
    assert tap(play, A, 2)


def test_as_many_as_outlets() -> None:
    play = reserved(reserved(Playbook(evses=2), number=1, evse=0), number=2, evse=0, token=B)
    assert connectors(play) == ["Reserved", "Reserved"]
    assert answer(play, reserving(3, 0, C)) == "Occupied"
    assert not tap(play, C, 1)
    assert tap(play, A, 2)
    assert connectors(play) == ["Reserved", "Reserved"]
    assert tap(play, B, 1)


def test_whose_driver_is_here_takes_nothing_from_the_next() -> None:
    play = reserved(Playbook(evses=2), evse=0)
    assert tap(play, A, 1)  # uses the first one; the second outlet is still to be had
    assert answer(play, reserving(2, 0, B)) == "Accepted"


def test_of_one_outlet_and_of_any() -> None:
    play = reserved(reserved(Playbook(evses=2), number=1, evse=1), number=2, evse=0, token=B)
    assert connectors(play) == ["Reserved", "Reserved"]
    assert not tap(play, A, 2)
    assert not tap(play, B, 1)
    assert answer(play, reserving(3, 2, C)) == "Occupied"


def test_what_is_answered_when_none_is_free() -> None:
    play = Playbook(evses=2)
    for n in (1, 2):
        play.feed(FaultRaised(n, Fault.GROUND_FAILURE))
    assert answer(play, reserving(evse=0)) == "Faulted"
    for n in (1, 2):
        play.feed(FaultCleared(n, Fault.GROUND_FAILURE))
    assert answer(play, ChangeAvailabilityRequest(0, False)) == "Accepted"
    assert answer(play, reserving(evse=0)) == "Unavailable"
    assert answer(play, ChangeAvailabilityRequest(0, True)) == "Accepted"
    charging(charging(play, B, 1), C, 2)
    assert answer(play, reserving(evse=0)) == "Occupied"
    assert answer(reserved(), reserving(2, 0, B)) == "Occupied"


def test_of_a_connector_type() -> None:
    play = Playbook(cold=True, evses=2)
    play.feed(BoardOpened(1, EMPTY, EvseTraits()))
    play.feed(BoardOpened(2, EMPTY, EvseTraits(tethered=True)))
    play.feed(LinkChanged(LINK, True))
    assert [e.connector_type for e in play.site.evses.values()] == ["sType2", "cType2"]
    assert answer(play.skip(), reserving(1, 0, A, connector="cType2")) == "Accepted"
    assert connectors(play) == ["Available", "Reserved"]
    assert answer(play, reserving(2, 0, B, connector="cType2")) == "Occupied"
    assert answer(play, reserving(2, 1, B, connector="cType2")) == "Rejected"
    assert answer(play, reserving(2, 0, B)) == "Accepted"
    assert connectors(play) == ["Reserved", "Reserved"]
    assert not tap(play, B, 2)  # it would take what the other one cannot do without
    assert tap(play, B, 1)
    assert tap(play, A, 2)


@pytest.mark.parametrize(
    ("have", "want", "count"),
    [("", "", 0), ("st", "", 0), ("s", "t", 0), ("st", "tt", 1), ("st", "t*", 2), ("tt", "t*", 2), ("t", "t*", 1)],
)
def test_how_many_wishes_can_be_served(have: str, want: str, count: int) -> None:
    assert count_served_wishes(list(have), [w.replace("*", "") for w in want]) == count


# --- one reader for the whole station ------------------------------------------------------------------------------


def test_the_station_s_reader_knows_the_reserved_outlet() -> None:
    play = reserved(Playbook(evses=2), evse=2)
    assert tap(play, A, 0)
    assert play.state(2) is SessionState.AUTHORIZED
    assert play.evse(2).authorization is not None
    assert not play.evse(2).authorization.movable_by_cable


def test_a_button_after_the_badge_moves_the_right_from_the_reserved_outlet() -> None:
    """Its driver has found a car in that bay. A cable alone moves nothing: it is perhaps another driver's."""
    play = reserved(Playbook(evses=2), evse=1)
    assert tap(play, A, 0)
    (play.skip() >> (CablePlugged(2), VehicleConnected(2))).skip()
    assert (play.state(1), play.state(2)) == (SessionState.AUTHORIZED, SessionState.OCCUPIED)
    play.feed(ButtonPressed("outlet-2"))
    assert play.state(2) is SessionState.OCCUPIED, "its own driver may have pressed it"
    play.skip().feed(CardPresented(0, A))
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.BEGINNING)


@pytest.mark.parametrize("plugged", [True, False])
def test_the_driver_of_a_reservation_may_name_another_outlet_at_the_station_s_reader(plugged: bool) -> None:
    """A car may stand in the bay of the reserved one."""
    play = reserved(Playbook(evses=2), evse=1)
    for event in (CablePlugged(2), VehicleConnected(2)) if plugged else ():
        play.feed(event)
    play.feed(ButtonPressed("outlet-2"))
    assert tap(play.skip(), A, 0)
    assert play.state(2) is (SessionState.BEGINNING if plugged else SessionState.AUTHORIZED)
    assert connectors(play)[0] == "Reserved"


def test_the_driver_of_a_reservation_who_names_the_outlet_of_another_begins_nowhere() -> None:
    play = reserved(reserved(Playbook(evses=2), evse=1), number=2, evse=2, token=B)
    play.feed(ButtonPressed("outlet-2"))
    assert not tap(play.skip(), A, 0)
    assert play.screens[2].detail == "reserved"


def test_a_stranger_at_the_station_s_reader_gets_the_other_one() -> None:
    play = reserved(Playbook(evses=2), evse=1)
    assert tap(play, B, 0)
    assert play.state(2) is SessionState.AUTHORIZED


def test_a_right_that_may_move_does_not_move_to_what_is_kept() -> None:
    play = reserved(Playbook(evses=3), evse=2)
    assert tap(play, B, 0)
    for event in (CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    assert play.skip().state(1) is SessionState.AUTHORIZED
    for event in (CablePlugged(3), VehicleConnected(3)):
        play.feed(event)
    assert play.skip().state(3) is SessionState.BEGINNING


def test_a_right_that_may_move_leaves_what_it_had() -> None:
    """One of two is wanted by another driver: the one who waits at the first may still plug in at the second."""
    play = reserved(Playbook(evses=2), evse=0)
    assert tap(play, B, 0)
    assert connectors(play) == ["Available", "Reserved"]
    for event in (CablePlugged(2), VehicleConnected(2)):
        play.feed(event)
    assert play.skip().state(2) is SessionState.BEGINNING
    assert connectors(play) == ["Reserved", "Occupied"]


def test_any_card_of_the_group_at_the_station_s_reader() -> None:
    play = reserved(Playbook(), group="FAMILY")
    assert tap(play, B, 0, FAMILY)


def test_free_vending_does_not_take_what_is_kept() -> None:
    play = reserved(Playbook(free_vending=True))
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    assert play.skip().state() is SessionState.OCCUPIED
    play.feed(VehicleLeft(1))
    assert answer(play, CancelReservationRequest(1)) == "Accepted"
    play.feed(VehicleConnected(1))
    assert play.state() is SessionState.BEGINNING


# --- trouble -------------------------------------------------------------------------------------------------------


def test_a_reserved_outlet_that_breaks() -> None:
    play = reserved()
    assert (
        play
        >> FaultRaised(1, Fault.GROUND_FAILURE)
        << forgotten("reservation")
        << sent_message(ReservationEnded, reservation=f"{LINK}/1", expired=False)
    )
    play.feed(FaultCleared(1, Fault.GROUND_FAILURE))
    assert connectors(play) == ["Available"]


def test_what_may_pass_in_seconds_ends_nothing() -> None:
    play = reserved()
    play.feed(FaultRaised(1, Fault.BOARD_SILENT))
    assert connectors(play) == ["Faulted"]
    play.feed(FaultCleared(1, Fault.BOARD_SILENT))
    assert connectors(play) == ["Reserved"]


@pytest.mark.parametrize("evse", [0, 1])
def test_a_reserved_outlet_that_is_closed(evse: int) -> None:
    play = reserved()
    assert answer(play, ChangeAvailabilityRequest(evse, False)) == "Accepted"
    assert ends(play) == [(f"{LINK}/1", False)]
    assert answer(play, ChangeAvailabilityRequest(evse, True)) == "Accepted"
    assert connectors(play) == ["Available"]


def test_it_survives_a_restart_and_ends_at_its_time() -> None:
    play = reserved(after_s=300.0, group="FAMILY")
    before = dict(play.site.reservations)
    play.restart(100.0, state=EMPTY).skip()
    assert (dict(play.site.reservations), connectors(play)) == (before, ["Reserved"])
    play.wait(150)
    assert connectors(play) == ["Reserved"]
    play.wait(60).skip()
    assert connectors(play) == ["Available"]
    assert ends(play)[-1] == (f"{LINK}/1", True)


def test_its_time_is_over_while_the_agent_is_away() -> None:
    play = reserved(after_s=50.0)
    play.restart(100.0, state=EMPTY).skip()
    assert connectors(play) == ["Available"]
    assert play.store["reservation"] == {}


def test_after_a_power_cut_without_known_time() -> None:
    """It cannot last longer from the boot on than it had when it was made; with the time it ends when it should."""
    play = reserved(after_s=300.0)
    play.trusted = False
    play.restart(new_boot=True, state=EMPTY, online=False).skip()
    assert connectors(play) == ["Reserved"]
    play.wait(260).skip()  # 290 s after the boot
    assert connectors(play) == ["Reserved"]
    play.wait(15).skip()
    assert connectors(play) == ["Available"]


@pytest.mark.parametrize(("early_s", "status"), [(0.0, "Reserved"), (400.0, "Available")])
def test_the_time_becomes_known_or_is_corrected(early_s: float, status: str) -> None:
    play = reserved(after_s=300.0)
    play.t_s += early_s  # the clock was that much behind
    play.feed(ClockTrusted())
    assert connectors(play.skip()) == [status]
    play.wait(301 - early_s if early_s < 300 else 0).skip()
    assert connectors(play) == ["Available"]


def test_a_damaged_record_is_dropped() -> None:
    play = reserved()
    play.store["reservation"][f"{LINK}/2"] = {"evse": "one"}
    play.restart(state=EMPTY).skip()
    assert play.site.reservations.keys() == {f"{LINK}/1"} == play.store["reservation"].keys()


def test_off_line_the_card_on_the_list_uses_it() -> None:
    play = reserved()
    assert answer(play, SendLocalListRequest(1, True, ((A.value, OK), (B.value, OK)))) == "Accepted"
    play.feed(LinkChanged(LINK, False))
    assert not tap(play, B)
    assert tap(play, A)
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    energised(play)
    assert (started(play)[0].reservation, started(play)[0].offline) == (f"{LINK}/1", True)


def test_a_running_session_keeps_its_number_over_a_restart() -> None:
    play = reserved()
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    assert tap(play.skip(), A)
    energised(play)
    play.restart().skip()
    assert play.session().reservation == f"{LINK}/1"

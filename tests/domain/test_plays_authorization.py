"""Life time and room of the cache, stations that request no authorization, and the master pass."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.authorization_cache import CACHE_MAX
from agent.domain.blocks.outlet_selection import CHOICE_S
from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorOpened,
    Event,
    LinkChanged,
    MeterRead,
    RequestReceived,
    StopWanted,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, LogNote, Order, Persist, Response
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import CancelReservationRequest, RemoteStartRequest, ReserveNowRequest, SendLocalListRequest
from agent.model.types import FREE_TOKEN, AuthorizationStatus, Screen, ScreenName, Token, TokenType, Verdict
from tests.domain.playbook import (
    ACCEPTED,
    CARD_A,
    CARD_B,
    EMPTY,
    LINK,
    REFUSED,
    UTC0_S,
    A,
    B,
    Playbook,
    charging,
    kept,
    wh,
)
from tests.support.reading_purposes import transaction_reading

MASTER = Token("04FFFFFF")
OF_MASTERS = Verdict(AuthorizationStatus.ACCEPTED, "MASTERS")


def asks(play: Playbook, event: Event) -> bool:
    """Is the backend asked because of this?"""
    orders = play.feed(event)
    play.skip()
    return any(isinstance(o, AuthorizeToken) for o in orders)


def screen(play: Playbook, number: int = 1) -> Screen:
    return play.screens[number]


def cached(utc_s: float | None = UTC0_S, status: str = "Accepted", **more: Any) -> dict[str, dict[str, Any]]:
    return {"cache": {CARD_A: {"$": "Verdict", "status": status, "used_utc_s": utc_s, **more}}}


# --- the life of an entry --------------------------------------------------------------------------------------------

ALIVE = {"local_pre_authorize": True, "auth_cache_lifetime_s": 100}


@pytest.mark.parametrize(
    ("used_s", "more", "known"),
    [
        (UTC0_S - 99, {}, True),
        (UTC0_S - 101, {}, False),
        (UTC0_S - 99, {"expires_utc_s": UTC0_S - 1}, False),  # the backend may be stricter
        (UTC0_S - 101, {"expires_utc_s": UTC0_S + 999}, False),
        (None, {}, False),  # the time was unknown when it was used
    ],
)
def test_an_entry_lives_so_long_after_its_last_use(used_s: float | None, more: dict[str, Any], known: bool) -> None:
    play = Playbook(settings=ALIVE, store=cached(used_s, **more))
    assert asks(play, CardPresented(1, A)) is not known


def test_every_use_renews_it() -> None:
    play = Playbook(settings=ALIVE, store=cached(UTC0_S - 60))
    assert play >> CardPresented(1, A) << kept("cache", CARD_A, used_utc_s=UTC0_S)
    play.wait(60).wait(20)
    assert play.state() is SessionState.FREE
    assert not asks(play, CardPresented(1, A))


def test_without_a_life_time_no_use_is_written() -> None:
    play = Playbook(settings={"local_pre_authorize": True}, store=cached(UTC0_S - 10**9))
    assert play >> CardPresented(1, A)


@pytest.mark.parametrize("unknown_may", [True, False])
def test_off_line_an_entry_that_is_too_old_is_as_good_as_none(unknown_may: bool) -> None:
    settings = {**ALIVE, "offline_tx_for_unknown_id": unknown_may}
    play = Playbook(settings=settings, store=cached(UTC0_S - 101), online=False)
    assert play >> CardPresented(1, A)
    assert play.state() is (SessionState.AUTHORIZED if unknown_may else SessionState.FREE)


def test_an_entry_that_is_too_old_is_asked_about_whatever_settles() -> None:
    assert asks(Playbook(settings={**ALIVE, "cache_settles": True}, store=cached(UTC0_S - 101)), CardPresented(1, A))


def test_an_answer_renews_it_too() -> None:
    play = Playbook(settings=ALIVE, store=cached(UTC0_S - 101)) >> CardPresented(1, A) << AuthorizeToken
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache", CARD_A, used_utc_s=UTC0_S)


def test_room_is_made_by_the_bad_ones_first() -> None:
    full = {f"{n:08}": {"$": "Verdict", "status": "Blocked" if n == 7 else "Accepted"} for n in range(CACHE_MAX)}
    play = Playbook(store={"cache": full}) >> CardPresented(1, A) << AuthorizeToken
    assert (
        play
        >> TokenAuthorized("token:1", A, REFUSED)
        << Persist("cache", "00000007", None)
        << kept("cache", CARD_A, status="Invalid")
    )


# --- whether the backend is asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settles", [True, False])
def test_a_card_cached_as_bad_is_not_asked_about_again(settles: bool) -> None:
    play = Playbook(settings={"cache_settles": settles}, store=cached(status="Blocked"))
    assert asks(play, CardPresented(1, A)) is not settles


@pytest.mark.parametrize(("store", "state"), [(cached(), SessionState.AUTHORIZED), ({}, SessionState.FREE)])
def test_a_station_that_asks_no_one(store: dict[str, Any], state: SessionState) -> None:
    """What is known decides, also without LocalPreAuthorize; what is not known is refused."""
    play = Playbook(settings={"local_authorization_only": True}, store=store)
    assert not asks(play, CardPresented(1, A))
    assert play.state() is state


# --- the master pass -------------------------------------------------------------------------------------------------


def mastered(evses: int = 2, **settings: Any) -> Playbook:
    return Playbook(settings={"master_group": "MASTERS", **settings}, evses=evses)


def present(play: Playbook, evse: int = 1, token: Token = MASTER, verdict: Verdict = OF_MASTERS) -> list[Order]:
    orders = play.feed(CardPresented(evse, token))
    (asked,) = [o for o in orders if isinstance(o, AuthorizeToken)]
    orders = play.feed(TokenAuthorized(asked.request, token, verdict))
    play.skip()
    return orders


def test_it_starts_nothing() -> None:
    play = mastered()
    present(play)
    assert play.state() is SessionState.FREE
    assert (screen(play).name, screen(play).detail) == (ScreenName.REFUSED, "master")


@pytest.mark.parametrize("at", [1, 3])
def test_it_stops_every_transaction(at: int) -> None:
    play = charging(charging(mastered(3), A, 1), B, 2)
    present(play, at)
    assert [play.state(n) for n in (1, 2, 3)] == [SessionState.ENDING, SessionState.ENDING, SessionState.FREE]
    for n in (1, 2):
        stop = play.session(n).stop
        assert stop is not None
        assert (stop.reason, stop.token) == (StopReason.MASTER_PASS, MASTER)


ASKING = ButtonsKnown(("outlet-1", "outlet-2", "outlet-3"))


def asked_which(display: bool = True, buttons: bool = True) -> Playbook:
    """Two of three outlets charge, and the master pass was held up."""
    play = Playbook(settings={"master_group": "MASTERS"}, evses=3, has_display=display)
    if buttons:
        play.feed(ASKING)
    play = charging(charging(play, A, 1), B, 2)
    present(play, 3)
    return play


def states(play: Playbook) -> list[SessionState]:
    return [play.state(n) for n in (1, 2)]


ENDING, ACTIVE = SessionState.ENDING, SessionState.ACTIVE


@pytest.mark.parametrize(("number", "after"), [(1, [ENDING, ACTIVE]), (2, [ACTIVE, ENDING])])
def test_with_buttons_and_a_screen_its_holder_chooses_what_it_stops(number: int, after: list[SessionState]) -> None:
    """C16.FR.01."""
    play = asked_which()
    assert states(play) == [ACTIVE, ACTIVE]
    assert {n for n, s in play.screens.items() if s.name is ScreenName.CHOOSE_OUTLET} == {1, 2}
    assert play.screens[1].detail == "stop_which"
    play.feed(ButtonPressed("outlet-3"))
    assert states(play) == [ACTIVE, ACTIVE], "nothing charges there"
    play.feed(ButtonPressed(f"outlet-{number}"))
    assert states(play) == after
    assert not [s for s in play.screens.values() if s.name is ScreenName.CHOOSE_OUTLET]
    stop = play.session(number).stop
    assert stop is not None
    assert (stop.reason, stop.token) == (StopReason.MASTER_PASS, MASTER)


def test_the_same_master_pass_once_more_stops_all_of_them() -> None:
    play = asked_which()
    play.feed(CardPresented(0, MASTER))
    assert states(play) == [ENDING, ENDING]
    assert not [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]


def test_a_holder_who_does_not_answer_stops_nothing() -> None:
    play = asked_which().wait(CHOICE_S + 1)
    assert states(play) == [ACTIVE, ACTIVE]
    assert not [s for s in play.screens.values() if s.name is ScreenName.CHOOSE_OUTLET]
    present(play.skip(), 3)
    play.feed(CardPresented(3, MASTER))
    assert states(play) == [ENDING, ENDING]


def test_a_driver_may_stop_by_card_while_the_holder_is_asked() -> None:
    play = asked_which()
    play.feed(CardPresented(1, A))
    assert states(play) == [ENDING, ACTIVE]
    play.feed(CardPresented(3, MASTER))
    assert states(play) == [ENDING, ENDING]


@pytest.mark.parametrize(("display", "buttons"), [(False, True), (True, False)])
def test_where_nothing_can_be_chosen_it_stops_all(display: bool, buttons: bool) -> None:
    """C16.FR.02."""
    assert states(asked_which(display, buttons)) == [ENDING, ENDING]


def test_of_one_transaction_nothing_is_asked() -> None:
    play = Playbook(settings={"master_group": "MASTERS"}, evses=2, has_display=True)
    play.feed(ASKING)
    play = charging(play, A, 1)
    present(play, 2)
    assert play.state(1) is ENDING


def test_off_line_it_stops_them_if_it_is_known() -> None:
    play = mastered()
    present(play)  # learned while on line
    charging(play, B, 2).feed(LinkChanged(LINK, False))
    play.feed(CardPresented(2, MASTER))
    assert play.state(2) is SessionState.ENDING


def test_a_stranger_still_stops_nothing() -> None:
    play = charging(mastered(), A, 1)
    present(play, 1, B, ACCEPTED)
    assert play.state() is SessionState.ACTIVE
    assert screen(play).detail == "wrong_card"


def test_it_ends_a_transaction_without_a_session() -> None:
    """Begun with the cable; no one has the right yet."""
    play = mastered(tx_start_points=("EVConnected",))
    for event in (CablePlugged(1), VehicleConnected(1), MeterRead(1, transaction_reading(1), wh(500))):
        play.feed(event)
    present(play.skip(), 2)
    (end,) = play.ended()
    assert (end.session, end.reason, end.trigger) == ("s1", StopReason.MASTER_PASS, TriggerReason.STOP_AUTHORIZED)


def test_no_remote_start_for_the_master_group() -> None:
    play = mastered()
    assert (
        play
        >> RequestReceived(LINK, "1", RemoteStartRequest(1, MASTER, "7", group="MASTERS"))
        << Response(LINK, "1", "Rejected")
    )


def test_a_remote_start_whose_token_turns_out_to_be_a_master_stops_no_one() -> None:
    play = charging(mastered(authorize_remote_start=True), A, 1)
    play.feed(RequestReceived(LINK, "1", RemoteStartRequest(2, MASTER, "7")))
    (asked,) = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(asked.request, MASTER, OF_MASTERS))
    assert (play.state(1), play.state(2)) == (SessionState.ACTIVE, SessionState.FREE)


def test_a_remote_start_for_no_one_asks_no_one_and_takes_no_reserved_outlet() -> None:
    play = Playbook(settings={"authorize_remote_start": True})
    play.feed(RequestReceived(LINK, "1", ReserveNowRequest(7, 1, A, UTC0_S + 100)))
    play.skip()
    assert play >> RequestReceived(LINK, "2", RemoteStartRequest(1, FREE_TOKEN, "7")) << Response(LINK, "2", "Rejected")
    play.feed(RequestReceived(LINK, "3", CancelReservationRequest(7)))
    play.skip()
    assert play >> RequestReceived(LINK, "4", RemoteStartRequest(1, FREE_TOKEN, "7")) << Response(LINK, "4", "Accepted")
    assert play.state() is SessionState.AUTHORIZED


# --- tokens that are good at some outlets only -----------------------------------------------------------------------

ONLY_2 = Verdict(AuthorizationStatus.ACCEPTED, evses=(2,))


def test_a_token_that_is_good_elsewhere_only() -> None:
    play = Playbook(evses=2)
    present(play, 1, A, ONLY_2)
    assert (play.state(1), screen(play).detail) == (SessionState.FREE, "unavailable")
    play.restart(state=EMPTY).skip().feed(CardPresented(2, A))  # the cache has kept it
    play.feed(TokenAuthorized("token:1", A, None))
    assert play.state(2) is SessionState.AUTHORIZED


def test_at_a_reader_for_all_the_outlet_where_it_is_good_is_taken() -> None:
    play = Playbook(evses=3)
    present(play, 0, A, ONLY_2)
    assert play.state(2) is SessionState.AUTHORIZED
    for event in (CablePlugged(3), VehicleConnected(3)):  # no cable moves the right where it is none
        play.feed(event)
    assert (play.state(2), play.state(3)) == (SessionState.AUTHORIZED, SessionState.OCCUPIED)


def test_a_list_says_where_and_keeps_it() -> None:
    play = Playbook(evses=2, settings={"local_pre_authorize": True})
    play.feed(RequestReceived(LINK, "1", SendLocalListRequest(3, True, ((A.value, ONLY_2),))))
    play.skip().restart(state=EMPTY).skip().feed(CardPresented(1, A))
    assert screen(play).detail == "unavailable"
    play.skip().feed(CardPresented(2, A))
    assert play.state(2) is SessionState.AUTHORIZED


# --- card after card -------------------------------------------------------------------------------------------------


def refused(play: Playbook, n: int, reader: int = 1, every_s: float = 1) -> Playbook:
    """That many unknown cards, one after the other."""
    for _ in range(n):
        card = Token(f"DEAD{len(play.log)}")
        assert asks(play.wait(every_s).skip(), CardPresented(reader, card))
        [*_, asked] = [o for o in play.log if isinstance(o, AuthorizeToken)]
        play.feed(TokenAuthorized(asked.request, card, REFUSED))
        play.skip()
    return play


def test_after_so_many_bad_cards_within_a_minute_the_next_one_waits() -> None:
    play = refused(Playbook(), 10)
    assert not asks(play, CardPresented(1, B))
    assert (screen(play).name, screen(play).detail) == (ScreenName.REFUSED, "patience")
    play.wait(50).skip()
    assert not asks(play, CardPresented(1, B)), "who goes on trying gains nothing"
    play.wait(1.1).skip()
    assert asks(play, CardPresented(1, B)), "the first of them is more than a minute ago"


def test_so_many_a_minute_and_no_more() -> None:
    play, asked = Playbook(), 0
    for n in range(600):  # ten minutes of a card each second
        card = Token(f"DEAD{n}")
        if asks(play.wait(1).skip(), CardPresented(1, card)):
            asked += 1
            [*_, order] = [o for o in play.log if isinstance(o, AuthorizeToken)]
            play.feed(TokenAuthorized(order.request, card, REFUSED))
            play.skip()
    assert asked == 100
    assert len([o for o in play.log if isinstance(o, LogNote)]) == 1


def test_who_is_known_and_who_is_here_are_not_held_up() -> None:
    play = refused(Playbook(store=cached()), 10)
    assert asks(play, CardPresented(1, A)), "in the cache as good"
    play = charging(Playbook()).skip()
    for n in range(10):
        play.wait(1).skip().feed(CardPresented(1, Token(f"DEAD{n}")))
        assert screen(play.skip()).detail == "wrong_card"
    play.feed(CardPresented(1, B))
    assert screen(play.skip()).detail == "patience"
    play.feed(CardPresented(1, A))
    assert play.skip().state() is SessionState.ENDING


def test_what_is_no_fault_of_the_card_is_not_counted() -> None:
    play = Playbook().skip() >> LinkChanged(LINK, False)
    for n in range(20):
        play.feed(CardPresented(1, Token(f"DEAD{n}")))
        assert screen(play.skip()).detail == "offline"
    assert asks(play.skip() >> LinkChanged(LINK, True), CardPresented(1, B))


def test_each_reader_by_itself_and_one_for_all_outlets_as_one() -> None:
    play = refused(Playbook(evses=2), 10)
    assert asks(play, CardPresented(2, B))
    play = refused(Playbook(evses=2), 10, reader=0)
    assert not asks(play, CardPresented(2, B)), "its driver had to choose an outlet"
    play.feed(RequestReceived(LINK, "r", RemoteStartRequest(2, B)))
    assert play.skip().state(2) is SessionState.AUTHORIZED, "a start from afar"


def test_without_a_limit() -> None:
    assert asks(refused(Playbook(settings={"refused_cards_per_min": 0}), 50, every_s=0.1), CardPresented(1, B))


def test_a_malformed_answer_refuses_the_card_and_is_not_remembered() -> None:
    """It was "off line": with AllowOfflineTxForUnknownId the car charged."""
    play = Playbook(settings={"offline_tx_for_unknown_id": True})
    assert asks(play, CardPresented(1, A))
    orders = play.feed(TokenAuthorized("token:1", A, REFUSED, remembered=False))
    assert not [o for o in orders if isinstance(o, Persist) and o.kind == "cache"]
    assert screen(play).name is ScreenName.REFUSED
    assert play.state() is SessionState.FREE
    play.skip()
    assert asks(play, CardPresented(1, A))


# --- what the backend says of a card when it hears of its session ----------------------------------------------------

BLOCKED = Verdict(AuthorizationStatus.BLOCKED)


def charged_off_line(play: Playbook, token: Token = A) -> Playbook:
    """A session that has begun and ended off line. The link is up again, and the queue is on its way."""
    play.feed(LinkChanged(LINK, False))
    charging(play.skip(), token)
    for event in (StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED), ContactorOpened(1)):
        play.feed(event)
    for event in (MeterRead(1, end_reading(1), wh(2000)), VehicleLeft(1), CableRemoved(1), LinkChanged(LINK, True)):
        play.feed(event)
    assert (play.state(), len(play.ended())) == (SessionState.FREE, 1)
    return play.skip()


def is_taken_off_line(play: Playbook, token: Token) -> bool:
    play.feed(LinkChanged(LINK, False))
    play.skip().feed(CardPresented(1, token))
    return play.skip().evse().authorization is not None


@pytest.mark.parametrize("known", [True, False], ids=["known before", "unknown"])
def test_a_refusal_counts_after_the_session_has_ended(known: bool) -> None:
    settings = {"local_authorize_offline": True, "offline_tx_for_unknown_id": not known}
    play = charged_off_line(Playbook(settings=settings, store=cached() if known else None))
    play >> TransactionAcknowledged(LINK, "s1", "42", BLOCKED, A) << kept("cache", CARD_A, status="Blocked")
    assert not is_taken_off_line(play, A)


def test_a_refusal_of_the_card_that_has_stopped_is_one_of_that_card() -> None:
    """The answer to the end names the card that is in the end."""
    play = charged_off_line(Playbook(settings={"offline_tx_for_unknown_id": True}))
    play >> TransactionAcknowledged(LINK, "s1", "42", BLOCKED, B) << kept("cache", CARD_B, status="Blocked")
    assert not is_taken_off_line(play, B)
    assert is_taken_off_line(play, A)


@pytest.mark.parametrize("token", [FREE_TOKEN, Token("PAY-1", TokenType.DIRECT_PAYMENT)])
def test_what_is_not_presented_again_takes_no_place(token: Token) -> None:
    play = charged_off_line(Playbook(settings={"offline_tx_for_unknown_id": True}))
    assert play >> TransactionAcknowledged(LINK, "s1", "42", BLOCKED, token)


def test_a_backend_that_only_observes_says_nothing_of_a_card() -> None:
    play = charged_off_line(Playbook(settings={"offline_tx_for_unknown_id": True}))
    assert play >> TransactionAcknowledged("observer", "s1", "42", BLOCKED, A)


def test_a_refusal_of_another_card_does_not_end_what_runs() -> None:
    """The card that has stopped a session whose transaction goes on, until the next driver charges in it."""
    play = charging(Playbook())
    assert play >> TransactionAcknowledged(LINK, "s1", "42", BLOCKED, B) << kept("cache", CARD_B, status="Blocked")
    assert play.state() is SessionState.ACTIVE

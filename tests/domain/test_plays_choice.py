"""One reader for several outlets: which one is meant."""

from __future__ import annotations

import pytest

from agent.domain.blocks.outlet_selection import CHOICE_S
from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    CableRemoved,
    CardPresented,
    FaultCleared,
    FaultRaised,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.orders import AuthorizeToken, Feedback, ReadMeter
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import RemoteStartRequest
from agent.domain.session_records import REFUSAL_WH
from agent.model.fastclass import replace
from agent.model.types import Fault, ScreenName, Sign
from tests.domain.playbook import ACCEPTED, CARD_B, LINK, REFUSED, A, B, Playbook, charged, kept, wh

BUTTONS = ButtonsKnown(("language", "outlet-1", "outlet-2", "outlet-9", "outlet-x"))


def two(*, buttons: bool = True, cables: tuple[int, ...] = (1, 2)) -> Playbook:
    play = Playbook(evses=2)
    if buttons:
        play.feed(BUTTONS)
    for number in cables:
        play.wait(1) >> (CablePlugged(number), VehicleConnected(number))
    return play


def waits_at_chosen_outlet(cables: tuple[int, ...]) -> Playbook:
    """A right waits at outlet 2, whose button its driver has pressed before the badge."""
    play = two(cables=cables) >> ButtonPressed("outlet-2") >> CardPresented(0, A)
    play = play << AuthorizeToken(LINK, "token:1", A, 2) >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play.state(2) is SessionState.AUTHORIZED
    return play


def asked(play: Playbook) -> set[int]:
    return {n for n, s in play.screens.items() if s.name is ScreenName.CHOOSE_OUTLET}


@pytest.mark.parametrize("number", [1, 2])
def test_two_cables_wait_and_the_driver_is_asked(number: int) -> None:
    play = two() >> CardPresented(0, A)
    assert play
    assert asked(play) == {1, 2}
    assert not [o for o in play.log if isinstance(o, Feedback) and o.sign is Sign.REFUSED]
    play = play >> ButtonPressed(f"outlet-{number}") << AuthorizeToken(LINK, "token:1", A, number)
    assert play
    assert not asked(play)


def test_the_question_is_no_refusal_and_shows_the_time_that_is_left() -> None:
    play = two() >> CardPresented(0, A)
    shown = []
    for _ in range(int(CHOICE_S)):
        shown.append([play.screens[n].values["remaining_s"] for n in (1, 2)])
        assert asked(play) == {1, 2}
        play.wait(1)
    assert shown == [[left, left] for left in range(int(CHOICE_S), 0, -1)]
    assert not asked(play)


def test_another_card_does_not_take_the_place_of_the_one_that_is_asked_about() -> None:
    """Otherwise the button that the first driver presses starts his car for the second one's money."""
    play = two() >> CardPresented(0, A) >> CardPresented(0, B)
    assert [o for o in play.log if isinstance(o, Feedback) and o.sign is Sign.REFUSED]
    assert asked(play) == {1, 2}
    assert play >> CardPresented(0, A)
    assert asked(play) == {1, 2}
    assert play >> ButtonPressed("outlet-1") << AuthorizeToken(LINK, "token:1", A, 1)
    assert not asked(play)
    assert play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)


def test_no_one_answers_and_the_newest_cable_is_meant() -> None:
    play = two(cables=(2, 1)) >> CardPresented(0, A)
    play.wait(CHOICE_S - 0.1)
    play = play.wait(0.2) << AuthorizeToken(LINK, "token:1", A, 1)
    assert play
    assert not asked(play)


def test_the_other_cable_is_pulled_and_there_is_nothing_to_ask() -> None:
    play = two() >> CardPresented(0, A) >> VehicleLeft(2) << AuthorizeToken(LINK, "token:1", A, 1)
    assert play >> CableRemoved(2)
    assert not asked(play)


def test_a_station_without_such_buttons_asks_no_one() -> None:
    assert two(buttons=False) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 2)


def test_a_button_for_each_of_them_or_none() -> None:
    play = Playbook(evses=3)
    play.feed(BUTTONS)
    for number in (1, 3):
        play.wait(1) >> (CablePlugged(number), VehicleConnected(number))
    assert play >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 3)


def test_a_reader_of_an_outlet_asks_nothing() -> None:
    assert two() >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)


def test_the_button_may_come_before_the_card() -> None:
    play = two() >> ButtonPressed("outlet-1") >> CardPresented(0, A)
    assert play << AuthorizeToken(LINK, "token:1", A, 1)


def test_a_button_of_long_ago_means_nothing() -> None:
    play = two() >> ButtonPressed("outlet-1")
    assert play.wait(CHOICE_S + 1) >> CardPresented(0, A)
    assert asked(play) == {1, 2}


def test_a_free_outlet_can_be_chosen_too() -> None:
    play = two(cables=()) >> ButtonPressed("outlet-2") >> CardPresented(0, A)
    assert play << AuthorizeToken(LINK, "token:1", A, 2)


@pytest.mark.parametrize("cables", [(), (1,)])
def test_a_chosen_free_outlet_is_meant_although_a_car_waits_at_another(cables: tuple[int, ...]) -> None:
    """That car is another driver's, and so is the next one there."""
    play = waits_at_chosen_outlet(cables)
    assert play.state(1) is (SessionState.OCCUPIED if cables else SessionState.FREE)
    if cables:
        assert play >> (VehicleLeft(1), CableRemoved(1))
    assert play >> (CablePlugged(1), VehicleConnected(1))
    assert (play.state(1), play.state(2)) == (SessionState.OCCUPIED, SessionState.AUTHORIZED)
    assert play >> (CablePlugged(2), VehicleConnected(2)) << ReadMeter(2, begin_reading(1), True)


def test_a_chosen_free_outlet_is_meant_although_a_car_comes_to_another_while_the_backend_is_asked() -> None:
    play = two(cables=()) >> ButtonPressed("outlet-2") >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 2)
    play = play >> (CablePlugged(1), VehicleConnected(1)) >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert (play.state(1), play.state(2)) == (SessionState.OCCUPIED, SessionState.AUTHORIZED)


@pytest.mark.parametrize("cables", [(), (1,)])
def test_a_driver_corrects_the_wrong_button(cables: tuple[int, ...]) -> None:
    """The station says "plug in at 2", and the driver sees it."""
    play = waits_at_chosen_outlet(cables).skip() >> ButtonPressed("outlet-1")
    assert play.state(2) is SessionState.AUTHORIZED, "the button of another driver, perhaps"
    play = play >> CardPresented(0, A)
    assert play << ReadMeter(1, begin_reading(1), True) if cables else play
    assert play.state(1) is (SessionState.BEGINNING if cables else SessionState.AUTHORIZED)
    assert play.state(2) is SessionState.FREE


def test_the_button_of_the_next_driver_begins_nothing_on_the_right_that_waits() -> None:
    """A has named outlet 1 and goes for the cable. B, whose car waits at outlet 2, presses its button and holds up a
    badge: each pays for the own car."""
    play = two(cables=(2,)) >> ButtonPressed("outlet-1") >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") >> ButtonPressed("outlet-2")
    assert (play.state(1), play.state(2)) == (SessionState.AUTHORIZED, SessionState.OCCUPIED)
    play = play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)
    play = play >> TokenAuthorized("token:2", B, ACCEPTED) << kept("cache") << ReadMeter(2, begin_reading(1), True)
    play = play >> (CablePlugged(1), VehicleConnected(1)) << ReadMeter(1, begin_reading(1), True)
    assert [play.evse(n).authorization.token for n in (1, 2)] == [A, B]  # type: ignore[union-attr]


def test_the_next_driver_who_names_a_free_outlet_has_it() -> None:
    """A waits for a cable and has named nothing. B names outlet 2, by its button and a badge."""
    play = two(cables=()) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") >> ButtonPressed("outlet-2")
    play = play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)
    play = play >> TokenAuthorized("token:2", B, ACCEPTED) << kept("cache")
    for n in (2, 1):
        play = play >> (CablePlugged(n), VehicleConnected(n)) << ReadMeter(n, begin_reading(1), True)
    assert [play.evse(n).authorization.token for n in (1, 2)] == [A, B]  # type: ignore[union-attr]


def test_a_button_moves_no_right_of_a_reader_of_an_outlet() -> None:
    play = two(cables=(1,)) >> CardPresented(2, A) << AuthorizeToken(LINK, "token:1", A, 2)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") >> ButtonPressed("outlet-1")
    assert (play.state(1), play.state(2)) == (SessionState.OCCUPIED, SessionState.AUTHORIZED)


def test_a_chosen_outlet_that_is_closed_starts_no_car_at_another() -> None:
    play = two(cables=(1,)).skip()
    play.feed(FaultRaised(2, Fault.DOOR_OPEN))
    assert play.skip() >> ButtonPressed("outlet-2") >> CardPresented(0, A)
    assert play.screens[2].name is ScreenName.REFUSED
    assert play.state(1) is SessionState.OCCUPIED


def test_the_button_of_a_driver_who_has_begun_says_nothing_of_the_next_card() -> None:
    play = two() >> ButtonPressed("outlet-2") >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 2)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") << ReadMeter(2, begin_reading(1), True)
    assert play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 1)


def test_a_right_that_waits_moves_to_the_chosen_outlet_and_not_on_with_a_cable() -> None:
    """Its driver has named the outlet now, and a cable or a button of another is perhaps another driver's."""
    play = two(cables=()) >> CardPresented(0, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play = play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play >> ButtonPressed("outlet-2")
    assert (play.state(1), play.state(2)) == (SessionState.AUTHORIZED, SessionState.FREE), "the next driver's, perhaps"
    assert play >> CardPresented(0, A)
    assert (play.state(1), play.state(2)) == (SessionState.FREE, SessionState.AUTHORIZED)
    assert play >> (CablePlugged(1), VehicleConnected(1))
    assert (play.state(1), play.state(2)) == (SessionState.OCCUPIED, SessionState.AUTHORIZED)
    assert play >> ButtonPressed("outlet-1") >> CardPresented(0, A) << ReadMeter(1, begin_reading(1), True)
    assert (play.state(1), play.state(2)) == (SessionState.BEGINNING, SessionState.FREE)


@pytest.mark.parametrize("name", ["outlet-9", "outlet-", "outlet-x", "stop", "outlet-\u00b2"])
def test_other_buttons_choose_nothing(name: str) -> None:
    play = two() >> CardPresented(0, A) >> ButtonPressed(name)
    assert play
    assert asked(play) == {1, 2}


# --- a car that has charged ------------------------------------------------------------------------------------------


def test_the_badge_of_the_next_driver_charges_no_car_that_has_charged() -> None:
    """That driver may tap before plugging in. The button of that car is of its own driver, too."""
    play = charged(Playbook(evses=2)) >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)
    play = play >> TokenAuthorized("token:2", B, ACCEPTED) << kept("cache", CARD_B)
    assert play >> ButtonPressed("outlet-1")
    assert (play.state(1), play.state(2)) == (SessionState.ENDED, SessionState.AUTHORIZED)


def test_a_right_that_waits_moves_to_the_next_car_where_one_has_charged() -> None:
    play = charged(Playbook(evses=2)) >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)
    play = play >> TokenAuthorized("token:2", B, ACCEPTED) << kept("cache", CARD_B)
    play.feed(VehicleLeft(1))
    play.feed(CableRemoved(1))
    assert play.skip() >> (CablePlugged(1), VehicleConnected(1)) << ReadMeter(1, begin_reading(2), True)


@pytest.mark.parametrize("group", ["", "FAMILY"])
def test_the_badge_that_a_car_has_charged_with_charges_it_again(group: str) -> None:
    """So does one of its group, as far as the station knows that."""
    play = Playbook(evses=2, store={"cache": {CARD_B: {"$": "Verdict", "status": "Accepted", "group": group or None}}})
    ended = charged(play).evse(1).last_session
    assert ended is not None
    play.evse(1).last_session = replace(ended, group=group or None)
    token = B if group else A
    assert play >> CardPresented(0, token) << AuthorizeToken(LINK, "token:2", token, 1)


def test_a_car_that_has_charged_is_charged_by_any_badge_where_no_other_outlet_is_open() -> None:
    play = charged(Playbook(evses=2))
    play.feed(FaultRaised(2, Fault.DOOR_OPEN))
    assert play.skip() >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 1)


ENDED_EARLY = [("refused", 0), ("refused", REFUSAL_WH), ("fault", 0)]


def ended_early(play: Playbook, why: str, energy_wh: int) -> Playbook:
    """A session at outlet 1 that the answer to its start or a fault has ended. The vehicle is still plugged in."""
    (play >> (CablePlugged(1), VehicleConnected(1), CardPresented(0, A))).skip()
    play.feed(TokenAuthorized("token:1", A, ACCEPTED))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    if why == "fault":
        play.feed(FaultRaised(1, Fault.DIODE_FAULT))
        play.feed(FaultCleared(1, Fault.DIODE_FAULT))
    else:
        play.feed(TransactionAcknowledged(LINK, play.session(1).id, "1", REFUSED))
    play.feed(MeterRead(1, end_reading(play.evse(1).progress.end_try), wh(1000 + energy_wh)))
    assert play.state(1) is SessionState.ENDED
    return play.skip()


@pytest.mark.parametrize(("why", "energy_wh"), ENDED_EARLY)
def test_the_next_badge_charges_a_car_that_has_had_no_energy(why: str, energy_wh: int) -> None:
    """Its driver holds up another badge. One that the backend refuses late has had a little energy."""
    play = ended_early(Playbook(evses=2), why, energy_wh)
    assert play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 1)


@pytest.mark.parametrize(("why", "energy_wh"), ENDED_EARLY)
def test_a_remote_start_charges_a_car_that_has_had_no_energy(why: str, energy_wh: int) -> None:
    play = ended_early(Playbook(evses=2), why, energy_wh)
    play.feed(RequestReceived(LINK, "r", RemoteStartRequest(None, B, asks=False)))
    assert play.state(1) is SessionState.BEGINNING


@pytest.mark.parametrize(("why", "energy_wh"), [("refused", REFUSAL_WH + 1), ("fault", 1)])
def test_a_car_whose_session_has_ended_early_may_have_charged(why: str, energy_wh: int) -> None:
    """A session that began off line is refused hours later."""
    play = ended_early(Playbook(evses=2), why, energy_wh)
    assert play >> CardPresented(0, B) << AuthorizeToken(LINK, "token:2", B, 2)

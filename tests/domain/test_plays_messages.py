"""Messages of a backend for drivers (OCPP 2.x block O): kept, shown when they are meant to be, and forgotten."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agent.domain.display_messages import MESSAGES_MAX, DisplayMessage, MessagePriority, MessageState
from agent.domain.events import (
    BoardChanged,
    ButtonPressed,
    CardPresented,
    ClockTrusted,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    MeterRead,
    RequestReceived,
    StoreFailed,
    SupplyChanged,
)
from agent.domain.evse import StationState
from agent.domain.orders import Persist, Response, Show
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    BackendRequest,
    ChangeAvailabilityRequest,
    ClearDisplayMessageRequest,
    GetDisplayMessagesRequest,
    SetDisplayMessageRequest,
)
from agent.domain.variables import DISPLAY_MESSAGES
from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, MessageContent, ScreenName, Supply
from tests.domain.playbook import LINK, UTC0_S, A, Playbook, charging, make_site, wh

FRONT, IN_FRONT, CYCLE = MessagePriority.ALWAYS_FRONT, MessagePriority.IN_FRONT, MessagePriority.NORMAL_CYCLE
HELLO = "Bonjour"


def with_display(**options: Any) -> StationState:
    site = make_site(**options)
    site.settings.fitted = frozenset({DISPLAY_MESSAGES})
    return site


def station(evses: int = 1, **settings: Any) -> Playbook:
    return Playbook(lambda: with_display(evses=evses, settings=settings))


def message(number: int = 1, text: str = HELLO, priority: MessagePriority = CYCLE, **more: Any) -> DisplayMessage:
    language = more.pop("language", "")
    return DisplayMessage(number, priority, MessageContent(text, language), **more)


def ask(play: Playbook, request: BackendRequest) -> Response:
    (reply,) = [o for o in play.feed(RequestReceived(LINK, "q", request)) if isinstance(o, Response)]
    play.skip()
    return reply


def put(play: Playbook, *messages: DisplayMessage) -> list[str]:
    return [ask(play, SetDisplayMessageRequest(one)).status for one in messages]


def kept(play: Playbook, **criteria: Any) -> list[int]:
    """The ids that GetDisplayMessages finds."""
    reply = ask(play, GetDisplayMessagesRequest(**criteria))
    found = [one.id for one in reply.data["messages"]]
    assert reply.status == ("Accepted" if found else "Unknown")
    return found


def shown(play: Playbook, evse: int = 1) -> list[str]:
    return str(play.screens[evse].values.get("messages") or "").splitlines()


def now_s(play: Playbook) -> float:
    assert play.now.utc_s is not None
    return play.now.utc_s


# --- set, get, clear (O01, O03 to O06) -------------------------------------------------------------------------------


def test_a_message_is_on_disk_before_it_is_accepted_and_shown() -> None:
    play = station()
    one = message(7)
    play = play >> RequestReceived(LINK, "q", SetDisplayMessageRequest(one))
    play << Persist("display_message", "7", one.to_record()) << Response(LINK, "q", "Accepted")
    assert play
    assert shown(play) == [HELLO]
    assert play.screens[1].values["messages_in_front"] is False


def test_it_outlives_a_restart_with_all_that_belongs_to_it() -> None:
    """O01.FR.10"""
    play = station(evses=2)
    at = now_s(play)
    full = message(
        3, "Moien", IN_FRONT, language="lb", state=MessageState.IDLE, start_utc_s=at - 5, end_utc_s=at + 900, evse=2
    )
    assert put(play, full, message(4, evse=0)) == ["Accepted", "Accepted"]
    play = play.restart(new_boot=True).skip()
    found = ask(play, GetDisplayMessagesRequest()).data["messages"]
    assert found == (full, message(4, evse=0))


def test_a_record_that_cannot_be_read_is_forgotten_and_the_others_stay() -> None:
    play = station()
    put(play, message(1), message(2))
    play.store["display_message"]["1"] = {"id": "one", "priority": "Loud"}
    play = play.restart().skip()
    assert kept(play) == [2]
    assert list(play.store["display_message"]) == ["2"]


def test_the_same_id_replaces_the_message() -> None:
    """O06.FR.01"""
    play = station()
    put(play, message(1, priority=IN_FRONT, evse=1))
    assert put(play, message(1, "Äddi")) == ["Accepted"]
    assert ask(play, GetDisplayMessagesRequest()).data["messages"] == (message(1, "Äddi"),)
    assert shown(play) == ["Äddi"]


def test_clearing() -> None:
    """O05.FR.01, O05.FR.02"""
    play = station()
    put(play, message(1))
    assert ask(play, ClearDisplayMessageRequest(2)).status == "Unknown"
    assert ask(play, ClearDisplayMessageRequest(1)).status == "Accepted"
    assert (shown(play), kept(play), play.store["display_message"]) == ([], [], {})
    assert ask(play, ClearDisplayMessageRequest(1)).status == "Unknown"


def test_getting_by_criteria() -> None:
    """O04.FR.01, O04.FR.02"""
    play = station()
    put(play, message(5, state=MessageState.FAULTED), message(2, priority=IN_FRONT), message(9))
    assert kept(play) == [2, 5, 9]
    assert kept(play, ids=(9, 5, 1)) == [5, 9]
    assert kept(play, priority=IN_FRONT) == [2]
    assert kept(play, state=MessageState.FAULTED) == [5]
    assert kept(play, ids=(2,), state=MessageState.FAULTED) == []
    assert kept(play, ids=(5,), priority=IN_FRONT) == []


def test_no_more_than_the_limit() -> None:
    """O01.FR.11: one that takes another one's place is none more."""
    play = station()
    assert set(put(play, *(message(n) for n in range(MESSAGES_MAX - 1)), message(100, priority=FRONT))) == {"Accepted"}
    reply = ask(play, SetDisplayMessageRequest(message(200)))
    assert (reply.status, reply.data["reason"].code) == ("Rejected", "TooManyElements")
    assert put(play, message(3, "other"), message(201, priority=FRONT)) == ["Accepted", "Accepted"]
    assert len(kept(play)) == MESSAGES_MAX


def test_a_disk_that_takes_nothing_keeps_nothing() -> None:
    play = station()
    play.feed(StoreFailed())
    assert put(play.skip(), message()) == ["Rejected"]


@pytest.mark.parametrize(("start", "end"), [(None, 0), (None, -60), (60, 60), (120, 60)])
def test_a_message_that_could_never_be_seen_is_refused(start: int | None, end: int) -> None:
    play = station()
    put(play, message(1))
    at = now_s(play)
    times = {"start_utc_s": None if start is None else at + start, "end_utc_s": at + end}
    reply = ask(play, SetDisplayMessageRequest(message(1, "late", **times)))
    assert (reply.status, reply.data["reason"].code) == ("Rejected", "InvalidValue")
    assert reply.data["reason"].text.startswith("endDateTime: ")
    assert shown(play) == [HELLO], "the old one stays"


def test_a_station_without_a_display_has_no_such_block() -> None:
    play = Playbook()
    reply = ask(play, GetDisplayMessagesRequest())
    assert reply.status == "NotImplemented"


# --- priorities (O01.FR.12 to O01.FR.16) -----------------------------------------------------------------------------


def test_the_heaviest_priority_alone_is_shown() -> None:
    play = station()
    seen = []
    for one in (message(1, "cycle"), message(2, "front", IN_FRONT), message(3, "always", FRONT)):
        put(play, one)
        seen.append((shown(play), play.screens[1].values["messages_in_front"]))
    assert seen == [(["cycle"], False), (["front"], True), (["always"], True)]
    for number, left in ((3, ["front"]), (2, ["cycle"]), (1, [])):
        ask(play, ClearDisplayMessageRequest(number))
        assert shown(play) == left


def test_several_in_front_take_turns() -> None:
    """O01.FR.14"""
    play = station()
    put(play, message(5, "b", IN_FRONT), message(2, "a", IN_FRONT))
    assert shown(play) == ["a", "b"]


def test_the_second_that_is_always_in_front_replaces_the_first() -> None:
    """O01.FR.16: whatever it is for."""
    play = charging(station(evses=2))
    session = play.session(1).id
    put(play, message(1, "one", FRONT))
    assert put(play, message(2, "two", FRONT, transaction=session, session=session)) == ["Accepted"]
    assert kept(play) == [2]
    assert (shown(play, 1), shown(play, 2)) == (["two"], [])
    assert list(play.store["display_message"]) == ["2"]


# --- time ------------------------------------------------------------------------------------------------------------


def test_it_begins_and_ends_in_time() -> None:
    """O01.FR.06, O01.FR.07: to the second, and it is forgotten."""
    play = station()
    at = now_s(play)
    assert put(play, message(1, start_utc_s=at + 60, end_utc_s=at + 90)) == ["Accepted"]
    assert shown(play.wait(59.5).skip()) == []
    assert kept(play) == [1]
    assert shown(play.wait(1).skip()) == [HELLO]
    assert shown(play.wait(28).skip()) == [HELLO]
    assert shown(play.wait(2).skip()) == []
    assert kept(play) == []
    assert play.store["display_message"] == {}


def test_what_ended_while_the_station_was_off_does_not_come_back() -> None:
    play = station()
    put(play, message(1, end_utc_s=now_s(play) + 60), message(2))
    play = play.restart(100).skip()
    assert (shown(play), kept(play)) == ([HELLO], [2])


def test_without_a_known_time_what_has_one_waits() -> None:
    play = station()
    at = now_s(play)
    put(play, message(1, "ends", end_utc_s=at + 500), message(2, "begins", start_utc_s=at - 5), message(3, "timeless"))
    play.trusted = False
    play = play.restart(5).skip()
    assert shown(play) == ["timeless"]
    play.trusted = True
    assert shown((play >> ClockTrusted()).skip()) == ["ends", "begins", "timeless"]
    assert shown(play.wait(600).skip()) == ["begins", "timeless"]


# --- state -----------------------------------------------------------------------------------------------------------


def one_for_each_state(play: Playbook) -> Playbook:
    put(play, *(message(n, state.value, IN_FRONT, state=state) for n, state in enumerate(MessageState, 1)))
    return play


def test_the_states() -> None:
    """A vehicle that pauses is still charging; another outlet has a state of its own."""
    play = one_for_each_state(station(evses=2))
    assert (shown(play, 1), shown(play, 2)) == (["Idle"], ["Idle"])
    charging(play)
    assert (shown(play, 1), shown(play, 2)) == (["Charging"], ["Idle"])
    play.feed(BoardChanged(1, EvseState(Pilot.B, pwm=True, cable=True, contactor=False)))
    assert play.screens[1].name is ScreenName.PAUSED
    assert shown(play, 1) == ["Charging"]
    play.skip().feed(FaultRaised(2, Fault.GROUND_FAILURE))
    assert shown(play, 2) == ["Faulted"]
    play.skip().feed(FaultCleared(2, Fault.GROUND_FAILURE))
    assert shown(play.skip().wait(30).skip(), 2) == ["Idle"]


def test_out_of_service() -> None:
    play = one_for_each_state(station(evses=2))
    ask(play, ChangeAvailabilityRequest(2, operative=False))
    assert (shown(play, 1), shown(play, 2)) == (["Idle"], ["Unavailable"])
    ask(play, ChangeAvailabilityRequest(2, operative=True))
    assert shown(play, 2) == ["Idle"]


@pytest.mark.parametrize("priority", MessagePriority)
def test_a_fault_has_the_screen_for_itself(priority: MessagePriority) -> None:
    """Only what is in front, or is about the fault, stands beside it."""
    play = station()
    put(play, message(1, "any", priority))
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    assert play.skip().screens[1].name is ScreenName.OUT_OF_SERVICE
    assert shown(play) == ([] if priority is CYCLE else ["any"])
    put(play, message(2, "about it", CYCLE, state=MessageState.FAULTED))
    assert shown(play) == (["about it"] if priority is CYCLE else ["any"])


def test_lost_mains_are_a_fault() -> None:
    play = one_for_each_state(station())
    play.feed(SupplyChanged(Supply(mains=False, backup=True)))
    play.skip().wait(2).skip()
    assert play.site.dark
    assert shown(play) == ["Faulted"]


# --- transactions (O02) ----------------------------------------------------------------------------------------------


def stop(play: Playbook) -> Playbook:
    play = play >> CardPresented(1, A)
    play = play.skip() >> ContactorOpened(1)
    return (play.skip() >> MeterRead(1, end_reading(1), wh(1100))).skip()


def test_a_message_goes_with_its_transaction() -> None:
    """O02.FR.02"""
    play = charging(station(evses=2))
    session = play.session(1).id
    assert put(play, message(1, transaction=session, session=session), message(2, "all")) == ["Accepted"] * 2
    assert (shown(play, 1), shown(play, 2)) == ([HELLO, "all"], ["all"])
    stop(play)
    assert (shown(play, 1), kept(play), list(play.store["display_message"])) == (["all"], [2], ["2"])


def test_a_transaction_that_is_not_open_is_unknown() -> None:
    """O02.FR.01"""
    play = charging(station())
    over = play.session(1).id
    assert put(play, message(1, transaction="x", session="x")) == ["UnknownTransaction"]
    stop(play)
    assert put(play, message(1, transaction=over, session=over)) == ["UnknownTransaction"]
    assert kept(play) == []


def test_a_transaction_that_outlives_its_session_keeps_its_message() -> None:
    """TxStopPoint EVConnected: the vehicle is still there."""
    play = charging(station(tx_stop_points=("EVConnected",)))
    session = play.session(1).id
    put(play, message(1, transaction=session, session=session))
    stop(play)
    assert play.evse(1).session is None
    assert (shown(play), kept(play)) == ([HELLO], [1])


def test_a_message_is_resumed_with_its_session_and_goes_with_one_that_is_not() -> None:
    play = charging(station())
    session = play.session(1).id
    put(play, message(1, transaction=session, session=session))
    assert shown(play.restart(5).skip()) == [HELLO]
    del play.store["session"][session]
    play = play.restart(5).skip()
    assert (shown(play), kept(play)) == ([], [])


# --- which display, which language -----------------------------------------------------------------------------------


def test_a_message_for_one_display() -> None:
    play = station(evses=2)
    put(play, message(1, "second", evse=2), message(2, "both", evse=0))
    assert (shown(play, 1), shown(play, 2)) == (["both"], ["second", "both"])


TAGS = {"fr": "Bonjour", "de-LU": "Guten Tag", "en-US": "Hello"}


def test_translations_follow_the_language_of_the_screen() -> None:
    """O01.FR.08; English is the fallback (O01.FR.09)."""
    play = station()
    put(play, *(message(n, text, language=tag) for n, (tag, text) in enumerate(TAGS.items(), 1)))
    seen = [shown(play)]
    for _ in range(3):
        play.feed(ButtonPressed("language"))
        play.skip()
        seen.append(shown(play))
    assert seen == [["Bonjour"], ["Guten Tag"], ["Hello"], ["Hello"]]


def test_messages_of_different_occasions_are_no_translations_of_each_other() -> None:
    play = station()
    put(play, message(1, "Guten Tag", language="de"), message(2, "Hello", language="en", state=MessageState.IDLE))
    assert shown(play) == ["Guten Tag", "Hello"]
    put(play, message(3, "42", state=MessageState.IDLE))
    assert shown(play) == ["Guten Tag", "Hello", "42"]


def test_line_breaks_are_blanks_on_the_screen_and_are_reported_as_they_came() -> None:
    play = station()
    put(play, message(1, " Hello\n  world "))
    assert shown(play) == ["Hello world"]
    assert ask(play, GetDisplayMessagesRequest()).data["messages"][0].content.content == " Hello\n  world "


def test_the_same_messages_are_shown_once() -> None:
    """A message that changes nothing on a screen orders nothing of the display."""
    play = station()
    put(play, message(1, priority=FRONT))
    before = len([o for o in play.log if isinstance(o, Show)])
    put(play, message(2), message(3, state=MessageState.CHARGING))
    play.wait(20).skip()
    assert len([o for o in play.log if isinstance(o, Show)]) == before


def test_the_next_wake_up_is_for_the_next_change() -> None:
    play = station()
    times = [UTC0_S + s for s in (500, 300, 700)]
    put(play, *(message(n, start_utc_s=at) for n, at in enumerate(times)))
    seen = [len(shown(play.wait(seconds).skip())) for seconds in (299, 2, 198, 2, 198, 2)]
    assert seen == [0, 1, 1, 2, 2, 3]
    assert all(a <= b for a, b in itertools.pairwise(seen))

"""What a person sees: one screen and one lamp for each situation, the right language."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    CardPresented,
    ClockTrusted,
    ContactorOpened,
    Event,
    FaultRaised,
    LinkChanged,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.orders import AuthorizeToken, Persist, Show
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import RemoteStartRequest, ResetRequest, SetVariablesRequest
from agent.domain.tariff import Rates, Tariff, Window
from agent.domain.terminal_messages import OfferPayment, TerminalLost
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import AuthorizationStatus, Fault, Lamp, ScreenName, Token, Verdict
from tests.domain.playbook import EMPTY, LINK, PLUGGED, A, B, C, Playbook, charging, wh
from tests.domain.test_plays_payment import OPENED, TARIFF, sold, terms


def starting() -> Playbook:
    play = Playbook(cold=True)
    return play.restart(1)


def plug_in() -> Playbook:
    play = Playbook()
    return play.skip() >> RequestReceived(LINK, "q", RemoteStartRequest(1, A))


def preparing() -> Playbook:
    return Playbook(state=PLUGGED) >> RequestReceived(LINK, "q", RemoteStartRequest(1, A))


def paused(pilot: Pilot, pwm: bool) -> Callable[[], Playbook]:
    return lambda: charging(Playbook()) >> BoardChanged(1, EvseState(pilot, pwm=pwm, cable=True, contactor=False))


def stopping() -> Playbook:
    return charging(Playbook()) >> CardPresented(1, A)


def finished() -> Playbook:
    play = stopping().skip() >> ContactorOpened(1)
    return play.skip() >> MeterRead(1, end_reading(1), wh(1100))


def faulted() -> Playbook:
    return Playbook() >> FaultRaised(1, Fault.GROUND_FAILURE)


def offline(**settings: bool) -> Callable[[], Playbook]:
    return lambda: Playbook(online=False, settings=settings)


def selling_offline(event: Event = OPENED, tariff: Tariff = TARIFF, clock: bool = True) -> Callable[[], Playbook]:
    """No card of a backend starts a session, a bank card does where the terminal is there and the price is known."""

    def situation() -> Playbook:
        off_line = {"local_authorize_offline": False, "offline_payments": True}
        play = Playbook(lambda: sold(tariff, settings=off_line, payment_terms=terms()), cold=True)
        play.trusted = clock
        play.skip().restart(1, state=EMPTY, online=False)
        return play.skip() >> event

    return situation


S, L = ScreenName, Lamp
NIGHT_AND_DAY = Tariff(windows=tuple(
    Window(tuple(range(7)), a, b, Rates(Decimal(kwh))) for a, b, kwh in ((0, 720, "0.3"), (720, 0, "0.5"))
))  # fmt: skip


@pytest.mark.parametrize(
    ("situation", "screen", "detail", "lamp"),
    [
        (starting, S.STARTING, "", L.RED),
        (Playbook, S.IDLE, "", L.GREEN),
        (lambda: Playbook(state=PLUGGED), S.IDLE, "", L.GREEN),
        (lambda: Playbook() >> CardPresented(1, A), S.CHECKING, "", L.YELLOW),
        (lambda: Playbook() >> CardPresented(1, None, "unreadable"), S.REFUSED, "unreadable", L.YELLOW),
        (plug_in, S.PLUG_IN, "", L.YELLOW),
        (preparing, S.PREPARING, "", L.YELLOW),
        (lambda: charging(Playbook()), S.CHARGING, "", L.BLUE),
        (paused(Pilot.B, True), S.PAUSED, "car", L.YELLOW),
        (paused(Pilot.C, False), S.PAUSED, "station", L.YELLOW),
        (stopping, S.PREPARING, "", L.YELLOW),
        (finished, S.FINISHED, "stopped", L.GREEN),
        (faulted, S.OUT_OF_SERVICE, "GroundFailure", L.RED),
        (offline(local_authorize_offline=False), S.OFFLINE, "", L.RED),
        (offline(local_authorize_offline=True), S.IDLE, "", L.GREEN),
        (offline(local_authorize_offline=False, offline_payments=True), S.OFFLINE, "", L.RED),
        (selling_offline(), S.IDLE, "", L.GREEN),
        (selling_offline(tariff=NIGHT_AND_DAY), S.IDLE, "", L.GREEN),
        (selling_offline(tariff=NIGHT_AND_DAY, clock=False), S.OFFLINE, "", L.RED),
        (selling_offline(TerminalLost(0)), S.OFFLINE, "", L.RED),
    ],
)
def test_each_situation_has_its_screen_and_lamp(
    situation: Callable[[], Playbook], screen: ScreenName, detail: str, lamp: Lamp
) -> None:
    play = situation()
    assert (play.screens[1].name, play.screens[1].detail, play.lamps[1]) == (screen, detail, lamp)


def test_what_a_terminal_sells_off_line_has_its_price_on_the_screen() -> None:
    play = selling_offline()()
    assert play.screens[1].values["tariff_kwh_micro"] == 500_000
    assert [o for o in play.log if isinstance(o, OfferPayment)]
    assert (play.skip() >> TerminalLost(0)).skip().screens[1].name is S.OFFLINE
    assert (play >> OPENED).skip().screens[1].name is S.IDLE
    assert (play >> RequestReceived(LINK, "q", SetVariablesRequest({"offline_payments": "false"}))).skip()
    assert play.screens[1].name is S.OFFLINE


@pytest.mark.parametrize(
    ("fault", "detail"),
    [(Fault.EMERGENCY_STOP, "fault"), (Fault.POWER_LOSS, "fault"), (None, "unplug")],
)
def test_the_result_says_how_it_ended(fault: Fault | None, detail: str) -> None:
    play = charging(Playbook()) >> (FaultRaised(1, fault) if fault else VehicleLeft(1))
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(1100))
    if fault:
        assert play.screens[1].name is S.OUT_OF_SERVICE
    else:
        assert (play.screens[1].name, play.screens[1].detail) == (S.FINISHED, detail)
    assert play.skip()


def test_a_session_closed_after_a_restart_has_a_result_too() -> None:
    play = charging(Playbook()).restart(500, state=EMPTY)
    play.skip() >> MeterRead(1, end_reading(1), wh(1500))
    assert (play.screens[1].name, play.screens[1].detail) == (S.FINISHED, "power_loss")
    assert play.screens[1].values["energy_wh"] == 500
    assert play.skip().wait(16).screens[1].name is S.IDLE


def test_the_language_button_goes_round_and_is_remembered() -> None:
    play = Playbook(evses=2)
    seen = []
    for _ in range(4):
        play = play >> ButtonPressed("language") << Persist
        seen.append(play.screens[1].language)
    assert seen == ["de", "lb", "en", "fr"]
    assert play >> ButtonPressed("language") << Persist("screen", "language", {"code": "de"})
    assert {s.language for s in play.screens.values()} == {"de"}
    assert {s.language for s in play.restart(5).screens.values()} == {"de"}
    assert play >> ButtonPressed("outlet-1")


def test_a_language_that_the_station_no_longer_has_is_ignored() -> None:
    play = Playbook(cold=True, languages=("fr",))
    play.store = {"screen": {"language": {"code": "lb"}}}
    assert play.restart(1).screens[1].language == "fr"
    assert play >> ButtonPressed("language") << Persist
    assert play.screens[1].language == "fr"


def test_the_same_screen_is_shown_once() -> None:
    play = Playbook()
    before = len([o for o in play.log if isinstance(o, Show)])
    play >> BoardOpened(1, EMPTY, EvseTraits())
    assert len([o for o in play.log if isinstance(o, Show)]) == before


def test_the_countdown_counts_every_second() -> None:
    play = plug_in().skip()
    assert [play.wait(1).screens[1].values["remaining_s"] for _ in range(3)] == [59, 58, 57]


def test_a_refusal_goes_away_and_the_charging_screen_comes_back() -> None:
    play = charging(Playbook()) >> CardPresented(1, Token("0400000001"))
    assert play.screens[1].name is S.REFUSED
    assert play.lamps[1] is L.YELLOW
    assert play.wait(4.5).skip().screens[1].name is S.CHARGING
    assert play.lamps[1] is L.BLUE


def test_the_qr_code_is_there_only_while_a_payment_could_start_a_session() -> None:
    play = Playbook(qr_url="https://pay.example/1", settings={"local_authorize_offline": True})
    assert play.screens[1].values["qr_url"] == "https://pay.example/1"
    assert play >> LinkChanged(LINK, False)
    assert play.screens[1].values["qr_url"] == ""
    free = Playbook(qr_url="https://pay.example/1", free_vending=True)
    assert (free.screens[1].values["qr_url"], free.screens[1].values["free"]) == ("", True)


def test_no_whole_token_is_shown() -> None:
    play = charging(Playbook())
    assert not any(A.value in repr(o.screen) for o in play.log if isinstance(o, Show))


def test_a_notice_hidden_by_a_question_comes_back_when_the_question_is_over() -> None:
    """Found by the street of ``test_session_properties``: the answer changed nothing else, so nothing looked again."""
    play = charging(Playbook())
    friend = Verdict(AuthorizationStatus.ACCEPTED, group="G")
    play.feed(TransactionAcknowledged(LINK, "s1", "42", friend))
    play.skip() >> CardPresented(0, B) << AuthorizeToken >> RequestReceived(LINK, "q", ResetRequest())
    play.skip() >> CardPresented(0, C)
    assert play >> TokenAuthorized("token:2", B, friend) << Persist
    assert (play.screens[1].name, play.screens[1].detail) == (S.REFUSED, "unavailable")


def test_the_clock_goes_on_with_each_minute_and_only_when_the_time_is_known() -> None:
    play = Playbook(cold=True)
    play.trusted = False
    play.restart(1)
    assert play.wait(130).screens[1].values["time_utc_s"] is None
    play.trusted = True
    assert play >> ClockTrusted()
    shown = []
    for _ in range(4):
        shown.append(float(play.screens[1].values["time_utc_s"] or 0))
        before = len([o for o in play.log if isinstance(o, Show)])
        play.wait(60)
        assert len([o for o in play.log if isinstance(o, Show)]) == before + 1
    assert [b - a for a, b in itertools.pairwise(shown)] == [60.0, 60.0, 60.0]
    assert 0 <= (play.now.utc_s or 0) - float(play.screens[1].values["time_utc_s"] or 0) < 60


def acts(play: Playbook) -> list[int]:
    return [play.screens[n].acts for n in sorted(play.screens)]


def test_what_a_person_does_at_an_outlet_is_counted() -> None:
    """A display that several outlets share shows the outlet of the newest act first."""
    play = Playbook(evses=2)
    assert acts(play) == [0, 0]
    assert play >> ButtonPressed("outlet-2")
    assert acts(play) == [0, 1], "the button of the outlet, though its screen says the same"
    assert play >> (CablePlugged(1), VehicleConnected(1))
    assert acts(play) == [1, 1], "a car is plugged in"
    assert play >> CardPresented(2, A) << AuthorizeToken(LINK, "token:1", A, 2)
    assert acts(play) == [1, 2], "a card is checked"
    play = play >> TokenAuthorized("token:1", A, Verdict(AuthorizationStatus.BLOCKED))
    assert play.skip()
    assert acts(play) == [1, 3], "and refused"


def test_what_a_car_a_board_or_a_backend_does_is_no_act() -> None:
    play = charging(Playbook(evses=2))
    before = acts(play)
    for event in (
        BoardChanged(1, EvseState(Pilot.B, pwm=True, cable=True, contactor=False)),
        FaultRaised(2, Fault.GROUND_FAILURE),
        ButtonPressed("language"),
        LinkChanged(LINK, False),
    ):
        play = play.skip() >> event
    assert play.skip()
    assert play.screens[1].name is ScreenName.PAUSED
    assert acts(play) == before


def test_the_languages_are_named_where_a_button_changes_them() -> None:
    play = Playbook(evses=2)
    assert "languages" not in play.screens[1].values
    assert play >> ButtonsKnown(("outlet-1", "outlet-2"))
    assert "languages" not in play.screens[1].values
    assert play >> ButtonsKnown(("language", "stop"))
    assert {s.values["languages"] for s in play.screens.values()} == {"FR DE LB EN"}
    play = Playbook(languages=("fr",))
    assert play >> ButtonsKnown(("language",))
    assert "languages" not in play.screens[1].values

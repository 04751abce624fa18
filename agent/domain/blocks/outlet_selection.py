"""Select the outlet that a card is for when the cables do not show it: two are plugged in and wait.

With buttons (or fields of a touch panel) named ``outlet-1``, ``outlet-2`` ... the driver is asked,
and may also press the button before the card: the card is then for that outlet or for none. For a
card at the station's own reader, without such buttons, or without an answer, the cable that came
last decides. A bank card pays only for an outlet that its driver has chosen, by a button or by a
cable that is plugged in after the question (``blocks/card_payment.py`` asks). The holder of a master
pass is asked which outlet to stop: the same card once more means all of them, no answer none (2.x
C16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CardPresented,
    CardRefused,
    MasterPassAnswered,
    NoticeShown,
    OutletChosen,
    OutletMeant,
    SituationChanged,
    TimeCame,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import WakeMe
from agent.domain.outlet_claims import OutletClaims
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import frozen, mutable, replace
from agent.model.types import STATION, EvseId, Moment, Token

CHOICE_S, PAYER_S = 15.0, 30.0
"""How long a question waits for its answer; the second value about a bank card: time to plug in
(real seconds)."""
PREFIX = "outlet-"


@frozen
class MasterPass:
    """The card of a person who may stop every transaction."""

    token: Token


@mutable
class OutletQuestion:
    """A card that waits for its driver's answer."""

    about: CardPresented | MasterPass | str
    """An RFID card, a master pass, or the payment of a bank card."""
    among: tuple[EvseId, ...]
    otherwise: EvseId
    """The outlet if there is no answer (0: no outlet)."""
    until_s: float
    why: str
    """The question, a detail key of the texts."""

    @property
    def payment_id(self) -> str:
        """The payment whose bank card waits, "" for another card."""
        return self.about if isinstance(self.about, str) else ""


class OutletSelection:
    def __init__(self, site: StationState, claims: OutletClaims) -> None:
        self._site = site
        self._evses_with_button: frozenset[EvseId] = frozenset()
        self._question: OutletQuestion | None = None
        self._last_choice: tuple[EvseId, float] = (STATION, 0.0)
        self._payer_answer: EvseId = STATION
        claims.payer_checks.append(self.has_payer_chosen)

    @handles_events(ButtonsKnown)
    def note_outlet_buttons(self, event: ButtonsKnown, now: Moment) -> Iterator[Yielded]:
        numbers = (_outlet_number(name) for name in event.names)
        self._evses_with_button |= {n for n in numbers if self._is_served_here(n)}
        return iter(())

    def find_chosen_outlet(self, among: Sequence[EvseRecord], now: Moment) -> EvseRecord | None:
        """Return the outlet whose button was pressed a moment ago."""
        number, until_s = self._last_choice
        return next((e for e in among if e.number == number and now.t_s < until_s), None)

    def should_ask_driver(self, plugged: Sequence[EvseRecord]) -> bool:
        """True if asking is worth it and the driver can answer."""
        return len(plugged) > 1 and self.has_buttons(plugged)

    def has_buttons(self, evses: Sequence[EvseRecord]) -> bool:
        return {e.number for e in evses} <= self._evses_with_button

    @property
    def is_asking(self) -> bool:
        """True while a card waits for an answer. Only one card is asked about at a time."""
        return self._question is not None

    @property
    def waiting_payment(self) -> str:
        """The payment whose bank card waits for an answer, "" if there is none."""
        return self._question.payment_id if self._question is not None else ""

    def ask_for_outlet(
        self, card: CardPresented, plugged: Sequence[EvseRecord], otherwise: EvseRecord, now: Moment
    ) -> Iterator[Yielded]:
        """Ask which outlet is meant. One card at a time: the next button counts for the first
        card."""
        waiting = self._question
        if waiting is None:
            until_s = now.t_s + CHOICE_S * self._site.config.io_s
            numbers = tuple(e.number for e in plugged)
            waiting = self._question = OutletQuestion(card, numbers, otherwise.number, until_s, "choose_outlet")
            yield WakeMe(Timer(TimerKind.OUTLET_CHOICE), until_s)
        elif not _same_card(waiting.about, card):
            yield CardRefused(otherwise.number, "concurrent")
        yield NoticeShown(waiting.among, waiting.why, waiting.until_s)

    def ask_payer_for_outlet(
        self, payment: str, among: Sequence[EvseRecord], why: str, now: Moment
    ) -> Iterator[Yielded]:
        """Ask the driver of a bank card. ``OutletMeant`` comes back. Not while another card is
        being asked about (``is_asking``)."""
        until_s = now.t_s + PAYER_S * self._site.config.io_s
        self._question = OutletQuestion(payment, tuple(e.number for e in among), STATION, until_s, why)
        yield WakeMe(Timer(TimerKind.OUTLET_CHOICE), until_s)
        yield NoticeShown(self._screens_of(self._question.among), why, until_s)

    def ask_master_pass(self, token: Token, among: Sequence[EvseRecord], now: Moment) -> Iterator[Yielded]:
        """Ask the holder of a master pass. ``MasterPassAnswered`` comes back. While another card is being asked about,
        its answer comes first."""
        numbers = tuple(e.number for e in among)
        if self._question is not None:
            yield CardRefused(numbers[0], "concurrent")
            return
        until_s = now.t_s + CHOICE_S * self._site.config.io_s
        self._question = OutletQuestion(MasterPass(token), numbers, STATION, until_s, "stop_which")
        yield WakeMe(Timer(TimerKind.OUTLET_CHOICE), until_s)
        yield NoticeShown(numbers, self._question.why, until_s)

    def is_master_pass_again(self, card: CardPresented) -> bool:
        """True for the master pass that is being asked about, held up once more."""
        asking = self._question
        return asking is not None and isinstance(asking.about, MasterPass) and _same_card(asking.about, card)

    def choose_all_outlets(self) -> Iterator[Yielded]:
        """Take the master pass that is held up once more as the answer "all"."""
        assert self._question is not None
        yield from self._end_question(self._question.among)

    def withdraw_question(self) -> Iterator[Yielded]:
        """Withdraw the question: the card is gone."""
        if self._question is not None:
            yield WakeMe(Timer(TimerKind.OUTLET_CHOICE), None)
            yield NoticeShown(self._screens_of(self._question.among), self._question.why, 0.0)
            self._question = None

    @handles_events(ButtonPressed)
    def choose_outlet_by_button(self, event: ButtonPressed, now: Moment) -> Iterator[Yielded]:
        number = _outlet_number(event.name)
        if not self._is_served_here(number):
            return
        if self._question is not None:
            if number in self._question.among:
                yield from self._finish_question(number)
            return
        self._last_choice = (number, now.t_s + CHOICE_S * self._site.config.io_s)
        yield OutletChosen(number) if number in self._site.evses else SituationChanged(STATION)

    @handles_events(VehicleConnected)
    def choose_outlet_by_cable(self, event: VehicleConnected, now: Moment) -> Iterator[Yielded]:
        """Take the cable as the answer of the bank card's driver."""
        yield from self.answer_by_cable(event.evse)

    def answer_by_cable(self, number: EvseId) -> Iterator[Yielded]:
        """Take a cable that is plugged in at this outlet, or at one of a satellite, as the answer."""
        if self.waiting_payment and self._question is not None and number in self._question.among:
            yield from self._finish_question(number)

    def _is_served_here(self, number: EvseId) -> bool:
        """Return whether it is an outlet of this station, or one of a satellite that its terminal serves."""
        return number in self._site.evses or number in self._site.satellite_outlets

    def _screens_of(self, among: tuple[EvseId, ...]) -> tuple[EvseId, ...]:
        """Return the screens on which these outlets are asked about: where a satellite's is among them, all of this
        station, since its driver stands at the terminal."""
        if all(n in self._site.evses for n in among):
            return among
        return tuple(self._site.evses)

    @handles_events(VehicleLeft)
    def drop_unplugged_outlet(self, event: VehicleLeft, now: Moment) -> Iterator[Yielded]:
        """Drop an outlet whose cable was pulled. If one is left, there is nothing to ask about an
        RFID card. A bank card's driver may pull the cable to plug it in again."""
        asking = self._question
        if asking is None or not isinstance(asking.about, CardPresented) or event.evse not in asking.among:
            return
        yield NoticeShown((event.evse,), asking.why, 0.0)
        asking.among = tuple(n for n in asking.among if n != event.evse)
        asking.otherwise = asking.among[-1] if asking.otherwise == event.evse else asking.otherwise
        if len(asking.among) == 1:
            yield from self._finish_question(asking.otherwise)

    @handles_timer(TimerKind.OUTLET_CHOICE)
    def decide_after_timeout(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        asking = self._question  # the question may be about another card than the one whose time ended just now
        if asking is not None and now.t_s >= asking.until_s:
            yield from self._finish_question(asking.otherwise)

    def _finish_question(self, number: EvseId) -> Iterator[Yielded]:
        yield from self._end_question((number,) if number != STATION else ())

    def _end_question(self, chosen: tuple[EvseId, ...]) -> Iterator[Yielded]:
        """End the question. ``chosen``: one outlet, none, or all of them for a master pass."""
        assert self._question is not None
        asking, self._question = self._question, None
        yield WakeMe(Timer(TimerKind.OUTLET_CHOICE), None)
        yield NoticeShown(self._screens_of(asking.among), asking.why, 0.0)
        number = chosen[0] if chosen else STATION
        match asking.about:
            case MasterPass(token):
                yield MasterPassAnswered(token, chosen)
            case CardPresented() as card:
                yield replace(card, evse=number)
            case payment:
                self._payer_answer = number
                yield OutletMeant(number, payment)
        yield SituationChanged(STATION)

    def has_payer_chosen(self, evse: EvseId) -> bool:
        """True until the answer of a bank card's driver is handled: the cable that is the answer moves no other
        driver's right here."""
        return evse != STATION and evse == self._payer_answer

    @handles_events(OutletMeant)
    def forget_payer_answer(self, event: OutletMeant, now: Moment) -> Iterator[Yielded]:
        self._payer_answer = STATION
        return iter(())


def _same_card(about: CardPresented | MasterPass | str, card: CardPresented) -> bool:
    token = None if isinstance(about, str) else about.token
    return token is not None and card.token is not None and card.token.matches_token(token)


def _outlet_number(name: str) -> EvseId:
    number = name.removeprefix(PREFIX)
    return int(number) if name.startswith(PREFIX) and number.isdecimal() else STATION

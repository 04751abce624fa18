"""Which outlet a card at the station's own reader is for, where the cables do not say: two are plugged in and wait.

With buttons (or fields of a touch panel) named ``outlet-1``, ``outlet-2`` ... the driver is asked, and may also say it
before the card. Without them, and when nobody answers, the cable that came last decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.block import Yielded, on
from agent.domain.blocks.display import CHOOSE_OUTLET
from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CardPresented,
    CardRefused,
    NoticeShown,
    OutletChosen,
    SituationChanged,
    TimeCame,
    VehicleLeft,
)
from agent.domain.evse import Evse, Site
from agent.domain.orders import WakeMe
from agent.frozen import mutable, replace
from agent.kinds import STATION, EvseId, Moment

CHOICE_S = 15.0
PREFIX = "outlet-"


@mutable
class Asking:
    """A card that waits for a button. ``otherwise``: the outlet that is meant if nobody presses one."""

    card: CardPresented
    among: tuple[EvseId, ...]
    otherwise: EvseId
    until_s: float


class Choice:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._buttons: frozenset[EvseId] = frozenset()
        self._asking: Asking | None = None
        self._chosen: tuple[EvseId, float] = (STATION, 0.0)

    @on(ButtonsKnown)
    def known(self, event: ButtonsKnown, now: Moment) -> Iterator[Yielded]:
        numbers = (_number(name) for name in event.names)
        self._buttons |= {n for n in numbers if n in self._site.evses}
        return iter(())

    def chosen(self, among: Sequence[Evse], now: Moment) -> Evse | None:
        """The outlet whose button was pressed a moment ago."""
        number, until_s = self._chosen
        return next((e for e in among if e.number == number and now.t_s < until_s), None)

    def asks(self, plugged: Sequence[Evse]) -> bool:
        """Is it worth asking, and can the driver answer?"""
        return len(plugged) > 1 and {e.number for e in plugged} <= self._buttons

    def ask(self, card: CardPresented, plugged: Sequence[Evse], otherwise: Evse, now: Moment) -> Iterator[Yielded]:
        """One card at a time: the button that is pressed next is for the card that was first."""
        waiting = self._asking
        if waiting is None:
            until_s = now.t_s + CHOICE_S * self._site.io_s
            waiting = self._asking = Asking(card, tuple(e.number for e in plugged), otherwise.number, until_s)
            yield WakeMe("choice:", until_s)
        elif card.token is None or waiting.card.token is None or not card.token.same(waiting.card.token):
            yield CardRefused(otherwise.number, "concurrent")
        yield NoticeShown(waiting.among, CHOOSE_OUTLET, waiting.until_s)

    @on(ButtonPressed)
    def pressed(self, event: ButtonPressed, now: Moment) -> Iterator[Yielded]:
        number = _number(event.name)
        if number not in self._site.evses:
            return
        if self._asking is not None:
            if number in self._asking.among:
                yield from self._answered(number)
            return
        self._chosen = (number, now.t_s + CHOICE_S * self._site.io_s)
        yield OutletChosen(number)

    @on(VehicleLeft)
    def left(self, event: VehicleLeft, now: Moment) -> Iterator[Yielded]:
        """One of them was pulled: where one is left there is nothing to ask."""
        asking = self._asking
        if asking is None or event.evse not in asking.among:
            return
        yield NoticeShown((event.evse,), CHOOSE_OUTLET, 0.0)
        asking.among = tuple(n for n in asking.among if n != event.evse)
        asking.otherwise = asking.among[-1] if asking.otherwise == event.evse else asking.otherwise
        if len(asking.among) == 1:
            yield from self._answered(asking.otherwise)

    @on(TimeCame)
    def time(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if event.key == "choice:" and self._asking is not None:
            yield from self._answered(self._asking.otherwise)

    def _answered(self, number: EvseId) -> Iterator[Yielded]:
        assert self._asking is not None
        asking, self._asking = self._asking, None
        yield WakeMe("choice:", None)
        yield NoticeShown(asking.among, CHOOSE_OUTLET, 0.0)
        yield replace(asking.card, evse=number)
        yield SituationChanged(STATION)


def _number(name: str) -> EvseId:
    number = name.removeprefix(PREFIX)
    return int(number) if name.startswith(PREFIX) and number.isdecimal() else STATION

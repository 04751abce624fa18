"""Plays for the domain: ``>>`` feeds a fact, ``<<`` claims the next order, ``wait`` lets time pass.

    assert (
        Playbook()
        >> CardPresented(1, A) << AuthorizeToken("chargy", "token:1", A, 1)
        >> TokenAuthorized("token:1", A, ACCEPTED)
        >> VehicleConnected(1) << ReadMeter(1, begin_reading(1), True)
    )

Feeding while orders are unclaimed fails, and so does the truth of a play whose last orders are unclaimed. Screens,
lamps, timers and status messages are not claimed but looked at: ``screens``, ``lamps``, ``statuses``, ``timers``
(``status=True``: status messages are claimed as well). Security events are not claimed either: ``noticed()``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CardPresented,
    ContactorClosed,
    ContactorOpened,
    Event,
    LinkChanged,
    MeterRead,
    OfferChanged,
    RawMeterReading,
    ReleaseWithdrawn,
    Started,
    TimeCame,
    TokenAuthorized,
    VehicleConnected,
    VehicleReady,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.messages import BILLED, FaultNoted, Message, SecurityHappened, StatusChanged
from agent.domain.orders import (
    AuthorizeToken,
    Feedback,
    LogNote,
    Order,
    Persist,
    Send,
    SetLamp,
    SetRelease,
    SetService,
    Show,
    WakeMe,
)
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.session_records import Session
from agent.domain.station import assemble_blocks
from agent.domain.timers import Timer
from agent.domain.variables import Value
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import AuthorizationStatus, Lamp, Moment, Reading, Screen, Stamp, Token, Verdict
from tests.support.domain_state import evse_record, station_state

A, B, C = Token("04A1B2C3"), Token("04D4E5F6"), Token("0477889900AABB")
CARD_A, CARD_B = A.value.casefold(), B.value.casefold()
"""Keys in the cache: RFID readers do not agree about upper and lower case."""
LINK = "chargy"
ACCEPTED = Verdict(AuthorizationStatus.ACCEPTED)
REFUSED = Verdict(AuthorizationStatus.INVALID)
EMPTY = EvseState(Pilot.A, pwm=False, contactor=False)
PLUGGED = EvseState(Pilot.B, pwm=False, cable=True, contactor=False)
CHARGING = EvseState(Pilot.C, pwm=True, cable=True, contactor=True)
T0_S, UTC0_S = 1000.0, 1_800_000_000.0
"""1_800_000_000 is 2027-01-15T08:00:00Z: a multiple of an hour."""
NOW = Stamp(0, 0.0)
"""A reading with this stamp is read when it is fed."""


def wh(energy_wh: int, power_w: float | None = None, at: Stamp = NOW) -> Reading:
    return Reading(at, energy_wh, power_w=power_w)


class Like:
    """Equal to anything of this class whose named fields are equal to these."""

    def __init__(self, kind: type[Any], /, **wanted: Any) -> None:
        self.kind, self.wanted = kind, wanted

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.kind) and all(
            w == getattr(other, n) if not isinstance(w, type) else isinstance(getattr(other, n), w)
            for n, w in self.wanted.items()
        )

    def __repr__(self) -> str:
        return f"{self.kind.__name__}~{self.wanted}"


def sent_message(kind: type[Message], link: str = LINK, /, **wanted: Any) -> Like:
    return Like(Send, link=link, message=Like(kind, **wanted))


def kept(kind: str, key: Any = None, /, **value: Any) -> Like:
    """A ``Persist``; ``forgotten`` is its opposite."""
    wanted: dict[str, Any] = {"kind": kind, "value": _Holds(value)}
    if key is not None:
        wanted["key"] = key
    return Like(Persist, **wanted)


def forgotten(kind: str) -> Like:
    return Like(Persist, kind=kind, value=None)


class _Holds:
    def __init__(self, items: Mapping[str, Any]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and all(other.get(k) == v for k, v in self.items.items())

    def __repr__(self) -> str:
        return f"holds {self.items}"


def make_site(
    evses: int = 1, settings: Mapping[str, Value] | None = None, tethered: bool = False, **options: Any
) -> StationState:
    numbers = iter(range(1, 10**6))
    return station_state(
        {n: evse_record(n, tethered=tethered) for n in range(1, evses + 1)},
        settings,
        **{"new_id": lambda: f"s{next(numbers)}", **options},
    )


class Playbook:
    """``traits`` and ``state`` are those of every board at the first picture; ``online``: whether the link is up;
    ``cold``: nothing at all has happened yet. ``signs``: makes the engine's step that signs records, of what is on
    disk at the start."""

    QUIET: tuple[type[Order], ...] = (LogNote, Show, SetLamp, Feedback, WakeMe)

    def __init__(
        self,
        site: Callable[[], StationState] | None = None,
        *,
        online: bool = True,
        cold: bool = False,
        state: EvseState = EMPTY,
        traits: EvseTraits | None = None,
        store: dict[str, dict[str, Any]] | None = None,
        status: bool = False,
        signs: Callable[[Mapping[str, Any]], Callable[[Sequence[Order]], Sequence[Order]]] | None = None,
        **options: Any,
    ) -> None:
        self.status = status
        self._signs = signs or (lambda facts: lambda orders: orders)
        self._site_of = site or (lambda: make_site(**options))
        self.boot, self.t_s, self.trusted = 1, T0_S, True
        self.confirms = True
        """The boards confirm a withdrawal at once."""
        self.clock_off_s = 0.0
        """How far the clock was set ahead meanwhile; time itself (``t_s``) goes on as it does."""
        self.traits = traits or EvseTraits(tethered=bool(options.get("tethered")))
        self.store: dict[str, dict[str, Any]] = store or {}
        self.sent_messages: list[Message] = []
        self.log: list[Order] = []
        self._fresh()
        if not cold:
            self.feed(Started(self.store))
            for number in self.site.evses:
                self.feed(BoardOpened(number, state, self.traits))
            if online:
                self.feed(LinkChanged(LINK, True))
            self.skip()

    def _fresh(self) -> None:
        self.site = self._site_of()
        self.blocks = assemble_blocks(self.site)
        self._sign_records = self._signs(json.loads(json.dumps(self.store)))
        self.unclaimed: list[Order] = []
        self.timers: dict[Timer, float] = {}
        self.levels: dict[tuple[type[Order], int], bool] = {}
        self.screens: dict[int, Screen] = {}
        self.lamps: dict[int, Lamp] = {}
        self.statuses: dict[int, StatusChanged] = {}

    # --- what a play says ----------------------------------------------------------------------------------------

    def __rshift__(self, event: Event | Iterable[Event]) -> Self:
        self._nothing_left(f"before {event}")
        for one in [event] if isinstance(event, Event) else event:
            self.feed(one)
        return self

    def __lshift__(self, wanted: Any) -> Self:
        """Claim the next order: equal to ``wanted``, ``Like`` it, or of that class."""
        assert self.unclaimed, f"{wanted} was not ordered"
        first = self.unclaimed.pop(0)
        fits = isinstance(first, wanted) if isinstance(wanted, type) else wanted == first
        assert fits, f"wanted  {wanted}\n  but got {first}\n  and then {self.unclaimed}"
        return self

    def __bool__(self) -> bool:
        self._nothing_left("at the end of the play")
        return True

    def _nothing_left(self, where: str) -> None:
        assert not self.unclaimed, f"unclaimed {where}: {self.unclaimed}"

    def skip(self) -> Self:
        """What came until here is not the point of this play."""
        self.unclaimed.clear()
        return self

    def wait(self, seconds: float) -> Self:
        """Time passes; what was to be woken is woken in order."""
        self._nothing_left(f"before waiting {seconds} s")
        end_s = self.t_s + seconds
        while due := [(at, timer) for timer, at in self.timers.items() if at <= end_s]:
            at_s, timer = min(due, key=lambda d: d[0])
            del self.timers[timer]
            self.t_s = max(self.t_s, at_s)
            self.feed(TimeCame(timer))
        self.t_s = end_s
        return self

    def restart(
        self,
        after_s: float = 5.0,
        *,
        new_boot: bool = False,
        state: EvseState | None = None,
        online: bool = True,
    ) -> Self:
        """The process ended (whyever) and another one reads what is on disk. ``state``: boards are opened with it."""
        self._nothing_left("before the restart")
        self.t_s += after_s
        if new_boot:
            self.boot, self.t_s = self.boot + 1, 30.0
        self._fresh()
        self.feed(Started(json.loads(json.dumps(self.store))))
        for number in self.site.evses if state else ():
            self.feed(BoardOpened(number, state or EMPTY, self.traits))
        if online:
            self.feed(LinkChanged(LINK, True))
        return self

    # --- what can be looked at -----------------------------------------------------------------------------------

    @property
    def now(self) -> Moment:
        utc_s = UTC0_S + self.t_s - T0_S + self.clock_off_s if self.trusted else None
        return Moment(Stamp(self.boot, self.t_s), utc_s)

    def evse(self, number: int = 1) -> EvseRecord:
        return self.site.evses[number]

    def state(self, number: int = 1) -> SessionState:
        return self.evse(number).state

    def session(self, number: int = 1) -> Session:
        session = self.evse(number).session
        assert session is not None
        return session

    def ended(self) -> list[Any]:
        return [m for m in self.sent_messages if type(m).__name__ == "TransactionEnded"]

    def noticed(self, link: str = LINK) -> list[str]:
        """Kinds of the security events that this link has got so far."""
        tells = [o for o in self.log if isinstance(o, Send) and o.link == link]
        return [o.message.kind for o in tells if isinstance(o.message, SecurityHappened)]

    # --- the mechanism -------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> list[Order]:
        if isinstance(event, MeterRead | RawMeterReading) and event.reading.at == NOW:
            event = replace(event, reading=replace(event.reading, at=self.now.stamp))
        if isinstance(event, BoardOpened):
            self.levels.update({(SetRelease, event.evse): False, (SetService, event.evse): True})
        orders = list(self._sign_records(self.blocks.handle_event(event, self.now)))
        self._keep(orders)
        for order in orders:
            self._look(order)
            status = isinstance(order, Send) and isinstance(order.message, StatusChanged | FaultNoted)
            quiet = isinstance(order, self.QUIET) or _of_itself(order) or (status and not self.status)
            if not quiet and not self._again(order):
                self.unclaimed.append(order)
        self.log += orders
        for order in orders:
            if isinstance(order, SetRelease) and not order.on and self.confirms:
                orders = [*orders, *self.feed(ReleaseWithdrawn(order.evse))]
        return orders

    def _keep(self, orders: Iterable[Order]) -> None:
        """As the engine: everything to remember and every billed message of one event is one transaction."""
        for order in orders:
            if isinstance(order, Persist):
                table = self.store.setdefault(order.kind, {})
                if order.value is None:
                    table.pop(order.key, None)
                else:
                    table[order.key] = json.loads(json.dumps(order.value))
            elif isinstance(order, Send) and isinstance(order.message, BILLED):
                self.sent_messages.append(order.message)

    def _again(self, order: Order) -> bool:
        """A level that says what was said before (or what a board comes up with) need not be claimed."""
        if not isinstance(order, SetRelease | SetService):
            return False
        before = self.levels.get((type(order), order.evse), isinstance(order, SetService))
        self.levels[type(order), order.evse] = order.on
        return before == order.on

    def _look(self, order: Order) -> None:
        match order:
            case WakeMe(timer, at_s):
                self.timers.pop(timer, None)  # of two that are due at the same time the earlier order comes first
                if at_s is not None:
                    self.timers[timer] = at_s
            case Show(evse, screen):
                self.screens[evse] = screen
            case SetLamp(evse, lamp):
                self.lamps[evse] = lamp
            case Send(_, StatusChanged(evse) as status):
                self.statuses[evse] = status
            case _:
                pass


def _of_itself(order: Order) -> bool:
    """What comes with many events and has plays of its own."""
    if isinstance(order, Persist):
        return order.kind in ("security", "unlock", "shown", "kept_cable")
    return isinstance(order, Send) and isinstance(order.message, SecurityHappened)


def charging(play: Playbook, token: Token = A, evse: int = 1, meter_wh: int = 1000) -> Playbook:
    """Plug, card, register, contactor: a session that charges. Nothing of it is claimed."""
    for event in (CablePlugged(evse), VehicleConnected(evse), CardPresented(evse, token)):
        play.feed(event)
    asked = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    if asked:
        play.feed(TokenAuthorized(asked[-1].request, token, ACCEPTED))
    return energised(play.skip(), evse, meter_wh)


def charged(play: Playbook, token: Token = A, evse: int = 1) -> Playbook:
    """A session that its card has ended. The vehicle is still plugged in. Nothing of it is claimed."""
    charging(play, token, evse)
    for event in (CardPresented(evse, token), ContactorOpened(evse)):
        play.feed(event)
    play.feed(MeterRead(evse, end_reading(play.evse(evse).progress.end_try), wh(2000)))
    assert play.state(evse) is SessionState.ENDED
    return play.skip()


def energised(play: Playbook, evse: int = 1, meter_wh: int = 1000) -> Playbook:
    """From a session that waits for its register to a closed contactor."""
    play.feed(MeterRead(evse, begin_reading(play.evse(evse).progress.begin_try), wh(meter_wh)))
    for event in (OfferChanged(evse, True), VehicleReady(evse), ContactorClosed(evse)):
        play.feed(event)
    assert play.state(evse) is SessionState.ACTIVE
    return play.skip()
